//! A tower in its graph, with its linear layers.

use super::wanted::Wanted;
use super::{Error, ModelFiles};
use crate::few::{cut, few};
use crate::onnx::proto::NodeProto;
use crate::onnx::{self, Graph, Hints, Layers, Linear, Modality, Opaque, Tower, Towers, find_layers, find_towers};
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

/// The text and the vision tower, if both are there.
pub fn both<'s, 'm>(sites: &'s [(usize, Site<'m>)]) -> Option<[&'s Site<'m>; 2]> {
    let site = |tower| sites.iter().map(|(_, site)| site).find(|site| site.modality() == tower);
    Some([site(Modality::Text)?, site(Modality::Vision)?])
}

impl<'m> Site<'m> {
    /// The towers of a graph, text first; hints win over what is found.
    ///
    /// # Errors
    /// If the graph has none, or one that is asked for cannot be told.
    pub fn find(graph: &'m Graph<'m>, hints: &Hints) -> Result<Vec<Self>, onnx::Error> {
        let Towers { found, failed, .. } = find_towers(graph, hints)?;
        if let Some((tower, reason)) = failed.into_iter().find(|(tower, _)| hints.wants(*tower)) {
            let path = graph.model.path().to_owned();
            let alone = found.first().map_or(String::new(), |other| {
                format!(" (or edit the {0} tower alone: give the file with --{0})", other.modality)
            });
            return Err(onnx::Error::Towers { path, reason: format!("the {tower} tower: {reason}{alone}") });
        }
        let layers = find_layers(graph, &found);
        Ok(found.into_iter().map(|tower| Self::new(graph, tower, &layers)).collect())
    }

    /// The towers of a model's files, with the index of their file: of a file given for one tower, only that must be
    /// there, and of two files each gives its own.
    ///
    /// # Errors
    /// If a tower that is asked for is not there or cannot be told, or a hint is of none of the files.
    pub fn find_all(files: &ModelFiles, graphs: &'m [Graph<'m>], hints: &Hints) -> Result<Vec<(usize, Self)>, Error> {
        hints.check(graphs)?;
        let mut all = vec![];
        for (file, graph) in graphs.iter().enumerate() {
            let only = files.wanted(file);
            let mut sites = Self::find(graph, &Hints { only, ..hints.clone() })?;
            if let ModelFiles::Pair { .. } = files {
                // A file given for one tower may hold both; only the tower it was given for counts.
                sites.retain(|site| Some(site.modality()) == only);
            }
            if let Some(tower) = only.filter(|only| !sites.iter().any(|site| site.modality() == *only)) {
                return Err(Error::Conflict {
                    reason: format!("{}, given with --{tower}, has no {tower} tower", graph.model.path().display()),
                    help: "give the file of the text encoder with --text and that of the image encoder with --vision",
                });
            }
            all.extend(sites.into_iter().map(|site| (file, site)));
        }
        let towers: Vec<&Tower> = all.iter().map(|(_, site): &(usize, Self)| &site.tower).collect();
        hints.check_used(&towers)?;
        Ok(all)
    }

    /// A tower with its own of the graph's layers.
    pub fn new(graph: &'m Graph<'m>, tower: Tower, layers: &Layers) -> Self {
        let Layers { linear, opaque } = layers;
        Self {
            graph,
            layers: linear.iter().filter(|layer| layer.modality == tower.modality).cloned().collect(),
            opaque: opaque.iter().filter(|node| node.modality == Some(tower.modality)).cloned().collect(),
            tower,
        }
    }

    /// How many transformer blocks it has.
    pub fn blocks(&self) -> usize {
        self.layers.iter().filter_map(|layer| layer.block).max().map_or(0, |last| last + 1)
    }

    /// What it embeds.
    pub fn modality(&self) -> Modality {
        self.tower.modality
    }

    /// The layers that a selection takes ([`Wanted`]), checked to be editable.
    ///
    /// # Errors
    /// If it is none, takes no layer, or takes one that is shared with another node or cannot be edited.
    pub fn select(&self, wanted: &str) -> Result<Vec<Linear>, onnx::Error> {
        let path = self.graph.model.path();
        let none = |reason: String| {
            let mut counts = std::collections::BTreeMap::<&str, usize>::new();
            for layer in &self.layers {
                *counts.entry(&layer.role).or_default() += 1;
            }
            let mut found = few(counts.into_iter().map(|(role, count)| format!("{role} ({count})")));
            if let Some(last) = self.blocks().checked_sub(1) {
                found += &format!(", in blocks 0 to {last}");
            }
            onnx::Error::Layers { path: path.to_owned(), tower: self.modality().name(), reason, found }
        };
        let takes = Wanted::parse(wanted).map_err(none)?;
        let blocks = self.blocks();
        // Half of a selection edited without a word would be worse than none.
        if let Some(node) = self.opaque.iter().find(|node| !node.convolution && takes.takes_opaque(node, blocks)) {
            return Err(onnx::Error::Layer {
                path: path.to_owned(),
                node: cut(&node.node),
                reason: format!("it is {}, and its weight is {}", node.role, node.weight),
            });
        }
        let chosen: Vec<Linear> = self.layers.iter().filter(|layer| takes.takes(layer, blocks)).cloned().collect();
        if let Some(part) = takes.without(self.layers.iter(), blocks) {
            return Err(none(format!("no {} layer is one of '{part}'", self.modality())));
        }
        chosen.iter().try_for_each(|layer| self.check_editable(layer))?;
        Ok(chosen)
    }

    /// A word on 1x1 convolutions that a selection would take if they were linear layers.
    pub fn convolutions(&self, wanted: &str) -> Option<String> {
        let (takes, blocks) = (Wanted::parse(wanted).ok()?, self.blocks());
        let left = self.opaque.iter().filter(|node| node.convolution && takes.takes_opaque(node, blocks));
        let nodes: Vec<&str> = left.map(|node| node.node.as_str()).collect();
        let (tower, count) = (self.modality(), nodes.len());
        let first = nodes.first()?;
        Some(format!(
            "{count} 1x1 convolutions of the {tower} tower are '{wanted}' too and left alone, '{}' first",
            cut(first)
        ))
    }

    /// Checks that a layer's weight can be edited, and that nothing else uses it.
    ///
    /// # Errors
    /// [`onnx::Error::Layer`] or [`onnx::Error::Tensor`] if not.
    pub fn check_editable(&self, layer: &Linear) -> Result<(), onnx::Error> {
        if !layer.shared_with.is_empty() {
            return Err(onnx::Error::Layer {
                path: self.graph.model.path().to_owned(),
                node: cut(&layer.node),
                reason: format!(
                    "tensor '{}' serves {} too, which an edit would change",
                    cut(&layer.weight.initializer),
                    few(&layer.shared_with)
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
