//! Sums of products over pairs: one `[O, I]` array a product, and a chunk of per-sample vectors.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, Axis, Zip, s};
use serde::{Deserialize, Serialize};

use super::product::{Factors, Product, Rows, Side, of_side, ratio, saliency};
use super::statistics::Statistics;

/// Pairs a matrix product takes at once. Fixed, so that results do not depend on batch size.
pub const CHUNK: usize = 64;

/// What had no defined score and was left out of the mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undefined {
    /// Pairs with too few valid tokens on a side: two are needed for a standard deviation, one for anything.
    pub short_pairs: usize,
    /// Pairs with an input that is not finite on a side, where such are to be skipped.
    pub not_finite: usize,
    /// Input features of a pair whose norm or deviation is 0 on a side.
    pub features: usize,
    /// Outputs of a pair that one sample does not reach at all (rows of the weight that are 0); they count as 0.
    pub outputs: usize,
}

impl Undefined {
    /// What is left out of two sets of pairs.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            short_pairs: self.short_pairs.saturating_add(other.short_pairs),
            not_finite: self.not_finite.saturating_add(other.not_finite),
            features: self.features.saturating_add(other.features),
            outputs: self.outputs.saturating_add(other.outputs),
        }
    }

    /// What is left out of something made of both, of the same pairs.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            short_pairs: self.short_pairs.max(other.short_pairs),
            not_finite: self.not_finite.max(other.not_finite),
            features: self.features.max(other.features),
            outputs: self.outputs.max(other.outputs),
        }
    }
}

/// One product summed over whole chunks.
#[derive(Debug, Clone, PartialEq)]
pub struct Sum {
    /// `[O, I]`; empty for [`Product::ConceptDifference`] and [`Product::Energy`], which are made of their rows at the end.
    pub values: Array2<f32>,
    /// Pairs in it, per input feature; per concept for [`Product::ConceptDifference`].
    pub counts: Vec<u32>,
    /// For [`Product::Spread`] a point near the mean and the sum of distances from it, for
    /// [`Product::ConceptDifference`] the sum of the differences of each concept, for [`Product::Energy`] that of the
    /// mean squares: `[R, I]`.
    pub rows: Array2<f64>,
    /// What was left out.
    pub undefined: Undefined,
}

/// The sums of one layer over whole chunks of pairs: all that is needed to go on later.
#[derive(Debug, Clone, PartialEq)]
pub struct Sums {
    /// One a product, in the order asked for.
    pub products: Vec<Sum>,
    /// Pairs seen.
    pub pairs: usize,
}

impl Sum {
    /// The shapes of `values`, `counts` and `rows` for a weight `[O, I]` and so many concepts.
    pub fn shapes(product: Product, [outputs, inputs]: [usize; 2], concepts: usize) -> ([usize; 2], usize, [usize; 2]) {
        match product {
            Product::ConceptDifference => ([0, inputs], concepts, [concepts, inputs]),
            Product::Spread { .. } => ([outputs, inputs], inputs, [2, inputs]),
            Product::Energy { .. } => ([0, inputs], inputs, [1, inputs]),
            _ => ([outputs, inputs], inputs, [0, inputs]),
        }
    }

    fn new(product: Product, shape: [usize; 2], concepts: usize) -> Self {
        let (values, counts, rows) = Self::shapes(product, shape, concepts);
        Self {
            values: Array2::zeros(values),
            counts: vec![0; counts],
            rows: Array2::zeros(rows),
            undefined: Undefined::default(),
        }
    }
}

/// Accumulates products of one layer.
pub struct Accumulator {
    products: Vec<Product>,
    epsilon: f32,
    sums: Sums,
    chunk: Chunk,
}

/// Pairs that wait for a matrix product; two rows each, safe above unsafe, of those that can have a score.
struct Chunk {
    /// Pairs seen.
    pairs: usize,
    /// Pairs filled in.
    filled: usize,
    empty_pairs: usize,
    not_finite: usize,
    /// `n`, `d`, `m`; without rows where no product needs them.
    norm: Array2<f32>,
    std: Array2<f32>,
    mean: Array2<f32>,
    /// Tokens of both samples of each pair filled in.
    tokens: Vec<[usize; 2]>,
    concept: Vec<usize>,
}

/// The means of a layer's products.
pub struct Means {
    pub(super) pairs: usize,
    pub(super) products: Vec<(Product, Array2<f32>, Undefined)>,
}

impl Accumulator {
    /// For a weight `[O, I]`. `epsilon` is added to the deviations, as the reference does for images; `concepts` is how
    /// many there are.
    pub fn new(shape: [usize; 2], products: &[Product], epsilon: f32, concepts: usize) -> Self {
        let sums = products.iter().map(|&product| Sum::new(product, shape, concepts)).collect();
        Self::resume(Sums { products: sums, pairs: 0 }, shape[1], products, epsilon)
    }

    /// Goes on from sums of the same products for a weight of `inputs` columns.
    pub fn resume(sums: Sums, inputs: usize, products: &[Product], epsilon: f32) -> Self {
        let rows = |needed: bool| Array2::zeros((if needed { 2 * CHUNK } else { 0 }, inputs));
        let chunk = Chunk {
            pairs: 0,
            filled: 0,
            empty_pairs: 0,
            not_finite: 0,
            norm: rows(products.iter().any(|product| product.of_norms())),
            std: rows(products.iter().any(|product| product.divides())),
            mean: rows(products.iter().any(|product| product.of_means())),
            tokens: vec![[0; 2]; CHUNK],
            concept: vec![0; CHUNK],
        };
        Self { products: products.to_vec(), epsilon, sums, chunk }
    }

    /// The sums over the chunks that are complete; pairs after `pairs` of them are not in yet.
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Adds the pairs `(safe[b], unsafe[b])` of the concepts `concepts[b]`. `weight` gives `W [O, I]` when a chunk is
    /// full; it is asked for anew each time, so that nobody has to keep it.
    ///
    /// # Errors
    /// Those of `weight`.
    pub fn add<E>(
        &mut self,
        safe: &Statistics,
        not_safe: &Statistics,
        concepts: &[usize],
        weight: impl Fn() -> Result<Array2<f32>, E>,
    ) -> Result<(), E> {
        for (b, &concept) in concepts.iter().enumerate() {
            self.chunk.add(safe, not_safe, b, concept);
            if self.chunk.pairs == CHUNK {
                self.flush(weight()?);
            }
        }
        Ok(())
    }

    /// The means over all pairs.
    ///
    /// # Errors
    /// Those of `weight`.
    pub fn finish<E>(mut self, weight: impl Fn() -> Result<Array2<f32>, E>) -> Result<Means, E> {
        if self.chunk.pairs > 0 {
            self.flush(weight()?);
        }
        let Sums { products: sums, pairs } = self.sums;
        let signed = self.products.iter().any(|product| product.of_means());
        let weight = if signed { weight()? } else { Array2::zeros((0, 0)) };
        let mean = |(&product, sum): (&Product, Sum)| (product, sum.undefined, sum.mean(product, &weight));
        let products =
            self.products.iter().zip(sums).map(mean).map(|(product, undefined, mean)| (product, mean, undefined));
        Ok(Means { pairs, products: products.collect() })
    }

    /// Adds the chunk to the sums and empties it.
    fn flush(&mut self, weight: Array2<f32>) {
        let Self { products, epsilon, sums, chunk } = self;
        for (product, sum) in products.iter().zip(&mut sums.products) {
            let short = (0..chunk.filled).filter(|&row| product.divides() && !chunk.is_long(row)).count();
            sum.undefined.short_pairs += chunk.empty_pairs + short;
            sum.undefined.not_finite += chunk.not_finite;
        }
        sums.pairs += chunk.pairs;
        if chunk.filled > 0 {
            chunk.add_to(products, &mut sums.products, weight, *epsilon);
        }
        (chunk.pairs, chunk.filled, chunk.empty_pairs, chunk.not_finite) = (0, 0, 0, 0);
    }
}

impl Sum {
    /// The mean over its pairs; 0 where there are none.
    fn mean(self, product: Product, weight: &Array2<f32>) -> Array2<f32> {
        let Self { mut values, counts, rows, .. } = self;
        if let Product::Energy { .. } = product {
            let count = counts.first().map_or(1, |&count| count.max(1));
            return rows.mapv(|sum| (sum / f64::from(count)) as f32);
        }
        if product == Product::ConceptDifference {
            let all: f64 = counts.iter().map(|&count| f64::from(count)).sum();
            // sqrt(share) * mean difference, so that the product of both factors carries the share once.
            let scaled = Array2::from_shape_fn(rows.dim(), |(concept, j)| match counts[concept] {
                0 => 0.0,
                count => (rows[[concept, j]] / (f64::from(count) * all).sqrt()) as f32,
            });
            return scaled.dot(&weight.t()).t().dot(&scaled);
        }
        for mut row in values.rows_mut() {
            row.iter_mut()
                .zip(&counts)
                .for_each(|(sum, &count)| *sum = if count == 0 { 0.0 } else { *sum / count as f32 });
        }
        if let (Product::Spread { .. }, Some(&count @ 1..)) = (product, counts.first()) {
            // What the distances from the point have in common is not spread.
            let common = rows.slice(s![1..2, ..]).mapv(|sum| (sum / f64::from(count)) as f32);
            general_mat_mul(-1.0, &common.dot(&weight.t()).t(), &common, 1.0, &mut values);
        }
        values
    }
}

impl Chunk {
    fn add(&mut self, safe: &Statistics, not_safe: &Statistics, b: usize, concept: usize) {
        self.pairs += 1;
        if !(safe.finite[b] && not_safe.finite[b]) {
            self.not_finite += 1;
            return;
        }
        let tokens = [safe.tokens[b], not_safe.tokens[b]];
        if tokens.contains(&0) {
            self.empty_pairs += 1;
            return;
        }
        let row = self.filled;
        self.filled += 1;
        (self.tokens[row], self.concept[row]) = (tokens, concept);
        for (side, own) in [(2 * row, safe), (2 * row + 1, not_safe)] {
            for (rows, from) in [(&mut self.norm, &own.norm), (&mut self.std, &own.std), (&mut self.mean, &own.mean)] {
                if rows.nrows() > 0 {
                    rows.row_mut(side).assign(&from.row(b));
                }
            }
        }
    }

    /// Adds its pairs to the sums.
    fn add_to(&self, products: &[Product], sums: &mut [Sum], weight: Array2<f32>, epsilon: f32) {
        let (of_magnitudes, others): (Vec<_>, Vec<_>) =
            products.iter().zip(sums).partition(|(product, _)| product.of_magnitudes());
        for (product, sum) in others {
            match product {
                Product::Energy { of } => self.add_energy(*of, sum),
                _ => self.add_signed(*product, sum, &weight),
            }
        }
        if of_magnitudes.is_empty() {
            return;
        }
        let magnitude = weight.mapv_into(f32::abs);
        // out = |W| n of both sides in one product.
        let out = self.norm.slice(s![..2 * self.filled, ..]).dot(&magnitude.t());
        for (product, sum) in of_magnitudes {
            self.add_magnitudes(*product, sum, &out, epsilon);
        }
    }

    /// Whether both samples of a pair have deviations.
    fn is_long(&self, row: usize) -> bool {
        self.tokens[row].iter().all(|&tokens| tokens > 1)
    }

    fn add_energy(&self, of: Side, sum: &mut Sum) {
        let side = if of == Side::Safe { 0 } else { 1 };
        for (norms, tokens) in of_side(&self.norm, of, self.filled).rows().into_iter().zip(&self.tokens) {
            let count = tokens[side] as f64;
            Zip::from(sum.rows.row_mut(0)).and(norms).for_each(|sum, &norm| *sum += f64::from(norm).powi(2) / count);
        }
        sum.counts.iter_mut().for_each(|count| *count += self.filled as u32);
    }

    fn add_magnitudes(&self, product: Product, sum: &mut Sum, out: &Array2<f32>, epsilon: f32) {
        let side = |side: Side| Rows {
            out: of_side(out, side, self.filled),
            norm: of_side(&self.norm, side, self.filled),
            // Where nothing divides there are no deviations, and nobody looks.
            std: of_side(if product.divides() { &self.std } else { &self.norm }, side, self.filled),
        };
        let Factors { mut left, mut right, undefined_outputs } = match product {
            Product::Ratio { of, std } => ratio(side(of), side(of.other()), std, epsilon),
            Product::Saliency { of, std } => saliency(side(of), side(of.other()), std, epsilon),
            _ => unreachable!("a product without magnitudes"),
        };
        sum.undefined.outputs += undefined_outputs;
        for row in 0..self.filled {
            if product.divides() && !self.is_long(row) {
                left.row_mut(row).fill(0.0);
                right.row_mut(row).fill(0.0);
                continue;
            }
            for (value, count) in right.row_mut(row).iter_mut().zip(&mut sum.counts) {
                if value.is_nan() {
                    *value = 0.0;
                    sum.undefined.features += 1;
                } else {
                    *count += 1;
                }
            }
        }
        general_mat_mul(1.0, &left.t(), &right, 1.0, &mut sum.values);
    }

    fn add_signed(&self, product: Product, sum: &mut Sum, weight: &Array2<f32>) {
        let (safe, not_safe) =
            (of_side(&self.mean, Side::Safe, self.filled), of_side(&self.mean, Side::Unsafe, self.filled));
        let rows = match product {
            Product::Difference => &not_safe - &safe,
            Product::ConceptDifference => {
                for (row, &concept) in self.concept[..self.filled].iter().enumerate() {
                    sum.counts[concept] += 1;
                    Zip::from(sum.rows.row_mut(concept))
                        .and(not_safe.row(row))
                        .and(safe.row(row))
                        .for_each(|sum, &u, &s| *sum += f64::from(u) - f64::from(s));
                }
                return;
            }
            Product::Spread { of } => {
                let own = if of == Side::Safe { safe } else { not_safe };
                if sum.counts[0] == 0 {
                    let mean = own.mapv(f64::from).mean_axis(Axis(0)).expect("a chunk is not empty");
                    sum.rows.row_mut(0).assign(&mean);
                }
                let point = sum.rows.row(0).mapv(|value| value as f32);
                let rows = &own - &point;
                let distances = rows.mapv(f64::from).sum_axis(Axis(0));
                let mut sums = sum.rows.row_mut(1);
                sums += &distances;
                rows
            }
            _ => unreachable!("a product of norms"),
        };
        sum.counts.iter_mut().for_each(|count| *count += self.filled as u32);
        general_mat_mul(1.0, &rows.dot(&weight.t()).t(), &rows, 1.0, &mut sum.values);
    }
}
