//! The reference code's score: the mean over pairs of `s_u / s_s`, in which `mean_o |W|` cancels.

use super::{Definition, ScoreOption};
use crate::uwm::product::{Product, Side};

pub(super) const SCORE: Definition = Definition {
    name: "pairwise",
    ratio: true,
    trades: false,
    options: &[ScoreOption::Std],
    products: |scoring| vec![Product::Ratio { of: Side::Unsafe, std: scoring.std }],
    combine: |_, means, _| means[0].clone(),
};
