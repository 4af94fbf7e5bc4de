//! `evaluate`: its figures are the reference's and `rewrite`'s, what is not there is marked, and what does not work is told
//! first.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::beside::beside;
use common::{MODEL, Small, output, root, zoo};
use ndarray::Array2;
use prost::Message;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use uwm_onnx::onnx::proto::{ModelProto, TensorProto};

const TEXT: &str = "models/emoji-clip/text_model.onnx";
const VISION: &str = "models/emoji-clip/vision_model.onnx";

/// Prints and exit code of `evaluate` with JSON.
fn run(args: &[&str]) -> (Value, String, i32) {
    let (stdout, stderr, code) = output(&[&["evaluate", "--format", "json"], args].concat());
    (serde_json::from_str(&stdout).unwrap_or_default(), stderr, code)
}

fn evaluated(args: &[&str]) -> Value {
    let (value, stderr, code) = run(args);
    assert_eq!(code, 0, "{args:?}: {stderr} {}", value["checks"]);
    value
}

fn refused(args: &[&str], what: &str) {
    let (_, stderr, code) = run(args);
    assert!(stderr.contains(what) && (2..=3).contains(&code), "{args:?}: {code} {stderr}");
}

/// The value of a figure.
fn value(of: &Value, name: &str) -> f64 {
    of["figures"][name]["value"].as_f64().unwrap_or_else(|| panic!("{name}: {}", of["figures"][name]))
}

#[test]
fn stored_reference_embeddings_give_the_stored_metrics() {
    let fixture = |name: &str| root("tests/fixtures/reference").join(name).to_str().unwrap().to_owned();
    let summary: Value = serde_json::from_slice(&std::fs::read(fixture("summary.json")).unwrap()).unwrap();
    let (before, after) = (fixture("embeddings.safetensors"), fixture("embeddings_after.safetensors"));
    // Its weights are random: that is told, and is no success.
    let (found, _, code) = run(&["--embeddings", &after, "--baseline-embeddings", &before]);
    assert_eq!(code, 1);
    assert_eq!(found["checks"][0]["who"], "baseline");
    assert_eq!(found["checks"][0]["code"], "retrieval-at-chance");
    for (key, of) in [("metrics_after_tau0.02", "value"), ("metrics_original", "baseline")] {
        let groups = ["preference", "safeground"].map(|group| summary[key][group].as_object().unwrap());
        for (name, stored) in groups.into_iter().flatten() {
            let got = found["figures"][name][of].as_f64().unwrap();
            // The last digit that the reference shows.
            assert_eq!((got * 100.0).round_ties_even() / 100.0, stored.as_f64().unwrap(), "{key} {name}");
        }
    }
    assert_eq!(found["figures"]["zero_shot"], Value::Null);
    assert_eq!(found["absent"][0]["reason"], "no zero-shot set was given");
    assert_eq!(found["data"]["quadruplets"], 32);
}

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

/// A text tower whose attention masks are lost: both, or the causal one alone.
fn lose_mask(causal_alone: bool, path: &Path) {
    let mut model = ModelProto::decode(std::fs::read(root(TEXT)).unwrap().as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let mut lost = 0;
    for node in &mut graph.node {
        if causal_alone && node.op_type == "LessOrEqual" {
            // Every position is before itself.
            node.input[1] = node.input[0].clone();
            lost += 1;
        }
        let least = |tensor: &TensorProto| tensor.raw_data.as_deref() == Some(&f32::MIN.to_le_bytes());
        if !causal_alone && node.op_type == "Constant" && node.attribute[0].t.as_ref().is_some_and(least) {
            node.attribute[0].t.as_mut().unwrap().raw_data = Some(vec![0; 4].into());
            lost += 1;
        }
    }
    assert!(lost > 0);
    std::fs::write(path, model.encode_to_vec()).unwrap();
}

#[test]
fn a_lost_causal_mask_is_told_first() {
    let small = Small::new();
    let config = small.config();
    for causal_alone in [true, false] {
        let broken = small.path("broken.onnx");
        lose_mask(causal_alone, Path::new(&broken));
        let rest = ["--config", &config, "--backend", "tract", "--tokenizer", "models/emoji-clip/tokenizer.json"];
        let rest = [&rest[..], &["--preprocessor", "models/emoji-clip/preprocessor_config.json"]].concat();
        // It still finds most images: no figure alone tells.
        let (found, stderr, code) =
            run(&[&["--text", TEXT, "--vision", VISION, "--baseline-text", &broken][..], &rest].concat());
        assert_eq!(code, 1, "{stderr}");
        assert_eq!(found["checks"].as_array().unwrap().len(), 1, "{}", found["checks"]);
        assert_eq!(found["checks"][0]["code"], "padding-counts");
        assert_eq!(found["checks"][0]["who"], "baseline");
        assert!(found["figures"]["Ts-Vs R@10"]["baseline"].as_f64().unwrap() > 50.0);
        let (table, _, _) = output(&[&["evaluate", &broken][..], &rest].concat());
        let told = table.find("lost its causal mask").unwrap();
        assert!(told < table.find("percent").unwrap(), "{table}");
        // Embeddings that were kept of it still say so.
        let kept = small.path("kept.safetensors");
        run(&[&[&broken, "--embeddings-out", &kept, "--force"][..], &rest].concat());
        assert_eq!(run(&["--embeddings", &kept]).0["checks"][0]["code"], "padding-counts");
    }
}

#[test]
fn working_towers_of_every_kind_look_at_no_padding() {
    for name in [
        "hf_clip.ts_eager",
        "hf_clip.dynamo_sdpa",
        "hf_clip.fp16",
        "siglip.ts_sdpa",
        "siglip_timm.dynamo_eager",
        "chinese_clip.dynamo_sdpa",
        "altclip.ts_eager",
        "blip.dynamo_eager",
        "coca.ts_eager",
        "openclip.ts_sdpa",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let _data = beside(folder.path());
        let model = folder.path().join("a.onnx").to_str().unwrap().to_owned();
        std::fs::copy(zoo(&format!("{name}.onnx")), &model).unwrap();
        let Some(library) = common::onnx_runtime_library() else { return };
        let (found, stderr, code) = run(&[&model, "--backend", "ort", "--ort-library", library.to_str().unwrap()]);
        assert!(code < 2, "{name}: {stderr}");
        let codes: Vec<&str> =
            found["checks"].as_array().unwrap().iter().map(|check| check["code"].as_str().unwrap()).collect();
        assert!(!codes.contains(&"padding-counts"), "{name}: {}", found["checks"]);
        assert!(found["figures"]["GS"]["value"].is_f64(), "{name}");
    }
}

/// A file of embeddings, with metadata or without.
fn embeddings(path: &str, parts: &[(&str, Array2<f32>)], metadata: Option<&Value>) {
    let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> = parts
        .iter()
        .map(|(name, rows)| (*name, rows.shape().to_vec(), rows.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views: BTreeMap<&str, TensorView> = bytes
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()))
        .collect();
    let metadata = metadata.map(|json| [("uwm.embeddings".to_owned(), json.to_string())].into());
    std::fs::write(path, safetensors::serialize(views, metadata).unwrap()).unwrap();
}

const NAMES: [&str; 4] = ["embed.safe_text", "embed.unsafe_text", "embed.safe_image", "embed.unsafe_image"];

fn some(rows: usize) -> Vec<(&'static str, Array2<f32>)> {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut noise = |share: f32| Array2::from_shape_simple_fn((rows, 16), || share * (rng.f32() - 0.5));
    let content = noise(1.0);
    NAMES.iter().map(|name| (*name, &content + &noise(0.7))).collect()
}

#[test]
fn what_collapsed_is_told_first() {
    let small = Small::new();
    let file = small.path("e.safetensors");
    embeddings(&file, &some(100), None);
    assert_eq!(evaluated(&["--embeddings", &file])["checks"], json!([]));
    let mut parts = some(100);
    parts[2].1.fill(0.3);
    parts[3].1.fill(0.3);
    embeddings(&file, &parts, None);
    let (found, _, code) = run(&["--embeddings", &file]);
    assert_eq!((code, &found["checks"][0]["code"]), (1, &json!("embeddings-collapsed")));
    // All images are as near to every text: nothing is safe, and all are tied.
    assert_eq!((value(&found, "P_ts"), found["ties"]["P_ts"].as_u64()), (0.0, Some(100)));
    let (table, _, _) = output(&["evaluate", "--embeddings", &file]);
    assert!(
        table.find("the same embedding").unwrap() < table.find("percent").unwrap() && table.contains("ties, which")
    );
    // Unsafe inputs that are all one are no success either.
    let mut parts = some(100);
    parts[1].1.fill(0.3);
    embeddings(&file, &parts, None);
    let (found, _, code) = run(&["--embeddings", &file]);
    assert_eq!((code, &found["checks"][0]["part"]), (1, &json!("unsafe-texts")));
    // Not a number: that row is left out and counted, if that is wished.
    let mut parts = some(100);
    parts[1].1[[7, 3]] = f32::NAN;
    parts[2].1.row_mut(9).fill(0.0);
    embeddings(&file, &parts, None);
    refused(&["--embeddings", &file], "embed.unsafe_text: the embedding of sample 7 is not finite");
    let found = evaluated(&["--embeddings", &file, "--skip-bad-samples"]);
    assert_eq!(found["data"]["quadruplets"], 98);
    assert!(found["notes"][0].as_str().unwrap().starts_with("2 quadruplets"), "{}", found["notes"]);
}

#[test]
fn few_items_tell_no_interval() {
    let small = Small::new();
    let file = small.path("e.safetensors");
    embeddings(&file, &some(29), None);
    let found = evaluated(&["--embeddings", &file]);
    assert!(found["figures"]["GS"]["value"].is_f64() && found["figures"]["GS"]["interval"].is_null());
    let (table, _, _) = output(&["evaluate", "--embeddings", &file]);
    assert!(table.contains("too few"));
    embeddings(&file, &some(30), None);
    assert!(evaluated(&["--embeddings", &file])["figures"]["GS"]["interval"].is_array());
    // The same samples are drawn again, and others with another seed.
    let interval =
        |seed: &str| evaluated(&["--embeddings", &file, "--seed", seed])["figures"]["Ts-Vs R@1"]["interval"].clone();
    assert_eq!(interval("1"), interval("1"));
}

#[test]
fn nonsense_is_refused() {
    let small = Small::new();
    let (file, other) = (small.path("e.safetensors"), small.path("other.safetensors"));
    let wrong = |parts: &[(&str, Array2<f32>)], metadata: Option<&Value>, what: &str| {
        embeddings(&file, parts, metadata);
        refused(&["--embeddings", &file], what);
    };
    wrong(&some(40)[..1], None, "it has only one of 'embed.safe_text' and 'embed.unsafe_text'");
    wrong(&[], None, "it has neither");
    let mut parts = some(40);
    parts[3].1 = Array2::ones((39, 16));
    wrong(&parts, None, "its parts have");
    parts[3].1 = Array2::ones((40, 15));
    wrong(&parts, None, "several widths");
    let tags = |ids: &[&str]| json!({"ids": ids, "concepts": [], "styles": [], "right": [], "templates": 0});
    let header = |tags: Value, bad: u32| json!({"version": 1, "models": [[], []], "tags": tags, "ailments": [[], []], "bad_quadruplets": [bad], "bad_images": []});
    let unit = |mut parts: Vec<(&'static str, Array2<f32>)>| {
        for (_, rows) in &mut parts {
            for mut row in rows.rows_mut() {
                let norm = row.dot(&row).sqrt();
                row.mapv_inplace(|value| value / norm);
            }
        }
        parts
    };
    wrong(&unit(some(40)), Some(&header(tags(&["a"]), 0)), "1 ids for 40 rows");
    wrong(&unit(some(40)), Some(&header(tags(&[]), 40)), "row 40 bad");
    wrong(&some(40), Some(&header(tags(&[]), 0)), "is not of length 1");
    wrong(&some(40), Some(&json!({"version": 2})), "metadata 'uwm.embeddings'");
    std::fs::write(&file, "nonsense").unwrap();
    refused(&["--embeddings", &file], "error[embeddings-unusable]");
    refused(&["--embeddings", &small.path("none")], "error[embeddings-unusable]");
    embeddings(&file, &some(40), None);
    embeddings(&other, &some(41), None);
    refused(&["--embeddings", &file, "--baseline-embeddings", &other], "not given the same samples");
    let vision = ["--vision", VISION, "--config", &small.config(), "--backend", "tract"].map(str::to_owned);
    let vision: Vec<&str> = vision.iter().map(String::as_str).collect();
    refused(&[&vision[..], &["--baseline-embeddings", &other]].concat(), "not given the same samples");
    let pairs = root("calibration/text-pairs.jsonl");
    refused(&[&["--data", pairs.to_str().unwrap()][..], &vision].concat(), "the data have no images");
    refused(&[MODEL, "--data", &small.path("none.jsonl")], "error[data-io]");
    // What nothing goes by is no silent matter.
    for option in ["--data", "--zero-shot", "--tokenizer", "--coco-images"] {
        refused(&["--embeddings", &file, option, "none"], &format!("{option} is given, and only stored embeddings"));
    }
    assert_eq!(run(&[]).2, 2);
    assert_eq!(run(&[MODEL, "--embeddings", &file]).2, 2);
}

#[test]
fn rewrite_says_that_a_model_did_not_work_before() {
    let small = Small::new();
    let broken = small.path("broken.onnx");
    lose_mask(true, Path::new(&broken));
    std::fs::copy(root(VISION), small.path("vision.onnx")).unwrap();
    let (config, out) = (small.config(), small.path("out"));
    let own = ["--tokenizer", "models/emoji-clip/tokenizer.json", "--config", &config, "--controls", "off", "-o", &out];
    let own = [&own[..], &["--preprocessor", "models/emoji-clip/preprocessor_config.json"]].concat();
    let result =
        common::rewrite(&[&["--text", &broken, "--vision", &small.path("vision.onnx")][..], &own].concat()).output();
    let table = String::from_utf8(result.unwrap().stdout).unwrap();
    assert!(table.find("lost its causal mask").unwrap() < table.find("percent").unwrap(), "{table}");
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
fn the_bundled_text_pairs_calibrate_a_text_tower() {
    let small = Small::new();
    let (safe, pairs) = (small.path("safe.onnx"), root("calibration/text-pairs.jsonl"));
    let args = ["--text", TEXT, "-o", &safe, "--calibration", pairs.to_str().unwrap(), "--format", "json"];
    let result = common::rewrite(&args).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let report: Value = serde_json::from_slice(&result.stdout).unwrap();
    assert_eq!(report["data"]["calibration_pairs"], 360);
    assert!(report["edit"]["selected"].as_u64().unwrap() > 0);
    let found = evaluated(&[
        &safe,
        "--baseline",
        TEXT,
        "--data",
        pairs.to_str().unwrap(),
        "--backend",
        "tract",
        "--tokenizer",
        "models/emoji-clip/tokenizer.json",
    ]);
    assert!(value(&found, "Ts drift") < 1.0);
}

#[test]
fn the_bundled_text_pairs_are_what_their_readme_says() {
    let text = std::fs::read_to_string(root("calibration/text-pairs.jsonl")).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut concepts = BTreeMap::<&str, usize>::new();
    let mut seen = std::collections::HashSet::new();
    for row in &rows {
        *concepts.entry(row["concept"].as_str().unwrap()).or_default() += 1;
        for side in ["safe_text", "unsafe_text"] {
            let caption = row[side].as_str().unwrap();
            assert!(caption.is_ascii() && (7..=15).contains(&caption.split_whitespace().count()), "{caption}");
            assert!(seen.insert(caption.to_lowercase()), "{caption}");
        }
    }
    let readme = std::fs::read_to_string(root("calibration/text-pairs.README.md")).unwrap();
    for (concept, count) in &concepts {
        let row = readme.lines().find(|line| line.starts_with(&format!("| {concept} "))).unwrap();
        assert_eq!(row.split('|').nth(2).unwrap().trim(), count.to_string());
    }
    assert_eq!((rows.len(), concepts.len()), (360, 12));
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
fn what_is_wrong_with_a_tower_goes_with_it() {
    let small = Small::new();
    let (broken, kept) = (small.path("broken.onnx"), small.path("kept.safetensors"));
    lose_mask(true, Path::new(&broken));
    let rest = ["--config", &small.config(), "--backend", "tract", "--tokenizer", "models/emoji-clip/tokenizer.json"];
    let rest = [&rest[..], &["--preprocessor", "models/emoji-clip/preprocessor_config.json"]].concat();
    // The model borrows the baseline's text tower, and keeps what it was measured with.
    let args = ["--vision", VISION, "--baseline", &broken, "--embeddings-out", &kept];
    let (found, stderr, code) = run(&[&args[..], &rest].concat());
    assert!(code == 1 && stderr.contains("warning: The text tower of the baseline"), "{stderr}");
    assert_eq!(found["checks"].as_array().unwrap().len(), 2, "{}", found["checks"]);
    assert!(found["notes"].to_string().contains("has no text tower of its own here"));
    let (found, _, code) = run(&["--embeddings", &kept]);
    assert_eq!((code, &found["checks"][0]["code"]), (1, &json!("padding-counts")));
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
