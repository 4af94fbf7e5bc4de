//! Whole jobs on models of other exporters than the bundled one: files, and folders as hubs lay them out.

mod common;

use std::path::Path;

use common::{output, zoo};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What a model of the zoo needs beside it: a tokenizer of 99 words, a preprocessor for 16 x 16, a little data.
fn beside(folder: &Path) -> TempDir {
    let small = common::Small::new();
    for name in ["manifest.jsonl", "uwm.yaml"] {
        std::fs::copy(small.folder.path().join(name), folder.join(name)).unwrap();
    }
    let words = std::fs::read_to_string(folder.join("manifest.jsonl")).unwrap();
    let mut vocabulary = serde_json::Map::from_iter(
        [("[PAD]", 0), ("<s>", 1), ("[UNK]", 2), ("</s>", 98)].map(|(word, id)| (word.to_owned(), json!(id))),
    );
    for line in words.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        for word in row["unsafe_text"].as_str().unwrap().split_whitespace() {
            let next = vocabulary.len() - 1;
            if next < 98 && !vocabulary.contains_key(word) {
                vocabulary.insert(word.to_owned(), json!(next));
            }
        }
    }
    let special = |id: u32, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let one = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 0}});
    let token = |id: &str, number: u32| json!({"id": id, "ids": [number], "tokens": [id]});
    let tokenizer = json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 12, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [special(0, "[PAD]"), special(1, "<s>"), special(98, "</s>")],
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [one("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, one("</s>")],
            "pair": [one("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, one("</s>")],
            "special_tokens": {"<s>": token("<s>", 1), "</s>": token("</s>", 98)},
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    });
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let preprocessor = json!({
        "do_resize": true, "size": {"shortest_edge": 16}, "resample": 3,
        "do_center_crop": true, "crop_size": {"height": 16, "width": 16},
        "do_rescale": true, "rescale_factor": 1.0 / 255.0, "do_normalize": true,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    });
    std::fs::write(folder.join("preprocessor_config.json"), preprocessor.to_string()).unwrap();
    small.folder
}

/// `rewrite` with ONNX Runtime, and its report.
fn rewritten(args: &[&str]) -> Option<Value> {
    let library = common::onnx_runtime_library()?;
    let runtime = ["--format", "json", "--backend", "ort", "--ort-library", library.to_str().unwrap()];
    let (stdout, stderr, code) = output(&[&["rewrite"], args, &runtime].concat());
    assert_eq!(code, 0, "{args:?}: {stderr}");
    Some(serde_json::from_str(&stdout).unwrap())
}

#[test]
fn the_whole_job_on_models_of_other_exporters() {
    for (name, layers, evaluated) in [
        ("hf_clip.optimised", 4, true),
        ("hf_clip.nbits4", 4, true),
        ("hf_clip.qdq_int8", 4, true),
        ("hf_clip.fp16", 4, true),
        ("siglip.ts_sdpa", 4, true),
        ("siglip_timm.dynamo_eager", 4, true),
        ("chinese_clip.dynamo_sdpa", 4, true),
        ("altclip.ts_eager", 4, true),
        ("blip.dynamo_eager", 4, true),
        // No output is an embedding; a class token after the text's.
        ("coca.ts_eager", 4, true),
        // Three samples at a time.
        ("openclip.ts_sdpa", 4, true),
        // Rows of tokens are no embedding.
        ("llava.dynamo_sdpa", 2, false),
        ("dinov2_swiglu.ts_eager", 2, false),
        ("eva_like.dynamo_eager", 2, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let _data = beside(folder.path());
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (model, safe, patch) = (path("a.onnx"), path("safe.onnx"), path("edit.uwm"));
        std::fs::copy(zoo(&format!("{name}.onnx")), &model).unwrap();
        let Some(report) = rewritten(&[&model, "-o", &safe, "--patch-out", &patch]) else { return };
        let edited = report["edit"]["layers"].as_array().unwrap();
        assert_eq!(edited.len(), layers, "{name}");
        for layer in edited {
            assert_eq!(layer["role"], if layer["tower"] == "text" { "out_proj" } else { "fc2" }, "{name}");
            assert!(layer["selected"].as_u64().unwrap() > 0, "{name}");
        }
        assert_eq!(report["safeground"].is_null(), !evaluated, "{name}");
        // The very file, but for the values of those tensors.
        let (_, stderr, code) = output(&["verify", &safe, "--original", &model, "--patch", &patch]);
        assert_eq!(code, 0, "{name}: {stderr}");
    }
}

#[test]
fn folders_of_hugging_face_and_optimum() {
    let folder = tempfile::tempdir().unwrap();
    let _data = beside(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(path("onnx")).unwrap();
    for (from, to) in [
        ("siglip.dynamo_sdpa.text", "text_model"),
        ("siglip.dynamo_sdpa.vision", "vision_model"),
        ("hf_clip.fp16", "text_model_fp16"),
    ] {
        std::fs::copy(zoo(&format!("{from}.onnx")), path(&format!("onnx/{to}.onnx"))).unwrap();
    }
    let (stdout, _, code) = output(&["inspect", &path("")]);
    assert!(code == 0 && stdout.contains("text_model.onnx\n") && stdout.contains("vision_model.onnx\n"), "{stdout}");
    let (stdout, ..) = output(&["inspect", &path(""), "--variant", "fp16"]);
    assert!(stdout.starts_with(&path("onnx/text_model_fp16.onnx")), "{stdout}");
    let (_, stderr, code) = output(&["inspect", &path(""), "--variant", "q4"]);
    assert!(
        code == 2 && stderr.contains("no model of the variant 'q4'") && stderr.contains("vision_model.onnx"),
        "{stderr}"
    );

    let Some(report) = rewritten(&[&path(""), "-o", &path("edited")]) else { return };
    assert!(
        Path::new(&path("edited/text_model.onnx")).is_file() && Path::new(&path("edited/vision_model.onnx")).is_file()
    );
    assert!(report["safeground"].is_object());
    // What was left as it is, is said.
    let notes = report["notes"].to_string();
    assert!(notes.contains("text_model_fp16.onnx") && !notes.contains("vision_model"), "{notes}");
}
