//! `inspect` on ONNX's own test suite: any model is read and described, none makes it panic or fail.

mod common;

use std::path::{Path, PathBuf};

use uwm_onnx::config::Config;
use uwm_onnx::onnx::Hints;
use uwm_onnx::pass::inspect;

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
        let seen = inspect(path, &Hints::default(), &Config::default()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(seen.towers.is_empty(), seen.trouble.is_some(), "{path:?}");
        assert!(!seen.to_text().is_empty() && serde_json::from_str::<serde_json::Value>(&seen.to_json()).is_ok());
        layers += seen.layers.len();
        towers += seen.towers.len();
    }
    println!("{} models, {layers} layers, {towers} towers", found.len());
}
