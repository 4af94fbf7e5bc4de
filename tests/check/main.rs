//! `check` as a pipeline runs it: exit code and every report, for what is good, broken, uncertain and wrong.

#[path = "../common/mod.rs"]
mod common;

mod files;
mod pipeline;
mod results;
mod wrong;

use std::path::Path;

use common::{MODEL, Small, output, root};
use prost::Message;
use serde_json::Value;
use uwm_onnx::onnx::proto::ModelProto;
use uwm_onnx::onnx::{Graph, Hints, Model, Patch, Selection, Update};
use uwm_onnx::pass::Site;

/// What a run left behind.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
    json: Value,
    markdown: String,
    junit: String,
    html: String,
}

/// Runs `check` with a report of every form, in the folder of a small set.
fn check(small: &Small, args: &[&str]) -> Ran {
    let reports = ["json", "md", "xml", "html"].map(|ending| small.path(&format!("report.{ending}")));
    let mut all = vec!["check", "--backend", "tract", "--force"];
    all.extend(args);
    all.push("--report");
    all.extend(reports.iter().map(String::as_str));
    reports.iter().for_each(|report| _ = std::fs::remove_file(report));
    let (stdout, stderr, code) = output(&all);
    let read = |report: &String| std::fs::read_to_string(report).unwrap_or_else(|e| panic!("{report}: {e}; {stderr}"));
    let [json, markdown, junit, html] = reports.each_ref().map(read);
    Ran { code, json: serde_json::from_str(&json).unwrap(), stdout, stderr, markdown, junit, html }
}

impl Ran {
    /// Every form tells the same verdict, and the exit code is that of it.
    #[track_caller]
    fn is(&self, verdict: &str, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        assert_eq!(self.json["verdict"], verdict, "{}", self.stdout);
        assert_eq!(self.json["exit_code"], code);
        let word = verdict.to_uppercase();
        for (form, text) in [("text", &self.stdout), ("Markdown", &self.markdown), ("HTML", &self.html)] {
            assert!(text.contains(&word), "{form} lacks {word}: {text}");
        }
        let document = roxmltree::Document::parse(&self.junit).unwrap();
        let root = document.root_element();
        let count = |name: &str| root.attribute(name).unwrap().parse::<usize>().unwrap();
        let of = |tag: &str| document.descendants().filter(|node| node.has_tag_name(tag)).count();
        assert_eq!([count("failures"), count("errors")], [of("failure"), of("error")]);
        assert_eq!(verdict == "fail", count("failures") > 0, "{}", self.junit);
        assert_eq!(verdict == "pass", count("failures") + count("errors") == 0, "{}", self.junit);
        assert!(count("tests") > 0);
        self
    }

    /// Codes of the findings with that outcome, each once.
    fn codes(&self, outcome: &str) -> Vec<&str> {
        let findings = self.json["findings"].as_array().unwrap().iter();
        let mut codes: Vec<&str> =
            findings.filter(|f| f["outcome"] == outcome).map(|f| f["code"].as_str().unwrap()).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// Whether every form that is read by people has these words.
    #[track_caller]
    fn says(&self, words: &str) -> &Self {
        let plain = |text: &str| {
            // What the forms put in between: marks that keep Markdown from joining words to links, and tags.
            let text = text.replace("&#8288;", "").replace("&#64;", "@").replace("&#39;", "'").replace('\\', "");
            let text: String =
                text.split('<').map(|part| part.split_once('>').map_or(part, |(_, rest)| rest)).collect();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let document = roxmltree::Document::parse(&self.junit).unwrap();
        let words_of = |node: roxmltree::Node| {
            node.attributes().map(|a| a.value().to_owned()).chain(node.text().map(str::to_owned)).collect::<Vec<_>>()
        };
        let junit = document.descendants().flat_map(words_of).collect::<Vec<_>>().join(" ");
        for (form, text) in
            [("text", &self.stdout), ("Markdown", &self.markdown), ("JUnit", &junit), ("HTML", &self.html)]
        {
            assert!(plain(text).contains(words), "{form} does not say '{words}': {text}");
        }
        self
    }
}

/// Holds the JSON of reports against their schema.
fn as_their_schema_says(small: &Small, reports: &[&Ran]) {
    let Some(program) = common::python("jsonschema") else { return };
    let values: Vec<&Value> = reports.iter().map(|ran| &ran.json).collect();
    let right = small.write("right.json", &serde_json::to_string(&values).unwrap());
    let wrong = small.write("wrong.json", "[{}]");
    let files = [root("schemas/check-report-1.schema.json"), right.into(), wrong.into()];
    common::run_python(&program, "schema_cases.py", &files);
}

/// A policy for sets as small as those of the tests.
fn lenient(small: &Small) -> String {
    let text = "version: 1\nmin_samples: 30\nmetrics: {PS: {max_drop: 25}, Ts-Vs R@1: {max_drop: 40}}\n\
                structure: {only_initializer_values_changed: true, same_io_signature: true, no_stale_siblings: true}\n";
    small.write("policy.yaml", text)
}

/// Writes the bundled model with the layer before its text embedding multiplied by a factor.
fn with_projection(factor: f64, path: &Path) {
    let model = Model::open(&root(MODEL)).unwrap();
    let graph = Graph::new(&model).unwrap();
    let site = Site::find(&graph, &Hints::default()).unwrap().into_iter().next().unwrap();
    let layer = site.select("projection").unwrap().pop().unwrap();
    let positions = (0..u32::try_from(layer.weight.shape[0] * layer.weight.shape[1]).unwrap()).collect();
    let selection = Selection { layer, update: Update::Multiply(factor), positions };
    let patch = Patch::make(&model, &[selection], Value::Null).unwrap();
    common::apply_patch(&root(MODEL), &patch, path);
}

/// Writes the bundled model, its graph changed.
fn with_graph(path: &Path, change: impl FnOnce(&mut ModelProto)) {
    let mut model = ModelProto::decode(std::fs::read(root(MODEL)).unwrap().as_slice()).unwrap();
    change(&mut model);
    std::fs::write(path, model.encode_to_vec()).unwrap();
}

/// Options that every check of a small set has.
fn on<'a>(small_config: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let beside = ["--tokenizer", "models/emoji-clip/tokenizer.json", "--preprocessor"];
    let beside = [&beside[..], &["models/emoji-clip/preprocessor_config.json", "--config", small_config]].concat();
    [rest, &beside].concat()
}
