//! Linear layers: constant 2-D weights with tower, block and role.

use std::collections::HashMap;

use super::graph::{Graph, label, uses};
use super::operand::{Product, is_product, product};
use super::proto::{FunctionProto, NodeProto};
use super::tensor::Weight;
use super::towers::{Modality, Tower};

/// A linear layer: a MatMul or Gemm, or a fused or quantised form of them, with a constant weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// The tower it belongs to.
    pub modality: Modality,
    /// Number of its transformer block, where the module path has one.
    pub block: Option<usize>,
    /// What it is in its block: `out_proj`, `q_proj`, `fc1`, `fc2`, ...; `projection` for the tower's last layer.
    pub role: String,
    /// The node's name (its place and operator where it has none).
    pub node: String,
    /// Name of the value it multiplies.
    pub input: String,
    /// Its weight.
    pub weight: Weight,
    /// Other nodes that use the same initializer.
    pub shared_with: Vec<String>,
}

/// A matrix product whose weight this tool cannot edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opaque {
    /// The tower it belongs to.
    pub modality: Modality,
    /// What it is in its block, as for [`Linear`].
    pub role: String,
    /// The node's name.
    pub node: String,
    /// What stands where its weight should be.
    pub weight: String,
}

/// All linear layers of the given towers, in graph order, and the nodes with a role that could not be understood.
///
/// Roles and block numbers come from the exporters' module paths: the node names of the TorchScript exporter, or the
/// `pkg.torch.onnx.name_scopes` metadata of the dynamo exporter. Layers that several towers feed (the similarity of
/// text and image) belong to none and are left out.
pub fn find_layers(graph: &Graph, towers: &[Tower]) -> (Vec<Linear>, Vec<Opaque>) {
    let depends = graph.dependencies();
    let (mut layers, mut opaque) = (vec![], vec![]);
    for (index, node) in graph.nodes().iter().enumerate() {
        let hidden = hidden_product(graph, node);
        if !is_product(node) && hidden.is_none() {
            continue;
        }
        let inputs = uses(node).iter().filter_map(|value| depends.get(value)).fold(0, |a, b| a | b);
        let Some(tower) = towers.iter().find(|tower| inputs != 0 && inputs & !tower.inputs == 0) else { continue };
        let path = module_path(node);
        let block = path.iter().enumerate().rev().skip(1).find_map(|(k, part)| part.parse().ok().filter(|_| k > 0));
        let role = match path.last() {
            Some(part) if part.ends_with("projection") => "projection".to_owned(),
            Some(part) if part.parse::<usize>().is_err() => part.clone(),
            _ => "unknown".to_owned(),
        };
        let name = if node.name.is_empty() { label(node, index) } else { node.name.clone() };
        match hidden.map_or_else(|| product(graph, node), Err) {
            Ok(Product { input, weight }) => layers.push(Linear {
                modality: tower.modality,
                block,
                role,
                node: name,
                input: input.to_owned(),
                shared_with: other_users(graph, &weight.initializer, index),
                weight,
            }),
            Err(weight) => opaque.push(Opaque { modality: tower.modality, role, node: name, weight }),
        }
    }
    (layers, opaque)
}

/// Where a node's weights are out of reach, if it is no product itself and holds some: in its bodies, or in the
/// function that it calls.
fn hidden_product(graph: &Graph, node: &NodeProto) -> Option<String> {
    let bodies = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
    if bodies.flat_map(|body| &body.node).any(is_product) {
        return Some("in a subgraph of this node; such weights are left alone".to_owned());
    }
    let called =
        |f: &&FunctionProto| f.name == node.op_type && f.domain == node.domain && f.node.iter().any(is_product);
    graph.model.proto().functions.iter().find(called)?;
    Some(format!("in the function {} that this node calls; such weights are left alone", node.op_type))
}

/// The parts of the PyTorch module path a node was exported from; empty where the exporter left none.
fn module_path(node: &NodeProto) -> Vec<String> {
    let scopes = node.metadata_props.iter().find(|entry| entry.key == "pkg.torch.onnx.name_scopes");
    if let Some(entry) = scopes {
        // A printed Python list: ['', 'm', 'm.text_model', ..., 'm.text_model.[...].fc2', 'linear_23'].
        let names: Vec<&str> = entry.value.split('\'').skip(1).step_by(2).collect();
        if let [.., module, _operator] = names.as_slice() {
            return module.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        }
    }
    let mut parts: Vec<String> =
        node.name.split(['/', '.']).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    // The operator's own name, which quantisers keep and lengthen: `MatMul_quant`, `MatMul_Q4`.
    let operators = [node.op_type.as_str(), "MatMul", "Gemm"];
    if parts.last().is_some_and(|last| operators.iter().any(|operator| last.starts_with(operator))) {
        parts.pop();
    }
    parts
}

/// Nodes other than `user` that use the constant, also through the nodes that [`product`] looks through.
fn other_users(graph: &Graph, initializer: &str, user: usize) -> Vec<String> {
    let (mut pending, mut users) = (vec![initializer], vec![]);
    while let Some(value) = pending.pop() {
        for &index in graph.consumers(value) {
            let node = &graph.nodes()[index];
            if matches!(&*node.op_type, "Identity" | "Cast" | "Transpose" | "DequantizeLinear") {
                pending.extend(node.output.iter().map(String::as_str));
            } else if index != user {
                users.push(label(node, index));
            }
        }
    }
    users
}

/// The weights of all matrix products in the graph, whatever tower they are of, by the name of their tensor.
pub fn weights(graph: &Graph) -> HashMap<String, Weight> {
    let products = graph.nodes().iter().filter(|node| is_product(node)).filter_map(|node| product(graph, node).ok());
    products.map(|product| (product.weight.initializer.clone(), product.weight)).collect()
}
