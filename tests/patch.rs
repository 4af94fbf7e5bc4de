//! The patch as a thing of its own: `rewrite --patch-out`, `apply`, `revert`, `verify` and `diff` as a user meets them.

mod common;

use std::path::Path;

use common::external::{patch_for, steering_patch_for};
use common::{MODEL, Small, root};
use proptest::prelude::*;
use prost::Message;
use serde_json::Value;
use uwm_onnx::onnx::Patch;
use uwm_onnx::onnx::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto};

/// Runs the command; returns exit code, what it prints, and what it complains.
fn uwm(args: &[&str]) -> (i32, String, String) {
    let result = std::process::Command::new(env!("CARGO_BIN_EXE_uwm-onnx")).current_dir(root("")).args(args).output();
    let result = result.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (result.status.code().unwrap(), text(result.stdout), text(result.stderr))
}

fn json(args: &[&str], exit: i32) -> Value {
    let (code, out, err) = uwm(&[args, &["--format", "json"]].concat());
    assert_eq!(code, exit, "{args:?}: {out}{err}");
    serde_json::from_str(&out).unwrap()
}

fn fails(args: &[&str], exit: i32, why: &str) {
    let (code, out, err) = uwm(args);
    assert!(code == exit && err.contains(why) && out.is_empty(), "{args:?}: {code} {out}{err}");
    assert_eq!(err.trim_end().lines().count(), 1, "one paragraph: {err}");
}

fn same(a: &str, b: &str) -> bool {
    std::fs::read(root(a)).unwrap() == std::fs::read(root(b)).unwrap()
}

#[test]
fn from_rewrite_to_the_original_and_back() {
    let small = Small::new();
    let [safe, patch, again, plain, back] =
        ["safe.onnx", "edit.uwm", "again.onnx", "plain.onnx", "back.onnx"].map(|name| small.path(name));
    let config = small.config();
    let report = json(&["rewrite", MODEL, "-o", &safe, "--patch-out", &patch, "--config", &config], 0);
    assert_eq!(report["files"][0]["patch"]["path"], patch.as_str(), "{report:#}");
    let selected = report["edit"]["selected"].as_u64().unwrap();

    // What rewrite wrote, apply writes without data and without running the model.
    let applied = json(&["apply", MODEL, &patch, "-o", &again], 0);
    assert!(same(&safe, &again));
    assert_eq!((&applied["selected"], &applied["saturated"]), (&selected.into(), &0.into()));
    assert_eq!(applied["patch"]["sha256"], report["files"][0]["patch"]["sha256"]);
    assert!(std::fs::metadata(&patch).unwrap().len() < 16 * selected + 12_000, "a few bytes an element");

    let verified = json(&["verify", &safe, "--original", MODEL], 0);
    assert_eq!(verified["verified"], true);
    let (code, text, _) = uwm(&["verify", &safe, "--original", MODEL, "--patch", &patch]);
    assert!(code == 0 && text.contains("verified: every byte is what"), "{text}");
    let difference = json(&["diff", MODEL, &safe], 0);
    assert_eq!((&difference["same_graph"], &difference["changed"]), (&true.into(), &selected.into()));
    let tensors = difference["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), 8);
    assert!(tensors.iter().all(|t| t["changed"] == t["negated"] && t["other"] == 0), "{tensors:?}");
    assert_eq!(uwm(&["diff", MODEL, &safe]).0, 0);

    json(&["apply", MODEL, &patch, "-o", &plain, "--no-provenance"], 0);
    let (input, output) = (std::fs::read(root(MODEL)).unwrap(), std::fs::read(&plain).unwrap());
    assert_eq!(input.len(), output.len());
    assert_eq!(input.iter().zip(&output).filter(|(a, b)| a != b).count() as u64, selected);
    assert_eq!(json(&["verify", &plain, "--original", MODEL, "--patch", &patch], 0)["verified"], true);
    // Without its metadata nothing says what it should be.
    assert_eq!(json(&["verify", &plain, "--original", MODEL], 1)["verified"], false);

    for edited in [&safe, &plain] {
        json(&["revert", edited, &patch, "-o", &back, "--force"], 0);
        assert!(same(&back, MODEL));
    }
    assert_eq!(json(&["diff", MODEL, &back], 0)["changed"], 0);

    // Not the files that belong together.
    fails(&["revert", MODEL, &patch, "-o", &small.path("x.onnx")], 3, "");
    let other = "models/emoji-clip/vision_model.onnx";
    fails(&["apply", other, &patch, "-o", &small.path("x.onnx")], 3, "does not fit");
    fails(&["apply", MODEL, &safe, "-o", &small.path("x.onnx")], 3, "safetensors");
    fails(&["apply", MODEL, &patch, "-o", &safe], 2, "it exists already");
    fails(&["verify", MODEL, "--original", &safe, "--patch", &patch], 3, "does not fit");
}

#[test]
fn what_was_changed_afterwards_is_found() {
    let small = Small::new();
    let (safe, patch) = (small.path("safe.onnx"), small.path("edit.uwm"));
    std::fs::write(&patch, patch_for(&root(MODEL)).to_bytes()).unwrap();
    json(&["apply", MODEL, &patch, "-o", &safe], 0);
    let mut bytes = std::fs::read(&safe).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let touched = small.path("touched.onnx");
    std::fs::write(&touched, &bytes).unwrap();
    let (code, text, _) = uwm(&["verify", &touched, "--original", MODEL, "--patch", &patch]);
    assert_eq!(code, 1);
    assert!(text.contains("NOT verified") && text.contains(&format!("from byte {middle} on")), "{text}");
    assert_eq!(uwm(&["verify", &touched, "--original", MODEL]).0, 1);
    fails(&["revert", &touched, &patch, "-o", &small.path("x.onnx")], 3, "is not what the patch was made for");

    // Something else than values: another node name.
    let mut model = ModelProto::decode(std::fs::read(root(MODEL)).unwrap().as_slice()).unwrap();
    model.graph.as_mut().unwrap().node[3].name = "renamed".to_owned();
    let renamed = small.path("renamed.onnx");
    std::fs::write(&renamed, model.encode_to_vec()).unwrap();
    let (code, text, _) = uwm(&["diff", MODEL, &renamed]);
    assert!(code == 1 && text.contains("NOT the same graph") && text.contains("renamed"), "{text}");
    assert_eq!(json(&["diff", MODEL, &renamed], 1)["same_graph"], false);
}

#[test]
fn an_edited_model_is_edited_again_only_if_forced() {
    let small = Small::new();
    let [first, second, once, twice, back] =
        ["first.uwm", "second.uwm", "once.onnx", "twice.onnx", "back.onnx"].map(|name| small.path(name));
    std::fs::write(&first, patch_for(&root(MODEL)).to_bytes()).unwrap();
    json(&["apply", MODEL, &first, "-o", &once], 0);
    fails(&["rewrite", &once, "-o", &twice, "--config", &small.config()], 2, "--force");
    std::fs::write(&second, patch_for(Path::new(&once)).to_bytes()).unwrap();
    fails(&["apply", &once, &second, "-o", &twice], 2, "--force");
    json(&["apply", &once, &second, "-o", &twice, "--force"], 0);
    let text = std::fs::read(&twice).unwrap();
    assert!(text.windows(13).any(|part| part == b"uwm.2.version"), "the second edit is recorded beside the first");
    assert_eq!(json(&["verify", &twice, "--original", &once], 0)["verified"], true);
    // Negated twice: only the records differ from the original.
    assert_eq!(json(&["diff", MODEL, &twice], 0)["changed"], 0);
    fails(&["revert", &twice, &first, "-o", &back], 3, "");
    json(&["revert", &twice, &second, "-o", &back], 0);
    assert!(same(&back, &once));
    json(&["revert", &back, &first, "-o", &twice, "--force"], 0);
    assert!(same(&twice, MODEL));
}

#[test]
fn two_files_have_two_patches() {
    let small = Small::new();
    let (text, vision) = ("models/emoji-clip/text_model.onnx", "models/emoji-clip/vision_model.onnx");
    let (out, patches) = (small.path("out"), small.path("patches"));
    json(
        &[
            "rewrite",
            "--text",
            text,
            "--vision",
            vision,
            "-o",
            &out,
            "--patch-out",
            &patches,
            "--config",
            &small.config(),
        ],
        0,
    );
    for (model, name) in [(text, "text_model"), (vision, "vision_model")] {
        let patch = format!("{patches}/{name}.uwm");
        let back = small.path(&format!("{name}.onnx"));
        json(&["revert", &format!("{out}/{name}.onnx"), &patch, "-o", &back], 0);
        assert!(same(&back, model));
    }
}

/// Weights in a body of an `If`, or in a function, are seen, named, and left alone.
#[test]
fn weights_in_subgraphs_and_functions_are_left_alone_with_a_word() {
    let small = Small::new();
    let model = ModelProto::decode(std::fs::read(root(MODEL)).unwrap().as_slice()).unwrap();
    let mut hidden = model.clone();
    let graph = hidden.graph.as_mut().unwrap();
    // The first fc2 of the vision tower moves, with its weight, into the branches of an If.
    let at = graph.node.iter().position(|node| node.name.contains("vision") && node.name.ends_with("fc2/MatMul"));
    let node = &mut graph.node[at.unwrap()];
    let mut inner = node.clone();
    inner.output[0] = "inner".to_owned();
    let weight = graph.initializer.iter().find(|tensor| inner.input.contains(&tensor.name)).unwrap().clone();
    let condition = graph.initializer.first().unwrap().clone();
    let body = |name: &str| GraphProto {
        name: name.to_owned(),
        node: vec![inner.clone()],
        initializer: vec![weight.clone()],
        output: vec![uwm_onnx::onnx::proto::ValueInfoProto { name: "inner".to_owned(), ..Default::default() }],
        ..Default::default()
    };
    let branch = |name: &str| AttributeProto {
        name: name.to_owned(),
        r#type: uwm_onnx::onnx::proto::attribute_proto::AttributeType::Graph.into(),
        g: Some(body(name)),
        ..Default::default()
    };
    node.attribute = vec![branch("then_branch"), branch("else_branch")];
    node.op_type = "If".to_owned();
    // What is fed is what the body captures; the condition does not matter, nobody runs this.
    node.input = vec![inner.input.iter().find(|name| **name != weight.name).unwrap().clone(), condition.name];
    let rewrite = |model: &ModelProto, why: &str| {
        let path = small.path("hidden.onnx");
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        let (out, config) = (small.path("x.onnx"), small.config());
        let files = [
            "--tokenizer",
            "models/emoji-clip/tokenizer.json",
            "--preprocessor",
            "models/emoji-clip/preprocessor_config.json",
        ];
        fails(&[&["rewrite", &path, "-o", &out, "--config", &config][..], &files].concat(), 3, why);
    };
    rewrite(&hidden, "in a subgraph of this node; such weights are left alone");

    // The same in a function.
    let mut hidden = model;
    let graph = hidden.graph.as_mut().unwrap();
    let node = &mut graph.node[at.unwrap()];
    let constant = uwm_onnx::onnx::proto::NodeProto {
        op_type: "Constant".to_owned(),
        output: vec![weight.name.clone()],
        attribute: vec![AttributeProto {
            name: "value".to_owned(),
            r#type: uwm_onnx::onnx::proto::attribute_proto::AttributeType::Tensor.into(),
            t: Some(weight.clone()),
            ..Default::default()
        }],
        ..Default::default()
    };
    hidden.functions.push(FunctionProto {
        name: "Linear".to_owned(),
        domain: "local".to_owned(),
        input: vec![inner.input.iter().find(|name| **name != weight.name).unwrap().clone()],
        output: inner.output.clone(),
        node: vec![constant, inner.clone()],
        ..Default::default()
    });
    (node.op_type, node.domain) = ("Linear".to_owned(), "local".to_owned());
    node.input.retain(|name| *name != weight.name);
    rewrite(&hidden, "in the function Linear that this node calls; such weights are left alone");
}

/// Two initializers of one name: nobody can say which one runs.
#[test]
fn two_initializers_of_one_name() {
    let small = Small::new();
    let patch = patch_for(&root(MODEL));
    let mut model = ModelProto::decode(std::fs::read(root(MODEL)).unwrap().as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let tensor = graph.initializer.iter().find(|tensor| tensor.name == patch.layers[0].tensor).unwrap().clone();
    graph.initializer.push(tensor);
    let path = small.path("double.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    let (file, out) = (small.path("edit.uwm"), small.path("x.onnx"));
    std::fs::write(&file, patch.to_bytes()).unwrap();
    fails(&["apply", &path, &file, "-o", &out], 3, "2 ");
    fails(&["apply", &path, &file, "-o", &out, "--match", "layers"], 3, &patch.layers[0].tensor);
    assert!(!Path::new(&out).exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Damaged patches: an error or a patch, never a panic; and never an output that is not what apply promises.
    #[test]
    fn damaged_patches_never_panic(
        cut in prop::option::of(any::<prop::sample::Index>()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        header in any::<bool>(),
        steered in any::<bool>(),
    ) {
        let model = root("tests/fixtures/reference/vision_model.onnx");
        static BYTES: std::sync::OnceLock<[Vec<u8>; 2]> = std::sync::OnceLock::new();
        let both = BYTES.get_or_init(|| {
            let model = root("tests/fixtures/reference/vision_model.onnx");
            [patch_for(&model).to_bytes(), steering_patch_for(&model).to_bytes()]
        });
        let mut bytes = both[usize::from(steered)].clone();
        // The header's text is most of it, and gets digits and letters, so that more of it parses.
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = if header { b"0123456789abc\"[]{}:,-."[value as usize % 22] } else { value };
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(patch) = Patch::from_bytes(&bytes) {
            let folder = tempfile::tempdir().unwrap();
            let (file, output) = (folder.path().join("edit.uwm"), folder.path().join("safe.onnx"));
            std::fs::write(&file, &bytes).unwrap();
            let job = uwm_onnx::pass::ApplyJob {
                model: model.clone(),
                patch: file.clone(),
                output: output.clone(),
                force: false,
                provenance: true,
                match_layers: None,
                patch_out: None,
            };
            match uwm_onnx::pass::apply(&job, &|| false) {
                Ok(applied) => {
                    prop_assert_eq!(applied.selected, patch.selected());
                    prop_assert_eq!(uwm_onnx::pass::verify(&output, &model, Some(&file)).unwrap().faults, Vec::<String>::new());
                    let _ = uwm_onnx::pass::revert(&output, &file, &folder.path().join("back.onnx"), false, &|| false);
                }
                Err(_) => prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1),
            }
        }
    }
}
