//! As much of GitHub's runner as an action of shell steps needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::root;

/// A YAML file of the project.
pub fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(root(path)).unwrap()).unwrap()
}

/// A name and a value each.
type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Where a job runs.
pub struct Runner {
    folder: TempDir,
    /// The action's files.
    pub action: PathBuf,
    /// Where programs are looked for first.
    pub path: Option<PathBuf>,
}

/// What came of the action.
#[derive(Debug)]
pub struct Ran {
    /// Of the step that failed, or 0.
    pub code: i32,
    /// The action's.
    pub outputs: BTreeMap<String, String>,
    pub summary: String,
    /// What the steps printed, on both streams.
    pub log: String,
}

impl Runner {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("temp")).unwrap();
        std::fs::create_dir(folder.path().join("the checkout")).unwrap();
        Self { folder, action: root(""), path: None }
    }

    /// Of the checkout, where steps run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("the checkout").join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
        std::fs::write(self.file(name), text).unwrap();
    }

    /// Makes a script that can be run. A process of its own writes it: a file that this one has open for writing cannot be
    /// run, and another thread's child may hold it open for a moment longer.
    pub fn program(&self, path: &Path, text: &str) {
        let plain = self.folder.path().join("plain.sh");
        std::fs::write(&plain, text).unwrap();
        let made = Command::new("install").args(["-D", "-m", "755"]).arg(plain).arg(path).status().unwrap();
        assert!(made.success());
    }

    /// Runs the steps of the action with these inputs.
    pub fn run(&self, inputs: Pairs) -> Ran {
        let action = yaml("action.yml");
        let mut known: BTreeMap<String, String> = BTreeMap::new();
        for (name, input) in action["inputs"].as_object().unwrap() {
            known.insert(format!("inputs.{name}"), input["default"].as_str().unwrap_or_default().to_owned());
        }
        for (name, value) in inputs {
            let there = known.insert(format!("inputs.{name}"), (*value).to_owned());
            assert!(there.is_some(), "{name} is no input");
        }
        let mut ran = Ran { code: 0, outputs: BTreeMap::new(), summary: String::new(), log: String::new() };
        for step in action["runs"]["steps"].as_array().unwrap() {
            let env = step["env"].as_object().unwrap().iter();
            let env = env.map(|(name, value)| (name.clone(), resolve(value.as_str().unwrap(), &known))).collect();
            let outputs = self.step(step["run"].as_str().unwrap(), env, &mut ran);
            let id = step["id"].as_str().unwrap();
            known.extend(outputs.into_iter().map(|(name, value)| (format!("steps.{id}.outputs.{name}"), value)));
            if ran.code != 0 {
                break;
            }
        }
        for (name, output) in action["outputs"].as_object().unwrap() {
            ran.outputs.insert(name.clone(), resolve(output["value"].as_str().unwrap(), &known));
        }
        ran
    }

    /// Runs a script as `shell: bash` does, and gives the outputs that it set.
    fn step(&self, script: &str, env: BTreeMap<String, String>, ran: &mut Ran) -> BTreeMap<String, String> {
        let temp = self.folder.path().join("temp");
        let [script_file, outputs, summary] = ["step.sh", "outputs", "summary"].map(|name| temp.join(name));
        std::fs::write(&script_file, script).unwrap();
        std::fs::write(&outputs, "").unwrap();
        std::fs::write(&summary, "").unwrap();
        let path = std::env::var("PATH").unwrap();
        let path = self.path.as_ref().map_or(path.clone(), |first| format!("{}:{path}", first.display()));
        let result = Command::new("bash")
            .args(["--noprofile", "--norc", "-e", "-o", "pipefail"])
            .arg(&script_file)
            .current_dir(self.file(""))
            .env_clear()
            .env("PATH", path)
            .env("GITHUB_ACTION_PATH", &self.action)
            .env("GITHUB_OUTPUT", &outputs)
            .env("GITHUB_STEP_SUMMARY", &summary)
            .env("GITHUB_WORKSPACE", self.file(""))
            .env("RUNNER_TEMP", &temp)
            .envs(env)
            .output()
            .unwrap();
        ran.code = result.status.code().unwrap();
        for printed in [result.stdout, result.stderr] {
            ran.log += &String::from_utf8(printed).unwrap();
        }
        ran.summary += &std::fs::read_to_string(summary).unwrap();
        outputs_of(&std::fs::read_to_string(outputs).unwrap())
    }
}

/// The text with values in the place of `${{ .. }}`; what is not known is empty.
fn resolve(text: &str, known: &BTreeMap<String, String>) -> String {
    let Some((before, rest)) = text.split_once("${{") else { return text.to_owned() };
    let (name, after) = rest.split_once("}}").unwrap();
    let name = name.trim();
    assert!(name.starts_with("inputs.") || name.starts_with("steps."), "{name}");
    let value = known.get(name).cloned().unwrap_or_default();
    format!("{before}{value}{}", resolve(after, known))
}

/// What a file of outputs says: `name=value`, or `name<<END` and lines up to `END`.
fn outputs_of(text: &str) -> BTreeMap<String, String> {
    let (mut outputs, mut lines) = (BTreeMap::new(), text.lines());
    while let Some(line) = lines.next() {
        let at = line.find(['=', '<']).unwrap_or_else(|| panic!("{line}"));
        let (name, rest) = line.split_at(at);
        let value = match rest.strip_prefix("<<") {
            Some(end) => lines.by_ref().take_while(|line| *line != end).collect::<Vec<_>>().join("\n"),
            None => rest[1..].to_owned(),
        };
        outputs.insert(name.to_owned(), value);
    }
    outputs
}
