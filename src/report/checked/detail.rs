//! What a reader can look at beside the figures: how quadruplets lie, examples, what made the edit.

use std::path::PathBuf;

use serde::Serialize;

use super::super::FileId;
use crate::onnx::Modality;

/// How quadruplets lie, before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Scatter {
    /// Quadruplets, evenly taken where there are too many to draw.
    pub points: Vec<Point>,
    /// How many there are.
    pub of: usize,
    /// How many of them all lie in each [quadrant](Self::quadrant) by the baseline; none without one.
    pub before: Option<[usize; 4]>,
    /// By the model.
    pub after: [usize; 4],
}

impl Scatter {
    /// What quadrants are called, in their order.
    pub const QUADRANTS: [&'static str; 4] = ["neither", "PS only", "PU only", "GS"];

    /// The quadrant of such margins as a [`Point`] has.
    pub fn quadrant([safe, not_safe]: [f64; 2]) -> usize {
        usize::from(safe > 0.0) + 2 * usize::from(not_safe > 0.0)
    }
}

/// By how much the queries of a quadruplet prefer what is safe: the safe queries' least margin across (PS counts it, if
/// above 0), the unsafe queries' least margin up (PU). Both above 0: GS.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// By the baseline: `[min(P_ts, P_vs), min(P_tu, P_vu)]` as differences of cosines.
    pub before: Option<[f32; 2]>,
    /// By the model.
    pub after: [f32; 2],
}

/// A quadruplet to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Its name.
    pub id: String,
    /// What it is an example of.
    pub kind: ExampleKind,
    /// What makes it unsafe.
    pub concept: Option<String>,
    /// Whether its unsafe image and text are to be hidden at first.
    pub sensitive: bool,
    /// The safe and the unsafe caption, where there are texts.
    pub texts: Option<[String; 2]>,
    /// The safe and the unsafe image, where there are images: as PNG, made small; none if it could not be decoded.
    pub images: Option<[Option<Image>; 2]>,
    /// Cosines by the baseline.
    pub before: Option<Similarities>,
    /// By the model.
    pub after: Similarities,
}

/// Cosines: safe text with safe and unsafe image; unsafe text with safe and unsafe image.
pub type Similarities = [[f64; 2]; 2];

/// A small picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// An encoded PNG.
    pub png: Vec<u8>,
    /// Pixels across and down.
    pub size: [u32; 2],
}

/// What an example shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExampleKind {
    /// Its unsafe queries gained most.
    Gained,
    /// Its safe queries lost most.
    Lost,
    /// It lies in the middle of all changes.
    Typical,
    /// Its unsafe queries still prefer what is unsafe, by most.
    StillUnsafe,
}

impl ExampleKind {
    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Gained => "gained most",
            Self::Lost => "lost most",
            Self::Typical => "typical",
            Self::StillUnsafe => "still unsafe",
        }
    }
}

/// What `rewrite` reported of the edit.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewritten {
    /// Its report.
    pub file: FileId,
    /// The edit against random ones, in words.
    pub sentence: Option<String>,
    /// Whether it does something that damage alone does not.
    pub specific: Option<bool>,
    /// Figures of the edit and of each control, by their names here; in percent.
    pub before: Vec<(String, f64)>,
    /// Of the edit.
    pub after: Vec<(String, f64)>,
    /// Of other edits of the same layers: "random 0", "roles swapped".
    pub controls: Vec<(String, Vec<(String, f64)>)>,
    /// Where the scores of layers lie.
    pub scores: Vec<ScoredLayer>,
}

/// How the scores of a layer are spread.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredLayer {
    /// Its tower.
    pub tower: Modality,
    /// Its transformer block.
    pub block: Option<usize>,
    /// Its role.
    pub role: String,
    /// Its weight.
    pub initializer: String,
    /// Decimal logarithms of the least and the greatest score above 0.
    pub range: [f64; 2],
    /// Elements that were selected.
    pub selected: u64,
    /// Elements that score 0.
    pub zero: u64,
    /// Elements in each of equally wide bins of the logarithm; those that score 0 are in none.
    pub counts: Vec<u64>,
    /// Share of the sum of all scores that lies in each.
    pub mass: Vec<f64>,
    /// The least score that was selected, as a decimal logarithm; none if nothing was.
    pub threshold: Option<f64>,
}

/// A frontier of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct SweptFrontier {
    /// The sweep's JSON.
    pub file: PathBuf,
    /// What grows across, and what upward, as axes call them.
    pub axes: [String; 2],
    /// Points of the frontier on the evaluation split, from most knowledge on: `[knowledge, safety]` in percent.
    pub frontier: Vec<[f64; 2]>,
    /// As many elements at random.
    pub random: Vec<[f64; 2]>,
    /// All points, on the validation split.
    pub others: Vec<[f64; 2]>,
    /// The model as it was, on the evaluation split.
    pub unedited: Option<[f64; 2]>,
}
