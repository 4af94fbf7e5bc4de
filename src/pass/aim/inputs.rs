//! What flows into the layer that is aimed at, sample by sample.

use ndarray::{Array2, Axis, concatenate};

use super::AimedPlan;
use crate::onnx::negated;
use crate::pass::Error;
use crate::pass::batches::Runner;
use crate::pass::calibrate::Measuring;
use crate::pass::data::Data;

/// The layer of a tower, with what the calibration pairs bring to it.
pub struct Inputs {
    /// `[N, I]`: of the safe samples, and of their partners.
    pub rows: [Array2<f32>; 2],
    /// Which pairs are finite on both sides.
    pub finite: Vec<bool>,
    /// The weight `[O, I]`.
    pub weight: Array2<f64>,
    /// What a negation makes of it.
    pub negated: Array2<f64>,
    /// What the user should know of how it ran.
    pub notes: Vec<String>,
}

impl Inputs {
    /// Runs the calibration pairs through a tower.
    ///
    /// # Errors
    /// If data or runtime fail, or a sample has more than one row there.
    pub fn gather(runner: Runner, data: &Data, plan: &AimedPlan) -> Result<Self, Error> {
        let AimedPlan { site, layer, .. } = plan;
        let all: Vec<usize> = (0..data.calibration.rows.len()).collect();
        let (mut rows, mut finite) = ([vec![], vec![]], vec![]);
        let notes = data.with_pairs(site, &all, |pairs| {
            let measuring = Measuring::new(runner, site, std::slice::from_ref(layer), pairs)?;
            let tap = *measuring.taps.of_layer[0].first().expect("a layer has an input");
            let mut most = 1;
            measuring.over(0..all.len(), |_, sides| {
                let [safe, not_safe] = sides.each_ref().map(|statistics| &statistics[tap]);
                most = safe.tokens.iter().chain(&not_safe.tokens).copied().fold(most, usize::max);
                finite.extend(safe.finite.iter().zip(&not_safe.finite).map(|(a, b)| a & b));
                for (rows, side) in rows.iter_mut().zip([safe, not_safe]) {
                    rows.push(side.mean.clone());
                }
                Ok(())
            })?;
            match most {
                1 => Ok(measuring.prepared.notes),
                rows => Err(Error::Conflict {
                    reason: format!(
                        "layer {} of the {} tower is given up to {rows} rows a sample, and aimed negation needs one",
                        layer.node,
                        site.modality()
                    ),
                    help: "choose the layer after the pooling with --layers, or another --preset",
                }),
            }
        })??;
        let joined = |parts: Vec<Array2<f32>>| {
            let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
            concatenate(Axis(0), &views).expect("all have the layer's width")
        };
        let model = site.graph.model;
        Ok(Self {
            rows: rows.map(joined),
            finite,
            weight: layer.weight.read(model)?.mapv(f64::from),
            negated: negated(&layer.weight, model)?.mapv(f64::from),
            notes,
        })
    }
}
