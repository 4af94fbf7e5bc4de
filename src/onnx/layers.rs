//! Linear layers: constant 2-D weights with tower, block and role.

use super::error::Error;
use super::graph::{Graph, label};
use super::proto::{NodeProto, TensorProto};
use super::tensor::Weight;
use super::towers::{Modality, Tower};

/// A linear layer: a MatMul or Gemm with a constant weight.
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

/// A MatMul or Gemm (or a fused or quantised form) whose weight is not an initializer this tool can edit.
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

/// Operators that multiply by a weight, in `ai.onnx` and `com.microsoft`.
const MATRIX_PRODUCTS: [&str; 8] =
    ["MatMul", "Gemm", "FusedMatMul", "FusedGemm", "MatMulInteger", "QLinearMatMul", "QGemm", "MatMulNBits"];

/// All linear layers of the given towers, in graph order, and the nodes with a role that could not be understood.
///
/// Roles and block numbers come from the exporters' module paths: the node names of the TorchScript exporter, or the
/// `pkg.torch.onnx.name_scopes` metadata of the dynamo exporter. Layers that several towers feed (the similarity of
/// text and image) belong to none and are left out.
///
/// # Errors
/// [`Error::Tensor`] for a weight with an impossible shape.
pub fn find_layers(graph: &Graph, towers: &[Tower]) -> Result<(Vec<Linear>, Vec<Opaque>), Error> {
    let depends = graph.dependencies();
    let (mut layers, mut opaque) = (vec![], vec![]);
    for (index, node) in graph.nodes().iter().enumerate().filter(|(_, n)| MATRIX_PRODUCTS.contains(&&*n.op_type)) {
        let Some(input) = node.input.first().map(String::as_str) else { continue };
        let Some(&inputs) = depends.get(input) else { continue };
        let Some(tower) = towers.iter().find(|tower| inputs & !tower.inputs == 0) else { continue };
        let path = module_path(node);
        let block = path.iter().enumerate().rev().skip(1).find_map(|(k, part)| part.parse().ok().filter(|_| k > 0));
        let role = match path.last() {
            Some(part) if part.ends_with("projection") => "projection".to_owned(),
            Some(part) if part.parse::<usize>().is_err() => part.clone(),
            _ => "unknown".to_owned(),
        };
        let name = if node.name.is_empty() { label(node, index) } else { node.name.clone() };
        let Some((input, tensor, transposed)) = linear_parts(graph, node) else {
            let weight = node.input.get(1).map_or("nothing".to_owned(), |value| match graph.producer(value) {
                Some(producer) => format!("'{value}', made by {}", producer.op_type),
                None => format!("'{value}'"),
            });
            opaque.push(Opaque { modality: tower.modality, role, node: name, weight });
            continue;
        };
        layers.push(Linear {
            modality: tower.modality,
            block,
            role,
            node: name,
            input: input.to_owned(),
            weight: Weight {
                initializer: tensor.name.clone(),
                shape: logical_shape(graph, tensor, transposed)?,
                transposed,
            },
            shared_with: other_users(graph, &tensor.name, index),
        });
    }
    Ok((layers, opaque))
}

/// Input value, weight and whether it is stored `[I, O]`, if the node is a linear layer.
fn linear_parts<'m>(graph: &Graph<'m>, node: &'m NodeProto) -> Option<(&'m str, &'m TensorProto, bool)> {
    if !node.domain.is_empty() && node.domain != "ai.onnx" {
        return None;
    }
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name).map_or(0, |a| a.i);
    let transposed = match node.op_type.as_str() {
        "MatMul" => true,
        "Gemm" if attribute("transA") == 0 => attribute("transB") == 0,
        _ => return None,
    };
    let [input, weight, ..] = node.input.as_slice() else { return None };
    let tensor = graph.constant(weight).filter(|tensor| tensor.dims.len() == 2)?;
    Some((input, tensor, transposed))
}

fn logical_shape(graph: &Graph, tensor: &TensorProto, transposed: bool) -> Result<[usize; 2], Error> {
    let mut shape = [0; 2];
    for (side, &dim) in shape.iter_mut().zip(&tensor.dims) {
        *side = usize::try_from(dim).ok().filter(|&n| n > 0).ok_or_else(|| Error::Tensor {
            path: graph.model.path().to_owned(),
            tensor: tensor.name.clone(),
            reason: format!("its dimensions {:?} are not all positive", tensor.dims),
        })?;
    }
    if transposed {
        shape.reverse();
    }
    if shape[0].checked_mul(shape[1]).and_then(|n| u32::try_from(n).ok()).is_none() {
        return Err(Error::Tensor {
            path: graph.model.path().to_owned(),
            tensor: tensor.name.clone(),
            reason: format!("its dimensions {:?} are beyond 2^32 elements", tensor.dims),
        });
    }
    Ok(shape)
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
    if parts.last().is_some_and(|last| last.starts_with(&node.op_type)) {
        parts.pop();
    }
    parts
}

/// Nodes other than `user` that use the initializer, also through `Identity`.
fn other_users(graph: &Graph, initializer: &str, user: usize) -> Vec<String> {
    let (mut pending, mut users) = (vec![initializer], vec![]);
    while let Some(value) = pending.pop() {
        for &index in graph.consumers(value) {
            let node = &graph.nodes()[index];
            if node.op_type == "Identity" {
                pending.extend(node.output.iter().map(String::as_str));
            } else if index != user {
                users.push(label(node, index));
            }
        }
    }
    users
}
