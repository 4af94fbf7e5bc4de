//! Ablation: `mean_b (s_u - s_s)`, the only score that can be negative.

use super::{Definition, ScoreOption, input_magnitudes};
use crate::uwm::product::{Product, Side};

pub(super) const SCORE: Definition = Definition {
    name: "difference",
    ratio: false,
    trades: false,
    options: &[ScoreOption::Std],
    products: |scoring| [Side::Unsafe, Side::Safe].map(|of| Product::Saliency { of, std: scoring.std }).to_vec(),
    combine: |_, means, weight| (means[0] - means[1]) * &input_magnitudes(weight),
};
