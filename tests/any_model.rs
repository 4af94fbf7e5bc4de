//! `inspect` on ONNX's own test suite: any model is read and described, none makes it panic or fail.

mod common;

use std::path::{Path, PathBuf};

use uwm_onnx::config::Config;
use uwm_onnx::onnx::Hints;
use uwm_onnx::pass::{ModelFiles, inspect};
use uwm_onnx::report::inspections_json;

fn models(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            models(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "onnx") {
            found.push(path);
        }
    }
}

#[test]
fn every_model_of_onnx_s_own_tests_is_described() {
    let Some(python) = common::python("onnx") else { return };
    let folder = tempfile::tempdir().unwrap();
    common::run_python(&python, "test_models.py", &[folder.path().to_owned()]);
    let mut found = vec![];
    models(folder.path(), &mut found);
    assert!(found.len() > 1500, "{}", found.len());
    let (mut layers, mut towers) = (0, 0);
    for path in &found {
        let file = ModelFiles::Single { path: path.clone(), only: None };
        let seen = inspect(&file, &Hints::default(), &Config::default()).unwrap_or_else(|error| panic!("{error}"));
        let json: serde_json::Value = serde_json::from_str(&inspections_json(&seen, &[], &[])).unwrap();
        assert_eq!(json["files"][0]["inputs"].as_array().unwrap().len(), seen[0].inputs.len());
        let seen = &seen[0];
        assert!(!seen.towers.is_empty() || !seen.stops.is_empty(), "{path:?}");
        assert!(!seen.to_text().is_empty());
        layers += seen.layers.len();
        towers += seen.towers.len();
    }
    println!("{} models, {layers} layers, {towers} towers", found.len());
}
