//! The method: statistics -> scores -> selection (UWM, WACV 2026). Pure functions over arrays: no files, no graphs.

pub mod aim;
mod product;
mod score;
mod selection;
mod spread;
mod statistics;
mod sums;
#[cfg(test)]
mod tests;

use miette::Diagnostic;
use thiserror::Error;

pub use product::{Product, Side};
pub use score::{ALL as SCORES, Score, ScoreOption, Scores, Scoring};
pub use selection::{Budget, Measure, Rule, select};
pub use spread::{SPREAD_BINS, ScoreSpread, spread};
pub use statistics::Statistics;
pub use sums::{Accumulator, CHUNK, Means, Sum, Sums, Undefined};

/// Scores that do not allow a selection.
#[derive(Debug, Error, Diagnostic, PartialEq)]
pub enum Error {
    /// Every pair had to be left out.
    #[error("none of the {pairs} calibration pairs can be scored")]
    #[diagnostic(
        code("no-usable-pairs"),
        help(
            "a pair needs at least two valid tokens on both sides (one for scores that do not divide by a deviation): check the calibration data, or choose layers that are given more than one token (not those of a pooling head)"
        )
    )]
    NoPairs {
        /// How many there were.
        pairs: usize,
    },
    /// A score is not a number.
    #[error("the score of element {position} is {value}")]
    #[diagnostic(
        code("score-invalid"),
        help("the model's activations overflow on the calibration data; check the export")
    )]
    InvalidScore {
        /// Logical position `o * I + i`.
        position: usize,
        /// The score.
        value: f32,
    },
    /// All scores are 0.
    #[error("all scores are 0")]
    #[diagnostic(
        code("scores-zero"),
        help("the layer's weights or inputs are all 0 on the calibration data; choose other layers")
    )]
    AllZero,
    /// Nothing tells unsafe content from safe content.
    #[error("nothing can be aimed at: {reason}")]
    #[diagnostic(
        code("no-direction"),
        help("check that the calibration data hold safe and unsafe samples that differ, or choose another tower")
    )]
    NoDirection {
        /// Why not.
        reason: &'static str,
    },
    /// No element of any layer was selected.
    #[error("no element of this layer, nor of any of the {layers} layers, was selected")]
    #[diagnostic(
        code("nothing-selected"),
        help(
            "nothing would be edited: raise tau (in an aimed edit the gain), lower lambda, or choose other layers or another score"
        )
    )]
    NothingSelected {
        /// How many layers there are.
        layers: usize,
    },
    /// Negative scores outweigh the positive ones.
    #[error("the scores sum to {total}, and an adaptive selection shares out a positive mass")]
    #[diagnostic(code("scores-negative"), help("choose `selection: hard`, or another score"))]
    NoMass {
        /// The sum.
        total: f64,
    },
}
