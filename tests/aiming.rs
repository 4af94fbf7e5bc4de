//! Aimed negation and steering, from the command line: what they do, that they can be undone, and where they cannot work.

mod common;

use std::path::Path;

use common::beside::beside;
use common::{MODEL, Small, output, root, zoo};
use serde_json::Value;

fn json(args: &[&str]) -> Value {
    let (stdout, stderr, code) = output(&[args, &["--format", "json"]].concat());
    assert_eq!(code, 0, "{args:?}: {stderr}");
    serde_json::from_str(&stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// That verify finds what the patch makes, and revert gives the original back.
fn check_files(model: &str, edited: &str, patch: &str, folder: &Path) {
    let (_, stderr, code) = output(&["verify", edited, "--original", model, "--patch", patch]);
    assert_eq!(code, 0, "{model}: {stderr}");
    let back = folder.join("back.onnx").to_str().unwrap().to_owned();
    let (_, stderr, code) = output(&["revert", edited, patch, "-o", &back, "--force"]);
    assert_eq!(code, 0, "{model}: {stderr}");
    assert!(std::fs::read(model).unwrap() == std::fs::read(&back).unwrap(), "{model}: the very original");
}

#[test]
fn what_they_do_to_the_bundled_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let model = root(MODEL).to_str().unwrap().to_owned();
    for (preset, gs, negates) in [("aimed", 15.0, true), ("steer", 55.0, false)] {
        let (edited, patch) = (path(&format!("{preset}.onnx")), path(&format!("{preset}.uwm")));
        let report =
            json(&["rewrite", &model, "-o", &edited, "--patch-out", &patch, "--preset", preset, "--backend", "tract"]);
        let (before, after) = (&report["safeground"]["before"], &report["safeground"]["after"]);
        assert!(number(&after["GS"]) > gs, "{preset}: {after}");
        assert!(number(&before["PS"]) - number(&after["PS"]) <= 2.0, "{preset}: {after}");
        let zero_shot = &report["zero_shot"];
        assert!(number(&zero_shot["before"]["top1"]) - number(&zero_shot["after"]["top1"]) <= 3.0, "{zero_shot}");
        // Neither damage nor another direction does that.
        let controls = report["controls"].as_array().unwrap();
        let kinds: Vec<&str> = controls.iter().map(|control| control["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["random", "swapped", "direction"]);
        assert!(controls.iter().all(|control| number(&control["safeground"]["GS"]) < 5.0), "{controls:#?}");
        assert!(number(&report["verdict"]["GS"]["p"]) < 0.01);
        // What was foretold on held-out calibration pairs came true on others.
        let aims = report["aim"].as_array().unwrap();
        let aim = aims.iter().find(|aim| !aim["chosen"].is_null()).unwrap();
        let curve = aim["curve"].as_array().unwrap();
        let same = |point: &&Value| {
            let ridge = &aim["chosen"]["ridge"];
            point["gain"] == aim["chosen"]["gain"] && (ridge.is_null() || point["ridge"] == *ridge)
        };
        let foretold = curve.iter().find(same).unwrap();
        assert!((number(&foretold["GS"]) - number(&after["GS"])).abs() < 6.0, "{preset}: {foretold} {after}");
        for name in ["PS", "recall_of_256"] {
            assert!(number(&aim["before"][name]) - number(&foretold[name]) <= 2.0 + 1e-9, "{foretold}");
        }
        assert!(aims.iter().all(|aim| aim["sentence"].as_str().unwrap().starts_with("Unsafe content shows in")));
        assert!(report["notes"].to_string().contains("stored image embeddings"), "{}", report["notes"]);

        // One layer, and nothing but its values.
        assert_eq!(report["edit"]["layers"].as_array().unwrap().len(), 1);
        let diff = json(&["diff", &model, &edited]);
        let tensors = diff["tensors"].as_array().unwrap();
        assert_eq!((tensors.len(), diff["graph"].as_array().unwrap().len()), (1, 0));
        assert_eq!(tensors[0]["negated"] == tensors[0]["changed"], negates, "{diff}");
        check_files(&model, &edited, &patch, folder.path());
        // The same again gives the same bytes.
        let (_, stderr, code) = output(&[
            "rewrite",
            &model,
            "-o",
            &path("again.onnx"),
            "--force",
            "--preset",
            preset,
            "--backend",
            "tract",
            "--controls",
            "off",
        ]);
        assert_eq!(code, 0, "{stderr}");
        assert!(std::fs::read(&edited).unwrap() == std::fs::read(path("again.onnx")).unwrap());
    }
}

#[test]
fn models_of_other_exporters_and_precisions() {
    for (name, tower, steerable) in [
        ("hf_clip.ts_sdpa", "vision", true),
        ("hf_clip.optimised", "text", true),
        ("hf_clip.fp16", "vision", true),
        ("hf_clip.qdq_int8", "vision", false),
        ("hf_clip.nbits4", "text", false),
        ("siglip.ts_sdpa", "text", true),
        ("siglip.ts_sdpa", "vision", true),
        ("siglip_timm.dynamo_eager", "vision", true),
        ("chinese_clip.dynamo_sdpa", "vision", true),
        ("altclip.ts_eager", "text", true),
        ("blip.dynamo_eager", "vision", true),
        ("coca.ts_eager", "text", true),
        ("openclip.ts_sdpa", "vision", true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let _data = beside(folder.path());
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let model = path("a.onnx");
        std::fs::copy(zoo(&format!("{name}.onnx")), &model).unwrap();
        let Some(library) = common::onnx_runtime_library() else { return };
        let runtime = ["--backend", "ort", "--ort-library", library.to_str().unwrap()];
        for (preset, settings) in [("aimed", &["--gain", "2", "--ridge", "0.3"][..]), ("steer", &["--gain", "2"])] {
            let (edited, patch) = (path(&format!("{preset}.onnx")), path(&format!("{preset}.uwm")));
            let asked = ["rewrite", &model, "-o", &edited, "--patch-out", &patch, "--preset", preset, "--tower", tower];
            let args = [&asked, settings, &runtime].concat();
            if preset == "steer" && !steerable {
                let (_, stderr, code) = output(&args);
                assert!(code != 0 && stderr.contains("cannot take any value"), "{name}: {stderr}");
                assert!(!Path::new(&edited).exists() && !Path::new(&patch).exists());
                continue;
            }
            let report = json(&args);
            let layers = report["edit"]["layers"].as_array().unwrap();
            assert_eq!((layers.len(), layers[0]["tower"].as_str()), (1, Some(tower)), "{name}");
            let aim = &report["aim"][0];
            assert_eq!(aim["curve"].as_array().unwrap().len(), 1, "{name}: {}", report["notes"]);
            assert!(
                !report["notes"].to_string().contains("does not embed as was foretold"),
                "{name}: {}",
                report["notes"]
            );
            check_files(&model, &edited, &patch, folder.path());
        }
    }
}

#[test]
fn what_cannot_be_aimed_at_is_said_beforehand() {
    let small = Small::new();
    let (config, out) = (small.config(), small.path("out.onnx"));
    let run = |args: &[&str]| {
        output(&[&["rewrite", MODEL, "-o", &out, "--config", &config, "--backend", "tract"], args].concat())
    };
    let refused = |args: &[&str], code: i32, said: &str| {
        let (stdout, stderr, got) = run(args);
        assert_eq!((got, stdout.as_str()), (code, ""), "{args:?}: {stderr}");
        let words = stderr.split_whitespace().collect::<Vec<_>>().join(" ").replace("│ ", "");
        assert!(words.contains(said), "{args:?}: {stderr}");
        assert!(!Path::new(&out).exists());
    };
    // Where safe and unsafe are mixed up, nothing shows, and the user is told.
    let manifest = std::fs::read_to_string(small.path("manifest.jsonl")).unwrap();
    let mixed = manifest.lines().enumerate().map(|(number, line)| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        if number % 2 == 0 && row["split"] == "calibration" {
            for (a, b) in [("safe_text", "unsafe_text"), ("safe_image", "unsafe_image")] {
                let first = row[a].take();
                row[a] = row[b].take();
                row[b] = first;
            }
        }
        format!("{row}\n")
    });
    let mixed = small.write("mixed.jsonl", &mixed.collect::<String>());
    refused(&["--preset", "aimed", "--calibration", &mixed], 2, "no setting does any good");
    refused(&["--preset", "aimed", "--calibration", &mixed], 2, "hardly shows in the vision tower's projection");
    refused(&["--preset", "aimed", "--layers", "vision:fc2", "--tower", "vision"], 2, "is 4 layers");
    refused(&["--preset", "aimed", "--layers", "vision:fc2[0]", "--tower", "vision"], 2, "rows a sample");
    refused(&["--preset", "aimed", "--tau", "0.1"], 2, "'aimed' does not go by it");
    refused(&["--preset", "steer", "--ridge", "0.1"], 2, "'steer' does not go by it");
    refused(&["--preset", "aimed", "--gain", "0"], 2, "the finite numbers above 0");
    refused(&["--preset", "aimed", "--scores-out", &small.path("s.safetensors")], 2, "aimed edits have none");
    refused(&["--edit", "guess"], 2, "negate or steer");
    refused(&["--preset", "aimed", "--tower", "text", "--gain", "vision:3"], 2, "leaves that as it is");
    refused(&["--preset", "contrast", "--tower", "text"], 2, "edits none of the towers");
    // Asked without writing, it tells what comes nearest.
    let dry = ["rewrite", MODEL, "--dry-run", "--config", &config, "--backend", "tract", "--preset", "aimed"];
    let report = json(&[&dry[..], &["--calibration", &mixed]].concat());
    assert!(report["notes"].to_string().contains("no setting does any good"), "{}", report["notes"]);
    assert!(report["aim"].as_array().unwrap().iter().all(|aim| aim["chosen"].is_null() && !aim["curve"][0].is_null()));
    // Where only images differ, that tower is edited, and a word says why not the other.
    let same_texts = manifest.lines().map(|line| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        if row["split"] == "calibration" {
            row["unsafe_text"] = row["safe_text"].clone();
        }
        format!("{row}\n")
    });
    let same_texts = small.write("same_texts.jsonl", &same_texts.collect::<String>());
    let report = json(&[&dry[..], &["--calibration", &same_texts]].concat());
    assert!(report["notes"].to_string().contains("nothing can be aimed at"), "{}", report["notes"]);
    // A few pairs tell nothing.
    let few: Vec<&str> = manifest.lines().filter(|line| line.contains("\"calibration\"")).take(3).collect();
    let few = small.write("few.jsonl", &few.join("\n"));
    refused(&["--preset", "aimed", "--calibration", &few], 2, "3 calibration pairs are too few");
    let one = std::fs::read_to_string(&config).unwrap();
    small.write("uwm.yaml", &format!("{one}vision: {{method: aimed}}\n"));
    refused(&[], 2, "cancels out");
    small.write("uwm.yaml", &one);
    let both = "text: {method: aimed, edit: true, gain: 2, ridge: 0.3}\nvision: {method: aimed, edit: true, gain: 2, ridge: 0.3}\n";
    let data = std::fs::read_to_string(&config).unwrap();
    small.write("uwm.yaml", &format!("{data}{both}"));
    refused(&[], 2, "cancels out");
    let (stdout, stderr, code) = run(&["--force", "--format", "json", "--controls", "off"]);
    assert_eq!(code, 0, "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["edit"]["layers"].as_array().unwrap().len(), 2);

    // A tower alone: there is nothing to measure with, and that is said; whether it can work is.
    small.write("uwm.yaml", &data);
    let alone = "models/emoji-clip/vision_model.onnx";
    let report = json(&["rewrite", "--vision", alone, "--dry-run", "--preset", "aimed", "--config", &config]);
    let notes = report["notes"].to_string();
    assert!(notes.contains("edited without cross-validation") && notes.contains("a dry run"), "{notes}");
    assert!(number(&report["aim"][0]["separation"]["auc"]) > 0.5);
    assert_eq!(report["aim"][0]["separation"]["samples"], serde_json::json!([24, 24]));
    // And nothing is written.
    assert!(small.names().iter().all(|name| {
        ["manifest.jsonl", "mixed.jsonl", "same_texts.jsonl", "few.jsonl", "uwm.yaml", "out.onnx"]
            .contains(&name.as_str())
    }));
}

#[test]
fn inspect_tells_whether_it_can_work() {
    let manifest = "calibration/emoji/manifest.jsonl";
    let found = json(&["inspect", MODEL, "--calibration", manifest, "--backend", "tract"]);
    let aims = found["aim"].as_array().unwrap();
    assert_eq!(aims.iter().map(|aim| aim["tower"].as_str().unwrap()).collect::<Vec<_>>(), ["text", "vision"]);
    for aim in aims {
        assert!(number(&aim["separation"]["auc"]) > 0.85 && number(&aim["separation"]["d_prime"]) > 1.8, "{aim}");
        assert_eq!(aim["separation"]["samples"], serde_json::json!([512, 512]));
        assert_eq!(aim["by_concept"].as_object().unwrap().len(), 7);
        // The bundled scenes share an unsafe look, and that is said.
        assert!(number(&aim["by_style"]["styled"]["auc"]) > 0.99 && number(&aim["by_style"]["plain"]["auc"]) < 0.8);
        assert!(aim["sentence"].as_str().unwrap().contains("may be a look more than a content"), "{aim}");
    }
    // Only if asked, and then a layer that cannot be aimed at is no error.
    assert!(json(&["inspect", MODEL])["aim"].is_null());
    assert_eq!(output(&["inspect", MODEL, "--backend", "tract"]).2, 2);
    let (stdout, stderr, code) =
        output(&["inspect", MODEL, "--calibration", manifest, "--preset", "aimed", "--layers", "fc2[0]"]);
    assert!(code == 0 && stdout.contains("rows a sample"), "{stdout} {stderr}");
}

/// What stands between a layer and the embedding is tried before anything is foretold.
#[test]
fn nothing_is_foretold_through_what_is_not_linear() {
    let folder = tempfile::tempdir().unwrap();
    let _data = beside(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let model = path("a.onnx");
    std::fs::copy(zoo("siglip.ts_sdpa.onnx"), &model).unwrap();
    let dry = ["rewrite", &model, "--dry-run", "--backend", "tract", "--preset", "aimed", "--tower", "vision"];
    let curve = |report: &Value| report["aim"][0]["curve"].as_array().unwrap().len();
    // A residual is added after the head's last layer, a normalisation and two layers follow the one before.
    let last = json(&[&dry[..], &["--gain", "1", "--ridge", "0.3"]].concat());
    assert_eq!(curve(&last), 1, "{}", last["notes"]);
    let other = json(&[&dry[..], &["--gain", "0.05", "--ridge", "0.3", "--layers", "head.out_proj"]].concat());
    assert_eq!(curve(&other), 0);
    assert!(other["notes"].to_string().contains("does more than add and normalise"), "{}", other["notes"]);
}

/// A sweep of the usual edits on a quantised model leaves out what its codes cannot take.
#[test]
fn a_sweep_leaves_out_steering_of_codes() {
    let folder = tempfile::tempdir().unwrap();
    let _data = beside(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let model = path("a.onnx");
    std::fs::copy(zoo("hf_clip.qdq_int8.onnx"), &model).unwrap();
    let Some(library) = common::onnx_runtime_library() else { return };
    let runtime = ["--backend", "ort", "--ort-library", library.to_str().unwrap()];
    let sweep = json(&[&["sweep", &model, "--max-runs", "4", "--controls", "off"][..], &runtime].concat());
    let notes = sweep["notes"].to_string();
    assert!(notes.contains("cannot take any value"), "{notes}");
    let ways: Vec<&Value> = sweep["edits"].as_array().unwrap().iter().map(|edit| &edit["recipe"]["method"]).collect();
    assert!(ways.iter().any(|way| *way == "aimed") && !ways.iter().any(|way| *way == "steer"), "{ways:?}");
}
