//! What a layer's inputs are reduced to: norm, spread and mean over a sample's tokens (paper, eq. 4-6).

use ndarray::{Array2, ArrayView2, ArrayView3, Axis};

/// Per sample and input feature, over the sample's valid tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Euclidean norm `n`, `[B, I]`.
    pub norm: Array2<f32>,
    /// Unbiased standard deviation `d`, `[B, I]`; 0 where a sample has fewer than two tokens.
    pub std: Array2<f32>,
    /// Signed mean `m`, `[B, I]`.
    pub mean: Array2<f32>,
    /// Valid tokens of each sample.
    pub tokens: Vec<usize>,
    /// Whether all inputs of a sample's valid tokens are finite.
    pub finite: Vec<bool>,
}

/// Features that are worked on at a time, so that their sums stay in the first-level cache.
const BLOCK: usize = 1024;

impl Statistics {
    /// Reduces layer inputs `[B, T, I]`; tokens whose `mask` `[B, T]` is 0 do not count.
    ///
    /// One pass in float64: the inputs' distances from the first valid token are summed, and their squares. That
    /// token lies among the others, so nothing cancels that a second pass around the mean would keep, and a feature
    /// that is constant has a deviation of exactly 0.
    ///
    /// # Panics
    /// If the mask's shape is not `[B, T]`.
    pub fn measure(inputs: ArrayView3<f32>, mask: Option<ArrayView2<i64>>) -> Self {
        let (samples, length, width) = inputs.dim();
        if let Some(mask) = &mask {
            assert_eq!(mask.dim(), (samples, length), "the mask has a row a sample and a column a token");
        }
        let zeros = || Array2::zeros((samples, width));
        let mut out =
            Self { norm: zeros(), std: zeros(), mean: zeros(), tokens: vec![0; samples], finite: vec![true; samples] };
        for (b, sample) in inputs.axis_iter(Axis(0)).enumerate() {
            let valid: Vec<usize> = (0..length).filter(|&t| mask.as_ref().is_none_or(|m| m[[b, t]] != 0)).collect();
            out.tokens[b] = valid.len();
            for start in (0..width).step_by(BLOCK) {
                out.block(b, sample, &valid, start..width.min(start + BLOCK));
            }
            out.finite[b] = out.norm.row(b).iter().all(|norm| norm.is_finite());
        }
        out
    }

    /// Of the tokens of both, as where one weight multiplies two values.
    ///
    /// # Panics
    /// If they are not of the same samples and features.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let mut out = self.clone();
        for b in 0..self.tokens.len() {
            let counts = [self.tokens[b], other.tokens[b]];
            let total = counts[0] + counts[1];
            out.tokens[b] = total;
            out.finite[b] = self.finite[b] && other.finite[b];
            if total == 0 {
                continue;
            }
            let parts = [self, other];
            for j in 0..self.norm.ncols() {
                let sum = |f: &dyn Fn(f64, &Self) -> f64| {
                    parts.iter().zip(counts).map(|(part, count)| f(count as f64, part)).sum::<f64>()
                };
                let at = |array: &Array2<f32>| f64::from(array[[b, j]]);
                let mean = sum(&|count, part| count * at(&part.mean)) / total as f64;
                let around = sum(&|count, part| {
                    (count - 1.0).max(0.0) * at(&part.std).powi(2) + count * (at(&part.mean) - mean).powi(2)
                });
                out.norm[[b, j]] = sum(&|_, part| at(&part.norm).powi(2)).sqrt() as f32;
                out.mean[[b, j]] = mean as f32;
                out.std[[b, j]] = if total > 1 { (around / (total - 1) as f64).sqrt() as f32 } else { 0.0 };
            }
        }
        out
    }

    /// Reduces some features of one sample `[T, I]`.
    fn block(&mut self, b: usize, sample: ArrayView2<f32>, valid: &[usize], features: std::ops::Range<usize>) {
        let Some((&first, others)) = valid.split_first() else { return };
        let pivot: Vec<f64> = features.clone().map(|j| f64::from(sample[[first, j]])).collect();
        let (mut sums, mut squares) = (vec![0.0_f64; pivot.len()], vec![0.0_f64; pivot.len()]);
        for &t in others {
            let row = sample.row(t);
            let row = row.slice(ndarray::s![features.clone()]);
            match row.as_slice() {
                Some(row) => add(row, &pivot, &mut sums, &mut squares),
                None => add(&row.to_vec(), &pivot, &mut sums, &mut squares),
            }
        }
        let count = valid.len() as f64;
        for (k, j) in features.enumerate() {
            let (pivot, sum, square) = (pivot[k], sums[k], squares[k]);
            self.norm[[b, j]] = root(square + pivot * (2.0 * sum + count * pivot)) as f32;
            self.mean[[b, j]] = (pivot + sum / count) as f32;
            if valid.len() > 1 {
                self.std[[b, j]] = root((square - sum * sum / count) / (count - 1.0)) as f32;
            }
        }
    }
}

/// The square root of what only rounding can make negative. NaN stays NaN (which `f64::max` would swallow).
fn root(square: f64) -> f64 {
    if square < 0.0 { 0.0 } else { square.sqrt() }
}

/// Adds a token's distances from the pivot, and their squares.
fn add(row: &[f32], pivot: &[f64], sums: &mut [f64], squares: &mut [f64]) {
    for (((&z, pivot), sum), square) in row.iter().zip(pivot).zip(sums).zip(squares) {
        let distance = f64::from(z) - pivot;
        *sum += distance;
        *square += distance * distance;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, array};
    use proptest::prelude::*;

    #[test]
    fn norm_and_unbiased_deviation_over_valid_tokens() {
        let inputs = array![[[3.0, 1.0], [4.0, 1.0], [100.0, 100.0]], [[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]];
        let mask = array![[1, 1, 0], [1, 0, 0]];
        let got = Statistics::measure(inputs.view(), Some(mask.view()));
        assert_eq!(got.norm, array![[5.0, 2.0_f32.sqrt()], [1.0, 2.0]]);
        assert_eq!(got.std, array![[0.5_f32.sqrt(), 0.0], [0.0, 0.0]]);
        assert_eq!(got.mean, array![[3.5, 1.0], [1.0, 2.0]]);
        assert_eq!(got.tokens, [2, 1]);
        assert_eq!(Statistics::measure(inputs.view(), None).tokens, [3, 3]);
        let none = Statistics::measure(inputs.view(), Some(array![[0, 0, 0], [1, 1, 0]].view()));
        assert_eq!((none.tokens[0], none.norm[[0, 0]], none.std[[0, 0]]), (0, 0.0, 0.0));
    }

    #[test]
    fn only_valid_tokens_need_to_be_finite() {
        let inputs = array![[[1.0, f32::NAN], [2.0, 1.0]], [[1.0, 1.0], [f32::INFINITY, 1.0]]];
        assert_eq!(Statistics::measure(inputs.view(), None).finite, [false, false]);
        let mask = array![[0, 1], [1, 0]];
        assert_eq!(Statistics::measure(inputs.view(), Some(mask.view())).finite, [true, true]);
    }

    proptest! {
        /// Joined, or measured as one.
        #[test]
        fn parts_join_to_the_whole(
            values in prop::collection::vec(-3.0_f32..3.0, 24),
            mask in prop::collection::vec(0_i64..2, 12),
            cut in 0_usize..7,
        ) {
            let inputs = Array3::from_shape_vec((2, 6, 2), values).unwrap();
            let mask = Array2::from_shape_vec((2, 6), mask).unwrap();
            let whole = Statistics::measure(inputs.view(), Some(mask.view()));
            let part = |range: std::ops::Range<usize>| Statistics::measure(
                inputs.slice(ndarray::s![.., range.clone(), ..]),
                Some(mask.slice(ndarray::s![.., range])),
            );
            let joined = part(0..cut).join(&part(cut..6));
            prop_assert_eq!(&joined.tokens, &whole.tokens);
            for (got, want) in [(&joined.norm, &whole.norm), (&joined.mean, &whole.mean), (&joined.std, &whole.std)] {
                for (got, want) in got.iter().zip(want) {
                    prop_assert!((got - want).abs() <= 2e-6 * (1.0 + want.abs()), "{got} {want}");
                }
            }
        }

        /// Against two passes, the second one around the mean; with an outlier where the pivot is, and far from 0.
        #[test]
        fn one_pass_is_as_good_as_two(
            values in prop::collection::vec(-1.0_f32..1.0, 2..40),
            scale in prop::sample::select(vec![1e-20_f32, 1e-3, 1.0, 1e4, 1e15]),
            offset in prop::sample::select(vec![0.0_f32, 1.0, -300.0]),
            outlier in prop::sample::select(vec![0.0_f32, 1000.0]),
        ) {
            let mut column: Vec<f32> = values.iter().map(|v| (v + offset) * scale).collect();
            column[0] += outlier * scale;
            let inputs = Array3::from_shape_vec((1, column.len(), 1), column.clone()).unwrap();
            let got = Statistics::measure(inputs.view(), None);
            let (count, wide) = (column.len() as f64, column.iter().map(|&v| f64::from(v)));
            let mean = wide.clone().sum::<f64>() / count;
            let std = (wide.clone().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
            let norm = wide.map(|v| v * v).sum::<f64>().sqrt();
            let close = |got: f32, want: f64| (f64::from(got) - want).abs() <= 2e-7 * want.abs() + f64::from(f32::MIN_POSITIVE);
            prop_assert!(close(got.norm[[0, 0]], norm), "{} {norm}", got.norm[[0, 0]]);
            prop_assert!(close(got.std[[0, 0]], std), "{} {std}", got.std[[0, 0]]);
            let error = (f64::from(got.mean[[0, 0]]) - mean).abs();
            prop_assert!(error <= 1e-7 * norm + f64::from(f32::MIN_POSITIVE), "{} {mean}", got.mean[[0, 0]]);
        }
    }
}
