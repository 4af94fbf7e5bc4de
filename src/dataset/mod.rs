//! From files to batches: pairs of safe and unsafe texts and images, and what a model's own files say about how they
//! are tokenised and preprocessed. This room knows nothing of graphs.

mod beside;
mod check;
mod cleaning;
mod decode;
mod divide;
mod error;
mod forms;
mod framing;
mod hugging_face;
mod image;
mod jpeg;
mod kind;
mod levels;
mod limits;
mod open_clip;
mod orientation;
mod picture;
mod preparation;
mod preprocessor;
mod probe;
mod read;
mod resample;
mod select;
mod set;
mod tame;
mod tensors;
mod text;
mod zero_shot;

use std::ops::Range;

use ndarray::{Array2, Array4};

pub use check::{CheckOptions, Checked, CheckedSet, Checkup, Finding, Pictures, Severity, SplitCount};
pub use decode::decode;
pub use divide::{Divide, Divided, Item, divide};
pub use error::Error;
pub use forms::{Folders, Form};
pub use image::Images;
pub use kind::{Kind, Side};
pub use limits::{ImageLimits, MOST_PIXELS};
pub use picture::Picture;
pub use preparation::Preparation;
pub use preprocessor::Preprocessor;
pub use probe::{Probe, Refused, probe};
pub use resample::{Filter, resize};
pub use set::{DataSet, Pair, Quadruplet};
pub use tensors::{Inputs, TensorSet, Values};
pub use text::{Texts, Tokenizer};
pub use zero_shot::ZeroShot;

/// Consecutive samples, ready for a tower.
#[derive(Debug, Clone, PartialEq)]
pub enum Batch {
    /// Tokenised texts.
    Text {
        /// Token ids `[B, T]`.
        ids: Array2<i64>,
        /// 1 for a token, 0 for padding, `[B, T]`.
        mask: Array2<i64>,
    },
    /// Preprocessed images.
    Image {
        /// Normalised pixels `[B, 3, H, W]`.
        pixels: Array4<f32>,
    },
}

/// A sequence of samples that are read when they are needed.
pub trait Samples: Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads some of them.
    ///
    /// # Errors
    /// If a file is missing or broken.
    fn batch(&self, range: Range<usize>) -> Result<Batch, Error>;

    /// What to call a sample in a message.
    fn name(&self, index: usize) -> String;
}
