//! What is known of a layer's inputs: counts, sums and second moments of safe and unsafe samples.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::uwm::Side;

/// Sums over samples, in float64. They add up: parts of the samples can be summed apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    safe: Sums,
    not_safe: Sums,
}

#[derive(Debug, Clone, PartialEq)]
struct Sums {
    count: usize,
    /// `[I]`
    sum: Array1<f64>,
    /// `[I, I]`
    second: Array2<f64>,
}

impl Moments {
    /// Of no samples; inputs have `width` features.
    pub fn new(width: usize) -> Self {
        let none = Sums { count: 0, sum: Array1::zeros(width), second: Array2::zeros((width, width)) };
        Self { safe: none.clone(), not_safe: none }
    }

    /// Adds samples of one side, `[N, I]`.
    pub fn add(&mut self, side: Side, rows: ArrayView2<f32>) {
        let rows = rows.mapv(f64::from);
        let sums = match side {
            Side::Safe => &mut self.safe,
            Side::Unsafe => &mut self.not_safe,
        };
        sums.count += rows.nrows();
        sums.sum += &rows.sum_axis(Axis(0));
        general_mat_mul(1.0, &rows.t(), &rows, 1.0, &mut sums.second);
    }

    /// Adds other samples.
    pub fn join(&mut self, other: &Self) {
        for (own, other) in [(&mut self.safe, &other.safe), (&mut self.not_safe, &other.not_safe)] {
            own.count += other.count;
            own.sum += &other.sum;
            own.second += &other.second;
        }
    }

    /// With safe and unsafe changing places: a control.
    #[must_use]
    pub fn swapped(&self) -> Self {
        Self { safe: self.not_safe.clone(), not_safe: self.safe.clone() }
    }

    /// Samples of each side, safe first.
    pub fn counts(&self) -> [usize; 2] {
        [self.safe.count, self.not_safe.count]
    }

    /// Mean of one side, `[I]`.
    pub fn mean(&self, side: Side) -> Array1<f64> {
        let sums = match side {
            Side::Safe => &self.safe,
            Side::Unsafe => &self.not_safe,
        };
        &sums.sum / sums.count.max(1) as f64
    }

    /// `C = (safe C_s + C_u) / (safe + 1)`, `[I, I]`: the mean of `h h^T` over each side, the safe one counting `safe`
    /// times.
    pub fn second(&self, safe: f64) -> Array2<f64> {
        let mean = |sums: &Sums| &sums.second / sums.count.max(1) as f64;
        (mean(&self.safe) * safe + mean(&self.not_safe)) / (safe + 1.0)
    }
}
