//! Whole jobs on models of other exporters than the bundled one: files, and folders as hubs lay them out.

mod common;

use std::path::Path;

use common::beside::beside;
use common::{output, zoo};
use serde_json::Value;

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
