//! What is told of graphs: layers by role, block and name, and what can be said where something cannot be told.

mod common;

use std::path::Path;

use common::{inspect, output, zoo};
use prost::Message;
use serde_json::{Value, json};
use uwm_onnx::onnx::proto::tensor_proto::DataType;
use uwm_onnx::onnx::proto::tensor_shape_proto::{Dimension, dimension::Value as Dim};
use uwm_onnx::onnx::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    type_proto,
};

#[test]
fn layers_are_chosen_by_role_block_and_name() {
    let model = zoo("hf_clip.ts_eager.onnx");
    let model = model.to_str().unwrap();
    let chosen = |args: &[&str]| -> Vec<String> {
        let seen = inspect(&[&[model], args].concat());
        let layers = seen["layers"].as_array().unwrap().iter().filter(|layer| layer["selected"] == true);
        let word = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        layers.map(|l| format!("{} {} {}", word(&l["tower"]), word(&l["block"]), word(&l["role"]))).collect()
    };
    let usual = ["text 0 out_proj", "text 1 out_proj", "vision 0 fc2", "vision 1 fc2"];
    assert_eq!(chosen(&[]), usual);
    assert_eq!(chosen(&["--layers", "vision:fc2[1..]"]), ["text 0 out_proj", "text 1 out_proj", "vision 1 fc2"]);
    assert_eq!(
        chosen(&["--layers", "text:block.1.fc1,projection", "--layers", "vision:*visual_projection*"]),
        ["text 1 fc1", "text null projection", "vision null projection"]
    );
    assert_eq!(chosen(&["--layers", "fc1[0]"]), ["text 0 fc1", "vision 0 fc1"]);
    // What takes nothing is told.
    let seen = inspect(&[model, "--layers", "text:fc9"]);
    assert!(seen["stops"].to_string().contains("no text layer is one of 'fc9'; roles found: fc1 (2)"));
    assert!(seen["layers"].as_array().unwrap().iter().all(|layer| layer["selected"] == false));
    let seen = inspect(&[model, "--layers", "vision:fc2,fc2[7..]"]);
    assert!(seen["stops"].to_string().contains("no vision layer is one of 'fc2[7..]'"));
    let (_, stderr, code) = output(&["inspect", model, "--variant", "fp16"]);
    assert!(code == 2 && stderr.contains("no folder was given"), "{stderr}");
    let seen = inspect(&[model, "--embedding", "logits_per_image"]);
    assert!(
        seen["stops"].to_string().contains("'logits_per_image', which --embedding names, is no value of one tower")
    );
    // A file that was given for one tower is not edited in the other; two towers are two files.
    let text = inspect(&["--text", model]);
    let selected = |seen: &Value| -> Vec<String> {
        let layers = seen["layers"].as_array().unwrap().iter().filter(|layer| layer["selected"] == true);
        layers.map(|layer| layer["tower"].to_string()).collect()
    };
    assert_eq!(selected(&text), ["\"text\"", "\"text\""]);
    let vision = zoo("siglip.dynamo_sdpa.vision.onnx");
    let wrong = inspect(&["--text", vision.to_str().unwrap()]);
    assert!(wrong["stops"].to_string().contains("given with --text, and there is no text tower"), "{wrong}");
    assert!(selected(&wrong).is_empty());
    let (_, stderr, code) = output(&["inspect", model, "--input", "pixel_values=picture"]);
    assert!(code == 2 && stderr.contains("no role of an input"), "{stderr}");
}

fn value(name: &str, element: DataType, dims: &[i64]) -> ValueInfoProto {
    let dim = |&n: &i64| Dimension { value: (n > 0).then_some(Dim::DimValue(n)), ..Default::default() };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: element.into(), shape: Some(shape) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(r#type), ..Default::default() }
}

/// A graph of nodes `(operator, inputs, output)`, with weights of the given shapes.
fn model(
    folder: &Path,
    inputs: Vec<ValueInfoProto>,
    nodes: &[(&str, &[&str], &str)],
    weights: &[(&str, &[i64])],
    outputs: Vec<ValueInfoProto>,
) -> String {
    let node = |&(op, inputs, output): &(&str, &[&str], &str)| NodeProto {
        name: format!("make {output}"),
        op_type: op.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    };
    let weight = |&(name, dims): &(&str, &[i64])| TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: DataType::Float.into(),
        raw_data: Some(vec![0; 4 * dims.iter().product::<i64>() as usize].into()),
        ..Default::default()
    };
    let graph = GraphProto {
        name: "g".to_owned(),
        input: inputs,
        node: nodes.iter().map(node).collect(),
        initializer: weights.iter().map(weight).collect(),
        output: outputs,
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    let model = ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() };
    let path = folder.join("model.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A model of the zoo with something changed in its nodes.
fn changed(folder: &Path, name: &str, change: impl Fn(&mut NodeProto)) -> String {
    let mut model = ModelProto::decode(std::fs::read(zoo(name)).unwrap().as_slice()).unwrap();
    model.graph.as_mut().unwrap().node.iter_mut().for_each(change);
    let path = folder.join("changed.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn names_confirm_and_their_disagreement_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let told = |model: &str| -> Vec<(String, String)> {
        let seen = inspect(&[model]);
        let word = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        let row = |l: &Value| (format!("{} {}", word(&l["block"]), word(&l["role"])), word(&l["told_by"]));
        seen["layers"].as_array().unwrap().iter().map(row).collect()
    };
    let right = told(zoo("hf_clip.ts_eager.onnx").to_str().unwrap());
    // Names of the other block.
    let swapped = changed(folder.path(), "hf_clip.ts_eager.onnx", |node| {
        node.name =
            node.name.replace("layers.0", "layers.x").replace("layers.1", "layers.0").replace("layers.x", "layers.1");
    });
    let disputed = told(&swapped);
    for ((right, _), (found, told)) in right.iter().zip(&disputed) {
        assert_eq!(right, found);
        let (block, role) = right.split_once(' ').unwrap();
        let want = match block {
            "0" => format!("structure; its name says block.1.{role}"),
            "1" => format!("structure; its name says block.0.{role}"),
            _ => "structure and name".to_owned(),
        };
        assert_eq!(*told, want);
    }
    assert!(inspect(&[&swapped])["unusual"].to_string().contains("24 layers where name and structure disagree"));
    // Names that say nothing, and an activation that is none of those known: then names alone tell.
    let nameless = changed(folder.path(), "hf_clip.ts_eager.onnx", |node| node.name = String::new());
    assert!(told(&nameless).iter().zip(&right).all(|(a, b)| a.0 == b.0 && a.1 == "structure"));
    let strange = |node: &mut NodeProto| {
        if node.op_type == "Sigmoid" {
            node.op_type = "HardSigmoid".to_owned();
        }
    };
    let strange = changed(folder.path(), "hf_clip.ts_eager.onnx", strange);
    for ((found, told), (right, _)) in told(&strange).iter().zip(&right) {
        assert_eq!(found, right);
        assert_eq!(told, if found.contains("fc") { "name" } else { "structure and name" });
    }
}

#[test]
fn what_the_user_says_wins() {
    let folder = tempfile::tempdir().unwrap();
    let image = |name: &str| value(name, DataType::Float, &[-1, 3, 8, 8]);
    let two = model(
        folder.path(),
        vec![image("left"), image("right")],
        &[
            ("MatMul", &["left", "W"], "a"),
            ("ReduceMean", &["a"], "one"),
            ("Relu", &["a"], "other"),
            ("MatMul", &["right", "V"], "c"),
        ],
        &[("W", &[8, 4]), ("V", &[8, 4])],
        ["one", "other", "c"].map(|name| value(name, DataType::Float, &[-1, 4])).to_vec(),
    );
    let seen = inspect(&[&two]);
    assert!(seen["stops"].to_string().contains("left, right could each be pixel_values: pass --input"), "{seen}");
    // Nothing is hidden for it: layers are listed.
    assert_eq!(seen["layers"].as_array().unwrap().len(), 2);
    assert_eq!(seen["layers"][0]["tower"], Value::Null);
    let seen = inspect(&[&two, "--input", "left=pixel_values"]);
    assert!(
        seen["stops"]
            .to_string()
            .contains("several outputs could be the vision embedding: one, other: pass --embedding"),
        "{seen}"
    );
    let seen = inspect(&[&two, "--input", "left=pixel_values", "--embedding", "other"]);
    assert_eq!(seen["towers"][0]["embedding"], "other");
    assert_eq!(seen["towers"][0]["inputs"], json!(["left"]));
    assert_eq!((&seen["layers"][0]["tower"], &seen["layers"][1]["tower"]), (&json!("vision"), &Value::Null));
    let (_, stderr, code) = output(&["inspect", &two, "--input", "middle=pixel_values"]);
    assert!(code == 3 && stderr.contains("no input 'middle', which --input names; there are left, right"), "{stderr}");
    let (_, stderr, code) = output(&["inspect", &two, "--embedding", "none"]);
    assert!(code == 3 && stderr.contains("nothing makes 'none', which --embedding names"), "{stderr}");
}

#[test]
fn scales_are_along_the_axis_of_what_is_dequantised() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(
        folder.path(),
        vec![value("x", DataType::Float, &[-1, 3, 2, 2])],
        &[
            ("Transpose", &["codes"], "turned"),
            ("DequantizeLinear", &["turned", "scale"], "w"),
            ("MatMul", &["x", "w"], "y"),
        ],
        &[("codes", &[1]), ("scale", &[2])],
        vec![value("y", DataType::Float, &[-1, 2])],
    );
    let mut proto = ModelProto::decode(std::fs::read(&path).unwrap().as_slice()).unwrap();
    let weights = &mut proto.graph.as_mut().unwrap().initializer;
    (weights[0].dims, weights[0].data_type, weights[0].raw_data) =
        (vec![2, 2], DataType::Int8.into(), Some(vec![1, 2, 3, 4].into()));
    weights[1].raw_data =
        Some([1.0_f32, 10.0].iter().flat_map(|scale| scale.to_le_bytes()).collect::<Vec<u8>>().into());
    std::fs::write(&path, proto.encode_to_vec()).unwrap();
    let model = uwm_onnx::onnx::Model::open(Path::new(&path)).unwrap();
    let graph = uwm_onnx::onnx::Graph::new(&model).unwrap();
    let site = uwm_onnx::pass::Site::find(&graph, &uwm_onnx::onnx::Hints::default()).unwrap().remove(0);
    // What is dequantised is [[1, 3], [2, 4]], by columns [[1, 30], [2, 40]], and that is [I, O].
    assert_eq!(site.layers[0].weight.read(&model).unwrap(), ndarray::array![[1.0, 2.0], [30.0, 40.0]]);
}

#[test]
fn inputs_are_told_by_what_they_feed() {
    let folder = tempfile::tempdir().unwrap();
    let ids = |name: &str| value(name, DataType::Int64, &[-1, 6]);
    // Names say nothing: the largest table is that of words, one of two rows that of segments, the other of positions.
    let text = model(
        folder.path(),
        vec![ids("a"), ids("b"), ids("c"), ids("some_mask")],
        &[
            ("Gather", &["positions", "b"], "p"),
            ("Gather", &["segments", "c"], "s"),
            ("Gather", &["words", "a"], "w"),
            ("Add", &["p", "s"], "ps"),
            ("Add", &["w", "ps"], "sum"),
            ("Cast", &["some_mask"], "m"),
            ("Mul", &["sum", "m"], "masked"),
            ("MatMul", &["masked", "W"], "tied"),
            ("MatMul", &["tied", "W"], "twice"),
            ("ReduceMean", &["twice"], "embedding"),
        ],
        &[("words", &[99, 4]), ("positions", &[20, 4]), ("segments", &[2, 4]), ("W", &[4, 4])],
        vec![value("embedding", DataType::Float, &[-1, 4])],
    );
    let seen = inspect(&[&text]);
    let roles: Vec<&str> = seen["inputs"].as_array().unwrap().iter().map(|i| i["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["input_ids", "position_ids", "token_type_ids", "attention_mask"]);
    // A weight that serves twice is one layer.
    let layers = seen["layers"].as_array().unwrap();
    assert_eq!((layers.len(), &layers[0]["uses"], &layers[0]["why"]), (1, &json!(2), &json!("not asked for")));

    // A 1x1 convolution is listed, and left alone.
    let vision = model(
        folder.path(),
        vec![value("x", DataType::Float, &[-1, 3, 8, 8])],
        &[("Conv", &["x", "K"], "c"), ("Conv", &["c", "L"], "d"), ("ReduceMean", &["d"], "embedding")],
        &[("K", &[5, 3, 2, 2]), ("L", &[4, 5, 1, 1])],
        vec![value("embedding", DataType::Float, &[-1, 4])],
    );
    let seen = inspect(&[&vision]);
    let layers = seen["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);
    assert!(layers[0]["why"].as_str().unwrap().contains("1x1 convolution") && layers[0]["selected"] == false);
    // Also where its name is one that is asked for; what is a linear layer of that name is edited.
    let both = model(
        folder.path(),
        vec![value("x", DataType::Float, &[-1, 3, 8, 8])],
        &[
            ("Conv", &["x", "K"], "c"),
            ("Conv", &["c", "L"], "a/mlp/fc2/Conv"),
            ("MatMul", &["c", "W"], "b/mlp/fc2/MatMul"),
            ("Add", &["a/mlp/fc2/Conv", "b/mlp/fc2/MatMul"], "sum"),
            ("ReduceMean", &["sum"], "embedding"),
        ],
        &[("K", &[5, 3, 2, 2]), ("L", &[5, 5, 1, 1]), ("W", &[4, 4])],
        vec![value("embedding", DataType::Float, &[-1, 4])],
    );
    let seen = inspect(&[&both]);
    let selected: Vec<bool> = seen["layers"].as_array().unwrap().iter().map(|l| l["selected"] == true).collect();
    assert_eq!(selected, [true, false]);
    assert!(seen["unusual"].to_string().contains("1 1x1 convolutions of the vision tower are 'fc2' too"), "{seen}");
}
