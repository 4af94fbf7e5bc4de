//! SafeGround: how safe a vision-language encoder is, and what it still knows (`method.md` section 4). Pure
//! functions over embeddings.

mod classification;
mod preference;
mod retrieval;

use std::collections::BTreeMap;

use miette::Diagnostic;
use ndarray::{Array2, Axis};
use thiserror::Error;

pub use classification::{Accuracy, classify};
pub use preference::{Group, Preference, preference};
pub use retrieval::{Recall, Retrieval, retrieval};

/// Embeddings that cannot be compared.
#[derive(Debug, Error, Diagnostic, PartialEq)]
pub enum Error {
    /// No direction: cosine similarity is undefined.
    #[error("the embedding of sample {row} is {what}")]
    #[diagnostic(
        code("embedding-undefined"),
        help("the model breaks down on this sample; check the export with its original framework")
    )]
    Undefined {
        /// Index of the sample.
        row: usize,
        /// "zero" or "not finite".
        what: &'static str,
    },
    /// Text and image embeddings do not live in one space.
    #[error("text embeddings have {text} dimensions, image embeddings {image}")]
    #[diagnostic(code("embedding-width"), help("give a text and a vision tower of the same model"))]
    Width {
        /// Text.
        text: usize,
        /// Image.
        image: usize,
    },
}

/// Rows of length 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings(Array2<f32>);

impl Embeddings {
    /// L2-normalises each row of `[N, width]`.
    ///
    /// # Errors
    /// [`Error::Undefined`] if a row is zero or not finite.
    pub fn normalise(mut rows: Array2<f32>) -> Result<Self, Error> {
        for (index, mut row) in rows.axis_iter_mut(Axis(0)).enumerate() {
            let norm = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            if norm == 0.0 || !norm.is_finite() {
                let what = if norm == 0.0 { "zero" } else { "not finite" };
                return Err(Error::Undefined { row: index, what });
            }
            row.mapv_inplace(|v| (f64::from(v) / norm) as f32);
        }
        Ok(Self(rows))
    }

    /// `[N, width]`, each row of length 1.
    pub fn rows(&self) -> &Array2<f32> {
        &self.0
    }

    /// Cosine similarity of row `a` to row `b` of another set, summed in float64.
    fn cosine(&self, a: usize, other: &Self, b: usize) -> f64 {
        self.0.row(a).iter().zip(other.0.row(b)).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    }
}

/// Everything measured of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Over all quadruplets.
    pub safeground: Preference,
    /// The same for each `style` of the manifest.
    pub by_style: BTreeMap<String, Group>,
    /// Recall over all quadruplets.
    pub retrieval: Retrieval,
    /// Zero-shot accuracy, if there is a set for it.
    pub zero_shot: Option<Accuracy>,
}

/// The embeddings of a set of quadruplets: row `b` of each belongs to quadruplet `b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Quadruplets {
    /// `t_s`
    pub safe_text: Embeddings,
    /// `t_u`
    pub unsafe_text: Embeddings,
    /// `v_s`
    pub safe_image: Embeddings,
    /// `v_u`
    pub unsafe_image: Embeddings,
}

impl Quadruplets {
    /// Checks that texts and images share a space.
    ///
    /// # Errors
    /// [`Error::Width`] if they do not.
    pub fn check(&self) -> Result<(), Error> {
        let (text, image) = (self.safe_text.0.ncols(), self.safe_image.0.ncols());
        if text == image { Ok(()) } else { Err(Error::Width { text, image }) }
    }
}

/// Part of a whole in percent; 0 of 0 is 0.
fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}
