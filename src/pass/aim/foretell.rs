//! Embeddings told beforehand, by algebra: of what flows into a layer, and of what a change of it does.

use ndarray::{Array2, Axis, concatenate};

use super::AimedPlan;
use super::change::Change;
use super::inputs::Inputs;
use super::raw::raw;
use crate::onnx::{Replaced, Selection, Update};
use crate::pass::Error;
use crate::pass::batches::Runner;
use crate::pass::data::Data;
use crate::safeground::Embeddings;
use crate::uwm::aim::Ahead;

/// A tower whose embeddings are told.
#[derive(Clone, Copy)]
pub struct Foretelling<'a> {
    /// Runs it.
    pub runner: Runner<'a>,
    /// The calibration data.
    pub data: &'a Data,
    /// The layer.
    pub plan: &'a AimedPlan<'a>,
    /// What flows into it.
    pub inputs: &'a Inputs,
}

impl Foretelling<'_> {
    /// The embeddings of both sides `[N, O]`, up to the length of each, for which a change of the layer's outputs is as
    /// large a change of theirs; `None` if what follows the layer does not let through such changes as they are. That it
    /// does is tried with some elements negated.
    ///
    /// # Errors
    /// If data or runtime fail.
    pub fn embeddings(self) -> Result<Option<[Array2<f32>; 2]>, Error> {
        let Self { runner, data, plan, inputs } = self;
        let site = plan.site;
        let probe = self.probe();
        if probe.is_empty() || !site.tower.pooled {
            return Ok(None);
        }
        let weight = inputs.weight.mapv(|value| value as f32);
        let outputs = |side: &Array2<f32>| side.dot(&weight.t());
        let seen = raw(runner, data, site, &probe, None)?;
        let both = |parts: &[Array2<f32>; 2]| {
            concatenate(Axis(0), &[parts[0].view(), parts[1].view()]).map(|rows| rows.mapv(f64::from)).ok()
        };
        let made = inputs.rows.each_ref().map(|side| outputs(&side.select(Axis(0), &probe)));
        let Some(ahead) = both(&made).zip(both(&seen)).and_then(|(made, seen)| Ahead::find(&made, &seen)) else {
            return Ok(None);
        };
        let bias = match &ahead {
            Ahead::Plus(bias) => Some(bias.mapv(|value| value as f32)),
            Ahead::Each => None,
        };
        let before = bias.as_ref().map_or(seen, |bias| made.map(|side| side + bias));
        // About an eighth of all elements, scattered.
        let scattered = |position: &u32| position.wrapping_mul(0x9e37_79b9) >> 29 == 0;
        let positions = (0..inputs.weight.len() as u32).filter(scattered).collect();
        let change = Change { update: Update::Multiply(-1.0), positions };
        match self.deviation(&before, &change)? {
            Some(deviation) if deviation <= PROVED => {}
            _ => return Ok(None),
        }
        Ok(Some(match bias {
            Some(bias) => inputs.rows.each_ref().map(|side| outputs(side) + &bias),
            None => raw(runner, data, site, &(0..inputs.finite.len()).collect::<Vec<_>>(), None)?,
        }))
    }

    /// How far off the embeddings of a few samples by the changed tower are from those that follow from `embeddings`, those
    /// of all pairs by the tower as it is, in parts of what the change moves them by; `None` if it cannot be tried.
    ///
    /// # Errors
    /// If data or runtime fail.
    pub fn deviates(self, embeddings: &[Array2<f32>; 2], change: &Change) -> Result<Option<f64>, Error> {
        let probe = self.probe();
        let before = embeddings.each_ref().map(|side| side.select(Axis(0), &probe));
        self.deviation(&before, change)
    }

    /// The same for embeddings of the probe.
    fn deviation(self, before: &[Array2<f32>; 2], change: &Change) -> Result<Option<f64>, Error> {
        let Self { runner, data, plan, inputs } = self;
        let probe = self.probe();
        let Change { update, positions } = change.clone();
        let selection = Selection { layer: plan.layer.clone(), update, positions };
        let Some(weights) = Replaced::new(plan.site.graph.model, &[selection])? else { return Ok(None) };
        let seen = raw(runner, data, plan.site, &probe, Some(&weights))?;
        let difference = change.difference(inputs);
        let (mut off, mut moved) = (0.0, 0.0);
        for ((rows, before), seen) in inputs.rows.iter().zip(before).zip(&seen) {
            let foretold = before + &rows.select(Axis(0), &probe).dot(&difference.t());
            let unit = |rows: &Array2<f32>| Embeddings::normalise_each(rows.clone()).0;
            let [before, foretold, seen] = [unit(before), unit(&foretold), unit(seen)];
            let distance = |a: &Embeddings, b: &Embeddings| {
                a.rows().iter().zip(b.rows()).map(|(&a, &b)| f64::from(a - b).powi(2)).sum::<f64>()
            };
            off += distance(&seen, &foretold);
            moved += distance(&seen, &before);
        }
        Ok(Some(if off == 0.0 { 0.0 } else { (off / moved).sqrt() }))
    }

    /// A few pairs.
    fn probe(self) -> Vec<usize> {
        let finite = &self.inputs.finite;
        (0..finite.len()).filter(|&row| finite[row]).take(PROBE).collect()
    }
}

/// Samples of each side that are embedded to see what follows a layer.
const PROBE: usize = 16;
/// How far off embeddings may be in a trial: codes and short floats are not exact.
const PROVED: f64 = 0.1;
