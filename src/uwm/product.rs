//! What scores are made of: products of per-sample vectors, summed over pairs (`method.md` sections 2 and 8).
//!
//! Each is rank one a pair, so a chunk of pairs is one matrix product, and no `[B, O, I]` or `[I, I]` array exists.

use ndarray::{Array2, ArrayView2, Zip, s};
use serde::{Deserialize, Serialize};

/// A side of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The safe sample.
    Safe,
    /// Its unsafe partner.
    Unsafe,
}

/// An `[O, I]` mean over pairs. `n`, `d`, `m` are norm, deviation and mean over a sample's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// Of `(out_a / out_b)[o] * (n_a / n_b)[j]`, times `(d_b / d_a)[j]` with `std`; `a` is `of`, `b` the other side.
    Ratio {
        /// Which side stands above.
        of: Side,
        /// Whether deviations divide.
        std: bool,
    },
    /// Of `out[o] * n[j]` of one side, divided by `d[j]` with `std`; `out = |W| n / I`.
    Saliency {
        /// Which side.
        of: Side,
        /// Whether deviations divide.
        std: bool,
    },
    /// Of `(W x)[o] * x[j]`, `x = m_u - m_s`.
    Difference,
    /// The same of the mean `x` of each concept, by the concept's share of the pairs.
    ConceptDifference,
    /// Of `(W c)[o] * c[j]`, `c = m - mean m` of one side.
    Spread {
        /// Which side.
        of: Side,
    },
    /// Of `n[j]^2 / T`, the mean square over a sample's `T` tokens, of one side: `[1, I]`.
    Energy {
        /// Which side.
        of: Side,
    },
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Safe => Self::Unsafe,
            Self::Unsafe => Self::Safe,
        }
    }
}

impl Product {
    /// With safe and unsafe changing places.
    #[must_use]
    pub fn swapped(self) -> Self {
        match self {
            Self::Ratio { of, std } => Self::Ratio { of: of.other(), std },
            Self::Saliency { of, std } => Self::Saliency { of: of.other(), std },
            Self::Spread { of } => Self::Spread { of: of.other() },
            Self::Energy { of } => Self::Energy { of: of.other() },
            Self::Difference | Self::ConceptDifference => self,
        }
    }

    /// Whether it divides by deviations, which a sample of one token does not have.
    pub(super) fn divides(self) -> bool {
        matches!(self, Self::Ratio { std: true, .. } | Self::Saliency { std: true, .. })
    }

    /// Whether it is made with `|W|`.
    pub(super) fn of_magnitudes(self) -> bool {
        matches!(self, Self::Ratio { .. } | Self::Saliency { .. })
    }

    /// Whether it needs the norms of inputs.
    pub(super) fn of_norms(self) -> bool {
        self.of_magnitudes() || matches!(self, Self::Energy { .. })
    }

    /// Whether it needs their signed means.
    pub(super) fn of_means(self) -> bool {
        !self.of_norms()
    }
}

/// One side of some pairs, a row each.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// `|W| n`, `[R, O]`.
    pub out: ArrayView2<'a, f32>,
    /// `n`, `[R, I]`.
    pub norm: ArrayView2<'a, f32>,
    /// `d`, `[R, I]`.
    pub std: ArrayView2<'a, f32>,
}

/// The two factors of a product of norms for some pairs: `left [R, O]`, `right [R, I]`.
pub(super) struct Factors {
    pub left: Array2<f32>,
    /// NaN where it is not defined.
    pub right: Array2<f32>,
    /// Outputs of single pairs that the other side does not reach at all.
    pub undefined_outputs: usize,
}

/// `(out_a / out_b)` and `(n_a / n_b) (d_b / d_a)`.
///
/// A feature that is dead or constant on one side says nothing about the pair: the ratio would be 0, infinite, or,
/// with an epsilon, a huge number made of nothing.
pub(super) fn ratio(a: Rows, b: Rows, std: bool, epsilon: f32) -> Factors {
    let mut undefined_outputs = 0;
    // A ratio that overflows stays what it is, and no selection takes it for a score.
    let left = Zip::from(&a.out).and(&b.out).map_collect(|&a, &b| {
        if b == 0.0 {
            undefined_outputs += 1;
            return 0.0;
        }
        a / b
    });
    let mut right = Array2::zeros(a.norm.dim());
    let rows = Zip::from(&mut right).and(&a.norm).and(&b.norm);
    if std {
        rows.and(&a.std).and(&b.std).for_each(|value, &n_a, &n_b, &d_a, &d_b| {
            let ratio = (n_a / n_b) * ((d_b + epsilon) / (d_a + epsilon));
            let defined = n_a > 0.0 && n_b > 0.0 && d_a > 0.0 && d_b > 0.0 && ratio.is_finite();
            *value = if defined { ratio } else { f32::NAN };
        });
    } else {
        rows.for_each(|value, &n_a, &n_b| {
            let ratio = n_a / n_b;
            *value = if n_a > 0.0 && n_b > 0.0 && ratio.is_finite() { ratio } else { f32::NAN };
        });
    }
    Factors { left, right, undefined_outputs }
}

/// `|W| n / I` and `n / d`. Where one side has no deviation the pair's feature is left out on both, so that means of
/// both sides are over the same pairs.
pub(super) fn saliency(own: Rows, other: Rows, std: bool, epsilon: f32) -> Factors {
    let inputs = own.norm.ncols() as f32;
    let left = own.out.mapv(|out| out / inputs);
    let right = if std {
        let mut right = Array2::zeros(own.norm.dim());
        Zip::from(&mut right).and(&own.norm).and(&own.std).and(&other.std).for_each(|value, &n, &d, &d_other| {
            let ratio = n / (d + epsilon);
            *value = if d > 0.0 && d_other > 0.0 && ratio.is_finite() { ratio } else { f32::NAN };
        });
        right
    } else {
        own.norm.to_owned()
    };
    Factors { left, right, undefined_outputs: 0 }
}

/// Rows of `safe` (even) and `not_safe` (odd) that lie alternately in one array.
pub(super) fn of_side(rows: &Array2<f32>, side: Side, count: usize) -> ArrayView2<'_, f32> {
    match side {
        Side::Safe => rows.slice(s![..2 * count;2, ..]),
        Side::Unsafe => rows.slice(s![1..2 * count;2, ..]),
    }
}
