//! A result of another day in the place of the baseline.

use std::path::Path;

use serde_json::Value;

use crate::common::{self, MODEL, Small, output};
use crate::{check, lenient, on, with_projection};

fn evaluate(small: &Small, model: &str, name: &str) -> String {
    let config = small.config();
    let args = on(&config, &["evaluate", model, "--backend", "tract", "--format", "json"]);
    let (stdout, stderr, code) = output(&args);
    assert_eq!(code, 0, "{stderr}");
    small.write(name, &stdout)
}

#[test]
fn a_stored_result_is_compared_with_and_says_less() {
    let small = Small::new();
    let (policy, config) = (lenient(&small), small.config());
    let scaled = small.path("scaled.onnx");
    with_projection(2.0, Path::new(&scaled));
    let result = evaluate(&small, MODEL, "result.json");
    let rest = ["--policy", &policy, "--original", MODEL];
    let beside = check(&small, &on(&config, &[&[&scaled, "--baseline", MODEL][..], &rest].concat()));
    let stored = check(&small, &on(&config, &[&[&scaled, "--baseline-result", &result][..], &rest].concat()));
    beside.is("pass", 0);
    let figure = |ran: &crate::Ran, key: &str| ran.json["evaluation"]["figures"]["PS"][key].clone();
    for key in ["value", "baseline", "change"] {
        assert_eq!(figure(&beside, key), figure(&stored, key), "{key}");
    }
    let width = |ran: &crate::Ran| {
        let ends: Vec<f64> = serde_json::from_value(figure(ran, "change_interval")).unwrap();
        ends[1] - ends[0]
    };
    assert!(width(&stored) > width(&beside), "{} {}", width(&stored), width(&beside));
    assert!(figure(&stored, "p").is_null());
    // The report of a check is such a result too.
    let report = small.write("before.json", &beside.json.to_string());
    let again = check(&small, &on(&config, &[&[MODEL, "--baseline-result", &report][..], &rest].concat()));
    assert_eq!(figure(&again, "baseline"), figure(&beside, "value"));
    // Without the files it was made from, rules about files are open.
    let args = ["--baseline-result", &result, "--policy", &policy];
    let ran = check(&small, &on(&config, &[&[scaled.as_str()][..], &args].concat()));
    assert!(ran.codes("inconclusive").contains(&"original-missing"), "{}", ran.stdout);
}

#[test]
fn embeddings_that_do_not_tell_their_rows_are_no_baseline() {
    let small = Small::new();
    let (policy, config, kept) = (lenient(&small), small.config(), small.path("kept.safetensors"));
    let args = on(&config, &["evaluate", MODEL, "--backend", "tract", "--embeddings-out", &kept]);
    assert_eq!(output(&args).2, 0);
    let rest = ["--policy", &policy, "--original", MODEL];
    let run = |kept: &str| check(&small, &on(&config, &[&[MODEL, "--baseline", kept][..], &rest].concat()));
    run(&kept).is("pass", 0);
    // The same without its metadata, which any other tool could have written, in any order.
    let bytes = std::fs::read(&kept).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let bare = small.path("bare.safetensors");
    std::fs::write(&bare, safetensors::serialize(tensors.tensors(), None).unwrap()).unwrap();
    let ran = run(&bare);
    ran.is("inconclusive", 3);
    assert_eq!(ran.codes("error"), ["embeddings-unusable"]);
}

#[test]
fn a_result_of_something_else_is_refused() {
    let small = Small::new();
    let (policy, config) = (lenient(&small), small.config());
    let result = evaluate(&small, MODEL, "result.json");
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(&result).unwrap()).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut value = stored.clone();
        change(&mut value);
        value.to_string()
    };
    for (text, words) in [
        (changed(&|v| v["data"]["sha256"] = "00".into()), "other samples"),
        (changed(&|v| v["data"]["sha256"] = Value::Null), "which samples"),
        (changed(&|v| v["bootstrap"]["level"] = 90.into()), "90 %"),
        (changed(&|v| v["figures"]["PS"]["interval"] = serde_json::json!([5, 1])), "an interval in it is none"),
        (changed(&|v| v["checks"] = serde_json::json!([{"who": "model", "code": "x"}])), "does not work"),
        ("{}".to_owned(), "missing field"),
        ("no JSON".to_owned(), "line 1"),
    ] {
        let result = small.write("changed.json", &text);
        let args = ["--baseline-result", &result, "--policy", &policy, "--original", MODEL];
        let ran = check(&small, &on(&config, &[&[MODEL][..], &args].concat()));
        ran.is("inconclusive", 3).says(words);
        assert_eq!(ran.codes("error"), ["result-unusable"]);
    }
    assert!(common::root(MODEL).exists());
}
