//! A tower in its graph, with its linear layers.

use super::Error;
use crate::onnx::proto::NodeProto;
use crate::onnx::{self, Graph, Linear, Modality, Opaque, Tower, find_layers, find_towers};
use crate::runtime;
use crate::uwm::CHUNK;

/// Where the pass works: one tower of one graph.
pub struct Site<'m> {
    /// The graph it is in.
    pub graph: &'m Graph<'m>,
    /// Its inputs and its embedding.
    pub tower: Tower,
    /// All its linear layers.
    pub layers: Vec<Linear>,
    /// Nodes that are none this tool can edit.
    pub opaque: Vec<Opaque>,
}

impl<'m> Site<'m> {
    /// The towers of a graph, text first.
    ///
    /// # Errors
    /// If the graph has none or they cannot be told.
    pub fn find(graph: &'m Graph<'m>) -> Result<Vec<Self>, onnx::Error> {
        let towers = find_towers(graph)?;
        let (layers, opaque) = find_layers(graph, &towers);
        let site = |tower: Tower| Site {
            graph,
            layers: layers.iter().filter(|layer| layer.modality == tower.modality).cloned().collect(),
            opaque: opaque.iter().filter(|node| node.modality == tower.modality).cloned().collect(),
            tower,
        };
        Ok(towers.into_iter().map(site).collect())
    }

    /// What it embeds.
    pub fn modality(&self) -> Modality {
        self.tower.modality
    }

    /// The layers of a role, checked to be editable.
    ///
    /// # Errors
    /// If there are none, one is shared with another node, or one's type or storage is not supported.
    pub fn select(&self, role: &str) -> Result<Vec<Linear>, onnx::Error> {
        let path = self.graph.model.path();
        // Half of a selection edited without a word would be worse than none.
        if let Some(node) = self.opaque.iter().find(|node| node.role == role) {
            return Err(onnx::Error::Tensor {
                path: path.to_owned(),
                tensor: node.node.clone(),
                reason: format!("this {role} node cannot be edited: its weight is {}", node.weight),
            });
        }
        let chosen: Vec<Linear> = self.layers.iter().filter(|layer| layer.role == role).cloned().collect();
        if chosen.is_empty() {
            let mut counts = std::collections::BTreeMap::<&str, usize>::new();
            for layer in &self.layers {
                *counts.entry(&layer.role).or_default() += 1;
            }
            let found: Vec<String> = counts.into_iter().map(|(role, count)| format!("{role} ({count})")).collect();
            return Err(onnx::Error::Layers {
                path: path.to_owned(),
                tower: self.modality().name(),
                role: role.to_owned(),
                found: if found.is_empty() { "none".to_owned() } else { found.join(", ") },
            });
        }
        chosen.iter().try_for_each(|layer| self.check_editable(layer))?;
        Ok(chosen)
    }

    /// Checks that a layer's weight can be edited, and that nothing else uses it.
    ///
    /// # Errors
    /// [`onnx::Error::Tensor`] if not.
    pub fn check_editable(&self, layer: &Linear) -> Result<(), onnx::Error> {
        if !layer.shared_with.is_empty() {
            return Err(onnx::Error::Tensor {
                path: self.graph.model.path().to_owned(),
                tensor: layer.weight.initializer.clone(),
                reason: format!(
                    "layer '{}' shares it with {}, which an edit would change too",
                    layer.node,
                    layer.shared_with.join(", ")
                ),
            });
        }
        layer.weight.open(self.graph.model).map(drop)
    }

    /// A runtime's failure, with what it was running.
    pub fn failed(&self, source: runtime::Error) -> Error {
        Error::Runtime { model: self.graph.model.path().to_owned(), tower: self.modality(), source }
    }

    /// The batch size that the graph fixes, if it does.
    pub fn fixed_batch(&self) -> Option<usize> {
        self.tower.input.dims.first().copied().flatten()
    }

    /// The batch size to run with: the graph's own where it fixes one; 1 where samples mix; else the wish, no more than
    /// the data, and so that a chunk of sums is filled evenly.
    pub fn batch_size(&self, wished: usize, samples: usize) -> usize {
        if let Some(fixed) = self.fixed_batch() {
            return fixed.max(1);
        }
        if self.mixes_samples() {
            return 1;
        }
        let wished = wished.clamp(1, CHUNK);
        CHUNK.div_ceil(CHUNK.div_ceil(wished)).min(samples).max(1)
    }

    /// Whether a sample's numbers depend on what else is in its batch: dynamic quantisation takes one scale for all.
    pub fn mixes_samples(&self) -> bool {
        let dynamic = |node: &NodeProto| matches!(&*node.op_type, "DynamicQuantizeLinear" | "DynamicQuantizeMatMul");
        self.graph.nodes().iter().any(dynamic)
    }
}
