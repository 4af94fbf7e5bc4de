//! The pairwise score of the reference code: the mean over pairs of `s_unsafe / s_safe` (`method.md` section 2).
//!
//! `mean_o |W|` cancels in the ratio, and what is left is rank one per pair:
//! `(out_u[o] / out_s[o]) * (n_u[j] / n_s[j]) * (d_s[j] / d_u[j])`. So a chunk of pairs is one matrix product, and
//! no `[B, O, I]` array exists.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, Axis, Zip, s};

use super::Error;
use super::statistics::Statistics;

/// Pairs a matrix product takes at once. Fixed, so that results do not depend on batch size.
pub const CHUNK: usize = 64;

/// What had no defined score and was left out of the mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Undefined {
    /// Pairs with fewer than two valid tokens on a side: they have no standard deviation.
    pub short_pairs: usize,
    /// Pairs with an input that is not finite on a side, where such are to be skipped.
    pub not_finite: usize,
    /// Input features of a pair whose norm or deviation is 0 on a side.
    pub features: usize,
    /// Outputs of a pair that the safe sample does not reach at all (rows of the weight that are 0).
    pub outputs: usize,
}

/// The scores of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// `R [O, I]`: how much more an element carries unsafe content than safe content; 0 where never defined.
    pub values: Array2<f32>,
    /// What was left out.
    pub undefined: Undefined,
}

/// The sums over whole chunks of pairs: all that is needed to go on later.
#[derive(Debug, Clone, PartialEq)]
pub struct Sums {
    /// Sum of the scores of the pairs that have one, `[O, I]`.
    pub scores: Array2<f32>,
    /// Pairs in that sum, per input feature.
    pub counts: Vec<u32>,
    /// What was left out.
    pub undefined: Undefined,
    /// Pairs seen.
    pub pairs: usize,
}

/// Accumulates the pairwise score of one layer: one `[O, I]` array, and a chunk of per-sample vectors.
pub struct Pairwise {
    epsilon: f32,
    sums: Sums,
    chunk: Chunk,
}

/// Pairs that wait for a matrix product; a row each, of those that have a score.
struct Chunk {
    /// Pairs seen.
    pairs: usize,
    /// Rows filled.
    rows: usize,
    short_pairs: usize,
    not_finite: usize,
    /// `n_s` and `n_u` of each pair, one below the other, so that one product takes both.
    norms: Array2<f32>,
    /// `(n_u / n_s) * (d_s / d_u)`, 0 where it is not defined.
    ratio: Array2<f32>,
}

impl Pairwise {
    /// For a weight of the given `[O, I]`. `epsilon` is added to the deviations, as the reference does for images.
    pub fn new([outputs, inputs]: [usize; 2], epsilon: f32) -> Self {
        let sums = Sums {
            scores: Array2::zeros((outputs, inputs)),
            counts: vec![0; inputs],
            undefined: Undefined::default(),
            pairs: 0,
        };
        Self::resume(sums, epsilon)
    }

    /// Goes on from sums that were kept.
    pub fn resume(sums: Sums, epsilon: f32) -> Self {
        let inputs = sums.scores.ncols();
        let chunk = Chunk {
            pairs: 0,
            rows: 0,
            short_pairs: 0,
            not_finite: 0,
            norms: Array2::zeros((2 * CHUNK, inputs)),
            ratio: Array2::zeros((CHUNK, inputs)),
        };
        Self { epsilon, sums, chunk }
    }

    /// The sums over the chunks that are complete; pairs after `pairs` of them are not in yet.
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Adds the pairs `(safe[b], unsafe[b])`. `weight` gives `W [O, I]` when a chunk is full; it is asked for anew each
    /// time, so that nobody has to keep it.
    ///
    /// # Errors
    /// Those of `weight`.
    pub fn add<E>(
        &mut self,
        safe: &Statistics,
        not_safe: &Statistics,
        weight: impl Fn() -> Result<Array2<f32>, E>,
    ) -> Result<(), E> {
        for b in 0..safe.tokens.len() {
            self.chunk.add(safe, not_safe, b, self.epsilon);
            if self.chunk.pairs == CHUNK {
                self.flush(weight()?);
            }
        }
        Ok(())
    }

    /// The mean over pairs, times `|W|` if `prior` is set (the text tower's weight prior).
    ///
    /// # Errors
    /// [`Error::NoPairs`] inside, if no pair could be scored; outside, those of `weight`.
    pub fn finish<E>(
        mut self,
        prior: bool,
        weight: impl Fn() -> Result<Array2<f32>, E>,
    ) -> Result<Result<Scores, Error>, E> {
        if self.chunk.pairs > 0 {
            self.flush(weight()?);
        }
        let Sums { mut scores, counts, undefined, pairs } = self.sums;
        if pairs == undefined.short_pairs + undefined.not_finite {
            return Ok(Err(Error::NoPairs { pairs }));
        }
        for mut row in scores.rows_mut() {
            row.iter_mut()
                .zip(&counts)
                .for_each(|(sum, &count)| *sum = if count == 0 { 0.0 } else { *sum / count as f32 });
        }
        if prior {
            Zip::from(&mut scores).and(&weight()?).for_each(|score, w| *score *= w.abs());
        }
        Ok(Ok(Scores { values: scores, undefined }))
    }

    /// Adds the chunk to the sums and empties it.
    fn flush(&mut self, weight: Array2<f32>) {
        let Self { sums, chunk, .. } = self;
        let ratio = chunk.ratio.slice(s![..chunk.rows, ..]);
        for (count, column) in sums.counts.iter_mut().zip(ratio.axis_iter(Axis(1))) {
            let defined = column.iter().filter(|&&ratio| ratio != 0.0).count();
            *count += defined as u32;
            sums.undefined.features += chunk.rows - defined;
        }
        sums.undefined.short_pairs += chunk.short_pairs;
        sums.undefined.not_finite += chunk.not_finite;
        sums.pairs += chunk.pairs;
        if chunk.rows > 0 {
            chunk.add_to(&mut sums.scores, &mut sums.undefined.outputs, weight);
        }
        (chunk.pairs, chunk.rows, chunk.short_pairs, chunk.not_finite) = (0, 0, 0, 0);
    }
}

impl Chunk {
    /// Adds the scores of its pairs, and to `undefined` the outputs that have none.
    fn add_to(&self, scores: &mut Array2<f32>, undefined: &mut usize, weight: Array2<f32>) {
        let magnitude = weight.mapv_into(f32::abs);
        // out = n |W|^T / I; the I cancels in the ratio.
        let out = self.norms.slice(s![..2 * self.rows, ..]).dot(&magnitude.t());
        let (safe, not_safe) = (out.slice(s![0..;2, ..]), out.slice(s![1..;2, ..]));
        let mut out_ratio = &not_safe / &safe;
        for ratio in out_ratio.iter_mut().filter(|ratio| !ratio.is_finite()) {
            *undefined += 1;
            *ratio = 0.0;
        }
        general_mat_mul(1.0, &out_ratio.t(), &self.ratio.slice(s![..self.rows, ..]), 1.0, scores);
    }

    fn add(&mut self, safe: &Statistics, not_safe: &Statistics, b: usize, epsilon: f32) {
        self.pairs += 1;
        if !(safe.finite[b] && not_safe.finite[b]) {
            self.not_finite += 1;
            return;
        }
        if safe.tokens[b] < 2 || not_safe.tokens[b] < 2 {
            self.short_pairs += 1;
            return;
        }
        let row = self.rows;
        self.rows += 1;
        self.norms.row_mut(2 * row).assign(&safe.norm.row(b));
        self.norms.row_mut(2 * row + 1).assign(&not_safe.norm.row(b));
        for (j, ratio) in self.ratio.row_mut(row).iter_mut().enumerate() {
            let (n_s, n_u) = (safe.norm[[b, j]], not_safe.norm[[b, j]]);
            let (d_s, d_u) = (safe.std[[b, j]], not_safe.std[[b, j]]);
            let value = (n_u / n_s) * ((d_s + epsilon) / (d_u + epsilon));
            // A feature that is dead or constant on one side says nothing about the pair; the ratio would be 0,
            // infinite, or, with epsilon, a huge number made of nothing.
            let defined = n_s > 0.0 && n_u > 0.0 && d_s > 0.0 && d_u > 0.0 && value.is_finite();
            *ratio = if defined { value } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use std::convert::Infallible;

    fn sample(norm: Array2<f32>, std: Array2<f32>, tokens: usize) -> Statistics {
        let samples = norm.nrows();
        let mean = Array2::zeros(norm.dim());
        Statistics { norm, std, mean, tokens: vec![tokens; samples], finite: vec![true; samples] }
    }

    fn score(pairs: &[(Statistics, Statistics)], weight: &Array2<f32>, prior: bool) -> Result<Scores, Error> {
        let give = || Ok::<_, Infallible>(weight.clone());
        let mut pairwise = Pairwise::new([weight.nrows(), weight.ncols()], 0.0);
        for (safe, not_safe) in pairs {
            pairwise.add(safe, not_safe, give).unwrap();
        }
        pairwise.finish(prior, give).unwrap()
    }

    /// The definition of `method.md` section 2, element by element.
    fn by_definition(safe: &Statistics, not_safe: &Statistics, weight: &Array2<f32>) -> Array2<f64> {
        let (rows, columns) = weight.dim();
        let one = |stats: &Statistics, o: usize, j: usize| {
            let w = |o: usize, j: usize| f64::from(weight[[o, j]]).abs();
            let n = |j: usize| f64::from(stats.norm[[0, j]]);
            let input = n(j) * (0..rows).map(|o| w(o, j)).sum::<f64>() / rows as f64;
            let output = (0..columns).map(|j| n(j) * w(o, j)).sum::<f64>() / columns as f64;
            output * input / f64::from(stats.std[[0, j]])
        };
        Array2::from_shape_fn((rows, columns), |(o, j)| one(not_safe, o, j) / one(safe, o, j))
    }

    #[test]
    fn agrees_with_the_definition() {
        let weight = array![[1.0, -2.0, 0.5], [0.3, 0.0, -4.0]];
        let safe = sample(array![[1.0, 2.0, 3.0]], array![[0.5, 0.25, 1.0]], 5);
        let not_safe = sample(array![[2.0, 1.0, 4.0]], array![[0.75, 0.5, 0.2]], 7);
        let got = score(&[(safe.clone(), not_safe.clone())], &weight, false).unwrap();
        let want = by_definition(&safe, &not_safe, &weight);
        for (got, want) in got.values.iter().zip(&want) {
            assert!((f64::from(*got) - want).abs() < 1e-6 * want, "{got} {want}");
        }
        assert_eq!(got.undefined, Undefined::default());
    }

    #[test]
    fn dead_features_and_short_texts_are_left_out_and_counted() {
        let weight = array![[1.0, 1.0]];
        let good =
            (sample(array![[1.0, 1.0]], array![[1.0, 1.0]], 3), sample(array![[2.0, 2.0]], array![[1.0, 1.0]], 3));
        let dead = (good.0.clone(), sample(array![[2.0, 2.0]], array![[0.0, 1.0]], 3));
        let short = (good.0.clone(), sample(array![[9.0, 9.0]], array![[0.0, 0.0]], 1));
        let alone = score(std::slice::from_ref(&good), &weight, false).unwrap();
        let all = score(&[good, dead, short.clone()], &weight, false).unwrap();
        assert_eq!(all.values, alone.values);
        assert_eq!(all.undefined, Undefined { short_pairs: 1, features: 1, ..Undefined::default() });
        assert_eq!(score(&[short], &weight, false), Err(Error::NoPairs { pairs: 1 }));
    }

    #[test]
    fn a_sample_that_is_not_finite_costs_its_pair() {
        let weight = array![[1.0, 1.0]];
        let good =
            (sample(array![[1.0, 1.0]], array![[1.0, 1.0]], 3), sample(array![[2.0, 2.0]], array![[1.0, 1.0]], 3));
        let mut bad = good.clone();
        (bad.1.finite[0], bad.1.norm[[0, 0]]) = (false, f32::NAN);
        let alone = score(std::slice::from_ref(&good), &weight, false).unwrap();
        let both = score(&[bad.clone(), good], &weight, false).unwrap();
        assert_eq!(both.values, alone.values);
        assert_eq!(both.undefined, Undefined { not_finite: 1, ..Undefined::default() });
        assert_eq!(score(&[bad], &weight, false), Err(Error::NoPairs { pairs: 1 }));
    }

    #[test]
    fn going_on_from_kept_sums_gives_the_same_bits() {
        let weight = array![[1.0, -2.0], [0.3, 0.5]];
        let give = || Ok::<_, Infallible>(weight.clone());
        let pair = |b: usize| {
            let x = |k: usize| 1.0 + ((b * 7 + k * 13) % 11) as f32 / 3.0;
            let tokens = if b.is_multiple_of(5) { 1 } else { 4 };
            (
                sample(array![[x(0), x(1)]], array![[x(2), x(3)]], 4),
                sample(array![[x(4), x(5)]], array![[x(6), x(7)]], tokens),
            )
        };
        let run = |from: usize, pairwise: &mut Pairwise| {
            for b in from..150 {
                let (safe, not_safe) = pair(b);
                pairwise.add(&safe, &not_safe, give).unwrap();
            }
        };
        let mut whole = Pairwise::new([2, 2], 0.0);
        run(0, &mut whole);
        let kept = whole.sums().clone();
        assert_eq!(kept.pairs, 2 * CHUNK);
        let mut resumed = Pairwise::resume(kept.clone(), 0.0);
        run(kept.pairs, &mut resumed);
        assert_eq!(resumed.finish(true, give).unwrap(), whole.finish(true, give).unwrap());
    }

    #[test]
    fn a_row_of_zeros_scores_zero() {
        let weight = array![[1.0, 1.0], [0.0, 0.0]];
        let pair =
            (sample(array![[1.0, 1.0]], array![[1.0, 1.0]], 3), sample(array![[2.0, 2.0]], array![[1.0, 1.0]], 3));
        let got = score(&[pair], &weight, true).unwrap();
        assert_eq!(got.values, array![[4.0, 4.0], [0.0, 0.0]]);
        assert_eq!(got.undefined.outputs, 1);
    }
}
