//! Attacks by names and captions, which every result shows: escape sequences that a terminal obeys, tags that a page runs,
//! links that Markdown makes, names of a megabyte.

use std::path::Path;

use prost::Message;
use serde_json::Value;
use uwm_onnx::onnx::proto::{GraphProto, ModelProto};

use crate::common::beside::beside;
use crate::common::external::patch_for;
use crate::common::{apply_patch, root};
use crate::{Said, run};

/// Rings, clears the screen, sets the title, turns the writing round; leaves a tag, an attribute, a table's cell, a script.
const NASTY: &str = "\u{7}\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{85}\u{202e}\u{2066}\r</script><img src=x onerror=alert(1)>\"'&]]>|`[a](javascript:b)\n\n# @all ${{c}} =1+1\u{7f}";

/// Every name of values and nodes, with that before it.
fn renamed(graph: &mut GraphProto) {
    let inputs: Vec<String> = graph.input.iter().map(|input| input.name.clone()).collect();
    let change = |name: &mut String| {
        if !name.is_empty() && !inputs.contains(name) {
            name.insert_str(0, NASTY);
        }
    };
    for node in &mut graph.node {
        change(&mut node.name);
        node.input.iter_mut().chain(&mut node.output).for_each(change);
    }
    graph.initializer.iter_mut().for_each(|tensor| change(&mut tensor.name));
    graph.output.iter_mut().for_each(|output| change(&mut output.name));
}

fn model(folder: &Path) -> String {
    let bytes = std::fs::read(root("tests/fixtures/zoo/hf_clip.ts_eager.onnx")).unwrap();
    let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
    renamed(model.graph.as_mut().unwrap());
    model.producer_name = NASTY.to_owned();
    let path = folder.join("model.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    path.to_str().unwrap().to_owned()
}

impl Said {
    /// That a terminal shows it and obeys nothing.
    #[track_caller]
    fn harmless(&self) -> &Self {
        let obeyed = |c: char| {
            c != '\n'
                && (c.is_control() || ('\u{2066}'..='\u{2069}').contains(&c) || ('\u{202a}'..='\u{202e}').contains(&c))
        };
        let text = self.text();
        assert!(!text.contains(obeyed), "{text:?}");
        self
    }
}

/// Attack 37: Escape sequences in names of tensors: every command shows them, none lets the terminal obey.
#[test]
fn escape_sequences_in_tensor_names() {
    let folder = tempfile::tempdir().unwrap();
    let _data = beside(folder.path());
    let model = model(folder.path());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (patch, safe, other) = (at("edit.uwm"), at("safe.onnx"), at("other.onnx"));
    std::fs::write(&patch, patch_for(Path::new(&model)).to_bytes()).unwrap();
    std::fs::copy(root("tests/fixtures/zoo/hf_clip.ts_sdpa.onnx"), &other).unwrap();
    let (config, scores) = (at("uwm.yaml"), at("scores"));
    let [back, undone] = ["back.onnx", "undone.onnx"].map(at);
    for (code, args) in [
        (0, vec!["inspect", &model]),
        (0, vec!["apply", &model, &patch, "-o", &safe]),
        (3, vec!["apply", &other, &patch, "-o", &back]),
        (3, vec!["apply", &other, &patch, "-o", &back, "--match", "layers"]),
        (0, vec!["verify", &safe, "--original", &model, "--patch", &patch]),
        (0, vec!["diff", &model, &safe]),
        (1, vec!["diff", &model, &other]),
        (0, vec!["revert", &safe, &patch, "-o", &undone]),
        (0, vec!["score", &model, "-o", &scores, "--config", &config, "--backend", "tract"]),
        (0, vec!["rewrite", &model, "--dry-run", "--config", &config, "--backend", "tract"]),
        (3, vec!["inspect", &model, "--layers", "vision:no-such-layer"]),
    ] {
        let said = run(&args);
        said.harmless();
        assert!(
            said.code == Some(code) || (code == 3 && matches!(said.code, Some(0 | 2))),
            "{args:?}: {:?} {}",
            said.code,
            said.text()
        );
        // As JSON it stays JSON, and the names are what they were.
        let said = run(&[&args[..], &["--format", "json", "--force"]].concat());
        let said = if said.text().contains("unexpected argument '--force'") {
            run(&[&args[..], &["--format", "json"]].concat())
        } else {
            said
        };
        said.harmless();
        if said.code == Some(0) {
            let value: Value =
                serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", said.stdout));
            let whole = |value: &Value| value.to_string().contains(Value::from(NASTY).to_string().trim_matches('"'));
            assert!(
                whole(&value) || args.contains(&"layers") || matches!(args[0], "verify" | "revert" | "score"),
                "{args:?}: {value}"
            );
        }
    }
}

/// Attack 38: Captions, concepts and names in every report of `check`: no tag, no link, no row of their own.
#[test]
fn injection_into_reports() {
    let folder = tempfile::tempdir().unwrap();
    let data = beside(folder.path());
    let model = model(folder.path());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let rows = std::fs::read_to_string(data.path().join("manifest.jsonl")).unwrap();
    let hostile = |line: &str| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        for key in ["safe_text", "unsafe_text", "concept", "style", "id"] {
            let old = row[key].as_str().unwrap_or_default().to_owned();
            row[key] = format!("{old}{NASTY}{}", if key == "id" { &line[..20.min(line.len())] } else { "" }).into();
        }
        row["sensitive"] = false.into();
        format!("{row}\n")
    };
    let text: String = rows
        .lines()
        .enumerate()
        .map(|(k, line)| hostile(line).replace("\"id\":\"", &format!("\"id\":\"{k}")))
        .collect();
    std::fs::write(folder.path().join("manifest.jsonl"), text).unwrap();
    let safe = at("safe.onnx");
    apply_patch(Path::new(&model), &patch_for(Path::new(&model)), Path::new(&safe));
    let reports = ["json", "md", "xml", "html"].map(|ending| at(&format!("report.{ending}")));
    let config = at("uwm.yaml");
    let mut args = vec!["check", &safe, "--baseline", &model, "--config", &config, "--backend", "tract", "--report"];
    args.extend(reports.iter().map(String::as_str));
    let said = run(&args);
    said.harmless();
    assert!(matches!(said.code, Some(0 | 1 | 5)), "{:?} {}", said.code, said.text());
    let [json, markdown, xml, html] = reports.map(|path| std::fs::read_to_string(path).unwrap());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(json.to_string().contains("onerror"), "the names are not in the report at all");
    for (form, text) in [("Markdown", &markdown), ("HTML", &html), ("JUnit", &xml)] {
        assert!(!text.contains("<img src=x"), "{form}: a tag of a name");
        assert!(
            !text.contains(|c: char| c != '\n' && c.is_control() || c == '\u{202e}'),
            "{form}: a control character"
        );
    }
    assert!(html.contains("onerror") && markdown.contains("onerror"), "the names are not shown");
    assert!(!markdown.contains("](javascript") && !markdown.lines().any(|line| line.starts_with("# @")), "{markdown}");
    let document = roxmltree::Document::parse(&xml).unwrap();
    let known =
        ["testsuites", "testsuite", "testcase", "failure", "error", "skipped", "properties", "property", "system-out"];
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        assert!(known.contains(&node.tag_name().name()), "{}", node.tag_name().name());
    }
    for args in [
        vec!["evaluate", &safe, "--config", &config, "--backend", "tract"],
        vec!["data", "check", &at("manifest.jsonl")],
    ] {
        run(&args).harmless();
    }
}

/// Attack 39: A name of a megabyte in a message.
#[test]
fn messages_with_a_megabyte_of_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let long = "n".repeat(1 << 20);
    let bytes = std::fs::read(root("tests/fixtures/reference/vision_model.onnx")).unwrap();
    let refused = |change: &dyn Fn(&mut GraphProto)| {
        let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
        change(model.graph.as_mut().unwrap());
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        let said = run(&["rewrite", path.to_str().unwrap(), "--dry-run", "--config", "models/emoji-clip/uwm.yaml"]);
        assert!(matches!(said.code, Some(2 | 3)), "{:?} {:.2000}", said.code, said.text());
        said.says_little("a name of a megabyte");
    };
    refused(&|graph| graph.node[3].input[0].clone_from(&long));
    refused(&|graph| graph.output[0].name.clone_from(&long));
    refused(&|graph| graph.input.iter_mut().for_each(|input| input.name.clone_from(&long)));
    refused(&|graph| {
        let again = graph.node[3].output[0].clone();
        graph.node[4].output[0] = again;
        graph.node[4].name.clone_from(&long);
    });
    for (key, value) in [("location", &*long), ("offset", &*long), (&*long, "x"), ("location", "no")] {
        refused(&|graph| {
            use uwm_onnx::onnx::proto::StringStringEntryProto;
            let tensor = &mut graph.initializer[0];
            tensor.data_location = 1;
            tensor.name.clone_from(&long);
            tensor.external_data.push(StringStringEntryProto { key: key.to_owned(), value: value.to_owned() });
        });
    }
    // In the arguments too.
    run(&["inspect", &long[..100_000]]).says_little("a path");
    let yaml = folder.path().join("uwm.yaml");
    std::fs::write(&yaml, format!("{}: 1\n", "k".repeat(1 << 19))).unwrap();
    run(&["rewrite", "models/emoji-clip/model.onnx", "--dry-run", "--config", yaml.to_str().unwrap()])
        .is(2, "error[config")
        .says_little("a key");
}
