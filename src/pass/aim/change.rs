//! What a setting changes in the layer that is aimed at.

use std::sync::Arc;

use ndarray::{Array1, Array2, Axis};

use super::inputs::Inputs;
use crate::config::MethodName;
use crate::onnx::{RankOne, Update};
use crate::uwm;
use crate::uwm::aim::{Aim, Detector, Fit, Moments, negate};

/// What is learnt from some pairs.
pub struct Learnt {
    /// `C [I, I]`, both sides counting alike.
    pub second: Array2<f64>,
    /// What tells unsafe inputs.
    pub detector: Detector,
}

impl Learnt {
    /// From what is known of a layer's inputs.
    ///
    /// # Errors
    /// If nothing tells unsafe inputs from safe ones.
    pub fn from(moments: &Moments, inputs: &Inputs) -> Result<Self, uwm::Error> {
        let fit = Fit::usual(inputs.weight.ncols(), moments.counts()[0]);
        Ok(Self { second: moments.second(1.0), detector: Detector::fit(moments, &inputs.weight, fit)? })
    }
}

/// Elements, and what becomes of them.
#[derive(Debug, Clone)]
pub struct Change {
    /// What becomes of them.
    pub update: Update,
    /// Logical positions, ascending.
    pub positions: Vec<u32>,
}

impl Change {
    /// What a method makes of a setting.
    pub fn make(method: MethodName, inputs: &Inputs, learnt: &Learnt, aim: Aim) -> Self {
        let Inputs { weight, negated, .. } = inputs;
        let Learnt { second, detector } = learnt;
        if method == MethodName::Steer {
            let product = RankOne { left: (&detector.mu * aim.gain).to_vec(), right: detector.v.to_vec() };
            return Self { update: Update::RankOne(Arc::new(product)), positions: (0..weight.len() as u32).collect() };
        }
        Self { update: Update::Multiply(-1.0), positions: negate(weight, negated, second, detector, aim) }
    }

    /// What it adds to the weight, `[O, I]`.
    pub fn difference(&self, inputs: &Inputs) -> Array2<f32> {
        let Inputs { weight, negated, .. } = inputs;
        match &self.update {
            Update::RankOne(product) => {
                let along = |values: &[f64], axis| {
                    Array1::from_iter(values.iter().map(|&value| value as f32)).insert_axis(Axis(axis))
                };
                -along(&product.left, 1).dot(&along(&product.right, 0))
            }
            Update::Multiply(_) => {
                let mut difference = Array2::zeros(weight.dim());
                for &position in &self.positions {
                    let at = [position as usize / weight.ncols(), position as usize % weight.ncols()];
                    difference[at] = (negated[at] - weight[at]) as f32;
                }
                difference
            }
        }
    }
}
