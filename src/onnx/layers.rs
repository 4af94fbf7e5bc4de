//! Linear layers: constant 2-D weights with tower, block and role.

use std::collections::{HashMap, HashSet};

use super::graph::{Graph, label, uses};
use super::names::{Named, named};
use super::operand::{Product, is_product, product};
use super::proto::{GraphProto, NodeProto};
use super::structure::{Part, Structure};
use super::tensor::Weight;
use super::towers::{Modality, Tower};
use crate::few::cut;

/// The place of a layer in its network, and how it is known.
struct Place {
    block: Option<usize>,
    role: String,
    evidence: Evidence,
    module: String,
}

/// What tells a layer's role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// What the graph computes, and the name agrees.
    Both,
    /// What the graph computes; the name says nothing.
    Structure,
    /// The name alone.
    Name,
    /// What the graph computes; the name says otherwise, namely this.
    Disputed(String),
    /// Nothing.
    Nothing,
}

/// A linear layer: a MatMul or Gemm, or a fused or quantised form of them, with a constant weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// The tower it belongs to.
    pub modality: Modality,
    /// Number of its transformer block, where it is in one.
    pub block: Option<usize>,
    /// What it is there: `q_proj`, `k_proj`, `v_proj`, `in_proj` (several of them in one), `out_proj`, `fc1`,
    /// `fc1_gate`, `fc2`; the same with `head.` for what comes after the blocks, as pooling by attention; `projection`
    /// for the last one before the embedding; else `unknown`.
    pub role: String,
    /// What tells the role.
    pub evidence: Evidence,
    /// The PyTorch module it was exported from, where the exporter left its path; else empty.
    pub module: String,
    /// The node's name (its place and operator where it has none); of several, the first one's.
    pub node: String,
    /// The values it multiplies: one, or where its weight serves several nodes (tied), one a node.
    pub uses: Vec<Use>,
    /// Its weight.
    pub weight: Weight,
    /// Nodes that use the same tensor and are none of this layer; of many, the first ones.
    pub shared_with: Vec<String>,
}

impl Linear {
    /// Whether both are the same layer of the same graph.
    pub fn is(&self, other: &Self) -> bool {
        self.node == other.node && self.weight.initializer == other.weight.initializer
    }
}

/// A product with a layer's weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Name of the value that is multiplied.
    pub input: String,
    /// Whether the weight's inputs run along that value's last axis but one, and not along its last.
    pub across: bool,
    /// If the value is codes: the names of their scale and zero point (which may be "").
    pub codes: Option<[String; 2]>,
    /// Index of the node.
    node: usize,
}

/// A node with weights that this tool does not edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opaque {
    /// The tower it belongs to; none if it belongs to several, or to none.
    pub modality: Option<Modality>,
    /// Number of its transformer block, where it is in one.
    pub block: Option<usize>,
    /// Its role, as in [`Linear`].
    pub role: String,
    /// The node's name.
    pub node: String,
    /// What stands where its weight should be.
    pub weight: String,
    /// Whether it is a 1x1 convolution: no linear layer by its operator.
    pub convolution: bool,
}

/// All that a graph holds of linear layers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layers {
    /// Those of the towers, in graph order.
    pub linear: Vec<Linear>,
    /// Those that cannot be edited, or belong to no tower.
    pub opaque: Vec<Opaque>,
}

/// All linear layers of a graph with the towers they belong to.
///
/// Roles and block numbers come from what the graph computes around a layer; the exporters' module paths (the node names
/// of the TorchScript exporter, the `pkg.torch.onnx.name_scopes` metadata of the dynamo exporter) confirm them, and serve
/// alone where structure does not tell. Layers that several towers feed (the similarity of text and image) belong to
/// none.
pub fn find_layers<'m>(graph: &Graph<'m>, towers: &[Tower]) -> Layers {
    let depends = graph.dependencies();
    let endings: Vec<&'m str> =
        towers.iter().filter(|t| t.pooled).filter_map(|tower| graph.value(&tower.embedding)).collect();
    let inputs: Vec<u64> = towers.iter().map(|tower| tower.inputs).collect();
    let structure = Structure::read(graph, &endings, &inputs);
    let hiding = hiding_functions(graph);
    let mut layers = Layers::default();
    let mut known: HashMap<(Modality, String), usize> = HashMap::new();
    for &index in graph.order() {
        let node = &graph.nodes()[index];
        let hidden = hidden_product(&hiding, node);
        let convolution = hidden.is_none() && is_pointwise(graph, node);
        let product_node = is_product(node) && !structure.is_between_activations(index, node);
        if !(product_node || convolution || hidden.is_some()) {
            continue;
        }
        let inputs = uses(node).iter().filter_map(|value| depends.get(value)).fold(0, |a, b| a | b);
        if inputs == 0 {
            continue;
        }
        let tower = towers.iter().find(|tower| inputs & !tower.inputs == 0);
        let Place { block, role, evidence, module } = place(node, structure.part(index));
        let name = if node.name.is_empty() { label(node, index) } else { node.name.clone() };
        let found = match (hidden, convolution) {
            (Some(hidden), _) => Err(hidden),
            (None, true) => Err("a 1x1 convolution; such weights are left alone".to_owned()),
            (None, false) => product(graph, node),
        };
        match (found, tower) {
            (Ok(Product { input, across, codes, weight }), Some(tower)) => {
                let codes = codes.map(|codes| codes.map(str::to_owned));
                let used = Use { input: input.to_owned(), across, codes, node: index };
                let tied = known.entry((tower.modality, weight.initializer.clone())).or_insert(layers.linear.len());
                match layers.linear.get_mut(*tied).filter(|first| first.weight == weight) {
                    Some(first) => first.uses.push(used),
                    None => layers.linear.push(Linear {
                        modality: tower.modality,
                        block,
                        role,
                        evidence,
                        module,
                        node: name,
                        uses: vec![used],
                        weight,
                        shared_with: vec![],
                    }),
                }
            }
            (Ok(Product { weight, .. }), None) => {
                let weight = format!("'{}', of no tower or of several", cut(&weight.initializer));
                layers.opaque.push(Opaque { modality: None, block, role, node: name, weight, convolution });
            }
            (Err(weight), tower) => {
                let modality = tower.map(|t| t.modality);
                layers.opaque.push(Opaque { modality, block, role, node: name, weight, convolution });
            }
        }
    }
    let mut users: HashMap<String, Vec<usize>> = HashMap::new();
    for layer in &mut layers.linear {
        let initializer = &layer.weight.initializer;
        let all = users.entry(initializer.clone()).or_insert_with(|| users_of(graph, initializer));
        let own: HashSet<usize> = layer.uses.iter().map(|used| used.node).collect();
        let others = all.iter().filter(|user| !own.contains(user)).take(MANY);
        layer.shared_with = others.map(|&user| cut(&label(&graph.nodes()[user], user))).collect();
    }
    layers
}

/// Others than these need not be named.
const MANY: usize = 9;

/// Structure first; the name confirms, or serves alone.
fn place(node: &NodeProto, part: Option<&Part>) -> Place {
    let Named { module, role, block } = named(node);
    match (part, role) {
        (Some(part), said) => {
            let other_block = block.zip(part.block).filter(|(named, found)| named != found).map(|(named, _)| named);
            let other_role = said.as_ref().filter(|said| **said != part.role);
            let evidence = match (other_block, other_role) {
                (None, None) if said.is_some() => Evidence::Both,
                (None, None) => Evidence::Structure,
                (None, Some(role)) => Evidence::Disputed(role.clone()),
                (Some(block), role) => Evidence::Disputed(format!("block.{block}.{}", role.unwrap_or(&part.role))),
            };
            Place { block: part.block, role: part.role.clone(), evidence, module }
        }
        (None, Some(role)) => Place { block, role, evidence: Evidence::Name, module },
        (None, None) => Place { block, role: "unknown".to_owned(), evidence: Evidence::Nothing, module },
    }
}

/// A convolution that is a linear layer on every pixel.
fn is_pointwise(graph: &Graph, node: &NodeProto) -> bool {
    let weight = node.input.get(1).and_then(|value| graph.behind_casts(value)).and_then(Result::ok);
    let kernel = |dims: &[i64]| dims.len() > 2 && dims[2..].iter().all(|&size| size == 1);
    let grouped = node.attribute.iter().any(|a| a.name == "group" && a.i != 1);
    node.op_type == "Conv" && !grouped && weight.is_some_and(|weight| kernel(&weight.tensor.dims))
}

/// Domain and name of the functions that hold products.
fn hiding_functions<'m>(graph: &Graph<'m>) -> HashSet<(&'m str, &'m str)> {
    let functions = graph.model.proto().functions.iter();
    functions.filter(|f| f.node.iter().any(holds_product)).map(|f| (&*f.domain, &*f.name)).collect()
}

/// Where a node's weights are out of reach, if it is no product itself and holds some: in its bodies, or in the
/// function that it calls.
fn hidden_product(hiding: &HashSet<(&str, &str)>, node: &NodeProto) -> Option<String> {
    if bodies(node).flat_map(|body| &body.node).any(holds_product) {
        return Some("in a subgraph of this node; such weights are left alone".to_owned());
    }
    hiding
        .contains(&(&*node.domain, &*node.op_type))
        .then(|| format!("in the function {} that this node calls; such weights are left alone", node.op_type))
}

/// The graphs in a node's attributes.
fn bodies(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// Whether the node is a product, or one is in its bodies. The depth is bounded by the protobuf decoder's recursion
/// limit.
fn holds_product(node: &NodeProto) -> bool {
    is_product(node) || bodies(node).flat_map(|body| &body.node).any(holds_product)
}

/// Nodes that use the constant, also through the nodes that [`product`] looks through.
fn users_of(graph: &Graph, initializer: &str) -> Vec<usize> {
    let (mut pending, mut users, mut seen) = (vec![initializer], vec![], HashSet::new());
    while let Some(value) = pending.pop() {
        if !seen.insert(value) {
            continue;
        }
        for &index in graph.consumers(value) {
            let node = &graph.nodes()[index];
            let passes = matches!(&*node.op_type, "Identity" | "Cast" | "Transpose" | "DequantizeLinear");
            if passes && node.input.first().is_some_and(|first| first == value) {
                pending.extend(node.output.first().map(String::as_str));
            } else {
                users.push(index);
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
