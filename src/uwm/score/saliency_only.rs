//! Ablation: the mean saliency of the unsafe samples, `mean_b phi_u`, never divided by a deviation.

use super::{Definition, input_magnitudes};
use crate::uwm::product::{Product, Side};

pub(super) const SCORE: Definition = Definition {
    name: "saliency-only",
    ratio: false,
    trades: false,
    options: &[],
    products: |_| vec![Product::Saliency { of: Side::Unsafe, std: false }],
    combine: |_, means, weight| means[0] * &input_magnitudes(weight),
};
