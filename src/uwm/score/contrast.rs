//! Signed contrast (`method.md` section 8): the element's share of the energy of the unsafe-minus-safe output difference,
//! less `lambda` times its share of the energy that tells safe samples apart:
//!
//! ```text
//! score = W (W C_d) - lambda W (W C_s)
//! ```
//!
//! Negating an element takes twice its share away, to first order. Where the loss is larger there is no score.

use ndarray::{Array2, Zip};

use super::{Definition, ScoreOption, Scoring, worth};
use crate::uwm::product::{Product, Side};

/// `C_d` over pairs.
pub(super) const PER_PAIR: Definition = Definition {
    name: "contrast",
    ratio: false,
    trades: true,
    options: &[ScoreOption::Lambda],
    products: |_| vec![Product::Difference, Product::Spread { of: Side::Safe }],
    combine,
};

/// `C_d` over the mean differences of concepts, by their share of the pairs.
pub(super) const PER_CONCEPT: Definition = Definition {
    name: "concept-contrast",
    ratio: false,
    trades: true,
    options: &[ScoreOption::Lambda],
    products: |_| vec![Product::ConceptDifference, Product::Spread { of: Side::Safe }],
    combine,
};

fn combine(scoring: &Scoring, means: &[&Array2<f32>], weight: &Array2<f32>) -> Array2<f32> {
    Zip::from(weight).and(means[0]).and(means[1]).map_collect(|w, d, s| worth(w * (d - scoring.lambda * s)))
}
