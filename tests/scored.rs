//! Scores in files, shards, recipes by name, concepts and controls, as a user meets them.

mod common;

use std::path::Path;

use assert_cmd::Command;
use common::{MODEL, Small, rewrite, root};
use serde_json::Value;

fn run(args: &[&str]) -> Result<String, String> {
    let mut command = Command::cargo_bin("uwm-onnx").unwrap();
    command.current_dir(root("")).args(args);
    if args[0] != "merge" {
        command.args(["--backend", "tract"]);
    }
    let result = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if result.status.success() { Ok(text(result.stdout)) } else { Err(text(result.stderr)) }
}

fn json(args: &[&str]) -> Value {
    let result = rewrite(args).args(["--format", "json"]).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    serde_json::from_slice(&result.stdout).unwrap()
}

/// As many calibration pairs as make three chunks, the last a short one.
fn three_chunks() -> Small {
    let small = Small::new();
    let all = std::fs::read_to_string(root("calibration/emoji/manifest.jsonl")).unwrap();
    let rows = all.lines().filter(|line| line.contains("\"split\": \"calibration\"")).take(150);
    let absolute = root("calibration/emoji/images");
    let text: String = rows.map(|row| row.replace("\"images/", &format!("\"{}/", absolute.display())) + "\n").collect();
    small.write("pairs.jsonl", &text);
    small.write("pairs.yaml", "calibration: {manifest: pairs.jsonl}\nevaluation: {manifest: manifest.jsonl}\n");
    small
}

#[test]
fn merged_shards_are_the_bytes_of_one_run() {
    let small = three_chunks();
    let config = small.path("pairs.yaml");
    for (options, counts) in [
        (&["--preset", "paper"][..], &[1, 2, 3, 5][..]),
        (&["--score", "energy-contrast", "--layers", "fc2", "--gain", "2"], &[2]),
        (&["--concepts", "union", "--score", "dataset"], &[3]),
    ] {
        let one = small.path("one.safetensors");
        let score = |more: &[&str]| run(&[&["score", MODEL, "--config", &config, "--force"], options, more].concat());
        score(&["-o", &one]).unwrap();
        for count in counts {
            let shards: Vec<String> = (1..=*count).map(|index| small.path(&format!("{index}.safetensors"))).collect();
            for (shard, index) in shards.iter().zip(1..) {
                score(&["-o", shard, "--shard", &format!("{index}/{count}")]).unwrap();
            }
            let merged = small.path("merged.safetensors");
            let mut args = vec!["merge", MODEL, "-o", &merged, "--force", "--shards"];
            args.extend(shards.iter().rev().map(String::as_str));
            run(&args).unwrap();
            assert!(std::fs::read(&merged).unwrap() == std::fs::read(&one).unwrap(), "{options:?} {count}");
            if *count > 1 {
                let error = run(&args[..args.len() - 1]).unwrap_err();
                assert!(error.contains("scores-unusable") && error.contains("missing"), "{error}");
            }
        }
    }
}

#[test]
fn kept_scores_replace_a_calibration() {
    let small = three_chunks();
    let (config, scores) = (small.path("pairs.yaml"), small.path("scores.safetensors"));
    let out = |name: &str| small.path(&format!("{name}.onnx"));
    let edit = |name: &str, more: &[&str]| {
        let output = out(name);
        json(&[&[MODEL, "-o", &output, "--config", &config], more].concat());
        std::fs::read(output).unwrap()
    };
    // Written on the way, and by the command of its own: the same.
    let direct = edit("direct", &["--scores-out", &scores]);
    let alone = small.path("alone.safetensors");
    run(&["score", MODEL, "--config", &config, "-o", &alone]).unwrap();
    assert!(std::fs::read(&alone).unwrap() == std::fs::read(&scores).unwrap());
    assert!(edit("kept", &["--scores", &scores]) == direct);
    // Another tau, alpha, selection and fewer layers need no calibration.
    for (name, more) in [
        ("tau", &["--tau", "0.1"][..]),
        ("alpha", &["--alpha", "vision:0"]),
        ("hard", &["--selection", "hard", "--budget", "tower"]),
        ("layers", &["--layers", "text:out_proj[1..],vision:fc2[2..]"]),
        ("prior", &["--weight-prior", "text:false"]),
    ] {
        let kept = edit(&format!("{name}-kept"), &[more, &["--scores", &scores, "--controls", "off"]].concat());
        assert!(kept == edit(name, &[more, &["--controls", "off"]].concat()) && kept != direct, "{name}");
    }

    // What does not fit is refused by name.
    let refused = |args: &[&str], why: &str| {
        let output = out("refused");
        let error = run(&[&["rewrite"], args, &["-o", &output]].concat()).unwrap_err();
        assert!(error.starts_with("error[scores-unusable]") && error.contains(why), "{error}");
        assert!(!Path::new(&output).exists());
    };
    let with = ["--config", &config, "--scores", &scores];
    refused(&[&[MODEL], &with[..], &["--score", "dataset"]].concat(), "it has no score 'dataset' of the text tower");
    refused(&[&[MODEL], &with[..], &["--layers", "vision:fc1"]].concat(), "it has no scores of layer");
    refused(&[&[MODEL], &with[..], &["--concepts", "each"]].concat(), "it has no scores of the concept 'blood'");
    refused(&[&["--text", "models/emoji-clip/text_model.onnx"], &with[..]].concat(), "of another model");
    refused(&[MODEL, "--config", &small.config(), "--scores", &scores], "from other calibration data");
    // One caption changed, the number of pairs and all names the same.
    let changed = std::fs::read_to_string(small.path("pairs.jsonl")).unwrap().replacen("penguin", "pigeon", 1);
    small.write("pairs.jsonl", &changed);
    refused(&[&[MODEL], &with[..]].concat(), "from other calibration data");
    let bytes = std::fs::read(&scores).unwrap();
    for cut in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&scores, &bytes[..cut]).unwrap();
        refused(&[&[MODEL], &with[..]].concat(), "scores.safetensors");
    }
}

#[test]
fn concepts_can_select_for_themselves() {
    let small = three_chunks();
    let (config, out) = (small.path("pairs.yaml"), small.path("out.onnx"));
    let report = |concepts: &str| {
        json(&[MODEL, "-o", &out, "--force", "--config", &config, "--controls", "off", "--concepts", concepts])
    };
    let [all, union, each] = ["all", "union", "each"].map(report);
    assert!(all["edit"].get("concepts").is_none());
    let selected = |report: &Value| report["edit"]["selected"].as_u64().unwrap();
    for report in [&union, &each] {
        let parts = report["edit"]["concepts"].as_array().unwrap();
        assert_eq!(parts.len(), 2 * 7, "seven concepts in each tower");
        let added: u64 = parts.iter().map(|part| part["added"].as_u64().unwrap()).sum();
        assert_eq!(added, selected(report));
        let pairs: u64 = parts.iter().map(|part| part["pairs"].as_u64().unwrap()).sum();
        assert_eq!(pairs, 2 * 150);
    }
    assert!(selected(&union) > selected(&all) && selected(&union) > selected(&each), "{union}");
}

#[test]
fn controls_are_of_the_same_size_and_told_apart() {
    let small = Small::new();
    let (config, out) = (small.config(), small.path("out.onnx"));
    let report = |controls: &str| json(&[MODEL, "-o", &out, "--force", "--config", &config, "--controls", controls]);
    let [off, fast, full] = ["off", "fast", "full"].map(report);
    let count = |report: &Value| report["controls"].as_array().unwrap().len();
    assert_eq!([count(&off), count(&fast), count(&full)], [0, 2, 6]);
    assert!(off["verdict"].is_null());
    for (index, control) in full["controls"].as_array().unwrap().iter().enumerate() {
        if index < 5 {
            assert_eq!((control["kind"].as_str(), control["seed"].as_u64()), (Some("random"), Some(index as u64)));
            assert_eq!(control["selected"], full["edit"]["selected"]);
        } else {
            assert_eq!(control["kind"], "swapped");
        }
        assert!(control["safeground"]["PS"].as_f64().unwrap() > 0.0);
    }
    // The same seed is the same control; the edit does not depend on controls.
    assert_eq!(fast["controls"][0], full["controls"][0]);
    assert_eq!([&off, &fast].map(|report| &report["output"]), [&full["output"]; 2]);
    let verdict = &full["verdict"];
    assert_eq!(verdict["seeds"], 5);
    let sentence = verdict["sentence"].as_str().unwrap();
    let specific = verdict["specific"].as_bool().unwrap();
    assert!(sentence.starts_with(if specific { "Beyond random" } else { "No better than random" }), "{sentence}");
    assert!(sentence.contains("The cost: "), "{sentence}");
}

/// What is positive in one is negative with roles swapped: the control is left out, and said to be.
#[test]
fn a_difference_has_no_swapped_control_and_nothing_selected_is_an_error() {
    let small = three_chunks();
    let (config, out) = (small.path("pairs.yaml"), small.path("out.onnx"));
    let base = ["rewrite", MODEL, "-o", &out, "--force", "--config", &config];
    let with = |more: &[&str]| run(&[&base[..], more].concat());
    let args = ["--score", "difference", "--selection", "vision:hard"];
    let (mut done, mut refused) = (0, 0);
    // Whichever sign a layer's sum has, it is said.
    for layers in ["text:out_proj[0]", "text:out_proj[1]", "text:v_proj[0]", "text:fc2[3]"] {
        match with(&[&args[..], &["--layers", layers]].concat()) {
            Ok(text) => {
                assert!(text.contains("no control with roles swapped"), "{text}");
                done += 1;
            }
            Err(error) => {
                assert!(error.contains("error[scores-negative]"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(done > 0, "{done} {refused}");
    let error = with(&["--selection", "hard", "--tau", "1e-9"]).unwrap_err();
    assert!(error.contains("error[nothing-selected]"), "{error}");
    let error = with(&["--score", "energy-contrast", "--lambda", "1e30"]).unwrap_err();
    assert!(error.contains("error[nothing-selected]"), "{error}");
    let error = with(&["--score", "energy-contrast", "--lambda", "1e38", "--gain", "1e38"]).unwrap_err();
    assert!(error.contains("error[score-invalid]") || error.contains("error[nothing-selected]"), "{error}");
}

/// A file that only looks like a checkpoint stays.
#[test]
fn only_checkpoints_are_cleared_away() {
    let small = three_chunks();
    let (config, folder) = (small.path("pairs.yaml"), small.path("progress"));
    std::fs::create_dir(&folder).unwrap();
    let other = format!("{folder}/text.7.safetensors");
    std::fs::write(&other, "mine").unwrap();
    let output = format!("{folder}/vision.safetensors");
    let args = ["score", MODEL, "--config", &config, "-o", &output, "--force", "--resume", &folder];
    run(&args).unwrap();
    assert_eq!(std::fs::read(&other).unwrap(), b"mine");
    assert!(Path::new(&output).exists() && !Path::new(&format!("{folder}/text.safetensors")).exists());
}

/// The bundled model as the goal was set: GS at least 10, at most 8 points of zero-shot accuracy and 3 of PS, and beyond
/// random negation with p below 0.01.
#[test]
fn the_contrast_preset_is_specific_on_the_bundled_model() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("safe.onnx");
    let report = json(&[MODEL, "-o", out.to_str().unwrap(), "--preset", "contrast"]);
    let change = |part: &str, name: &str| {
        let [before, after] = ["before", "after"].map(|side| report[part][side][name].as_f64().unwrap());
        after - before
    };
    assert!(report["safeground"]["after"]["GS"].as_f64().unwrap() >= 10.0);
    assert!(change("safeground", "PS") >= -3.0 && change("zero_shot", "top1") >= -8.0);
    assert!(report["verdict"]["GS"]["p"].as_f64().unwrap() < 0.01 && report["verdict"]["specific"] == true);
    let towers: Vec<&str> =
        report["edit"]["layers"].as_array().unwrap().iter().map(|layer| layer["tower"].as_str().unwrap()).collect();
    assert_eq!(towers, ["vision"; 4]);
}

#[test]
fn presets_and_options_go_over_the_configuration() {
    let small = Small::new();
    let (config, out) = (small.config(), small.path("out.onnx"));
    let text = std::fs::read_to_string(&config).unwrap();
    small.write("uwm.yaml", &format!("{text}preset: paper-captioning\nvision: {{tau: 0.3}}\n"));
    let edit = |more: &[&str]| {
        let base = [MODEL, "-o", &out, "--force", "--config", &config, "--controls", "off"];
        let report = json(&[&base[..], more].concat());
        let layers = report["edit"]["layers"].as_array().unwrap().clone();
        let of = |tower: &str| layers.iter().find(|layer| layer["tower"] == tower).map(|layer| layer["tau"].clone());
        (of("text").and_then(|tau| tau.as_f64()), of("vision").and_then(|tau| tau.as_f64()))
    };
    assert_eq!(edit(&[]), (None, Some(0.3)));
    assert_eq!(edit(&["--preset", "paper-captioning"]), (None, Some(0.085)));
    assert_eq!(edit(&["--preset", "paper"]), (Some(0.02), Some(0.02)));
    assert_eq!(edit(&["--preset", "paper", "--tau", "0.1", "--tau", "text:0.05"]), (Some(0.05), Some(0.1)));

    let refused = |args: &[&str], code: &str| {
        let error = run(&[&["rewrite", "-o", &out, "--force", "--config", &config], args].concat()).unwrap_err();
        assert!(error.contains(code), "{error}");
    };
    refused(
        &["--text", "models/emoji-clip/text_model.onnx"],
        "the recipe edits none of the towers that are there (text)",
    );
    refused(&[MODEL, "--score", "nonsense"], "there is no score 'nonsense'; there are pairwise");
    refused(&[MODEL, "--tau", "vision:1"], "error[option-range]");
    refused(&[MODEL, "--lambda", "vision:-1", "--score", "contrast"], "error[option-range]");
    refused(&[MODEL, "--lambda", "vision:2"], "error[option-unused]: lambda is given for the vision tower");
    refused(&[MODEL, "--score", "contrast", "--std", "true"], "error[option-unused]: std is given for the");
    let plain = std::fs::read_to_string(small.path("manifest.jsonl")).unwrap();
    small.write("manifest.jsonl", &plain.replace("\"concept\"", "\"former\""));
    refused(&[MODEL, "--concepts", "each"], "names no concepts");
    refused(&[MODEL, "--score", "concept-contrast"], "names no concepts");
}

/// The file with another header.
fn with_header(bytes: &[u8], change: impl Fn(String) -> String) -> Vec<u8> {
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let header = change(String::from_utf8(bytes[8..8 + length].to_vec()).unwrap());
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + length..]].concat()
}

#[test]
fn shards_that_are_none_are_refused() {
    let small = Small::new();
    let (config, shard, out) = (small.config(), small.path("1.safetensors"), small.path("out.safetensors"));
    run(&["score", MODEL, "--config", &config, "-o", &shard, "--shard", "1/1"]).unwrap();
    let good = std::fs::read(&shard).unwrap();
    let refused = |model: &str, bytes: &[u8], why: &str| {
        std::fs::write(&shard, bytes).unwrap();
        let error = run(&["merge", model, "--shards", &shard, "-o", &out]).unwrap_err();
        assert!(error.starts_with("error[scores-unusable]") && error.contains(why), "{error}");
        assert!(!Path::new(&out).exists());
    };
    for cut in [0, 7, 100, good.len() / 2, good.len() - 1] {
        refused(MODEL, &good[..cut], "1.safetensors");
    }
    let changed = |from: &'static str, to: &'static str| {
        with_header(&good, move |header| {
            assert!(header.contains(from), "{header}");
            header.replacen(from, to, 1)
        })
    };
    refused(MODEL, &changed(r#"concepts\":[["#, r#"concepts\":[[18446744073709551615,"#), "more concepts than pairs");
    refused(MODEL, &changed(r#"concepts\":[["#, r#"concepts\":[[1,"#), "contradicts itself");
    refused(MODEL, &changed(r#"of_layer\":[[0]"#, r#"of_layer\":[[99]"#), "contradicts itself");
    refused(MODEL, &changed(r#"\"index\":1"#, r#"\"index\":2"#), "it says that it is shard 2/1");
    refused(MODEL, &changed(r#"\"count\":1"#, r#"\"count\":2"#), "the last of the 2 shards are missing");
    refused(MODEL, &changed(r#"{\"tool\":\""#, r#"{\"tool\":\"9"#), "it was made by version 9");
    refused("models/emoji-clip/text_model.onnx", &good, "1.safetensors");
}
