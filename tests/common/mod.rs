//! A small job on the bundled model, for the tests of the command.

#![allow(dead_code)] // each test uses a part

pub mod beside;
pub mod external;
pub mod reference;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;
use uwm_onnx::runtime::{Backend, Runtime, Wish};

pub const MODEL: &str = "models/emoji-clip/model.onnx";

pub fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The command; with the built-in runtime, unless another is named.
pub fn rewrite(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("uwm-onnx").unwrap();
    command.current_dir(root("")).arg("rewrite").args(args);
    if !args.contains(&"--backend") {
        command.args(["--backend", "tract"]);
    }
    command
}

/// A model of the zoo.
pub fn zoo(name: &str) -> PathBuf {
    root("tests/fixtures/zoo").join(name)
}

/// The command, in the project's folder.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("uwm-onnx").unwrap();
    command.current_dir(root("")).args(args);
    command
}

/// What it prints on both streams, and its exit code.
pub fn output(args: &[&str]) -> (String, String, i32) {
    let result = command(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(result.stdout), text(result.stderr), result.status.code().unwrap())
}

/// What `inspect` says of one file.
pub fn inspect(args: &[&str]) -> Value {
    let (stdout, stderr, code) = output(&[&["inspect", "--format", "json"], args].concat());
    assert_eq!(code, 0, "{stderr}");
    let mut value: Value = serde_json::from_str(&stdout).unwrap();
    value["files"][0].take()
}

/// A Python that has a package: the one named by `UWM_TEST_PYTHON`, that which `tools/check.sh` makes, or `python3`.
/// Without one the test fails: it would prove nothing. `UWM_TEST_WITHOUT_PYTHON=1` says that one knows.
pub fn python(package: &str) -> Option<String> {
    let own = root("target/python/bin/python");
    let program = match std::env::var("UWM_TEST_PYTHON") {
        Ok(named) => named,
        Err(_) if own.exists() => own.to_str().unwrap().to_owned(),
        Err(_) => "python3".to_owned(),
    };
    let import = format!("import {package}");
    let tried = std::process::Command::new(&program).args(["-c", &import]).output();
    if tried.is_ok_and(|out| out.status.success()) {
        return Some(program);
    }
    let without = std::env::var("UWM_TEST_WITHOUT_PYTHON").is_ok_and(|value| value == "1");
    assert!(without, "{program} has no {package}: `bash tools/check.sh` sets it up; or set UWM_TEST_WITHOUT_PYTHON=1");
    eprintln!("LEFT OUT: {program} has no {package}");
    None
}

/// ONNX Runtime's library, as Python's package brings it.
pub fn onnx_runtime_library() -> Option<PathBuf> {
    let find = "import onnxruntime, glob, os; print(glob.glob(os.path.dirname(onnxruntime.__file__) + '/capi/*onnxruntime.*[0-9dl]')[0])";
    let found = std::process::Command::new(python("onnxruntime")?).args(["-c", find]).output().unwrap();
    Some(PathBuf::from(String::from_utf8(found.stdout).unwrap().trim_end()))
}

/// ONNX Runtime, on this thread pool.
pub fn onnx_runtime() -> Option<Box<dyn Runtime>> {
    let library = onnx_runtime_library()?;
    let wish = Wish { backend: Backend::Ort, library: Some(library), ..Wish::default() };
    Some(uwm_onnx::runtime::open(&wish).unwrap())
}

/// Runs a script of tests/python.
pub fn run_python(program: &str, script: &str, args: &[PathBuf]) {
    let script = root("tests/python").join(script);
    let result = std::process::Command::new(program).arg(&script).args(args).output().unwrap();
    assert!(
        result.status.success(),
        "{script:?} {args:?}: {}{}",
        String::from_utf8_lossy(&result.stdout),
        String::from_utf8_lossy(&result.stderr)
    );
}

/// Applies a patch that is not in a file yet.
pub fn apply_patch(model: &Path, patch: &uwm_onnx::onnx::Patch, output: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edit.uwm");
    std::fs::write(&file, patch.to_bytes()).unwrap();
    let job = uwm_onnx::pass::ApplyJob {
        model: model.to_owned(),
        patch: file,
        output: output.to_owned(),
        force: true,
        provenance: true,
        match_layers: None,
        patch_out: None,
    };
    uwm_onnx::pass::apply(&job, &|| false).unwrap();
}

/// A folder with a config whose data are the first rows of each split: the whole job in a second or two.
pub struct Small {
    pub folder: TempDir,
}

impl Small {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let all = std::fs::read_to_string(root("calibration/emoji/manifest.jsonl")).unwrap();
        let (mut text, mut left) = (
            String::new(),
            std::collections::HashMap::from([("calibration", 24), ("validation", 32), ("evaluation", 40)]),
        );
        for line in all.lines() {
            let mut row: Value = serde_json::from_str(line).unwrap();
            let Some(count) = left.get_mut(row["split"].as_str().unwrap()).filter(|count| **count > 0) else {
                continue;
            };
            *count -= 1;
            for image in ["safe_image", "unsafe_image"] {
                row[image] = root("calibration/emoji").join(row[image].as_str().unwrap()).to_str().unwrap().into();
            }
            text += &format!("{row}\n");
        }
        let small = Self { folder };
        small.write("manifest.jsonl", &text);
        small.write("uwm.yaml", "calibration: {manifest: manifest.jsonl}\nevaluation: {manifest: manifest.jsonl}\n");
        small
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self.path(name)
    }

    /// Names in the folder, to see that nothing was left behind.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub fn config(&self) -> String {
        self.path("uwm.yaml")
    }
}
