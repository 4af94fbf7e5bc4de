//! What each linear layer is, told from what the graph computes around it: attention, MLPs, blocks, the projection.

mod added;
mod attention;
mod flow;
mod mlp;
mod pattern;
#[cfg(test)]
mod tests;
mod view;
#[cfg(test)]
pub(super) mod written;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

pub use added::Rows;
pub(super) use added::rows;
use flow::Flow;
use pattern::{Bindings, Book};

use crate::onnx::graph::{Graph, uses};
use crate::onnx::proto::NodeProto;

static BOOK: LazyLock<Book> = LazyLock::new(|| Book::read(include_str!("patterns.txt")));

/// The place of a linear layer in its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Number of its transformer block.
    pub block: Option<usize>,
    /// What it is there: `q_proj`, `k_proj`, `v_proj`, `in_proj` (several of them in one), `out_proj`, `fc1`,
    /// `fc1_gate`, `fc2`; the same with `head.` for what comes after the blocks, such as pooling by attention;
    /// `projection` for the last one before an embedding.
    pub role: String,
}

/// What will be a block: an attention with an MLP, or an MLP alone.
struct Unit {
    /// The node of the attention.
    mixer: Option<usize>,
    /// The node whose result is added to the stream: the attention's projection, or the MLP's second layer.
    stream: usize,
    /// The MLP's second layer.
    mlp: Option<usize>,
}

/// What has been found so far.
#[derive(Default)]
struct Units {
    list: Vec<Unit>,
    /// Of each layer that has a role, its unit and the role.
    names: BTreeMap<usize, (Option<usize>, &'static str)>,
    /// Products of queries and keys.
    inner: HashSet<usize>,
    /// Nodes that pooling heads are behind.
    pooled: HashSet<usize>,
}

impl Units {
    fn begin(&mut self, unit: Unit) -> usize {
        self.list.push(unit);
        self.list.len() - 1
    }

    fn name(&mut self, layer: usize, unit: Option<usize>, role: &'static str) {
        self.names.entry(layer).or_insert((unit, role));
    }

    fn is_named(&self, layer: usize) -> bool {
        self.names.contains_key(&layer)
    }

    /// The number of each unit, counted within the towers that have these inputs: by how many are behind it, and of those
    /// side by side by their order in the graph. Units of the same weights are one block that is run several times.
    fn numbers(&self, flow: &Flow, towers: &[u64]) -> Vec<usize> {
        let start = |unit: &Unit| unit.mixer.unwrap_or(unit.stream);
        let starts: HashMap<usize, usize> = self.list.iter().enumerate().map(|(unit, of)| (start(of), unit)).collect();
        let (mut levels, mut behind) = (vec![0; self.list.len()], HashMap::<&str, usize>::new());
        for &index in flow.graph.order() {
            let node = &flow.graph.nodes()[index];
            let mut count = uses(node).iter().filter_map(|value| behind.get(value)).copied().max().unwrap_or(0);
            if let Some(&unit) = starts.get(&index) {
                levels[unit] = count;
                count += 1;
            }
            if count > 0 {
                behind.extend(node.output.iter().map(|output| (output.as_str(), count)));
            }
        }
        let tower = |unit: &Unit| {
            let output = flow.graph.nodes()[start(unit)].output.first()?;
            towers.iter().position(|inputs| flow.inputs_of(output) & !inputs == 0)
        };
        let mut order: Vec<_> = self
            .list
            .iter()
            .enumerate()
            .map(|(unit, of)| (tower(of), levels[unit], flow.place(start(of)), unit))
            .collect();
        order.sort_unstable();
        let mut numbers = vec![0; self.list.len()];
        for of_tower in order.chunk_by(|a, b| a.0 == b.0) {
            let (mut next, mut known) = (0, HashMap::new());
            for &(.., unit) in of_tower {
                let weight = flow.weight(&flow.graph.nodes()[self.list[unit].stream]);
                numbers[unit] = weight.and_then(|weight| known.get(weight).copied()).unwrap_or(next);
                next = next.max(numbers[unit] + 1);
                known.extend(weight.map(|weight| (weight, numbers[unit])));
            }
        }
        numbers
    }
}

/// The parts by node, as far as structure tells.
pub(super) struct Structure<'g, 'm> {
    flow: Flow<'g, 'm>,
    parts: BTreeMap<usize, Part>,
    inner: HashSet<usize>,
}

impl<'g, 'm> Structure<'g, 'm> {
    /// Reads a graph whose embeddings are these values, and whose towers have these inputs (bits of
    /// [`Graph::dependencies`]).
    pub fn read(graph: &'g Graph<'m>, embeddings: &[&'m str], towers: &[u64]) -> Self {
        let flow = Flow::new(graph);
        let mut units = Units::default();
        attention::find(&flow, &mut units);
        mlp::find(&flow, &mut units);
        let numbers = units.numbers(&flow, towers);
        let part = |(&layer, &(unit, role)): (&usize, &(Option<usize>, &str))| {
            let block = unit.map(|unit| numbers[unit]);
            let role = if block.is_some() { role.to_owned() } else { format!("head.{role}") };
            (layer, Part { block, role })
        };
        let mut parts: BTreeMap<usize, Part> = units.names.iter().map(part).collect();
        for &embedding in embeddings {
            // What is added to a stream is a part of a block, whatever it is.
            let last = flow.only_behind(embedding).filter(|&node| flow.joined(&graph.nodes()[node]).is_empty());
            if let Some(node) = last.filter(|node| parts.get(node).is_none_or(|part| part.block.is_none())) {
                parts.insert(node, Part { block: None, role: "projection".to_owned() });
            }
        }
        Self { flow, parts, inner: units.inner }
    }

    /// Whether the node multiplies two activations: the two depend on what the inputs hold, or they are queries and
    /// keys.
    pub fn is_between_activations(&self, index: usize, node: &NodeProto) -> bool {
        self.inner.contains(&index) || self.flow.is_between_activations(node)
    }

    /// What the linear layer at this node is.
    pub fn part(&self, node: usize) -> Option<&Part> {
        self.parts.get(&node)
    }
}
