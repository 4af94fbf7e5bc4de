//! The method: statistics -> scores -> selection (UWM, WACV 2026). Pure functions over arrays: no files, no graphs.

mod pairwise;
mod selection;
mod statistics;

use miette::Diagnostic;
use thiserror::Error;

pub use pairwise::{CHUNK, Pairwise, Scores, Sums, Undefined};
pub use selection::adaptive;
pub use statistics::Statistics;

/// Scores that do not allow a selection.
#[derive(Debug, Error, Diagnostic, PartialEq)]
pub enum Error {
    /// Every pair had to be left out.
    #[error("none of the {pairs} calibration pairs can be scored")]
    #[diagnostic(
        code("no-usable-pairs"),
        help(
            "a pair needs at least two valid tokens on both sides: check the calibration data, or choose layers that are given more than one token (not those of a pooling head)"
        )
    )]
    NoPairs {
        /// How many there were.
        pairs: usize,
    },
    /// A score is negative or not a number.
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
}
