//! Which signs: row by row, the best flip again and again.
//!
//! ```text
//! minimise  J(p) = p (C + r D) p^T - 2 p (b + r p0 D)^T,   C = mean h h^T,  b = mean t(h)_o h^T,  D = diag(C)
//! a change of element j by d changes J by  2 d G_j + d^2 (1 + r) C_jj,   G = p (C + r D) - (b + r p0 D)
//! ```
//!
//! `r` pays for each change, and so keeps what the samples do not show. At `p = p0`, `G = gain mu_o C v`: a product of two
//! vectors, since the wanted map differs from the layer by one of rank one.

use ndarray::{Array1, Array2, ArrayView1};
use rayon::prelude::*;

use super::Detector;

/// What a search aims at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aim {
    /// How far unsafe content is moved: 1 to where safe content is on average, 2 to the mirror image.
    pub gain: f64,
    /// `r`, what a change costs.
    pub ridge: f64,
}

/// A flip that betters J by less than this part of the row's first one is none: it would be made by rounding.
const LEAST: f64 = 1e-9;

/// Positions `o * I + i` of the elements to negate, ascending. `negated` holds what a negation makes of each element of
/// `weight`: for codes, whatever their range allows. `second` is `C`, `[I, I]`. Of equal flips the first is taken; each row is its own, so the
/// number of threads does not show.
///
/// # Panics
/// If shapes differ.
pub fn negate(
    weight: &Array2<f64>,
    negated: &Array2<f64>,
    second: &Array2<f64>,
    detector: &Detector,
    aim: Aim,
) -> Vec<u32> {
    let pull = second.dot(&detector.v);
    let of_row = |row: usize| {
        let gradient = &pull * (aim.gain * detector.mu[row]);
        let flips = search(weight.row(row), negated.row(row), second, gradient, aim.ridge);
        flips.into_iter().map(move |column| (row * weight.ncols() + column) as u32)
    };
    (0..weight.nrows()).into_par_iter().map(of_row).flatten_iter().collect()
}

/// The elements of one row.
fn search(
    original: ArrayView1<f64>,
    negated: ArrayView1<f64>,
    second: &Array2<f64>,
    mut gradient: Array1<f64>,
    ridge: f64,
) -> Vec<usize> {
    let mut delta: Vec<f64> = negated.iter().zip(&original).map(|(other, own)| other - own).collect();
    let curvature: Vec<f64> = second.diag().iter().map(|value| (1.0 + ridge) * value).collect();
    let mut flipped = vec![false; delta.len()];
    let mut first = None;
    loop {
        let change = |j: usize| 2.0 * delta[j] * gradient[j] + delta[j] * delta[j] * curvature[j];
        let (mut best, mut least) = (0, f64::INFINITY);
        for j in 0..delta.len() {
            let change = change(j);
            if change < least {
                (best, least) = (j, change);
            }
        }
        if least >= LEAST * f64::min(*first.get_or_insert(least), 0.0) {
            break;
        }
        gradient.scaled_add(delta[best], &second.row(best));
        gradient[best] += delta[best] * ridge * second[[best, best]];
        delta[best] = -delta[best];
        flipped[best] = !flipped[best];
    }
    flipped.iter().enumerate().filter(|(_, flipped)| **flipped).map(|(column, _)| column).collect()
}
