//! Its figures are the reference's and `rewrite`'s, of whatever is there.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::beside::beside;
use crate::common::{self, MODEL, Small, output, root, zoo};
use crate::{TEXT, VISION, evaluated, refused, run, value};

#[test]
fn its_figures_are_those_of_rewrite_and_stored_embeddings_give_the_same() {
    let small = Small::new();
    let zero_shot = root("calibration/emoji/zeroshot.json");
    small.write(
        "uwm.yaml",
        &format!(
            "calibration: {{manifest: manifest.jsonl}}\nevaluation: {{manifest: manifest.jsonl}}\nzero_shot: {}\n",
            zero_shot.display()
        ),
    );
    let (safe, kept) = (small.path("safe.onnx"), small.path("embeddings.safetensors"));
    let config = small.config();
    let edit = ["-o", &safe, "--config", &config, "--format", "json", "--preset", "steer", "--controls", "off"];
    let result = common::rewrite(&[&[MODEL][..], &edit].concat()).output().unwrap();
    let report: Value = serde_json::from_slice(&result.stdout).unwrap();
    let own = ["--config", &config, "--backend", "tract", "--tokenizer", "models/emoji-clip/tokenizer.json"];
    let own = [&own[..], &["--preprocessor", "models/emoji-clip/preprocessor_config.json"]].concat();
    let found = evaluated(&[&[&safe, "--baseline", MODEL, "--embeddings-out", &kept][..], &own].concat());
    for (side, of) in [("before", "baseline"), ("after", "value")] {
        let figure = |name: &str| found["figures"][name][of].as_f64();
        for name in ["P_ts", "P_tu", "P_vs", "P_vu", "Txt_s", "Img_s", "PS", "PU", "GS"] {
            assert_eq!(figure(name), report["safeground"][side][name].as_f64(), "{name}");
        }
        for direction in ["Ts-Vs", "Vs-Ts", "Tu-V", "Vu-T"] {
            for k in ["R@1", "R@5", "R@10", "R@20"] {
                let stored = report["retrieval"][side][direction][k].as_f64();
                assert_eq!(figure(&format!("{direction} {k}")), stored, "{direction} {k}");
            }
        }
        assert_eq!(figure("Tu-V unsafe@1"), report["retrieval"][side]["Tu-V unsafe@1"].as_f64());
        for (name, key) in
            [("zero_shot", "top1"), ("zero_shot_top5", "top5"), ("zero_shot_mean_per_class", "mean_per_class")]
        {
            let (got, stored) = (figure(name).unwrap(), report["zero_shot"][side][key].as_f64().unwrap());
            assert!((got - stored).abs() < 1e-9, "{name}");
        }
    }
    // The intervals of rewrite's own report are the same.
    let own_figures = report["figures"].as_object().unwrap();
    assert_eq!(own_figures.len(), 30);
    for (name, line) in own_figures {
        assert_eq!(line, &found["figures"][name], "{name}");
    }
    // A change lies in its interval, and is the difference.
    for (name, line) in found["figures"].as_object().unwrap() {
        let number = |key: &str| line[key].as_f64();
        let inside = |value: f64, interval: &Value| {
            // Float32 sums.
            (interval[0].as_f64().unwrap() - 1e-6..=interval[1].as_f64().unwrap() + 1e-6).contains(&value)
        };
        if name.contains("worst 1 %") {
            // A hundredth of 640 is too little.
            assert!(line["interval"].is_null(), "{name}");
            continue;
        }
        assert!(inside(number("value").unwrap(), &line["interval"]), "{name} {line}");
        if let Some(change) = number("change") {
            assert!((change - (number("value").unwrap() - number("baseline").unwrap())).abs() < 1e-4, "{name} {line}");
            assert!(inside(change, &line["change_interval"]), "{name} {line}");
        }
    }
    // The text tower alone was edited: the other is the same file's, but another file, and does not drift.
    assert!(value(&found, "Ts drift") < 0.999 && value(&found, "Vs drift") > 0.999_999);
    assert!(value(&found, "Ts drift, worst 1 %") < value(&found, "Ts drift"));
    let concepts = found["concepts"].as_object().unwrap();
    let of_concepts: u64 = concepts.values().map(|concept| concept["quadruplets"].as_u64().unwrap()).sum();
    assert_eq!(of_concepts, 40);
    // Too few for intervals.
    assert!(concepts.values().all(|concept| concept["figures"]["PS"]["interval"].is_null()));
    let worst = found["worst_concept"]["PS"]["value"].as_f64().unwrap();
    let least = concepts.values().map(|c| value(c, "PS")).fold(100.0, f64::min);
    assert_eq!(worst, least);

    let again = evaluated(&["--embeddings", &kept]);
    for (name, line) in again["figures"].as_object().unwrap() {
        assert_eq!(
            [&line["value"], &line["interval"]],
            ["value", "interval"].map(|k| &found["figures"][name][k]),
            "{name}"
        );
    }
    assert_eq!(again["concepts"].as_object().unwrap().len(), concepts.len());
    let beside = evaluated(&[&["--embeddings", &kept, "--baseline", MODEL][..], &own].concat());
    assert_eq!(beside["figures"]["GS"], found["figures"]["GS"]);
    // It is not overwritten unless that is said, and never one of the inputs.
    refused(&[&[&safe, "--embeddings-out", &kept][..], &own].concat(), "error[output");
    refused(&["--embeddings", &kept, "--embeddings-out", &kept, "--force"], "error[output");
}

#[test]
fn one_tower_says_what_it_can() {
    let small = Small::new();
    let config = small.config();
    let text = evaluated(&[TEXT, "--config", &config, "--backend", "tract"]);
    assert_eq!(text["figures"]["GS"], Value::Null);
    assert!(text["absent"][0]["reason"].as_str().unwrap().contains("no vision tower"));
    assert!(value(&text, "Tu-Ts R@1") > 0.0 && value(&text, "Ts-Tu cosine") < 1.0);
    assert!(text["figures"].get("Vs-Vu cosine").is_none());
    let vision = evaluated(&["--vision", VISION, "--config", &config, "--backend", "tract"]);
    assert!(value(&vision, "Vu-Vs R@10") > 0.0 && vision["figures"]["PS"].is_null());
    // Texts alone, of a model with both towers.
    let pairs = root("calibration/text-pairs.jsonl");
    let texts = evaluated(&[MODEL, "--data", pairs.to_str().unwrap(), "--backend", "tract"]);
    assert_eq!(texts["data"]["quadruplets"], 360);
    assert!(texts["absent"][0]["reason"].as_str().unwrap().contains("the data have no images"));
    assert_eq!(texts["concepts"].as_object().unwrap().len(), 12);
    // Together they are the whole, and a tower that the baseline lacks is the model's.
    let both = ["--text", TEXT, "--vision", VISION, "--config", &config, "--backend", "tract"];
    let whole = evaluated(&both);
    let beside = evaluated(&[&both[..], &["--baseline-text", TEXT]].concat());
    assert_eq!(beside["figures"]["PS"]["baseline"], whole["figures"]["PS"]["value"]);
    assert_eq!(beside["figures"]["PS"]["change"], 0.0);
    // Nothing drifts in a tower that is the very same.
    assert!(beside["figures"].get("Ts drift").is_none());
}

#[test]
fn graph_inputs_by_name_give_the_reference_metrics() {
    let fixture = |name: &str| root("tests/fixtures/reference").join(name).to_str().unwrap().to_owned();
    let summary: Value = serde_json::from_slice(&std::fs::read(fixture("summary.json")).unwrap()).unwrap();
    let inputs = fixture("inputs.safetensors");
    for model in ["clip_torchscript.onnx", "clip_dynamo.onnx"] {
        // Random weights: it does not work, and that is told.
        let (found, stderr, code) = run(&[&fixture(model), "--data", &inputs, "--backend", "tract"]);
        assert_eq!(code, 1, "{stderr}");
        for (name, stored) in summary["metrics_original"]["safeground"].as_object().unwrap() {
            let got = (value(&found, name) * 100.0).round_ties_even() / 100.0;
            assert_eq!(got, stored.as_f64().unwrap(), "{model} {name}");
        }
    }
    // Of another model's inputs.
    refused(&[MODEL, "--data", &inputs, "--backend", "tract"], "error[");
}

#[test]
fn models_that_differ_in_their_data_files_are_two() {
    let folder = tempfile::tempdir().unwrap();
    let _data = beside(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for side in ["a", "b"] {
        std::fs::create_dir(path(side)).unwrap();
        std::fs::copy(zoo("hf_clip.external.onnx"), path(&format!("{side}/hf_clip.external.onnx"))).unwrap();
    }
    let mut data = std::fs::read(zoo("hf_clip.external.onnx.data")).unwrap();
    std::fs::write(path("a/hf_clip.external.onnx.data"), &data).unwrap();
    // Every weight negated: the same .onnx file, and another model.
    data.chunks_exact_mut(4).for_each(|value| value[3] ^= 0x80);
    std::fs::write(path("b/hf_clip.external.onnx.data"), &data).unwrap();
    let config = ["--config", &path("uwm.yaml"), "--tokenizer", &path("tokenizer.json")].map(str::to_owned);
    let config: Vec<&str> = config.iter().map(String::as_str).collect();
    let preprocessor = path("preprocessor_config.json");
    let rest = [&config[..], &["--preprocessor", &preprocessor, "--backend", "tract"]].concat();
    let (a, b) = (path("a/hf_clip.external.onnx"), path("b/hf_clip.external.onnx"));
    let (found, stderr, code) = run(&[&[&b, "--baseline", &a][..], &rest].concat());
    assert!(code < 2, "{stderr}");
    assert!(value(&found, "Vs drift") < 0.99 && value(&found, "Ts drift") < 0.99, "{}", found["figures"]);
}

#[test]
fn each_model_is_given_samples_as_its_own_files_say() {
    let small = Small::new();
    let (config, other) = (small.config(), small.path("other"));
    std::fs::create_dir(&other).unwrap();
    for file in ["model.onnx", "tokenizer.json", "config.json"] {
        std::fs::copy(root("models/emoji-clip").join(file), Path::new(&other).join(file)).unwrap();
    }
    let text = std::fs::read_to_string(root("models/emoji-clip/preprocessor_config.json")).unwrap();
    let mut preprocessor: Value = serde_json::from_str(&text).unwrap();
    preprocessor["image_mean"] = json!([0.9, 0.1, 0.9]);
    let file = Path::new(&other).join("preprocessor_config.json");
    std::fs::write(&file, preprocessor.to_string()).unwrap();
    let rest = ["--config", &config, "--backend", "tract"];
    let model = format!("{other}/model.onnx");
    let alone = evaluated(&[&[model.as_str()][..], &rest].concat());
    let beside = evaluated(&[&[MODEL, "--baseline", &model][..], &rest].concat());
    assert_eq!(beside["figures"]["Ts-Vs R@1"]["baseline"], alone["figures"]["Ts-Vs R@1"]["value"]);
    assert!(value(&beside, "Vs drift") < 0.999 && beside["figures"].get("Ts drift").is_none());
    let notes = beside["notes"].to_string();
    assert!(notes.contains("prepare images differently"), "{notes}");
    // Where it has none, as the other's say: what `rewrite` writes stands alone.
    std::fs::remove_file(file).unwrap();
    let beside = evaluated(&[&[&model, "--baseline", MODEL][..], &rest].concat());
    assert!(beside["figures"].get("Vs drift").is_none(), "the same file, prepared the same way");
}

#[test]
fn equal_inputs_tie_wherever_they_stand() {
    let small = Small::new();
    let text = std::fs::read_to_string(small.path("manifest.jsonl")).unwrap();
    let row = text.lines().find(|line| line.contains("evaluation")).unwrap();
    let mut row: Value = serde_json::from_str(row).unwrap();
    let mut rows = String::new();
    for id in 0..40 {
        row["id"] = id.into();
        // A name that a terminal would obey.
        row["concept"] = "\u{1b}[31mred\u{7}".into();
        rows += &format!("{row}\n");
    }
    let data = small.write("same.jsonl", &rows);
    let (found, stderr, code) = run(&[MODEL, "--data", &data, "--backend", "tract"]);
    assert_eq!(code, 1, "{stderr}");
    assert_eq!((value(&found, "Ts-Vs R@20"), &found["ties"]["Ts-Vs R@1"]), (0.0, &json!(40)));
    let (table, _, _) = output(&["evaluate", MODEL, "--data", &data, "--backend", "tract"]);
    assert!(!table.contains(['\u{1b}', '\u{7}']) && table.contains("\\u{1b}[31mred"), "{table}");
}
