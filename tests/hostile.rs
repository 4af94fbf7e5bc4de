//! Graphs that are made to keep a reader busy: each is described in time that grows with its size, and in little memory.
//! A reader that does not finish does not pass.

use std::path::Path;

use prost::Message;
use uwm_onnx::config::Config;
use uwm_onnx::onnx::Hints;
use uwm_onnx::onnx::proto::tensor_proto::DataType;
use uwm_onnx::onnx::proto::tensor_shape_proto::{Dimension, dimension::Value as Dim};
use uwm_onnx::onnx::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    type_proto,
};
use uwm_onnx::pass::{ModelFiles, inspect};
use uwm_onnx::report::Inspection;

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    NodeProto { op_type: op.to_owned(), input: names(inputs), output: names(outputs), ..Default::default() }
}

fn pixels(name: &str) -> ValueInfoProto {
    let dim = |n| Dimension { value: Some(Dim::DimValue(n)), ..Default::default() };
    let shape = TensorShapeProto { dim: [1, 3, 2, 2].map(dim).to_vec() };
    let tensor = type_proto::Tensor { elem_type: DataType::Float.into(), shape: Some(shape) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(r#type), ..Default::default() }
}

fn weight(name: &str, dims: &[i64]) -> TensorProto {
    let bytes = vec![1; 4 * dims.iter().product::<i64>() as usize];
    let data_type = DataType::Float.into();
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type,
        raw_data: Some(bytes.into()),
        ..Default::default()
    }
}

/// Describes a graph that ends in `y`.
fn seen(inputs: Vec<ValueInfoProto>, node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Inspection {
    let output = vec![ValueInfoProto { name: "y".to_owned(), ..Default::default() }];
    let graph = GraphProto { name: "g".to_owned(), input: inputs, node, initializer, output, ..Default::default() };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    let model = ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), model.encode_to_vec()).unwrap();
    let of = |path: &Path| ModelFiles::Single { path: path.to_owned(), only: None };
    let found = inspect(&of(file.path()), &Hints::default(), &Config::default()).unwrap().remove(0);
    assert!(found.to_text().len() < 100_000_000);
    found
}

fn name(k: usize) -> String {
    format!("v{k}")
}

#[test]
fn chains() {
    // Of types, of codes whose scale is made from codes, of residuals, of products with itself.
    for (op, ends) in [("Identity", 0), ("Cast", 0), ("Mul", 1), ("Add", 1), ("DequantizeLinear", 1), ("Relu", 0)] {
        let mut nodes = vec![node("Identity", &["x"], &["v0"])];
        for k in 1..60_000 {
            let before = name(k - 1);
            nodes.push(node(op, &[&*before, &before][..=ends], &[&name(k)]));
        }
        nodes.push(node("Pow", &["x", &name(59_999)], &["y"]));
        seen(vec![pixels("x")], nodes, vec![]);
    }
    let mut nodes = vec![node("Identity", &["x"], &["v0"])];
    for k in 1..30_000 {
        nodes.push(node("MatMul", &[&name(k - 1), "w"], &[&format!("m{k}")]));
        nodes.push(node("Add", &[&name(k - 1), &format!("m{k}")], &[&name(k)]));
    }
    nodes.push(node("Identity", &[&name(29_999)], &["y"]));
    let found = seen(vec![pixels("x")], nodes, vec![weight("w", &[2, 2])]);
    // One tensor, one layer.
    assert_eq!((found.layers.len(), found.layers[0].uses), (1, 29_999));
}

#[test]
fn diamonds() {
    // Each value has two ways to the one before: 2^60 ways in all.
    let mut nodes = vec![node("Identity", &["w"], &["v0"])];
    for k in 1..60 {
        let before = name(k - 1);
        nodes.push(node("Cast", &[&before], &[&format!("a{k}")]));
        nodes.push(node("Identity", &[&before], &[&format!("b{k}")]));
        nodes.push(node("DequantizeLinear", &[&format!("a{k}"), &format!("b{k}")], &[&name(k)]));
    }
    nodes.push(node("MatMul", &["x", "w"], &["h"]));
    nodes.push(node("Pow", &["h", &name(59)], &["y"]));
    seen(vec![pixels("x")], nodes, vec![weight("w", &[2, 2])]);
    let mut nodes = vec![node("DequantizeLinear", &["one", "one", "one"], &["v0"])];
    for k in 1..60 {
        let before = name(k - 1);
        nodes.push(node("DequantizeLinear", &[&before, &before, &before], &[&name(k)]));
    }
    nodes.push(node("Relu", &["x"], &["r"]));
    nodes.push(node("Pow", &["r", &name(59)], &["y"]));
    seen(vec![pixels("x")], nodes, vec![weight("one", &[])]);
}

#[test]
fn fans() {
    // Many users of one value, many operands of one node, many outputs of one node, many inputs of the graph.
    let all: Vec<String> = (0..20_000).map(name).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut nodes = vec![node("MatMul", &["x", "x"], &["s"]), node("Softmax", &["s"], &["p"])];
    nodes.extend(all.iter().map(|name| node("MatMul", &["p", "x"], &[name])));
    nodes.push(node("Concat", &all, &["c"]));
    let mut weights = vec![];
    for k in 0..20_000 {
        let (w, out) = (format!("w{k}"), format!("o{k}"));
        nodes.push(node("MatMul", &["c", &w], &[&out]));
        nodes.push(node("Gelu", &[&out], &[&format!("g{k}")]));
        weights.push(weight(&w, &[2, 2]));
    }
    nodes.push(node("Identity", &["g0"], &["y"]));
    assert_eq!(seen(vec![pixels("x")], nodes, weights).layers.len(), 20_000);

    // Many layers joined, and a long way of sums after.
    let mut nodes: Vec<_> =
        all[..3_000].iter().map(|name| node("MatMul", &["x", &format!("w{name}")], &[name])).collect();
    let weights = all[..3_000].iter().map(|name| weight(&format!("w{name}"), &[2, 2])).collect();
    nodes.push(node("Concat", &all[..900], &["t0"]));
    for k in 1..5_000 {
        nodes.push(node("Relu", &[&format!("t{}", k - 1)], &[&format!("r{k}")]));
        nodes.push(node("Add", &[&format!("t{}", k - 1), &format!("r{k}")], &[&format!("t{k}")]));
    }
    nodes.push(node("MatMul", &["t4999", "wv0"], &["y"]));
    seen(vec![pixels("x")], nodes, weights);

    let mut nodes = vec![node("Split", &["x"], &all)];
    nodes.push(node("Sum", &all, &["y"]));
    seen(vec![pixels("x")], nodes, vec![]);

    let inputs = all.iter().map(|name| pixels(name)).collect();
    let found = seen(inputs, vec![node("Sum", &all, &["y"])], vec![]);
    assert!(found.stops[0].contains("and 19992 more could each be pixel_values"), "{:.300}", found.stops[0]);
}

#[test]
fn long_names() {
    // A name of a megabyte that many nodes would repeat in what they say.
    let long = "n".repeat(1 << 20);
    let mut nodes = vec![node("Identity", &[&long], &["w"])];
    nodes.extend((0..300).map(|k| node("MatMul", &["x", "w"], &[&name(k)])));
    nodes.push(node("Identity", &["v0"], &["y"]));
    let found = seen(vec![pixels("x")], nodes, vec![weight(&long, &[2, 2, 2])]);
    assert_eq!(found.layers.len(), 300);
    assert!(found.layers.iter().all(|layer| layer.why.len() < 1000));
}
