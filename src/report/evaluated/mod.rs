//! What `evaluate` found.

pub(super) mod json;
pub(super) mod table;

use std::path::PathBuf;

use serde::Serialize;

use super::FileId;
use crate::runtime::Place;
use crate::safeground::Bootstrap;
use crate::safeground::figure::{Ties, Unit};
use crate::safeground::health::Ailment;

/// A model on a data set, perhaps beside another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// What was evaluated: model files, or a file of embeddings.
    pub model: Vec<FileId>,
    /// What it was compared with.
    pub baseline: Option<Vec<FileId>>,
    /// The data set, where models were run.
    pub data: Option<PathBuf>,
    /// Which samples these are: a hash over their names, texts and tags.
    pub data_sha256: Option<String>,
    /// Quadruplets that were measured.
    pub quadruplets: usize,
    /// Zero-shot images that were measured.
    pub zero_shot_images: usize,
    /// Signs that a model does not work at all; the baseline's first.
    pub ailments: Vec<Unwell>,
    /// Over everything.
    pub overall: FigureGroup,
    /// For each concept.
    pub concepts: Vec<FigureGroup>,
    /// For each style.
    pub styles: Vec<FigureGroup>,
    /// For each figure, the concept that is worst by it.
    pub worst: Vec<Worst>,
    /// What could not be measured.
    pub absent: Vec<Absent>,
    /// Comparisons that came out equal.
    pub ties: Vec<Ties>,
    /// The same of the baseline.
    pub baseline_ties: Vec<Ties>,
    /// How intervals were made.
    pub bootstrap: Bootstrap,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// Where the graphs ran, if any did.
    pub runtime: Option<Place>,
    /// Seconds by part; the last is the total.
    pub timing_s: Vec<(&'static str, f64)>,
}

/// A model that does not work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unwell {
    /// "baseline" or "model".
    pub who: &'static str,
    /// What is wrong.
    #[serde(flatten)]
    pub ailment: Ailment,
}

impl Unwell {
    /// In a sentence.
    pub fn sentence(&self) -> String {
        let who = self.who;
        match self.ailment {
            Ailment::PaddingCounts { cosine } => format!(
                "The text tower of the {who} looks at what stands behind the end of a text (exchanging it moves embeddings to a cosine of {cosine:.3}): it lost its causal mask in the export, or pads otherwise than its tokenizer. Its figures are not those of the model it was exported from."
            ),
            Ailment::EmbeddingsUndefined { part, bad, of } => format!(
                "The {who} has no embedding for {bad} of {of} {}: they are zero or not finite. It does not work, and its figures say nothing.",
                part.name()
            ),
            Ailment::EmbeddingsCollapsed { part, spread } => format!(
                "The {who} gives all {} the same embedding (mean distance {spread:.1e}): it does not work, and its figures say nothing.",
                part.name()
            ),
            Ailment::RetrievalAtChance { before } => format!(
                "The {who} finds the right item behind {before:.1} % of the gallery on average, which cannot be told from guessing (50 %): text and vision tower do not belong together, or one was exported wrong. Its figures say nothing."
            ),
            Ailment::ZeroShotAtChance { top1, chance } => format!(
                "The {who} classifies {top1:.1} % of the zero-shot images right, which cannot be told from guessing ({chance:.1} %): it does not work, or labels and images do not belong together. Its figures say nothing."
            ),
        }
    }
}

/// A figure with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// From and to; `None` for too few items.
    pub interval: Option<[f64; 2]>,
}

/// A figure of a group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FigureLine {
    /// Its name.
    pub figure: &'static str,
    /// What it counts in.
    pub unit: Unit,
    /// Items that it is an average of.
    pub items: usize,
    /// Of the model.
    pub value: Estimate,
    /// Of the baseline.
    pub baseline: Option<Estimate>,
    /// The model's less the baseline's, item by item.
    pub change: Option<Estimate>,
    /// McNemar's exact test, where items are a yes or a no.
    pub p: Option<f64>,
}

/// Figures of some of the quadruplets.
#[derive(Debug, Clone, PartialEq)]
pub struct FigureGroup {
    /// What they have in common.
    pub name: Option<String>,
    /// How many.
    pub quadruplets: usize,
    /// The figures.
    pub lines: Vec<FigureLine>,
}

/// The concept that is worst by a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Worst {
    /// The concept.
    pub concept: String,
    /// How many others are as bad.
    pub as_bad: usize,
    /// The figure in that concept.
    pub line: FigureLine,
}

/// Figures that could not be measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Absent {
    /// Their names.
    pub figures: Vec<&'static str>,
    /// Why.
    pub reason: String,
}

impl Evaluated {
    /// Whether model and baseline work at all.
    pub fn works(&self) -> bool {
        self.ailments.is_empty()
    }
}
