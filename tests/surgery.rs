//! Invariants of the edit, over generated models: only planned bytes change, negation undoes itself, logical
//! positions land on the right bytes in either orientation.

use std::path::Path;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use uwm_onnx::onnx::proto::tensor_proto::DataType;
use uwm_onnx::onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use uwm_onnx::onnx::proto::{TypeProto, ValueInfoProto, type_proto};
use uwm_onnx::onnx::{Error, Graph, LayerEdit, Model, Patch, check_output};
use uwm_onnx::pass::Site;

/// `pixel_values -> MatMul [I, O] -> Gemm transB [O, I] -> image_embeds`, ranks aside: nothing here runs it.
fn model(inputs: usize, width: usize, outputs: usize, seed: &[f32]) -> ModelProto {
    let weight = |name: &str, dims: [usize; 2]| {
        let values = (0..dims[0] * dims[1]).map(|k| seed[k % seed.len()] + k as f32);
        TensorProto {
            name: name.to_owned(),
            dims: dims.map(|d| d as i64).to_vec(),
            data_type: DataType::Float as i32,
            raw_data: Some(values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>().into()),
            ..TensorProto::default()
        }
    };
    let node = |op: &str, name: &str, input: [&str; 2], output: &str, attribute: Vec<AttributeProto>| NodeProto {
        op_type: op.to_owned(),
        name: name.to_owned(),
        input: input.map(str::to_owned).to_vec(),
        output: vec![output.to_owned()],
        attribute,
        ..NodeProto::default()
    };
    let value = |name: &str, rank: usize| ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: DataType::Float as i32,
                shape: Some(uwm_onnx::onnx::proto::TensorShapeProto { dim: vec![Default::default(); rank] }),
            })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    };
    let trans_b = AttributeProto { name: "transB".to_owned(), i: 1, r#type: 2, ..AttributeProto::default() };
    ModelProto {
        ir_version: 8,
        graph: Some(GraphProto {
            node: vec![
                node("MatMul", "/layers.0/mlp/fc2/MatMul", ["pixel_values", "a"], "h", vec![]),
                node("Gemm", "/layers.1/mlp/fc2/Gemm", ["h", "b"], "image_embeds", vec![trans_b]),
            ],
            initializer: vec![weight("a", [inputs, width]), weight("b", [outputs, width])],
            input: vec![value("pixel_values", 4)],
            output: vec![value("image_embeds", 2)],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

fn write(path: &Path, proto: &ModelProto) -> Vec<u8> {
    let mut bytes = proto.encode_to_vec();
    // A field this schema does not know (number 1000): an editor that decodes and re-encodes would lose it.
    bytes.extend(b"\xc2\x3e\x04kept");
    std::fs::write(path, &bytes).unwrap();
    bytes
}

fn edits(path: &Path, choose: &[prop::sample::Index], alpha: f32) -> (Model, Vec<LayerEdit>) {
    let model = Model::open(path).unwrap();
    let graph = Graph::new(&model).unwrap();
    let site = Site::find(&graph).unwrap().pop().unwrap();
    let layers = site.select("fc2").unwrap();
    assert_eq!(layers.len(), 2);
    let edit = |layer: uwm_onnx::onnx::Linear| {
        let elements = layer.weight.shape[0] * layer.weight.shape[1];
        let mut positions: Vec<u32> = choose.iter().map(|index| index.index(elements) as u32).collect();
        positions.sort_unstable();
        positions.dedup();
        LayerEdit { weight: layer.weight, alpha, positions }
    };
    let edits = layers.into_iter().map(edit).collect();
    (model, edits)
}

fn apply(path: &Path, out: &Path, edits: &[LayerEdit]) -> Vec<u8> {
    let model = Model::open(path).unwrap();
    let patch = Patch { source_sha256: model.sha256().to_owned(), layers: edits.to_vec() };
    patch.stage(&model, out).unwrap().publish(true).unwrap();
    std::fs::read(out).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn only_planned_bytes_change_and_negation_undoes_itself(
        (inputs, width, outputs) in (1_usize..9, 1_usize..9, 1_usize..9),
        seed in prop::collection::vec(any::<f32>(), 1..9),
        choose in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a.onnx", "b.onnx", "c.onnx"].map(|name| folder.path().join(name));
        let original = write(&a, &model(inputs, width, outputs, &seed));
        let (opened, edits) = edits(&a, &choose, -1.0);
        let mut expected = original.clone();
        for edit in &edits {
            let start = edit.weight.file_offset(&opened).unwrap();
            for &position in &edit.positions {
                expected[start + 4 * edit.weight.stored_index(position as usize) + 3] ^= 0x80;
            }
        }
        prop_assert_eq!(&apply(&a, &b, &edits), &expected);
        prop_assert_eq!(&apply(&b, &c, &edits), &original);
        prop_assert_eq!(&std::fs::read(&a).unwrap(), &original);
    }

    #[test]
    fn logical_positions_are_the_same_in_both_orientations(
        (inputs, width, outputs) in (1_usize..9, 1_usize..9, 1_usize..9),
        choose in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
        alpha in -3.0_f32..3.0,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a.onnx", "b.onnx"].map(|name| folder.path().join(name));
        write(&a, &model(inputs, width, outputs, &[0.5, -1.25]));
        let (before, edits) = edits(&a, &choose, alpha);
        apply(&a, &b, &edits);
        let after = Model::open(&b).unwrap();
        for edit in &edits {
            let (old, new) = (edit.weight.read(&before).unwrap(), edit.weight.read(&after).unwrap());
            prop_assert_eq!(old.dim(), edit.weight.shape.into());
            for (position, (old, new)) in old.iter().zip(&new).enumerate() {
                let chosen = edit.positions.contains(&(position as u32));
                prop_assert_eq!(*new, if chosen { alpha * old } else { *old });
            }
        }
    }
}

fn refusal(change: impl FnOnce(&mut TensorProto)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let mut proto = model(3, 4, 5, &[1.0]);
    change(&mut proto.graph.as_mut().unwrap().initializer[1]);
    write(&path, &proto);
    let model = Model::open(&path).unwrap();
    let graph = Graph::new(&model).unwrap();
    match Site::find(&graph).unwrap().pop().unwrap().select("fc2") {
        Err(error @ Error::Tensor { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_types_and_storages_are_refused_by_name() {
    assert!(
        refusal(|t| t.data_type = DataType::Float16 as i32).contains("'b' cannot be used: its element type is FLOAT16")
    );
    assert!(refusal(|t| t.data_type = 99).contains("number 99"));
    assert!(refusal(|t| t.data_location = 1).contains("external data"));
    assert!(refusal(|t| (t.raw_data, t.float_data) = (None, vec![0.0; 20])).contains("float_data"));
    assert!(refusal(|t| t.raw_data = Some(Bytes::from_static(b"1234"))).contains("4 bytes"));
}

#[test]
fn a_selection_that_would_be_partial_is_refused() {
    // Two fc2 layers; the weight of one comes out of a Cast.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let mut proto = model(3, 4, 5, &[1.0]);
    let graph = proto.graph.as_mut().unwrap();
    graph.node[1].input[1] = "cast".to_owned();
    let cast = NodeProto {
        op_type: "Cast".to_owned(),
        input: vec!["b".to_owned()],
        output: vec!["cast".to_owned()],
        ..NodeProto::default()
    };
    graph.node.insert(0, cast);
    write(&path, &proto);
    let model = Model::open(&path).unwrap();
    let graph = Graph::new(&model).unwrap();
    let error = Site::find(&graph).unwrap().pop().unwrap().select("fc2").unwrap_err().to_string();
    assert!(error.contains("'/layers.1/mlp/fc2/Gemm'") && error.contains("'cast', made by Cast"), "{error}");
}

#[test]
fn a_shared_weight_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let mut proto = model(4, 4, 4, &[1.0]);
    let graph = proto.graph.as_mut().unwrap();
    graph.node[1].input[1] = "a".to_owned();
    write(&path, &proto);
    let model = Model::open(&path).unwrap();
    let graph = Graph::new(&model).unwrap();
    let error = Site::find(&graph).unwrap().pop().unwrap().select("fc2").unwrap_err().to_string();
    assert!(error.contains("shares it with '/layers.1/mlp/fc2/Gemm'"), "{error}");
}

#[test]
fn a_patch_for_another_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    write(&path, &model(3, 4, 5, &[1.0]));
    let (model, layers) = edits(&path, &[], -1.0);
    let patch = Patch { source_sha256: "0".repeat(64), layers: layers.clone() };
    assert!(matches!(patch.stage(&model, &folder.path().join("o.onnx")), Err(Error::Patch { .. })));
    let twice = Patch { source_sha256: model.sha256().to_owned(), layers: vec![layers[0].clone(), layers[0].clone()] };
    assert!(twice.stage(&model, &folder.path().join("o.onnx")).unwrap_err().to_string().contains("twice"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn outputs_that_would_do_harm_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let input = at("m.onnx");
    std::fs::write(&input, "x").unwrap();
    std::fs::write(at("there.onnx"), "y").unwrap();
    std::fs::hard_link(&input, at("hard.onnx")).unwrap();
    let refused = |output: &Path, force| check_output(&input, output, force).unwrap_err().to_string();
    assert!(refused(&input, true).contains("the input itself"));
    assert!(refused(&at("hard.onnx"), true).contains("the input itself"));
    assert!(refused(folder.path(), true).contains("a directory"));
    assert!(refused(&at("no/such/safe.onnx"), true).contains("folder does not exist"));
    assert!(refused(&at("there.onnx"), false).contains("exists already"));
    #[cfg(target_os = "linux")]
    assert!(refused(Path::new("/dev/null"), true).contains("neither a file nor a link"));
    assert!(check_output(&input, &at("there.onnx"), true).is_ok());
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&input, at("soft.onnx")).unwrap();
        assert!(refused(&at("soft.onnx"), true).contains("the input itself"));
        std::os::unix::fs::symlink(at("gone"), at("dangling.onnx")).unwrap();
        assert!(refused(&at("dangling.onnx"), false).contains("exists already"));
    }
    assert!(check_output(&input, &at("new.onnx"), false).is_ok());
}
