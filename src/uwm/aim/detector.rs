//! What tells unsafe content in a layer's inputs.

use nalgebra::{DMatrix, DVector};
use ndarray::{Array1, Array2, ArrayView1};

use super::Moments;
use crate::uwm::{Error, Side};

/// A linear detector, and the direction that its layer's outputs take with what it detects.
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    /// `mu [O]`: from the mean safe to the mean unsafe output.
    pub mu: Array1<f64>,
    /// `v [I]`, of inputs.
    pub v: Array1<f64>,
}

/// How it is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// What a safe sample counts for against an unsafe one.
    pub safe: f64,
    /// `rho`: what is added to the diagonal of the second moments, in parts of it.
    pub rho: f64,
}

/// Moving a safe sample costs what the model knows, leaving an unsafe one where it is costs one of many.
const SAFE: f64 = 10.0;

impl Fit {
    /// What serves a layer of `width` inputs with so many pairs: the less each input is known by, the more is added.
    pub fn usual(width: usize, pairs: usize) -> Self {
        Self { safe: SAFE, rho: width as f64 / (8 * pairs.max(1)) as f64 }
    }
}

impl Detector {
    /// The detector of what flows into a weight `P [O, I]`: the regression of "is unsafe" on the inputs, with no constant,
    /// scaled to 1 on the mean unsafe sample.
    ///
    /// # Errors
    /// [`Error::NoDirection`] if the sides have one mean, a side has no samples, or something is not finite.
    pub fn fit(moments: &Moments, weight: &Array2<f64>, fit: Fit) -> Result<Self, Error> {
        let [safe, not_safe] = moments.counts();
        if safe == 0 || not_safe == 0 {
            return Err(Error::NoDirection { reason: "a side has no samples" });
        }
        let mean = moments.mean(Side::Unsafe);
        let mu = weight.dot(&(&mean - moments.mean(Side::Safe)));
        if mu.iter().all(|&value| value == 0.0) {
            return Err(Error::NoDirection { reason: "safe and unsafe samples have the same mean" });
        }
        let v = Ridge::new(moments, fit)?.solve(&mean);
        let scale = v.dot(&mean);
        let v = v / scale;
        match mu.iter().chain(&v).all(|value| value.is_finite()) {
            true => Ok(Self { mu, v }),
            false => Err(Error::NoDirection { reason: "its weights are not finite" }),
        }
    }

    /// A control: the same for a direction that inputs take by chance, which its outputs follow as far as `own`'s do.
    ///
    /// # Errors
    /// As for [`Detector::fit`].
    pub fn random(
        moments: &Moments,
        weight: &Array2<f64>,
        fit: Fit,
        own: &Self,
        mut normal: impl FnMut() -> f64,
    ) -> Result<Self, Error> {
        let ridge = Ridge::new(moments, fit)?;
        // L z varies as the inputs do, where C = L L^T.
        let chance = ridge.spread(&Array1::from_shape_simple_fn(weight.ncols(), &mut normal));
        let mu = weight.dot(&chance);
        let stretch = (own.mu.dot(&own.mu) / mu.dot(&mu)).sqrt();
        let v = ridge.solve(&chance);
        let scale = v.dot(&chance) * stretch;
        match stretch.is_finite() && scale != 0.0 {
            true => Ok(Self { mu: mu * stretch, v: v / scale }),
            false => Err(Error::NoDirection { reason: "its outputs do not vary" }),
        }
    }

    /// What it says of an input: 1 on the mean unsafe one, less on safe ones.
    pub fn of_input(&self, input: ArrayView1<f32>) -> f64 {
        self.v.iter().zip(input).map(|(v, &h)| v * f64::from(h)).sum()
    }
}

/// `C + rho D`, ready to be solved with.
struct Ridge(nalgebra::Cholesky<f64, nalgebra::Dyn>);

impl Ridge {
    fn new(moments: &Moments, fit: Fit) -> Result<Self, Error> {
        let mut second = moments.second(fit.safe);
        if !second.iter().all(|value| value.is_finite()) {
            return Err(Error::NoDirection { reason: "its inputs are not finite" });
        }
        let mean = second.diag().mean().unwrap_or(0.0);
        // An input that is always 0 has no say, whatever stands there.
        let added = |value: f64| if value > 0.0 { fit.rho * value } else { mean.max(f64::MIN_POSITIVE) };
        second.diag_mut().iter_mut().for_each(|value| *value += added(*value));
        // Symmetric, so the order of rows and columns does not matter.
        let matrix = DMatrix::from_iterator(second.nrows(), second.ncols(), second.iter().copied());
        matrix.cholesky().map(Self).ok_or(Error::NoDirection { reason: "its inputs depend on one another" })
    }

    fn solve(&self, right: &Array1<f64>) -> Array1<f64> {
        let solved = self.0.solve(&DVector::from_iterator(right.len(), right.iter().copied()));
        Array1::from_iter(solved.iter().copied())
    }

    fn spread(&self, z: &Array1<f64>) -> Array1<f64> {
        let spread = self.0.l() * DVector::from_iterator(z.len(), z.iter().copied());
        Array1::from_iter(spread.iter().copied())
    }
}
