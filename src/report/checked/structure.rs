//! What differs in the files of a model and of what it was made from.

use std::path::PathBuf;

use serde::Serialize;

use super::super::FileId;
use crate::onnx::{Diff, Modality};

/// The model's files beside the original's.
#[derive(Debug, Clone, PartialEq)]
pub struct Structure {
    /// A file each.
    pub files: Vec<ComparedFile>,
}

/// A file beside its original.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedFile {
    /// What it was made from.
    pub original: FileId,
    /// The file.
    pub model: FileId,
    /// What differs.
    pub diff: Diff,
    /// What differs in inputs, outputs, opsets and IR version.
    pub io: Vec<String>,
    /// Every linear layer that the original has, in the order of its graph.
    pub layers: Vec<ChangedLayer>,
    /// Data files of the original, and of the file.
    pub data: [Vec<FileId>; 2],
    /// How many edits its metadata tell of.
    pub edits: usize,
    /// Files beside it that hold the same weights.
    pub siblings: Vec<Sibling>,
}

/// A linear layer, and how much of it was changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChangedLayer {
    /// Its tower.
    pub tower: Modality,
    /// Its transformer block, where known.
    pub block: Option<usize>,
    /// Its role in the block.
    pub role: String,
    /// Its weight.
    pub initializer: String,
    /// Its elements.
    pub elements: usize,
    /// Elements that differ.
    pub changed: usize,
    /// Of these, negated ones.
    pub negated: usize,
}

/// Another file with the same weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Sibling {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it has the edit too.
    pub state: SiblingState,
}

/// Whether a sibling has the edit of the model.
#[derive(Debug, Clone, PartialEq)]
pub enum SiblingState {
    /// It has.
    Edited,
    /// It has the weights as they were before.
    Stale,
    /// It has neither; the share of the changed elements, in percent, that are as the model has them.
    Other(f64),
    /// It cannot be told, and why.
    Unknown(String),
}

impl ComparedFile {
    /// Whether anything at all differs, but for metadata of this tool.
    pub fn differs(&self) -> bool {
        self.diff.changed() > 0 || !self.diff.graph.is_empty() || !self.io.is_empty()
    }
}

impl Structure {
    /// Elements that differ.
    pub fn changed(&self) -> usize {
        self.files.iter().map(|file| file.diff.changed()).sum()
    }

    /// Of these, negated ones.
    pub fn negated(&self) -> usize {
        self.files.iter().flat_map(|file| &file.diff.tensors).map(|tensor| tensor.negated).sum()
    }

    /// Elements of all linear layers.
    pub fn elements(&self) -> usize {
        self.files.iter().flat_map(|file| &file.layers).map(|layer| layer.elements).sum()
    }
}
