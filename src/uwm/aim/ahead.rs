//! What comes after a layer, as far as it must be known to tell embeddings beforehand.

use nalgebra::{DMatrix, DVector};
use ndarray::{Array1, Array2, ArrayView1, Axis};

/// How the embeddings of samples follow from the layer's outputs `y = P h`.
#[derive(Debug, Clone, PartialEq)]
pub enum Ahead {
    /// They are `y + b`, or that at unit length: a bias, and perhaps a normalisation.
    Plus(Array1<f64>),
    /// They are `y` plus what each sample brings along, as where the layer ends a residual branch.
    Each,
}

/// Part of what embeddings differ by that may stay unexplained: what codes and short floats lose on the way.
const TOLERANCE: f64 = 0.05;
/// How far from 1 a length may be that is one.
const UNIT: f64 = 0.03;

impl Ahead {
    /// What explains raw embeddings `[N, O]` by outputs `[N, O]`; `None` if something else stands in between. That samples
    /// bring something along is supposed, and not shown, where a constant does not do.
    pub fn find(outputs: &Array2<f64>, embeddings: &Array2<f64>) -> Option<Self> {
        if outputs.dim() != embeddings.dim() || outputs.nrows() < 2 {
            return None;
        }
        // Embeddings may have most in common: what counts is how they differ.
        let centre = embeddings.mean_axis(Axis(0))?;
        let scale = (embeddings - &centre).mapv(|value| value * value).sum();
        let close = |predicted: &Array2<f64>| {
            let off = (predicted - embeddings).mapv(|value| value * value).sum();
            off.is_finite() && off <= TOLERANCE * TOLERANCE * scale
        };
        let rest = (embeddings - outputs).mean_axis(Axis(0))?;
        if close(&(outputs + &rest)) {
            return Some(Self::Plus(rest));
        }
        let length = |row: ArrayView1<f64>| row.dot(&row).sqrt();
        if embeddings.rows().into_iter().any(|row| (length(row) - 1.0).abs() > UNIT) {
            return Some(Self::Each);
        }
        let bias = bias_before_normalisation(outputs, embeddings)?;
        let mut predicted = outputs + &bias;
        for mut row in predicted.rows_mut() {
            let length = length(row.view());
            row /= length;
        }
        close(&predicted).then_some(Self::Plus(bias))
    }
}

/// The constant for which `y + b` points where the unit embedding `n` does, as nearly as can be: what is not along `n` is
/// 0, `sum (1 - n n^T) (y + b) = 0`.
fn bias_before_normalisation(outputs: &Array2<f64>, embeddings: &Array2<f64>) -> Option<Array1<f64>> {
    let width = outputs.ncols();
    let mut across = DMatrix::<f64>::identity(width, width) * outputs.nrows() as f64;
    let mut right = DVector::<f64>::zeros(width);
    for (y, n) in outputs.rows().into_iter().zip(embeddings.rows()) {
        let n = DVector::from_iterator(width, n.iter().copied());
        let y = DVector::from_iterator(width, y.iter().copied());
        across.ger(-1.0, &n, &n, 1.0);
        right += &n * n.dot(&y) - y;
    }
    let solved = across.cholesky()?.solve(&right);
    Some(Array1::from_iter(solved.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(rows: usize, width: usize, seed: u64) -> Array2<f64> {
        let mut rng = fastrand::Rng::with_seed(seed);
        Array2::from_shape_simple_fn((rows, width), || rng.f64() * 2.0 - 1.0)
    }

    fn normalised(mut rows: Array2<f64>) -> Array2<f64> {
        for mut row in rows.rows_mut() {
            let length = row.dot(&row).sqrt();
            row /= length;
        }
        rows
    }

    #[test]
    fn biases_are_found_and_what_is_no_bias_is_not() {
        let (y, bias) = (some(20, 6, 1), Array1::from_iter([0.3, -0.2, 0.0, 1.0, 0.5, -2.0]));
        let near = |found: Option<Ahead>| match found {
            Some(Ahead::Plus(found)) => (found - &bias).iter().all(|off| off.abs() < 1e-9),
            _ => false,
        };
        assert!(near(Ahead::find(&y, &(&y + &bias))));
        assert!(near(Ahead::find(&y, &normalised(&y + &bias))));
        let bare = Ahead::find(&y, &normalised(y.clone()));
        assert!(matches!(bare, Some(Ahead::Plus(bias)) if bias.iter().all(|value| value.abs() < 1e-9)));
        assert_eq!(Ahead::find(&y, &(&y + &some(20, 6, 2))), Some(Ahead::Each));
        assert_eq!(Ahead::find(&y, &normalised(&y + &some(20, 6, 2))), None);
        assert_eq!(Ahead::find(&y, &some(20, 5, 3)), None);
    }
}
