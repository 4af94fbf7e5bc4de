//! Running out of memory is an error that says where and what to do, not the end of the process.

mod common;

use common::reference::runtimes;
use ndarray::ArrayD;
use prost::Message;
use uwm_onnx::onnx::proto::tensor_proto::DataType;
use uwm_onnx::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use uwm_onnx::onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto, type_proto,
};
use uwm_onnx::onnx::{Graph, Model, Skeleton};
use uwm_onnx::runtime::{Error, Tensor};

fn value(name: &str) -> ValueInfoProto {
    let dim = |size| Dimension { value: Some(dimension::Value::DimValue(size)), ..Default::default() };
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float.into(),
        shape: Some(TensorShapeProto { dim: vec![dim(1), dim(1)] }),
    };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(r#type), ..Default::default() }
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        name: format!("/far/too/large/{op}"),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute,
        ..Default::default()
    }
}

#[test]
fn a_value_of_four_tebibytes() {
    let size: Vec<u8> = [1_i64 << 20, 1 << 20].iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = TensorProto {
        name: "shape".to_owned(),
        data_type: DataType::Int64.into(),
        dims: vec![2],
        raw_data: Some(size.into()),
        ..Default::default()
    };
    let axes = AttributeProto {
        name: "axes".to_owned(),
        r#type: attribute_proto::AttributeType::Ints.into(),
        ints: vec![1],
        ..Default::default()
    };
    let graph = GraphProto {
        name: "large".to_owned(),
        node: vec![node("Expand", &["x", "shape"], "wide", vec![]), node("ReduceMax", &["wide"], "y", vec![axes])],
        initializer: vec![shape],
        input: vec![value("x")],
        output: vec![value("y")],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { domain: String::new(), version: 17 };
    let model = ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..Default::default() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    let model = Model::open(&path).unwrap();
    let graph = Graph::new(&model).unwrap();
    let skeleton = Skeleton::extract(&graph, &["wide"]).unwrap();
    for runtime in runtimes() {
        let feed = vec![("x".to_owned(), Tensor::F32(ArrayD::ones(vec![1, 1])))];
        let run = || runtime.load(&skeleton, &feed)?.run(feed.clone(), &|_, _| panic!("it has a result"));
        let error = run().unwrap_err();
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(matches!(error, Error::Memory { .. }), "{error:?}");
        assert!(error.to_string().contains("/far/too/large/Expand"), "{error}");
        assert!(error.to_string().contains("'x' FLOAT [1, 1]") && help.contains("--batch-size"), "{error}");
    }
}
