//! What tells unsafe content in a layer's outputs.

use nalgebra::{DMatrix, DVector};
use ndarray::{Array1, Array2, ArrayView1};

use super::Moments;
use crate::uwm::{Error, Side};

/// What is added to the covariance's diagonal, in means of it.
pub const RHO: f64 = 0.1;

/// A linear detector (Fisher's discriminant) and the direction that it detects.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    /// `mu [O]`: from the mean safe to the mean unsafe output.
    pub mu: Array1<f64>,
    /// `u [O]`, of outputs: `Sigma^-1 mu / (mu . Sigma^-1 mu)`.
    pub u: Array1<f64>,
    /// `P^T u [I]`, the same of inputs.
    pub of_inputs: Array1<f64>,
    /// `u . mean e_s`, which is taken off.
    pub offset: f64,
}

impl Detector {
    /// The detector of the outputs of a weight `P [O, I]`; `Sigma` is the covariance within the sides plus `rho` times
    /// the mean of its diagonal.
    ///
    /// # Errors
    /// [`Error::NoDirection`] if the sides have one mean, a side has no samples, or something is not finite.
    pub fn fit(moments: &Moments, weight: &Array2<f64>, rho: f64) -> Result<Self, Error> {
        let [safe, not_safe] = moments.counts();
        if safe == 0 || not_safe == 0 {
            return Err(Error::NoDirection { reason: "a side has no samples" });
        }
        let mean_safe = moments.mean(Side::Safe);
        let mu = weight.dot(&(moments.mean(Side::Unsafe) - &mean_safe));
        let mut sigma = weight.dot(&moments.within()).dot(&weight.t());
        let added = rho * sigma.diag().sum() / sigma.nrows().max(1) as f64;
        sigma.diag_mut().iter_mut().for_each(|value| *value += added);
        if !sigma.iter().chain(&mu).all(|value| value.is_finite()) {
            return Err(Error::NoDirection { reason: "its inputs or weights are not finite" });
        }
        if mu.iter().all(|&value| value == 0.0) {
            return Err(Error::NoDirection { reason: "safe and unsafe samples have the same mean" });
        }
        // Symmetric, so the order of rows and columns does not matter.
        let matrix = DMatrix::from_iterator(sigma.nrows(), sigma.ncols(), sigma.iter().copied());
        let cholesky = matrix.cholesky().ok_or(Error::NoDirection { reason: "its outputs do not vary" })?;
        let solved = cholesky.solve(&DVector::from_iterator(mu.len(), mu.iter().copied()));
        let solved = Array1::from_iter(solved.iter().copied());
        let u = &solved / mu.dot(&solved);
        let of_inputs = weight.t().dot(&u);
        let offset = of_inputs.dot(&mean_safe);
        Ok(Self { mu, u, of_inputs, offset })
    }

    /// `a(e)` of the output for an input: about 0 where it is safe, about 1 where not.
    pub fn of_input(&self, input: ArrayView1<f32>) -> f64 {
        self.of_inputs.iter().zip(input).map(|(w, &h)| w * f64::from(h)).sum::<f64>() - self.offset
    }
}
