//! What goes wrong: it has its exit code, every report that can be written tells it, and nothing is left behind.

use crate::common::{MODEL, Small, output};
use crate::{check, lenient, on};

#[test]
fn a_policy_that_is_none_is_told_with_line_and_column() {
    let small = Small::new();
    let config = small.config();
    for (text, code, words) in [
        ("version: 1\nmetrics: {PSS: {min: 1}}\n", "policy-metric-unknown", "policy.yaml:2:11"),
        ("version: 1\nmetrics: {PS: {minimum: 1}}\n", "policy-format", "policy.yaml:2:16"),
        ("version: 1\n", "policy-format", "no rule"),
        ("version: 1\nstructure: {patch_matches: true}\n", "policy-needs-patch", "patch"),
    ] {
        let policy = small.write("policy.yaml", text);
        let ran = check(&small, &on(&config, &[MODEL, "--baseline", MODEL, "--policy", &policy]));
        ran.is("inconclusive", 2).says(words);
        assert_eq!(ran.codes("error"), [code]);
    }
    let ran = check(&small, &on(&config, &[MODEL, "--baseline", MODEL, "--policy", "no/such.yaml"]));
    assert_eq!((ran.code, ran.codes("error")), (2, vec!["policy-io"]));
    // The built-in policy compares.
    let ran = check(&small, &on(&config, &[MODEL]));
    assert_eq!((ran.code, ran.codes("error")), (2, vec!["policy-needs-baseline"]));
}

#[test]
fn what_is_missing_is_told_in_every_report() {
    let small = Small::new();
    let (policy, config) = (lenient(&small), small.config());
    let args = |rest: &[&str]| -> Vec<String> {
        on(&config, &[&["--policy", &policy], rest].concat()).into_iter().map(str::to_owned).collect()
    };
    let folder = small.path("");
    for (rest, code, exit) in [
        (vec!["no.onnx", "--baseline", MODEL], "model-io", 3),
        (vec![MODEL, "--baseline", MODEL, "--data", "no.jsonl"], "data-io", 3),
        (vec![MODEL, "--baseline", folder.as_str()], "inputs-conflict", 2),
        (vec![MODEL, "--baseline", MODEL, "--rewrite", MODEL], "report-unusable", 3),
        (vec![MODEL, "--baseline", MODEL, "--sweep", "no.json"], "report-unusable", 3),
    ] {
        let all = args(&rest);
        let ran = check(&small, &all.iter().map(String::as_str).collect::<Vec<_>>());
        ran.is("inconclusive", exit);
        assert_eq!(ran.codes("error"), [code], "{rest:?}");
    }
    // A runtime that is not there, last: its option comes twice.
    let [json, xml] = ["r.json", "r.xml"].map(|name| small.path(name));
    let asked = ["check", MODEL, "--baseline", MODEL, "--backend", "ort", "--ort-library", "no/such.so"];
    let all = args(&["--report", &json, &xml]);
    let (_, stderr, code) = output(&[&asked[..], &all.iter().map(String::as_str).collect::<Vec<_>>()].concat());
    assert_eq!(code, 4, "{stderr}");
    assert!(std::fs::read_to_string(xml).unwrap().contains("runtime-library"));
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    // The files were compared all the same.
    assert!(report["structure"]["files"].is_array());
}

#[test]
fn reports_replace_nothing_unasked_and_no_input() {
    let small = Small::new();
    let (policy, config) = (lenient(&small), small.config());
    let there = small.write("there.json", "{}");
    let names = small.names();
    let refused = |rest: &[&str], words: &str| {
        let args = on(&config, &[&["check", MODEL, "--baseline", MODEL, "--policy", &policy], rest].concat());
        let (_, stderr, code) = output(&args);
        assert!(code == 2 && stderr.contains(words), "{rest:?}: {code} {stderr}");
    };
    refused(&["--report", &there], "exists already");
    refused(&["--force", "--report", &policy], "ending tells no form");
    let manifest = small.path("manifest.json");
    std::fs::rename(small.path("manifest.jsonl"), &manifest).unwrap();
    std::fs::rename(&manifest, small.path("manifest.jsonl")).unwrap();
    refused(&["--force", "--rewrite", &there, "--report", &there], "it is the input itself");
    let twice = small.path("twice.json");
    refused(&["--report", &twice, &twice], "another output");
    refused(&["--report", &small.path("report.pdf")], "ending tells no form");
    refused(&["--report", &small.path("no/report.json")], "folder does not exist");
    assert_eq!(small.names(), names);
    assert_eq!(std::fs::read_to_string(there).unwrap(), "{}");
}
