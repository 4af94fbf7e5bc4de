//! What a setting changes in the layer that is aimed at.

use std::sync::Arc;

use ndarray::{Array2, Axis};

use super::inputs::Inputs;
use crate::config::MethodName;
use crate::onnx::{RankOne, Update};
use crate::uwm::aim::{Aim, Detector, Moments, negate};

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
    pub fn make(method: MethodName, inputs: &Inputs, moments: &Moments, detector: &Detector, aim: Aim) -> Self {
        let Inputs { weight, negated, .. } = inputs;
        match method {
            MethodName::Steer => Self {
                update: Update::RankOne(Arc::new(RankOne {
                    left: (&detector.mu * aim.gain).to_vec(),
                    right: detector.v.to_vec(),
                })),
                positions: (0..weight.len() as u32).collect(),
            },
            MethodName::Aimed | MethodName::Scored => {
                Self { update: Update::Multiply(-1.0), positions: negate(weight, negated, moments, detector, aim) }
            }
        }
    }

    /// What it adds to the weight, `[O, I]`.
    pub fn difference(&self, inputs: &Inputs) -> Array2<f32> {
        let Inputs { weight, negated, .. } = inputs;
        match &self.update {
            Update::RankOne(product) => {
                let column = |values: &[f64], axis| {
                    ndarray::Array1::from_iter(values.iter().map(|&value| value as f32)).insert_axis(Axis(axis))
                };
                -column(&product.left, 1).dot(&column(&product.right, 0))
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
