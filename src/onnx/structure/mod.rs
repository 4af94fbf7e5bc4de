//! What each linear layer is, told from what the graph computes around it: attention, MLPs, blocks, the projection.

mod added;
mod attention;
mod flow;
mod mlp;
mod pattern;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub(super) use added::added_rows;
use flow::Flow;
use pattern::{Bindings, Book};

use crate::onnx::graph::Graph;
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

/// The parts by node, as far as structure tells.
pub(super) struct Structure<'g, 'm> {
    flow: Flow<'g, 'm>,
    parts: BTreeMap<usize, Part>,
}

/// How many blocks and pooling heads are behind a value.
type Behind = (usize, usize);

impl<'g, 'm> Structure<'g, 'm> {
    /// Reads a graph whose embeddings are these values.
    pub fn read(graph: &'g Graph<'m>, embeddings: &[&'m str]) -> Self {
        let flow = Flow::new(graph);
        let mut parts = BTreeMap::new();
        let behind = attention::find(&flow, &mut parts);
        mlp::find(&flow, &behind, &mut parts);
        for &embedding in embeddings {
            // What is added to a stream is a part of a block, whatever it is.
            let last = flow.only_behind(embedding).filter(|&node| !flow.joins(&graph.nodes()[node]));
            if let Some(node) = last.filter(|node| parts.get(node).is_none_or(|part| part.block.is_none())) {
                parts.insert(node, Part { block: None, role: "projection".to_owned() });
            }
        }
        Self { flow, parts }
    }

    /// Whether the node multiplies two activations.
    pub fn is_between_activations(&self, node: &NodeProto) -> bool {
        self.flow.is_between_activations(node)
    }

    /// What the linear layer at this node is.
    pub fn part(&self, node: usize) -> Option<&Part> {
        self.parts.get(&node)
    }
}
