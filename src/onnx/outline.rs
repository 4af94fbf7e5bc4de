//! A model file without the values of its tensors: what must be the same in a drop-in.

use prost::Message;

use super::graph::label;
use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use super::wire::{Kind, Wire, fields};

/// The file's fields, in their order and known or not, without values of tensors, where those are stored, and the
/// metadata of this tool. Lengths are left out too, as values may change them.
pub fn outline(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    message(bytes, Kind::Model, 0..bytes.len(), &mut out);
    out
}

fn message(bytes: &[u8], kind: Kind, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
    // The file was decoded before, so that every field can be read.
    for field in fields(bytes, range).flatten() {
        let skipped = match kind {
            // Values in any form, external_data, data_location
            Kind::Tensor => matches!(field.number, 4..=7 | 9..=11 | 13 | 14),
            Kind::Model => field.number == 14 && has_key(&bytes[field.value.clone()], b"uwm."),
            _ => false,
        };
        if skipped {
            continue;
        }
        out.extend(field.number.to_le_bytes());
        match kind.child(field.number).filter(|_| field.wire == Wire::Len) {
            Some(child) => message(bytes, child, field.value, out),
            None => {
                out.extend(field.value.len().to_le_bytes());
                out.extend(&bytes[field.value]);
            }
        }
    }
}

/// Whether these bytes of a StringStringEntryProto have a key with that prefix.
fn has_key(entry: &[u8], prefix: &[u8]) -> bool {
    fields(entry, 0..entry.len()).flatten().any(|field| field.number == 1 && entry[field.value].starts_with(prefix))
}

/// What differs, in the user's words, between models whose outlines differ.
pub fn differences(a: &ModelProto, b: &ModelProto) -> Vec<String> {
    let mut found = vec![];
    let mut check = |same: bool, what: &str| {
        if !same {
            found.push(format!("{what} differ"));
        }
    };
    check(a.ir_version == b.ir_version, "IR versions");
    check(a.opset_import == b.opset_import, "opsets");
    check(
        (&a.producer_name, &a.producer_version, &a.domain, a.model_version, &a.doc_string)
            == (&b.producer_name, &b.producer_version, &b.domain, b.model_version, &b.doc_string),
        "producer, domain, version or documentation of the models",
    );
    let metadata = |proto: &ModelProto| {
        let foreign = proto.metadata_props.iter().filter(|entry| !entry.key.starts_with("uwm."));
        foreign.map(|entry| (entry.key.clone(), entry.value.clone())).collect::<Vec<_>>()
    };
    check(metadata(a) == metadata(b), "metadata_props of the models");
    check(bare_functions(a) == bare_functions(b), "functions");
    check(a.training_info.len() == b.training_info.len(), "numbers of training infos");
    let (a, b) = (a.graph.clone().unwrap_or_default(), b.graph.clone().unwrap_or_default());
    check(a.input == b.input, "graph inputs");
    check(a.output == b.output, "graph outputs");
    check(a.value_info == b.value_info, "value infos");
    if a.node.len() != b.node.len() {
        found.push(format!("the graph has {} nodes on one side and {} on the other", a.node.len(), b.node.len()));
    } else {
        let pairs = a.node.iter().zip(&b.node).enumerate();
        let other: Vec<usize> = pairs.filter(|(_, (a, b))| bare_node(a) != bare_node(b)).map(|(k, _)| k).collect();
        if let Some(&first) = other.first() {
            let (one, two) = (label(&a.node[first], first), label(&b.node[first], first));
            found.push(format!("{} nodes differ, the first is {one} (in the second model {two})", other.len()));
        }
    }
    if found.is_empty() {
        let (a, b) = (bare_graph(&a), bare_graph(&b));
        let what =
            if a == b { "order of fields, or fields that this tool does not know," } else { "parts of the graph" };
        found.push(format!("{what} differ"));
    }
    found
}

fn bare_functions(proto: &ModelProto) -> Vec<Vec<u8>> {
    let bare = |function: &super::proto::FunctionProto| {
        let mut function = function.clone();
        function.node = function.node.iter().map(bare_node).collect();
        function.encode_to_vec()
    };
    proto.functions.iter().map(bare).collect()
}

fn bare_tensor(tensor: &TensorProto) -> TensorProto {
    TensorProto {
        dims: tensor.dims.clone(),
        data_type: tensor.data_type,
        name: tensor.name.clone(),
        doc_string: tensor.doc_string.clone(),
        metadata_props: tensor.metadata_props.clone(),
        segment: tensor.segment,
        ..TensorProto::default()
    }
}

fn bare_node(node: &NodeProto) -> NodeProto {
    let mut node = node.clone();
    for attribute in &mut node.attribute {
        for tensor in attribute.t.iter_mut().chain(&mut attribute.tensors) {
            *tensor = bare_tensor(tensor);
        }
        for body in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            *body = bare_graph(body);
        }
    }
    node
}

fn bare_graph(graph: &GraphProto) -> GraphProto {
    GraphProto {
        node: graph.node.iter().map(bare_node).collect(),
        initializer: graph.initializer.iter().map(bare_tensor).collect(),
        ..graph.clone()
    }
}
