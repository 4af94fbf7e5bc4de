//! `evaluate`: its figures are the reference's and `rewrite`'s, what is not there is marked, and what does not work is told
//! first.

#[path = "../common/mod.rs"]
mod common;

mod broken;
mod figures;
mod pairs;
mod stored;

use common::output;
use serde_json::Value;

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
