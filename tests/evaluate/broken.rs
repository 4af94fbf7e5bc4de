//! What does not work is told first, and what works is not suspected.

use std::path::Path;

use prost::Message;
use serde_json::json;
use uwm_onnx::onnx::proto::{ModelProto, TensorProto};

use crate::common::beside::beside;
use crate::common::{self, Small, output, root, zoo};
use crate::{TEXT, VISION, run};

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
