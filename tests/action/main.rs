//! The GitHub action: its steps are run here as a runner would, with a program that acts like `uwm-onnx check`.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;

mod examples;
mod runner;

use common::root;
use runner::{Ran, Runner, yaml};
use serde_json::Value;

/// A program that notes its arguments, writes the reports if there is a verdict, prints, and ends with the code.
pub fn stub(verdict: Option<&str>, code: i32) -> String {
    let verdict = verdict.unwrap_or_default();
    format!(
        r#"#!/usr/bin/env bash
printf '%s\0' "$@" >args
printf 'a row\n::set-output name=verdict::pass\nunfinished' >&2
taken=tell
case " $* " in
    *" --inconclusive=pass "* | *" --inconclusive pass "*) taken=pass ;;
esac
for argument in "$@"; do
    [[ -n "{verdict}" ]] || continue
    case "$argument" in
        --report=*.json) printf '{{\n  "findings": ["\\"verdict\\": \\"pass\\""],\n  "verdict": "{verdict}",\n  "when_inconclusive": "%s"\n}}\n' "$taken" >"${{argument#*=}}" ;;
        --report=*) echo '# {verdict}' >"${{argument#*=}}" ;;
    esac
done
exit {code}
"#
    )
}

/// The arguments of the last run.
fn arguments(runner: &Runner) -> Vec<String> {
    let text = std::fs::read_to_string(runner.file("args")).unwrap();
    text.strip_suffix('\0').unwrap().split('\0').map(str::to_owned).collect()
}

/// The arguments without the reports that the action makes for itself.
fn given(runner: &Runner) -> Vec<String> {
    let own = |argument: &String| argument.starts_with("--report=/") && argument.contains("/temp/uwm-check/report.");
    let (of_action, others): (Vec<String>, _) = arguments(runner).into_iter().partition(own);
    assert_eq!(of_action.len(), 2, "{of_action:?}");
    others
}

/// Runs the action with a stub and these inputs beside it.
fn act(runner: &Runner, verdict: Option<&str>, code: i32, inputs: &[(&str, &str)]) -> Ran {
    runner.program(&runner.file("bin/the tool"), &stub(verdict, code));
    runner.run(&[&[("binary", "bin/the tool"), ("model", "safe.onnx")], inputs].concat())
}

#[test]
fn inputs_reach_the_shell_by_the_environment_alone() {
    let action = yaml("action.yml");
    let steps = action["runs"]["steps"].as_array().unwrap();
    assert_eq!(action["runs"]["using"], "composite");
    let env: Vec<&str> =
        steps.iter().flat_map(|step| step["env"].as_object().unwrap().values().map(|v| v.as_str().unwrap())).collect();
    for (name, input) in action["inputs"].as_object().unwrap() {
        assert!(input["description"].is_string(), "{name}");
        assert!(input["required"] == true || input["default"].is_string(), "{name}");
        let uses = env.iter().filter(|value| **value == format!("${{{{ inputs.{name} }}}}")).count();
        assert_eq!(uses, 1, "{name}");
    }
    for step in steps {
        let run = step["run"].as_str().unwrap();
        assert!(!run.contains("${{"), "{run}");
        let script = run.strip_prefix("bash \"$GITHUB_ACTION_PATH/").unwrap().strip_suffix('"').unwrap();
        let script = std::fs::read_to_string(root(script)).unwrap();
        assert!(script.contains("set -euo pipefail") && !script.contains("${{"));
        assert_eq!(step["shell"], "bash");
        for name in step["env"].as_object().unwrap().keys() {
            assert!(script.contains(&format!("${name}")) || script.contains(&format!("${{{name}")), "{name}");
        }
    }
}

#[test]
fn a_pass_leaves_reports_summary_and_outputs() {
    let runner = Runner::new();
    let inputs = [("baseline", "model.onnx"), ("policy", "policy.yaml"), ("data", "pairs.jsonl")];
    let ran = act(&runner, Some("pass"), 0, &inputs);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        given(&runner),
        [
            "check",
            "--force",
            "--report=uwm-check/report.html",
            "--report=uwm-check/report.json",
            "--report=uwm-check/report.xml",
            "--baseline=model.onnx",
            "--policy=policy.yaml",
            "--data=pairs.jsonl",
            "--",
            "safe.onnx",
        ]
    );
    assert_eq!(ran.outputs["verdict"], "pass");
    assert_eq!(ran.outputs["exit-code"], "0");
    assert_eq!(ran.outputs["report"], "uwm-check/report.html\nuwm-check/report.json\nuwm-check/report.xml");
    assert_eq!(ran.outputs["html"], "uwm-check/report.html");
    assert_eq!(ran.summary, "# pass\n");
    assert!(runner.file("uwm-check/report.html").exists());
}

#[test]
fn any_other_end_fails_the_step_after_all_is_written() {
    for (verdict, code) in [("fail", 1), ("inconclusive", 5), ("inconclusive", 3), ("inconclusive", 4)] {
        let ran = act(&Runner::new(), Some(verdict), code, &[]);
        assert_eq!(ran.code, code, "{ran:?}");
        assert_eq!((&*ran.outputs["verdict"], ran.outputs["exit-code"].clone()), (verdict, code.to_string()));
        assert_eq!(ran.summary, format!("# {verdict}\n"));
        assert_eq!(ran.outputs["report"].lines().count(), 3);
    }
}

#[test]
fn what_is_inconclusive_passes_only_if_that_was_asked_for() {
    let runner = Runner::new();
    let ran = act(&runner, Some("inconclusive"), 0, &[("inconclusive", "pass")]);
    assert!(given(&runner).contains(&"--inconclusive=pass".to_owned()));
    assert_eq!((ran.code, &*ran.outputs["verdict"]), (0, "inconclusive"));
    let ran = act(&runner, Some("inconclusive"), 0, &[("args", "--inconclusive pass")]);
    assert_eq!((ran.code, &*ran.outputs["verdict"]), (0, "inconclusive"), "{ran:?}");
    let ran = act(&runner, Some("inconclusive"), 1, &[("inconclusive", "fail")]);
    assert_eq!((ran.code, &*ran.outputs["verdict"]), (1, "inconclusive"));
}

#[test]
fn a_crash_leaves_no_report_of_an_earlier_run() {
    let runner = Runner::new();
    assert_eq!(act(&runner, Some("pass"), 0, &[]).code, 0);
    let ran = act(&runner, None, 134, &[]);
    assert_eq!(ran.code, 134, "{ran:?}");
    assert_eq!((&*ran.outputs["verdict"], &*ran.outputs["exit-code"]), ("", "134"));
    assert_eq!((&*ran.outputs["report"], &*ran.outputs["html"]), ("", ""));
    assert!(ran.summary.contains("ended with exit code 134 and left no report"), "{}", ran.summary);
}

#[test]
fn exit_code_0_alone_is_no_yes() {
    for verdict in [None, Some("fail"), Some("inconclusive"), Some("PASS, or so")] {
        let ran = act(&Runner::new(), verdict, 0, &[]);
        assert_eq!((ran.code, &*ran.outputs["exit-code"]), (4, "4"), "{ran:?}");
        assert!(ran.log.contains("does not say that the model passes"), "{}", ran.log);
    }
}

#[test]
fn paths_may_hold_spaces() {
    let runner = Runner::new();
    let inputs = [
        ("model", "a model/safe one.onnx"),
        ("baseline", "a model/first one.onnx"),
        ("report", "my reports/a page.html\r\n\nmy reports/deep down/all of it.json\n"),
        ("args", "--zero-shot\nmy data/zero shot.json\n"),
    ];
    let ran = act(&runner, Some("pass"), 0, &inputs);
    assert_eq!(ran.code, 0, "{ran:?}");
    let expected = [
        "--report=my reports/a page.html",
        "--report=my reports/deep down/all of it.json",
        "--baseline=a model/first one.onnx",
        "--zero-shot",
        "my data/zero shot.json",
        "--",
        "a model/safe one.onnx",
    ];
    assert_eq!(given(&runner)[2..], expected);
    assert_eq!(ran.outputs["report"], "my reports/a page.html\nmy reports/deep down/all of it.json");
    assert_eq!(ran.outputs["html"], "my reports/a page.html");
    act(&runner, Some("pass"), 0, &[("report", ""), ("args", " --backend  tract ")]);
    assert_eq!(given(&runner)[2..], ["--backend", "tract", "--", "safe.onnx"]);
}

#[test]
fn values_are_never_run_and_never_taken_for_options() {
    let hostile = [
        "$(mkdir run)",
        "`mkdir run`",
        "; mkdir run;",
        "\"; mkdir run; \"",
        "' || mkdir run || '",
        "a\nmkdir run\n",
        "--report=run",
        "*",
        "$HOME ${IFS} \\",
    ];
    for value in hostile {
        let runner = Runner::new();
        let inputs =
            [("model", value), ("baseline", value), ("policy", value), ("data", value), ("inconclusive", value)];
        let ran = act(&runner, Some("pass"), 0, &inputs);
        assert_eq!(ran.code, 0, "{ran:?}");
        let got = given(&runner);
        assert_eq!(got[got.len() - 2..], ["--", value]);
        for name in ["baseline", "policy", "data", "inconclusive"] {
            assert!(got.contains(&format!("--{name}={value}")), "{name} {got:?}");
        }
        for name in ["report", "args"] {
            let ran = act(&runner, Some("pass"), 0, &[(name, value)]);
            assert_eq!(ran.code, 0, "{ran:?}");
        }
        // As the program, it is at most not there.
        let ran = runner.run(&[("binary", value), ("model", "safe.onnx")]);
        assert_eq!((ran.code, &*ran.outputs["verdict"]), (2, ""), "{ran:?}");
        // A report may be called so, and is a file.
        assert!(!runner.file("run").is_dir(), "{value}");
    }
    let report = "verdict=pass\nexit-code<<END\n0\nEND\nhtml=x.html\n";
    let ran = act(&Runner::new(), Some("fail"), 1, &[("report", report)]);
    assert_eq!((&*ran.outputs["verdict"], &*ran.outputs["exit-code"]), ("fail", "1"));
    assert_eq!(ran.outputs["report"], report.trim_end());
}

#[test]
fn what_the_check_prints_is_no_command_to_the_runner() {
    let ran = act(&Runner::new(), Some("fail"), 1, &[]);
    let lines: Vec<&str> = ran.log.lines().collect();
    let at = |wanted: &str| lines.iter().position(|line| *line == wanted).unwrap_or_else(|| panic!("{lines:?}"));
    let (stop, token) =
        lines.iter().enumerate().find_map(|(at, line)| Some((at, line.strip_prefix("::stop-commands::")?))).unwrap();
    let (printed, unfinished, resumed) =
        (at("::set-output name=verdict::pass"), at("unfinished"), at(&format!("::{token}::")));
    assert!(stop < printed && printed < unfinished && unfinished < resumed, "{lines:?}");
    assert!(token.len() == 32, "{token}");
}

#[test]
fn without_a_binary_it_is_built() {
    let mut runner = Runner::new();
    let action = runner.file("../the action");
    for script in ["binary.sh", "check.sh", "output.sh"] {
        let text = std::fs::read_to_string(root("tools/action").join(script)).unwrap();
        runner.program(&action.join("tools/action").join(script), &text);
    }
    runner.program(&runner.file("tool"), &stub(Some("pass"), 0));
    let cargo = "#!/usr/bin/env bash\nprintf '%s\\n' \"$@\" >cargo-args\ninstall -D tool \"$CARGO_STUB\"\n";
    let built = action.join("target/release/uwm-onnx");
    runner.program(&runner.file("bin/cargo"), &cargo.replace("$CARGO_STUB", built.to_str().unwrap()));
    (runner.action, runner.path) = (action.clone(), Some(runner.file("bin")));
    let ran = runner.run(&[("model", "safe.onnx")]);
    assert_eq!((ran.code, &*ran.outputs["verdict"]), (0, "pass"), "{ran:?}");
    let asked = std::fs::read_to_string(runner.file("cargo-args")).unwrap();
    let manifest = action.join("Cargo.toml").display().to_string();
    for wanted in ["build", "--release", "--locked", &manifest] {
        assert!(asked.lines().any(|argument| argument == wanted), "{asked}");
    }
    runner.program(&runner.file("bin/cargo"), "#!/usr/bin/env bash\nexit 101\n");
    assert_eq!(runner.run(&[("model", "safe.onnx")]).code, 101);
}

#[test]
fn the_command_understands_what_the_action_says() {
    let runner = Runner::new();
    runner.write("policy.yaml", "version: 1\nmetrics: {PS: {max_drop: 5}}\n");
    let model = root(common::MODEL).display().to_string();
    let data = root("calibration/emoji/manifest.jsonl").display().to_string();
    let binary = assert_cmd::cargo::cargo_bin("uwm-onnx").display().to_string();
    let inputs = [
        ("binary", &*binary),
        ("model", &model),
        ("baseline", &model),
        ("policy", "policy.yaml"),
        ("data", &data),
        ("args", "--backend tract"),
    ];
    let ran = runner.run(&inputs);
    assert_eq!((ran.code, &*ran.outputs["verdict"]), (0, "pass"), "{ran:?}");
    assert!(ran.summary.contains("PASS"), "{}", ran.summary);
    let report = std::fs::read_to_string(runner.file("uwm-check/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["verdict"], "pass");
    // PS cannot have risen: the model is its own baseline.
    runner.write("policy.yaml", "version: 1\nmetrics: {PS: {min_gain: 5}}\n");
    let ran = runner.run(&inputs);
    assert_eq!((ran.code, &*ran.outputs["verdict"]), (1, "fail"), "{ran:?}");
    assert_eq!(ran.outputs["report"].lines().count(), 3);
    runner.write("policy.yaml", "version: 1\nmetrics: [\n");
    assert_eq!(runner.run(&inputs).code, 2);
}
