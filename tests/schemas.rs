//! The JSON of a check is as its schema says, and the schema refuses what it does not know. By Python's `jsonschema`.

mod common;

use common::{python, root, run_python};
use uwm_onnx::gate::Policy;
use uwm_onnx::safeground::figure::names;

#[test]
fn reports_of_a_check_are_as_their_schema_says() {
    let Some(program) = python("jsonschema") else { return };
    // Unit tests keep these up to date.
    let reports = ["json", "json_odd", "json_bare", "json_empty"];
    let reports = reports.map(|name| root(&format!("tests/snapshots/check/{name}.snap")));
    let schema = root("schemas/check-report-1.schema.json");
    run_python(&program, "schema.py", &[&[schema], &reports[..]].concat());
}

/// A policy as its schema sees it, and whether the tool takes it.
fn policy(text: &str) -> (serde_json::Value, bool) {
    let path = std::path::Path::new("policy.yaml");
    (serde_saphyr::from_str(text).unwrap(), Policy::parse(text, Some(path)).is_ok())
}

#[test]
fn the_schema_of_policies_takes_what_the_tool_takes() {
    let Some(program) = python("jsonschema") else { return };
    let files =
        ["policies/default.yaml", "examples/policy.yaml"].map(|name| std::fs::read_to_string(root(name)).unwrap());
    let rules = |rules: &str| format!("version: 1\n{rules}\n");
    // Every figure there is, by itself.
    let figures = names().into_iter().map(|(name, _)| rules(&format!("metrics: {{\"{name}\": {{min: 0}}}}")));
    let more = [
        "confidence: point\nmetrics: {PS: {min: 50, max: 90, max_drop: 1, min_drop: 0, max_gain: 3, min_gain: 2, max_relative_drop: 0.5}}",
        "confidence: 90\nmin_samples: 5\nmetrics: {Ts-Tu cosine: {max_drop: 0.5}}",
        "concepts: {min_samples: 3, only: [a], metrics: {GS: {min: 1, optional: true, min_samples: 4}}}",
        "worst_concept: {only: [a], metrics: {PU: {min_gain: 1}}}",
        "structure: {only_initializer_values_changed: true, allowed_tensors: [a], max_elements_changed: 0, same_io_signature: true, provenance_required: true, patch_matches: false, no_stale_siblings: true}",
    ];
    let wrong = [
        "metrics: {PX: {min: 1}}",
        "metrics: {PS: {}}",
        "metrics: {PS: {minimum: 1}}",
        "metrics: {PS: {min: 101}}",
        "metrics: {PS: {max_drop: -1}}",
        "metrics: {PS: {max_relative_drop: 2}}",
        "metrics: {Ts drift: {max_drop: 0.1}}",
        "metrics: {Ts-Tu cosine: {max_relative_drop: 0.1}}",
        "concepts: {metrics: {zero_shot: {min: 1}}}",
        "worst_concept: {only: [a]}",
        "metrics: {PS: {min: }}",
        "structure: {same_io_signature: }",
        "confidence: 0.95\nmetrics: {PS: {min: 1}}",
        "confidence: sure\nmetrics: {PS: {min: 1}}",
        "structure: {allowed_tensors: []}",
        "structure: {max_elements_changed: -1}",
        "min_sample: 3\nmetrics: {PS: {min: 1}}",
    ];
    let right: Vec<_> =
        files.into_iter().chain(figures).chain(more.map(rules)).map(|text| (policy(&text), text)).collect();
    let wrong: Vec<_> = wrong.map(rules).into_iter().map(|text| (policy(&text), text)).collect();
    for (expected, ((_, taken), text)) in right.iter().map(|c| (true, c)).chain(wrong.iter().map(|c| (false, c))) {
        assert_eq!(*taken, expected, "{text}");
    }
    let folder = tempfile::tempdir().unwrap();
    let cases = |name: &str, of: &[((serde_json::Value, bool), String)]| {
        let path = folder.path().join(name);
        let values: Vec<_> = of.iter().map(|((value, _), _)| value).collect();
        std::fs::write(&path, serde_json::to_vec(&values).unwrap()).unwrap();
        path
    };
    let files = [root("schemas/policy-1.schema.json"), cases("right.json", &right), cases("wrong.json", &wrong)];
    run_python(&program, "schema_cases.py", &files);
}
