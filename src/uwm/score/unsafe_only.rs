//! Ablation: the mean of the unsafe samples' score, `mean_b s_u`.

use super::{Definition, ScoreOption, input_magnitudes};
use crate::uwm::product::{Product, Side};

pub(super) const SCORE: Definition = Definition {
    name: "unsafe-only",
    ratio: false,
    trades: false,
    options: &[ScoreOption::Std],
    products: |scoring| vec![Product::Saliency { of: Side::Unsafe, std: scoring.std }],
    combine: |_, means, weight| means[0] * &input_magnitudes(weight),
};
