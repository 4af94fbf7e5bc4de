//! The examples for CI do what they say.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use uwm_onnx::gate::Policy;

use crate::common::root;
use crate::runner::{Runner, yaml};
use crate::{arguments, stub};

/// Every step of a workflow.
fn steps(workflow: &Value) -> impl Iterator<Item = &Value> {
    workflow["jobs"].as_object().unwrap().values().flat_map(|job| job["steps"].as_array().unwrap())
}

#[test]
fn the_workflow_says_only_what_the_action_knows() {
    let (action, workflow) = (yaml("action.yml"), yaml("examples/github-workflow.yml"));
    let uses: Vec<&Value> =
        steps(&workflow).filter(|step| step["uses"].as_str().is_some_and(|name| name.contains("/uwm-onnx@"))).collect();
    assert_eq!(uses.len(), 2);
    for step in uses {
        assert_eq!(step["id"], "check");
        for name in step["with"].as_object().unwrap().keys() {
            assert!(action["inputs"][name].is_object(), "{name}");
        }
    }
    // Outputs that are named anywhere exist; nothing from outside is written into a script.
    let text = std::fs::read_to_string(root("examples/github-workflow.yml")).unwrap();
    let named: BTreeSet<&str> =
        text.split("steps.check.outputs.").skip(1).map(|rest| rest.split([' ', '}']).next().unwrap()).collect();
    assert!(!named.is_empty() && named.iter().all(|name| action["outputs"][name].is_object()), "{named:?}");
    assert!(steps(&workflow).filter_map(|step| step["run"].as_str()).all(|run| !run.contains("${{")));
    assert_eq!(workflow["permissions"]["contents"], "read");
}

#[test]
fn the_policy_is_one() {
    let policy = Policy::read(Some(&root("examples/policy.yaml"))).unwrap();
    assert!(policy.figures.len() > 5 && policy.structure.allowed_tensors.is_some());
}

#[test]
fn the_pipeline_keeps_what_the_script_writes() {
    let job = &yaml("examples/gitlab-ci.yml")["check-safe-model"];
    assert!(job["script"][0].as_str().unwrap().contains("bash ci/check.sh"));
    assert_eq!(job["artifacts"]["reports"]["junit"], "uwm-check/report.xml");
    assert_eq!(job["artifacts"]["when"], "always");
    assert_eq!(job["allow_failure"]["exit_codes"], 5);
}

/// Runs the shell example with a stub; its exit code and what it says last.
fn script(runner: &Runner, verdict: Option<&str>, code: i32) -> (i32, String) {
    let tool = runner.file("the tool");
    runner.program(&tool, &stub(verdict, code));
    let result = Command::new("bash")
        .arg(root("examples/check.sh"))
        .args(["safe one.onnx", "--baseline", "model.onnx", "--policy", "$(touch run)"])
        .current_dir(runner.file(""))
        .env("UWM_ONNX", tool)
        .env("UWM_REPORTS", "the reports")
        .output()
        .unwrap();
    (result.status.code().unwrap(), String::from_utf8(result.stderr).unwrap())
}

#[test]
fn the_script_ends_as_the_check_does() {
    let runner = Runner::new();
    for (verdict, code, said) in [
        ("pass", 0, "PASS: see"),
        ("fail", 1, "FAIL: see"),
        ("inconclusive", 5, "INCONCLUSIVE: see"),
        // Taken for a pass.
        ("inconclusive", 0, "INCONCLUSIVE: see"),
        ("inconclusive", 3, "went wrong (exit code 3)"),
    ] {
        let (ended, log) = script(&runner, Some(verdict), code);
        assert_eq!(ended, code, "{log}");
        assert!(log.contains(said), "{log}");
        for ending in ["html", "json", "xml", "md"] {
            let report = std::fs::read_to_string(runner.file("the reports/report").with_extension(ending)).unwrap();
            assert!(report.contains(verdict), "{ending}");
        }
    }
    let expected = ["safe one.onnx", "--baseline", "model.onnx", "--policy", "$(touch run)"];
    assert_eq!(arguments(&runner)[6..], expected);
    assert!(!runner.file("run").exists());
}

#[test]
fn the_script_takes_no_old_report_for_a_new_one() {
    let runner = Runner::new();
    assert_eq!(script(&runner, Some("pass"), 0).0, 0);
    assert_eq!(script(&runner, None, 134).0, 134);
    assert!(!runner.file("the reports/report.json").exists());
    let (ended, log) = script(&runner, None, 0);
    assert_eq!(ended, 4, "{log}");
}
