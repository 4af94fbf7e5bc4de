//! What differs in the files of a model and its original, and whether the files beside it have the edit too.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{apply_patch, root};
use prost::Message;
use serde_json::Value;
use uwm_onnx::onnx::proto::attribute_proto::AttributeType;
use uwm_onnx::onnx::proto::{AttributeProto, ModelProto, NodeProto};
use uwm_onnx::onnx::{Graph, Hints, Linear, Modality, Model, Patch, RankOne, Selection, Update};
use uwm_onnx::pass::{ApplyJob, Error, ModelFiles, Site, apply, compare_files};
use uwm_onnx::report::checked::{ComparedFile, SiblingState, Structure};

/// The same weights in other files, by the words that exporters add to their names.
const OTHERS: [(&str, &str); 6] = [
    ("fp16", "fp16"),
    ("dynamic_int8", "quantized"),
    ("qdq_int8", "int8"),
    ("qoperator_uint8", "uint8"),
    ("nbits4_zero", "q4"),
    ("nbits8", "q8"),
];

fn fixture(name: &str) -> PathBuf {
    root("tests/fixtures/siblings").join(format!("{name}.onnx"))
}

fn whole(path: &Path) -> ModelFiles {
    ModelFiles::Single { path: path.to_owned(), only: None }
}

fn compare(model: &Path, original: &Path) -> ComparedFile {
    let Structure { mut files } = compare_files(&whole(model), &whole(original), &Hints::default()).unwrap();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

/// The siblings by file name.
fn siblings(compared: &ComparedFile) -> Vec<(String, SiblingState)> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    compared.siblings.iter().map(|sibling| (name(&sibling.path), sibling.state.clone())).collect()
}

/// A patch of the layers of a role.
fn patch(path: &Path, role: &str, edit: impl Fn(&Linear) -> (Update, Vec<u32>)) -> Patch {
    let model = Model::open(path).unwrap();
    let graph = Graph::new(&model).unwrap();
    let sites = Site::find(&graph, &Hints::default()).unwrap();
    let layers = sites.iter().flat_map(|site| site.layers.iter().filter(|layer| layer.role == role).cloned());
    let select = |layer: Linear| {
        let (update, positions) = edit(&layer);
        Selection { layer, update, positions }
    };
    let selections: Vec<Selection> = layers.map(select).collect();
    assert!(!selections.is_empty());
    Patch::make(&model, &selections, Value::Null).unwrap()
}

/// Every `step`th element from `first` on is negated.
fn negations(path: &Path, first: u32, step: usize) -> Patch {
    patch(path, "fc2", |layer| {
        let [out, inputs] = layer.weight.shape;
        (Update::Multiply(-1.0), (first..(out * inputs) as u32).step_by(step).collect())
    })
}

/// Carries a patch over to the same weights in another file, in place.
fn carry_over(model: &Path, patch: &Patch) {
    let folder = tempfile::tempdir().unwrap();
    let (file, output) = (folder.path().join("edit.uwm"), folder.path().join("edited.onnx"));
    std::fs::write(&file, patch.to_bytes()).unwrap();
    let job = ApplyJob {
        model: model.to_owned(),
        patch: file,
        output: output.clone(),
        force: true,
        provenance: true,
        match_layers: Some(Hints::default()),
        patch_out: None,
    };
    apply(&job, &|| false).unwrap();
    std::fs::copy(output, model).unwrap();
}

/// The edited encoder in a folder with all its unedited siblings.
fn release(edit: &Patch) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("vision_model.onnx");
    apply_patch(&fixture("fp32"), edit, &model);
    for (name, word) in OTHERS {
        std::fs::copy(fixture(name), folder.path().join(format!("vision_model_{word}.onnx"))).unwrap();
    }
    (folder, model)
}

#[test]
fn siblings_without_the_edit_are_named() {
    let (_folder, model) = release(&negations(&fixture("fp32"), 0, 31));
    let compared = compare(&model, &fixture("fp32"));
    let mut expected: Vec<_> =
        OTHERS.iter().map(|(_, word)| (format!("vision_model_{word}.onnx"), SiblingState::Stale)).collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(siblings(&compared), expected);
    assert_eq!(compared.edits, 1);
    assert!(compared.diff.graph.is_empty() && compared.io.is_empty(), "{compared:?}");
}

#[test]
fn siblings_with_the_edit_or_half_of_it_are_told() {
    let edit = negations(&fixture("fp32"), 0, 31);
    let (folder, model) = release(&edit);
    // The same elements and as many others less: every second one.
    let half = negations(&fixture("fp32"), 0, 62);
    for (_, word) in OTHERS {
        let path = folder.path().join(format!("vision_model_{word}.onnx"));
        std::fs::copy(&path, folder.path().join(format!("half_{word}.onnx"))).unwrap();
        carry_over(&path, &edit);
        carry_over(&folder.path().join(format!("half_{word}.onnx")), &half);
    }
    for (name, state) in siblings(&compare(&model, &fixture("fp32"))) {
        match state {
            SiblingState::Edited => assert!(name.starts_with("vision_model"), "{name}"),
            SiblingState::Other(share) => {
                assert!(name.starts_with("half") && (45.0..55.0).contains(&share), "{name}: {share}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn an_edit_of_one_layer_of_several_is_not_all_of_it() {
    // Many elements in one layer, few in the others.
    let edit = |few: bool| {
        move |layer: &Linear| {
            let step = if layer.block == Some(0) { 7 } else { 1001 };
            let end = if few && layer.block != Some(0) { 0 } else { (48 * 96) as u32 };
            (Update::Multiply(-1.0), (0..end).step_by(step).collect())
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let [model, other] = ["model.onnx", "model_fp16.onnx"].map(|name| folder.path().join(name));
    apply_patch(&fixture("fp32"), &patch(&fixture("fp32"), "fc2", edit(false)), &model);
    apply_patch(&fixture("fp16"), &patch(&fixture("fp16"), "fc2", edit(true)), &other);
    let found = siblings(&compare(&model, &fixture("fp32")));
    assert!(matches!(found[0].1, SiblingState::Other(share) if share > 90.0), "{found:?}");
}

#[test]
fn a_model_of_both_towers_is_a_sibling_of_each() {
    let bundled = |name: &str| root("models/emoji-clip").join(name);
    let folder = tempfile::tempdir().unwrap();
    for name in ["model.onnx", "vision_model.onnx"] {
        std::fs::copy(bundled(name), folder.path().join(name)).unwrap();
    }
    let model = folder.path().join("text_model.onnx");
    let edit = negations(&bundled("text_model.onnx"), 5, 97);
    apply_patch(&bundled("text_model.onnx"), &edit, &model);
    let found = || siblings(&compare(&model, &bundled("text_model.onnx")));
    assert_eq!(found(), [("model.onnx".to_owned(), SiblingState::Stale)]);
    carry_over(&folder.path().join("model.onnx"), &edit);
    assert_eq!(found(), [("model.onnx".to_owned(), SiblingState::Edited)]);
}

#[test]
fn files_of_one_tower_are_siblings_of_a_model_of_both() {
    let bundled = |name: &str| root("models/emoji-clip").join(name);
    let folder = tempfile::tempdir().unwrap();
    for name in ["text_model.onnx", "vision_model.onnx"] {
        std::fs::copy(bundled(name), folder.path().join(name)).unwrap();
    }
    let model = folder.path().join("model.onnx");
    let edit = negations(&bundled("model.onnx"), 5, 97);
    apply_patch(&bundled("model.onnx"), &edit, &model);
    carry_over(&folder.path().join("vision_model.onnx"), &edit);
    let expected = [("text_model.onnx", SiblingState::Stale), ("vision_model.onnx", SiblingState::Edited)];
    let found = siblings(&compare(&model, &bundled("model.onnx")));
    assert_eq!(found, expected.map(|(name, state)| (name.to_owned(), state)));
}

#[test]
fn other_values_are_told_from_the_original_ones() {
    let direction = |layer: &Linear, size: f64| {
        let [out, inputs] = layer.weight.shape;
        let left = (0..out).map(|o| size * (1.0 + (o % 5) as f64)).collect();
        let right = (0..inputs).map(|i| ((i * 7 % 13) as f64 - 6.0) / 6.0).collect();
        (Update::RankOne(Arc::new(RankOne { left, right })), (0..(out * inputs) as u32).collect())
    };
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.onnx");
    let edit = |path: &Path, size: f64| patch(path, "fc2", |layer| direction(layer, size));
    apply_patch(&fixture("fp32"), &edit(&fixture("fp32"), 0.002), &model);
    for (name, word) in OTHERS {
        std::fs::copy(fixture(name), folder.path().join(format!("model_{word}.onnx"))).unwrap();
    }
    let [same, opposite] = ["same.onnx", "opposite.onnx"].map(|name| folder.path().join(name));
    apply_patch(&fixture("fp16"), &edit(&fixture("fp16"), 0.002), &same);
    apply_patch(&fixture("fp16"), &edit(&fixture("fp16"), -0.002), &opposite);
    for (name, state) in siblings(&compare(&model, &fixture("fp32"))) {
        let expected = if name == "same.onnx" { SiblingState::Edited } else { SiblingState::Stale };
        assert_eq!(state, expected, "{name}");
    }
}

#[test]
fn what_cannot_be_told_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    apply_patch(&fixture("fp32"), &negations(&fixture("fp32"), 0, 31), &path("model.onnx"));
    // By name a sibling: no model, and a model of other weights.
    std::fs::write(path("model_fp16.onnx"), "no model").unwrap();
    std::fs::copy(root("models/emoji-clip/vision_model.onnx"), path("model_int8.onnx")).unwrap();
    std::fs::copy(root("models/emoji-clip/text_model.onnx"), path("model_q4.onnx")).unwrap();
    // By nothing a sibling.
    std::fs::write(path("notes.onnx"), "no model").unwrap();
    std::fs::copy(root("models/emoji-clip/vision_model.onnx"), path("other.onnx")).unwrap();
    let found = siblings(&compare(&path("model.onnx"), &fixture("fp32")));
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["model_fp16.onnx", "model_int8.onnx", "model_q4.onnx"]);
    for ((name, state), why) in found.iter().zip(["ONNX", "no layer has the shape", "none of the towers"]) {
        assert!(matches!(state, SiblingState::Unknown(reason) if reason.contains(why)), "{name}: {state:?}");
    }
}

#[test]
fn the_original_itself_is_no_sibling() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::copy(fixture("fp32"), path("model.onnx")).unwrap();
    apply_patch(&path("model.onnx"), &negations(&fixture("fp32"), 0, 31), &path("safe.onnx"));
    assert!(compare(&path("safe.onnx"), &path("model.onnx")).siblings.is_empty());
    // Nor is a copy of it, but for one with a name under which the edit would be looked for.
    assert!(compare(&path("safe.onnx"), &fixture("fp32")).siblings.is_empty());
    std::fs::copy(fixture("fp32"), path("safe_fp32.onnx")).unwrap();
    let found = siblings(&compare(&path("safe.onnx"), &path("model.onnx")));
    assert_eq!(found, [("safe_fp32.onnx".to_owned(), SiblingState::Stale)]);
}

#[test]
fn without_an_edit_there_is_nothing_to_look_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::copy(fixture("fp32"), path("model.onnx")).unwrap();
    std::fs::copy(fixture("fp16"), path("model_fp16.onnx")).unwrap();
    let compared = compare(&path("model.onnx"), &fixture("fp32"));
    assert_eq!((compared.diff.changed(), compared.edits, compared.siblings.len()), (0, 0, 0));
    assert_eq!(compared.original.sha256, compared.model.sha256);
}

#[test]
fn layers_say_how_much_of_them_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (original, model) = (root(common::MODEL), folder.path().join("safe.onnx"));
    apply_patch(&original, &negations(&original, 3, 50), &model);
    let compared = compare(&model, &original);
    let fc2: Vec<_> = compared.layers.iter().filter(|layer| layer.role == "fc2").collect();
    assert!(fc2.iter().any(|l| l.tower == Modality::Text) && fc2.iter().any(|l| l.tower == Modality::Vision));
    for layer in &compared.layers {
        let changed = if layer.role == "fc2" { (layer.elements - 3).div_ceil(50) } else { 0 };
        assert_eq!((layer.changed, layer.negated), (changed, changed), "{layer:?}");
    }
    let mut names: Vec<&str> = compared.layers.iter().map(|layer| layer.initializer.as_str()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a tied weight counts once");
    assert_eq!(compared.diff.changed(), compared.layers.iter().map(|layer| layer.changed).sum::<usize>());
}

fn rewritten(from: &Path, to: &Path, change: impl FnOnce(&mut ModelProto)) {
    let mut model = ModelProto::decode(std::fs::read(from).unwrap().as_slice()).unwrap();
    change(&mut model);
    std::fs::write(to, model.encode_to_vec()).unwrap();
}

/// The initializer of that name becomes the value of a node.
fn to_constant_node(model: &mut ModelProto, name: &str) {
    let graph = model.graph.as_mut().unwrap();
    let at = graph.initializer.iter().position(|tensor| tensor.name == name).unwrap();
    let tensor = graph.initializer.remove(at);
    let attribute = AttributeProto {
        name: "value".to_owned(),
        r#type: AttributeType::Tensor.into(),
        t: Some(tensor),
        ..AttributeProto::default()
    };
    let node = NodeProto {
        op_type: "Constant".to_owned(),
        output: vec![name.to_owned()],
        attribute: vec![attribute],
        ..NodeProto::default()
    };
    graph.node.insert(0, node);
}

#[test]
fn weights_in_constant_nodes_count_too() {
    let folder = tempfile::tempdir().unwrap();
    let [original, model] = ["model.onnx", "safe.onnx"].map(|name| folder.path().join(name));
    let weights: Vec<String> = negations(&fixture("fp32"), 0, 31).layers.into_iter().map(|l| l.tensor).collect();
    rewritten(&fixture("fp32"), &original, |proto| weights.iter().for_each(|name| to_constant_node(proto, name)));
    apply_patch(&original, &negations(&original, 0, 31), &model);
    let compared = compare(&model, &original);
    assert!(compared.diff.graph.is_empty());
    let changed: Vec<_> = compared.layers.iter().filter(|layer| layer.changed > 0).collect();
    assert_eq!(changed.len(), weights.len());
    assert!(changed.iter().all(|layer| layer.changed == (48 * 96_usize).div_ceil(31)), "{changed:?}");
}

#[test]
fn a_graph_that_differs_shows() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.onnx");
    rewritten(&fixture("fp32"), &model, |proto| {
        let nodes = &mut proto.graph.as_mut().unwrap().node;
        let attribute = nodes.iter_mut().flat_map(|node| &mut node.attribute).find(|a| a.name == "axis").unwrap();
        attribute.i += 1;
    });
    let compared = compare(&model, &fixture("fp32"));
    assert!(!compared.diff.graph.is_empty() && compared.io.is_empty(), "{compared:?}");
}

#[test]
fn another_signature_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.onnx");
    let io = |change: &dyn Fn(&mut ModelProto)| {
        rewritten(&fixture("fp32"), &model, change);
        compare(&model, &fixture("fp32")).io
    };
    assert!(io(&|_| {}).is_empty());
    let renamed = io(&|proto| {
        let graph = proto.graph.as_mut().unwrap();
        graph.input[0].name = "pixels".to_owned();
        let inputs = graph.node.iter_mut().flat_map(|node| &mut node.input);
        inputs.filter(|name| *name == "pixel_values").for_each(|name| *name = "pixels".to_owned());
    });
    assert_eq!(renamed, ["inputs are gone: 'pixel_values'", "inputs are new: 'pixels'"]);
    let retyped = io(&|proto| {
        let graph = proto.graph.as_mut().unwrap();
        graph.output[0].r#type = None;
        graph.output.push(graph.input[0].clone());
    });
    assert_eq!(retyped.len(), 2, "{retyped:?}");
    assert!(retyped[0].contains("outputs are new: 'pixel_values'"), "{retyped:?}");
    assert!(retyped[1].contains("'image_embeds' is no tensor, or of unknown type and was FLOAT ["), "{retyped:?}");
    let version = io(&|proto| {
        proto.ir_version += 1;
        proto.opset_import[0].version += 1;
    });
    assert!(version[0].starts_with("the opsets are ai.onnx ") && version[1].starts_with("the IR version is "));
}

#[test]
fn files_are_paired_by_tower() {
    let bundled = |name: &str| root("models/emoji-clip").join(name);
    let (text, vision, both) = (bundled("text_model.onnx"), bundled("vision_model.onnx"), bundled("model.onnx"));
    let pair = ModelFiles::Pair { text: text.clone(), vision: vision.clone() };
    let paired = |model: &ModelFiles, original: &ModelFiles| {
        let files = compare_files(model, original, &Hints::default())?.files;
        Ok::<_, Error>(files.into_iter().map(|file| file.original.path).collect::<Vec<_>>())
    };
    assert_eq!(paired(&pair, &pair).unwrap(), [text.clone(), vision.clone()]);
    assert_eq!(paired(&whole(&vision), &pair).unwrap(), [vision.as_path()]);
    let only = |path: &Path, tower| ModelFiles::Single { path: path.to_owned(), only: Some(tower) };
    assert_eq!(paired(&only(&text, Modality::Text), &pair).unwrap(), [text.as_path()]);
    assert_eq!(paired(&only(&both, Modality::Text), &whole(&both)).unwrap(), [both.as_path()]);
    for (model, original, why) in [
        (whole(&both), pair.clone(), "has both towers"),
        (whole(&root("tests/fixtures/siblings/fp32.onnx")), whole(&root("Cargo.toml")), "not a readable"),
        (pair.clone(), whole(&both), "a file for each tower"),
        (only(&text, Modality::Text), only(&vision, Modality::Vision), "the text tower"),
    ] {
        let error = paired(&model, &original).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}
