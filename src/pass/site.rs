//! A tower in its graph, with its linear layers.

use crate::onnx::{self, Graph, Linear, Modality, Tower, find_layers, find_towers};

/// Where the pass works: one tower of one graph.
pub struct Site<'m> {
    /// The graph it is in.
    pub graph: &'m Graph<'m>,
    /// Its inputs and its embedding.
    pub tower: Tower,
    /// All its linear layers.
    pub layers: Vec<Linear>,
}

impl<'m> Site<'m> {
    /// The towers of a graph, text first.
    ///
    /// # Errors
    /// If the graph has none or they cannot be told.
    pub fn find(graph: &'m Graph<'m>) -> Result<Vec<Self>, onnx::Error> {
        let towers = find_towers(graph)?;
        let layers = find_layers(graph, &towers)?;
        let own = |modality| layers.iter().filter(|layer| layer.modality == modality).cloned().collect();
        Ok(towers.into_iter().map(|tower| Site { graph, layers: own(tower.modality), tower }).collect())
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
        for layer in &chosen {
            if !layer.shared_with.is_empty() {
                return Err(onnx::Error::Tensor {
                    path: path.to_owned(),
                    tensor: layer.weight.initializer.clone(),
                    reason: format!(
                        "layer '{}' shares it with {}, which an edit would change too",
                        layer.node,
                        layer.shared_with.join(", ")
                    ),
                });
            }
            layer.weight.file_offset(self.graph.model)?;
        }
        Ok(chosen)
    }

    /// The batch size to run with: the graph's own where it fixes one, else the wish, and no more than the data.
    pub fn batch_size(&self, wished: usize, samples: usize) -> usize {
        let fixed = self.tower.input.dims.first().copied().flatten();
        fixed.unwrap_or_else(|| wished.min(samples)).max(1)
    }
}
