//! A small model, with a weight of every kind of storage.

use prost::Message;
use uwm_onnx::onnx::proto::tensor_proto::DataType;
use uwm_onnx::onnx::proto::tensor_shape_proto::{Dimension, dimension::Value as Dim};
use uwm_onnx::onnx::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    type_proto,
};

/// A node without attributes.
pub fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    let input = inputs.iter().map(|&name| name.to_owned()).collect();
    NodeProto { op_type: op.to_owned(), input, output: vec![output.to_owned()], ..NodeProto::default() }
}

/// A model of these nodes and weights, which takes images and gives `image_embeds`.
pub fn model(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Vec<u8> {
    let value = |name: &str, dims: &[i64]| {
        let dim = |&dim| Dimension { value: Some(Dim::DimValue(dim)), ..Dimension::default() };
        let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
        let tensor = type_proto::Tensor { elem_type: DataType::Float.into(), shape: Some(shape) };
        let value = Some(type_proto::Value::TensorType(tensor));
        let r#type = Some(TypeProto { value, ..TypeProto::default() });
        ValueInfoProto { name: name.to_owned(), r#type, ..ValueInfoProto::default() }
    };
    let (input, output) = (vec![value("pixel_values", &[1, 3, 4, 4])], vec![value("image_embeds", &[1, 3, 4, 4])]);
    let graph = GraphProto { name: "small".to_owned(), node, initializer, input, output, ..GraphProto::default() };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 21 }];
    ModelProto { ir_version: 10, opset_import, graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
}

/// Weights of 4 x 4: `raw` and `typed` floats, `half` floats, and `codes` of 8 bits.
pub fn of_every_storage() -> Vec<u8> {
    let tensor = |name: &str, data_type: DataType, dims: &[i64]| TensorProto {
        name: name.to_owned(),
        data_type: data_type.into(),
        dims: dims.to_vec(),
        ..TensorProto::default()
    };
    let square = |name, data_type| tensor(name, data_type, &[4, 4]);
    let raw = (0..16).flat_map(|k| ((k as f32 - 7.5) / 4.0).to_le_bytes()).collect::<Vec<_>>();
    let typed = (0..16).map(|k| ((k * k % 13) as f32 - 6.5) / 4.0).collect();
    let half = [0x3c, 0xbc, 0x00, 0x38].repeat(8);
    let weights = vec![
        TensorProto { raw_data: Some(raw.into()), ..square("raw", DataType::Float) },
        TensorProto { float_data: typed, ..square("typed", DataType::Float) },
        TensorProto { raw_data: Some(half.into()), ..square("half", DataType::Float16) },
        TensorProto { int32_data: (0..16).map(|k| (k * 5 % 16 - 8) * 16).collect(), ..square("codes", DataType::Int8) },
        TensorProto { float_data: vec![0.5], ..tensor("scale", DataType::Float, &[]) },
        TensorProto { int32_data: vec![-1], ..tensor("zero", DataType::Int8, &[]) },
    ];
    let nodes = vec![
        node("MatMul", &["pixel_values", "raw"], "a"),
        node("MatMul", &["a", "typed"], "b"),
        node("Cast", &["half"], "wide"),
        node("MatMul", &["b", "wide"], "c"),
        node("DequantizeLinear", &["codes", "scale", "zero"], "real"),
        node("MatMul", &["c", "real"], "image_embeds"),
    ];
    model(nodes, weights)
}
