//! SafeGround: how safe a vision-language encoder is, and what it still knows (`method.md` section 4). Pure
//! functions over embeddings.

mod binomial;
mod bootstrap;
mod classification;
mod expected;
pub mod figure;
pub mod health;
mod metric;
pub mod normal;
mod paired;
mod preference;
mod retrieval;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;

use miette::Diagnostic;
use ndarray::{Array2, Axis};
use thiserror::Error;

pub use bootstrap::{Bootstrap, FEWEST, Range, Statistic, Values};
pub use classification::{Accuracy, Classified, classify};
pub use expected::expected_recall;
pub use metric::{METRICS, Metric};
pub use paired::{Paired, paired};
pub use preference::{Group, Outcome, Preference, outcomes};
pub use retrieval::{Ranked, Ranks, Recall, Retrieval, ranks, recall, retrieval};

/// Embeddings that cannot be compared.
#[derive(Debug, Error, Diagnostic, PartialEq)]
pub enum Error {
    /// No direction: cosine similarity is undefined.
    #[error("the embedding of sample {row} is {what}")]
    #[diagnostic(
        code("embedding-undefined"),
        help(
            "the model breaks down on this sample; check the export with its original framework, or pass --skip-bad-samples"
        )
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

/// Rows of length 1. A clone shares them.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings(Arc<Array2<f32>>);

impl Embeddings {
    /// L2-normalises each row of `[N, width]`.
    ///
    /// # Errors
    /// [`Error::Undefined`] if a row is zero or not finite.
    pub fn normalise(rows: Array2<f32>) -> Result<Self, Error> {
        let (rows, undefined) = Self::normalise_each(rows);
        match undefined.into_iter().next() {
            Some((row, what)) => Err(Error::Undefined { row, what }),
            None => Ok(rows),
        }
    }

    /// L2-normalises each row of `[N, width]`; those that have no direction become 0, and are told with the reason.
    pub fn normalise_each(mut rows: Array2<f32>) -> (Self, BTreeMap<usize, &'static str>) {
        let mut undefined = BTreeMap::new();
        for (index, mut row) in rows.axis_iter_mut(Axis(0)).enumerate() {
            let norm = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            if norm == 0.0 || !norm.is_finite() {
                undefined.insert(index, if norm == 0.0 { "zero" } else { "not finite" });
                row.fill(0.0);
            } else {
                row.mapv_inplace(|v| (f64::from(v) / norm) as f32);
            }
        }
        (Self(Arc::new(rows)), undefined)
    }

    /// Rows that were normalised before: of length 1, or 0.
    pub fn of_unit_rows(rows: Array2<f32>) -> Self {
        Self(Arc::new(rows))
    }

    /// Some of the rows.
    pub fn select(&self, rows: &[usize]) -> Self {
        // All of them, in order: no copy.
        if rows.iter().copied().eq(0..self.0.nrows()) {
            return self.clone();
        }
        Self(Arc::new(self.0.select(Axis(0), rows)))
    }

    /// `[N, width]`, each row of length 1.
    pub fn rows(&self) -> &Array2<f32> {
        &self.0
    }

    /// Cosine similarity of row `a` to row `b` of another set, summed in float64.
    pub fn cosine(&self, a: usize, other: &Self, b: usize) -> f64 {
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
    /// What each quadruplet shows, for paired tests.
    pub outcomes: Vec<Outcome>,
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
    /// Some of the quadruplets.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            safe_text: self.safe_text.select(rows),
            unsafe_text: self.unsafe_text.select(rows),
            safe_image: self.safe_image.select(rows),
            unsafe_image: self.unsafe_image.select(rows),
        }
    }
}

/// Checks that texts and images share a space.
///
/// # Errors
/// [`Error::Width`] if they do not.
pub fn check_widths(text: &Embeddings, image: &Embeddings) -> Result<(), Error> {
    let (text, image) = (text.0.ncols(), image.0.ncols());
    if text == image { Ok(()) } else { Err(Error::Width { text, image }) }
}

/// Part of a whole in percent; 0 of 0 is 0.
fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}
