//! What a layer's inputs are reduced to: norm and spread over a sample's tokens (paper, eq. 4-6).

use ndarray::{Array2, ArrayView2, ArrayView3, Axis, Zip};

/// Per sample and input feature, over the sample's valid tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Euclidean norm `n`, `[B, I]`.
    pub norm: Array2<f32>,
    /// Unbiased standard deviation `d`, `[B, I]`; 0 where a sample has fewer than two tokens.
    pub std: Array2<f32>,
    /// Valid tokens of each sample.
    pub tokens: Vec<usize>,
}

impl Statistics {
    /// Reduces layer inputs `[B, T, I]`; tokens whose `mask` `[B, T]` is 0 do not count. Accumulates in float64, the
    /// deviation in a second pass around the mean.
    ///
    /// # Panics
    /// If the mask's shape is not `[B, T]`.
    pub fn measure(inputs: ArrayView3<f32>, mask: Option<ArrayView2<i64>>) -> Self {
        let (samples, length, width) = inputs.dim();
        if let Some(mask) = &mask {
            assert_eq!(mask.dim(), (samples, length), "the mask has a row a sample and a column a token");
        }
        let mut out = Self {
            norm: Array2::zeros((samples, width)),
            std: Array2::zeros((samples, width)),
            tokens: Vec::with_capacity(samples),
        };
        for (b, sample) in inputs.axis_iter(Axis(0)).enumerate() {
            let valid: Vec<usize> = (0..length).filter(|&t| mask.as_ref().is_none_or(|m| m[[b, t]] != 0)).collect();
            let (mut sum, mut squares) = (vec![0.0_f64; width], vec![0.0_f64; width]);
            for &t in &valid {
                for ((sum, square), &z) in sum.iter_mut().zip(&mut squares).zip(sample.index_axis(Axis(0), t)) {
                    let z = f64::from(z);
                    *sum += z;
                    *square += z * z;
                }
            }
            Zip::from(out.norm.row_mut(b)).and(&squares).for_each(|n, square| *n = square.sqrt() as f32);
            if valid.len() > 1 {
                let count = valid.len() as f64;
                let mut deviation = vec![0.0_f64; width];
                for &t in &valid {
                    for ((total, sum), &z) in deviation.iter_mut().zip(&sum).zip(sample.index_axis(Axis(0), t)) {
                        *total += (f64::from(z) - sum / count).powi(2);
                    }
                }
                let std = out.std.row_mut(b);
                Zip::from(std).and(&deviation).for_each(|d, total| *d = (total / (count - 1.0)).sqrt() as f32);
            }
            out.tokens.push(valid.len());
        }
        out
    }

    /// The first sample with a value that is not finite.
    pub fn first_bad_sample(&self) -> Option<usize> {
        self.norm.rows().into_iter().position(|row| row.iter().any(|n| !n.is_finite()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn norm_and_unbiased_deviation_over_valid_tokens() {
        let inputs = array![[[3.0, 1.0], [4.0, 1.0], [100.0, 100.0]], [[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]];
        let mask = array![[1, 1, 0], [1, 0, 0]];
        let got = Statistics::measure(inputs.view(), Some(mask.view()));
        assert_eq!(got.norm, array![[5.0, 2.0_f32.sqrt()], [1.0, 2.0]]);
        assert_eq!(got.std, array![[0.5_f32.sqrt(), 0.0], [0.0, 0.0]]);
        assert_eq!(got.tokens, [2, 1]);
        assert_eq!(Statistics::measure(inputs.view(), None).tokens, [3, 3]);
    }
}
