//! The paper's score (eq. 9-10): `mean_b s_u / mean_b s_s`, in which `mean_o |W|` cancels.

use ndarray::Zip;

use super::{Definition, ScoreOption};
use crate::uwm::product::{Product, Side};

pub(super) const SCORE: Definition = Definition {
    name: "dataset",
    ratio: true,
    trades: false,
    options: &[ScoreOption::Std],
    products: |scoring| [Side::Unsafe, Side::Safe].map(|of| Product::Saliency { of, std: scoring.std }).to_vec(),
    // An element that safe content does not reach has no ratio.
    combine: |_, means, _| Zip::from(means[0]).and(means[1]).map_collect(|&u, &s| if s == 0.0 { 0.0 } else { u / s }),
};
