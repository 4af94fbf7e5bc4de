//! The command as a user meets it: the whole job on the bundled model, its options, and stopping it.

mod common;

use std::path::Path;

use common::{MODEL, Small, rewrite, root};
use serde_json::Value;

fn json(args: &[&str]) -> Value {
    let result = rewrite(args).args(["--format", "json"]).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    serde_json::from_slice(&result.stdout).unwrap()
}

#[test]
fn the_whole_job_on_the_bundled_model() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("safe.onnx");
    let input = std::fs::read(root(MODEL)).unwrap();
    let report = json(&[MODEL, "-o", out.to_str().unwrap(), "--preset", "paper"]);
    let output = std::fs::read(&out).unwrap();
    assert_eq!(std::fs::read(root(MODEL)).unwrap(), input, "the input is untouched");

    // Every byte but the sign bits of the selected elements is the same.
    let mark = output[input.len()..].to_vec();
    assert!(mark.windows(12).any(|part| part == b"patch_sha256"), "the mark of the edit is appended");
    assert_eq!(mark.windows(4).filter(|part| *part == b"uwm.").count(), 5);
    let changed: Vec<(u8, u8)> = input.iter().zip(&output).filter(|(a, b)| a != b).map(|(a, b)| (*a, *b)).collect();
    assert!(changed.iter().all(|(a, b)| a ^ b == 0x80));
    assert_eq!(changed.len() as u64, report["edit"]["selected"].as_u64().unwrap());
    assert!(!changed.is_empty());

    let layers = report["edit"]["layers"].as_array().unwrap();
    let kinds: Vec<(&str, &str)> =
        layers.iter().map(|l| (l["tower"].as_str().unwrap(), l["role"].as_str().unwrap())).collect();
    assert_eq!(kinds, [[("text", "out_proj"); 4], [("vision", "fc2"); 4]].concat());
    assert!(layers.iter().all(|l| l["tau"] == 0.02 && l["selected"].as_u64().unwrap() > 0));
    assert_eq!(layers[4]["shape"], serde_json::json!([128, 512]));
    assert_eq!(report["edit"]["alpha"], -1.0);
    assert_eq!(report["runtime"]["backend"], "tract");
    assert_eq!(report["model"]["path"], MODEL);
    for side in ["before", "after"] {
        for name in ["P_ts", "P_tu", "P_vs", "P_vu", "Txt_s", "Img_s", "PS", "PU", "GS"] {
            assert!((0.0..=100.0).contains(&report["safeground"][side][name].as_f64().unwrap()));
        }
        assert!(report["retrieval"][side]["Ts-Vs"]["R@1"].as_f64().unwrap() > 0.0);
    }
    // The trained model: safe preferences near 100, unsafe ones near 0, most scenes told apart.
    assert!(report["safeground"]["before"]["P_ts"].as_f64().unwrap() > 90.0);
    assert!(report["safeground"]["before"]["P_tu"].as_f64().unwrap() < 10.0);
    assert!(report["zero_shot"]["before"]["top1"].as_f64().unwrap() > 75.0);
    assert_eq!(report["data"]["evaluation_quadruplets"], 640);
}

#[test]
fn the_same_inputs_give_the_same_bytes_on_any_number_of_threads() {
    let small = Small::new();
    for preset in ["paper", "aimed", "steer"] {
        let made = |threads: &&str| {
            let out = small.path(&format!("{preset}.{threads}.onnx"));
            json(&[MODEL, "-o", &out, "--config", &small.config(), "--preset", preset, "--threads", threads]);
            std::fs::read(out).unwrap()
        };
        let bytes: Vec<Vec<u8>> = ["1", "2", "3"].iter().map(made).collect();
        assert!(bytes[0] == bytes[1] && bytes[0] == bytes[2], "{preset}");
    }
}

#[test]
fn two_files_give_the_selection_of_one() {
    let small = Small::new();
    let joint = json(&[MODEL, "-o", &small.path("joint.onnx"), "--config", &small.config()]);
    let (text, vision) = ("models/emoji-clip/text_model.onnx", "models/emoji-clip/vision_model.onnx");
    let out = small.path("out");
    let pair = json(&["--text", text, "--vision", vision, "-o", &out, "--config", &small.config()]);
    let selected = |report: &Value| -> Vec<u64> {
        report["edit"]["layers"].as_array().unwrap().iter().map(|l| l["selected"].as_u64().unwrap()).collect()
    };
    assert_eq!(selected(&joint), selected(&pair));
    assert_eq!(joint["safeground"], pair["safeground"]);
    assert!(pair["model"].is_null());
    assert_eq!(pair["files"].as_array().unwrap().len(), 2);
    for name in ["text_model.onnx", "vision_model.onnx"] {
        let edited = std::fs::read(Path::new(&out).join(name)).unwrap();
        let original = std::fs::read(root("models/emoji-clip").join(name)).unwrap();
        assert!(edited.len() > original.len(), "with the mark of the edit");
        assert_ne!(edited[..original.len()], original);
    }

    // One tower alone: the same edit, and a word on why nothing was measured.
    let alone = json(&["--vision", vision, "-o", &small.path("v.onnx"), "--config", &small.config()]);
    assert_eq!(selected(&alone), selected(&pair)[4..]);
    assert!(alone["safeground"].is_null());
    assert!(alone["notes"][0].as_str().unwrap().contains("only one tower"));
    let edited = std::fs::read(small.path("v.onnx")).unwrap();
    assert_eq!(edited, std::fs::read(Path::new(&out).join("vision_model.onnx")).unwrap());

    // One tower of a file that holds both: the other is left alone, and serves the evaluation.
    let only = json(&["--vision", MODEL, "-o", &small.path("o.onnx"), "--config", &small.config()]);
    assert_eq!(selected(&only), selected(&pair)[4..]);
    assert!(only["safeground"].is_object());
}

#[test]
fn options_of_each_tower() {
    let small = Small::new();
    let base = "calibration: {manifest: manifest.jsonl}\n";
    let config = small.write(
        "own.yaml",
        &format!(
            "{base}text: {{layers: fc1, tau: 0.1}}\nvision: {{layers: out_proj, alpha: 0.5, weight_prior: true}}\n"
        ),
    );
    let report = json(&[MODEL, "-o", &small.path("a.onnx"), "--config", &config]);
    let layers = report["edit"]["layers"].as_array().unwrap();
    assert_eq!(layers[0]["role"], "fc1");
    assert_eq!(layers[0]["tau"], 0.1);
    assert_eq!((&layers[4]["role"], &layers[4]["alpha"]), (&"out_proj".into(), &0.5.into()));
    assert!(report["edit"]["alpha"].is_null());
    assert!(report["notes"][0].as_str().unwrap().contains("no evaluation data"));

    let report = json(&[MODEL, "-o", &small.path("b.onnx"), "--config", &config, "--tau", "0.3", "--alpha", "0"]);
    assert!(report["edit"]["layers"].as_array().unwrap().iter().all(|l| l["tau"] == 0.3 && l["alpha"] == 0.0));
}

#[test]
fn a_table_for_people() {
    let small = Small::new();
    let result = rewrite(&[MODEL, "-o", &small.path("a.onnx"), "--config", &small.config()]).output().unwrap();
    let table = String::from_utf8(result.stdout).unwrap();
    for part in ["P_ts", "GS", "Ts-Vs R@1", "before", "change", "out_proj", "fc2", "128x512", "tract 0.23.9 on cpu, "] {
        assert!(table.contains(part), "{part} is missing in:\n{table}");
    }
    assert!(table.contains("no zero-shot set was given"));
    assert!(result.stderr.is_empty(), "no progress bars without a terminal");
}

/// Stopped in the middle: no output, no temporary file.
#[cfg(unix)]
#[test]
fn interrupted() {
    let small = Small::new();
    let all = root("calibration/emoji/manifest.jsonl");
    let config = small.write(
        "uwm.yaml",
        &format!("calibration: {{manifest: manifest.jsonl}}\nevaluation: {{manifest: {}}}\n", all.display()),
    );
    let before = small.names();
    // While it evaluates the original, and while the temporary file is there.
    for written in [false, true] {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("uwm-onnx"))
            .current_dir(root(""))
            .args(["rewrite", MODEL, "-o", &small.path("out.onnx"), "--config", &config])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(500));
        while written && !small.names().iter().any(|name| name.starts_with(".uwm-onnx-")) {
            assert!(child.try_wait().unwrap().is_none(), "it ended before a temporary file was seen");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let id = child.id().to_string();
        std::process::Command::new("kill").args(["-INT", &id]).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(small.names(), before);
    }
}
