//! Graphs for tests, written as expressions: `(Op a b)` is a node, a number a constant of one element, a capital a weight
//! of 2 x 2, `query` a constant of 1 x 1 x 2, any other word a graph input; `ids` one of token ids. What is written twice
//! is computed once.

use std::collections::HashMap;

use prost::Message;

use crate::onnx::graph::Graph;
use crate::onnx::model::Model;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::tensor_shape_proto::Dimension;
use crate::onnx::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    type_proto,
};

/// An input `[?, ?]` of int64.
fn ids(name: &str) -> ValueInfoProto {
    let shape = TensorShapeProto { dim: vec![Dimension::default(); 2] };
    let tensor = type_proto::Tensor { elem_type: DataType::Int64.into(), shape: Some(shape) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(r#type), ..Default::default() }
}

#[derive(Default)]
struct Writer {
    graph: GraphProto,
    known: HashMap<String, String>,
}

impl Writer {
    fn constant(&mut self, name: &str, dims: &[i64], values: &[f32]) {
        self.graph.initializer.push(TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data_type: DataType::Float.into(),
            raw_data: Some(values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into()),
            ..Default::default()
        });
    }

    /// The value of an expression, which is read up to its end.
    fn value(&mut self, words: &mut std::vec::IntoIter<String>) -> String {
        let word = words.next().expect("a word");
        if word == "(" {
            let op = words.next().expect("an operator");
            let mut input = vec![];
            while words.as_slice().first().expect("a bracket") != ")" {
                input.push(self.value(words));
            }
            words.next();
            let text = format!("{op} {}", input.join(" "));
            if let Some(known) = self.known.get(&text) {
                return known.clone();
            }
            let output = format!("v{}", self.graph.node.len());
            let (domain, op_type) = op.rsplit_once('.').map_or(("", &*op), |(domain, op)| (domain, op));
            self.graph.node.push(NodeProto {
                name: text.clone(),
                op_type: op_type.to_owned(),
                domain: domain.to_owned(),
                input,
                output: vec![output.clone()],
                ..Default::default()
            });
            self.known.insert(text, output.clone());
            return output;
        }
        if self.known.insert(word.clone(), word.clone()).is_none() {
            match word.parse::<f32>() {
                Ok(number) => self.constant(&word, &[], &[number]),
                Err(_) if word.starts_with(char::is_uppercase) => self.constant(&word, &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
                Err(_) if word == "query" => self.constant(&word, &[1, 1, 2], &[1.0, 2.0]),
                Err(_) if word == "ids" => self.graph.input.push(ids(&word)),
                Err(_) => self.graph.input.push(ValueInfoProto { name: word.clone(), ..Default::default() }),
            }
        }
        word
    }
}

/// Looks at the graph of an expression, and at the value of the whole.
pub(in crate::onnx) fn look<T>(expression: &str, look: impl FnOnce(&Graph, &str) -> T) -> T {
    let mut writer = Writer::default();
    let words: Vec<String> =
        expression.replace('(', " ( ").replace(')', " ) ").split_whitespace().map(str::to_owned).collect();
    let last = writer.value(&mut words.into_iter());
    writer.graph.output.push(ValueInfoProto { name: last.clone(), ..Default::default() });
    let opset = OperatorSetIdProto { domain: String::new(), version: 17 };
    let proto =
        ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(writer.graph), ..Default::default() };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), proto.encode_to_vec()).unwrap();
    let model = Model::open(file.path()).unwrap();
    let graph = Graph::new(&model).unwrap();
    look(&graph, &last)
}
