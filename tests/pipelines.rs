//! Whole evaluations with processors' files as transformers saves them agree with Python's, figure by figure (fixtures made
//! by `tools/fixtures/make_pipelines.py`: transformers, onnxruntime, numpy).

mod common;

use std::fmt::Write;

use common::{output, root, zoo};
use serde_json::Value;

#[test]
fn figures_are_those_of_the_python_pipeline() {
    for name in ["hf_clip", "siglip"] {
        let stored = root("tests/fixtures/pipelines").join(name);
        let expected: Value = serde_json::from_slice(&std::fs::read(stored.join("expected.json")).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        for file in ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"] {
            std::fs::copy(stored.join(file), path(file)).unwrap();
        }
        let data = root("calibration/emoji");
        let absolute = |value: &mut Value| *value = data.join(value.as_str().unwrap()).to_str().unwrap().into();
        let mut rows = String::new();
        for line in std::fs::read_to_string(data.join("manifest.jsonl")).unwrap().lines() {
            let mut row: Value = serde_json::from_str(line).unwrap();
            if expected["rows"].as_array().unwrap().contains(&row["id"]) {
                ["safe_image", "unsafe_image"].iter().for_each(|image| absolute(&mut row[*image]));
                writeln!(rows, "{row}").unwrap();
            }
        }
        std::fs::write(path("rows.jsonl"), rows).unwrap();
        let mut zero_shot = expected["zero_shot"].clone();
        zero_shot["images"].as_array_mut().unwrap().iter_mut().for_each(|image| absolute(&mut image["image"]));
        std::fs::write(path("zeroshot.json"), zero_shot.to_string()).unwrap();
        let model = path("model.onnx");
        std::fs::copy(zoo(&format!("{}.onnx", expected["model"].as_str().unwrap())), &model).unwrap();
        let library = common::onnx_runtime_library();
        let mut backends = vec![vec!["--backend", "tract"]];
        if let Some(library) = library.as_ref().and_then(|library| library.to_str()) {
            backends.push(vec!["--backend", "ort", "--ort-library", library]);
        }
        for backend in backends {
            let data = ["--data", &path("rows.jsonl"), "--zero-shot", &path("zeroshot.json")].map(str::to_owned);
            let data: Vec<&str> = data.iter().map(String::as_str).collect();
            let (stdout, stderr, code) =
                output(&[&["evaluate", &model, "--format", "json"][..], &data, &backend].concat());
            assert!(code < 2, "{name} {backend:?}: {stderr}");
            let found: Value = serde_json::from_str(&stdout).unwrap();
            let figures = expected["figures"].as_object().unwrap();
            for (figure, want) in figures {
                let got = found["figures"][figure]["value"].as_f64().unwrap_or(f64::NAN);
                assert!((got - want.as_f64().unwrap()).abs() < 1e-5, "{name} {backend:?} {figure}: {got} {want}");
            }
            assert_eq!(figures.len(), found["figures"].as_object().unwrap().len(), "{name}");
        }
    }
}
