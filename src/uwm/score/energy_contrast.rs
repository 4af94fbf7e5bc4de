//! Contrast with what a single flip really costs. Negating an element changes its output by `-2 w x`, so that by itself
//! it disturbs safe content by `4 w^2 E[x^2]`:
//!
//! ```text
//! score = W (W C_d) + W^2 (gain q_u - lambda q_s),   q[j] = mean over samples of the mean square of input j
//! ```
//!
//! with `C_d` of the concepts' mean differences, as in `concept-contrast`. `gain` rewards what unsafe content sends
//! through the element. Where the loss is larger there is no score.

use ndarray::Zip;

use super::{Definition, ScoreOption, worth};
use crate::uwm::product::{Product, Side};

pub(super) const SCORE: Definition = Definition {
    name: "energy-contrast",
    ratio: false,
    trades: true,
    options: &[ScoreOption::Lambda, ScoreOption::Gain],
    products: |_| {
        vec![Product::ConceptDifference, Product::Energy { of: Side::Unsafe }, Product::Energy { of: Side::Safe }]
    },
    combine: |scoring, means, weight| {
        let traded = means[1] * scoring.gain - means[2] * scoring.lambda;
        let traded = traded.broadcast(weight.dim()).expect("a row for each weight row");
        Zip::from(weight).and(means[0]).and(traded).map_collect(|w, d, traded| worth(w * d + w * w * traded))
    },
};
