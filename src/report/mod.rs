//! One result value, and its forms. Computes nothing.

mod aim;
pub mod checked;
mod controls;
mod data_check;
mod data_split;
mod doctor;
mod edits;
mod evaluated;
mod inspection;
mod json;
mod look;
mod scored;
mod sweep;
mod table;
mod timing;

pub use aim::{Aim, AimPoint};
pub use controls::{Against, Control, ControlKind, Verdict};
pub use data_check::DataCheck;
pub use data_split::{DataSplit, Part};
pub use doctor::survey_text;
pub use edits::{Applied, AppliedLayer, Compared, Reverted, Verified};
pub use evaluated::{Absent, Estimate, Evaluated, FigureGroup, FigureLine, Unwell, Worst};
pub use inspection::{Inspection, LayerRow, TowerRow, ValueRow, inspections_json};
pub use look::{Look, Tone};
pub use scored::Scored;
pub use sweep::{Frontier, Outcome, Picked, Reach, SplitSize, Sweep, SweepPoint, TriedEdit};

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::onnx::{Modality, sha256_of};
use crate::runtime::Place;
use crate::safeground::Evaluation;
use crate::uwm::{ScoreSpread, Undefined};

/// What `rewrite` did and measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The edited files.
    pub files: Vec<EditedFile>,
    /// Pairs the scores come from.
    pub calibration_pairs: usize,
    /// Quadruplets the metrics come from; 0 if nothing was evaluated.
    pub evaluation_quadruplets: usize,
    /// What was changed.
    pub edit: Edit,
    /// The metrics, where they could be measured.
    pub evaluation: Option<BeforeAfter<Evaluation>>,
    /// Every figure of it with its interval, before, after, and the change.
    pub figures: Vec<FigureLine>,
    /// Signs that the model did not work before it was edited.
    pub unwell: Vec<Unwell>,
    /// Other edits of the same layers.
    pub controls: Vec<Control>,
    /// The edit against the random ones among them.
    pub verdict: Option<Verdict>,
    /// What was found out before an aimed edit.
    pub aims: Vec<Aim>,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// Where the graphs ran.
    pub runtime: Place,
    /// Seconds by part; the last is the total.
    pub timing_s: Vec<(&'static str, f64)>,
}

/// A file by path and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileId {
    /// Where it is.
    #[serde(serialize_with = "shown")]
    pub path: PathBuf,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

impl FileId {
    /// The file of these bytes.
    pub fn of(path: PathBuf, bytes: &[u8]) -> Self {
        Self { path, sha256: sha256_of(bytes) }
    }
}

/// A path need not be UTF-8, JSON must.
fn shown<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// An input with its output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EditedFile {
    /// The towers edited in it.
    pub towers: Vec<Modality>,
    /// The input.
    pub model: FileId,
    /// The output.
    pub output: FileId,
    /// Data files of the output.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<FileId>,
    /// The patch, if it was wanted as a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<FileId>,
}

/// What was changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Edit {
    /// The factor, if it is the same everywhere.
    pub alpha: Option<f64>,
    /// Elements changed.
    pub selected: usize,
    /// Elements of the layers that were scored.
    pub elements: usize,
    /// Layer by layer.
    pub layers: Vec<EditedLayer>,
    /// Where concepts were selected for apart, what each brought.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub concepts: Vec<ConceptPart>,
}

/// What a concept brought to the edit of a tower.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConceptPart {
    /// The tower.
    pub tower: Modality,
    /// The concept.
    pub concept: String,
    /// Its calibration pairs.
    pub pairs: usize,
    /// Elements it selected.
    pub selected: usize,
    /// Of these, such as no concept before it had selected.
    pub added: usize,
}

impl Edit {
    /// Sums up the layers.
    pub fn new(layers: Vec<EditedLayer>, concepts: Vec<ConceptPart>) -> Self {
        let first = layers.first().and_then(|layer| layer.alpha);
        Self {
            alpha: first.filter(|alpha| layers.iter().all(|layer| layer.alpha == Some(*alpha))),
            selected: layers.iter().map(|layer| layer.selected).sum(),
            elements: layers.iter().map(|layer| layer.shape[0] * layer.shape[1]).sum(),
            layers,
            concepts,
        }
    }
}

/// One edited layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EditedLayer {
    /// Its tower.
    pub tower: Modality,
    /// Its transformer block, where known.
    pub block: Option<usize>,
    /// Its role in the block.
    pub role: String,
    /// Its node.
    pub node: String,
    /// Its weight.
    pub initializer: String,
    /// `[O, I]`
    pub shape: [usize; 2],
    /// The score, in words.
    pub score: String,
    /// Share that was selected, if the method goes by one.
    pub tau: Option<f64>,
    /// The factor; none where other values took the place.
    pub alpha: Option<f64>,
    /// Elements changed.
    pub selected: usize,
    /// Of these, codes that had to stop at the end of their range.
    pub saturated: usize,
    /// What had no score.
    pub undefined: Undefined,
    /// How the scores are spread, if the method goes by some, the same for all pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<ScoreSpread>,
}

/// A measurement before and after the edit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BeforeAfter<T> {
    /// Of the input.
    pub before: T,
    /// Of the output.
    pub after: T,
}

impl<T> BeforeAfter<T> {
    /// The same part of both.
    fn pick<'a, U: 'a>(&'a self, part: impl Fn(&'a T) -> U) -> BeforeAfter<U> {
        BeforeAfter { before: part(&self.before), after: part(&self.after) }
    }
}
