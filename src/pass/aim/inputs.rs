//! What flows into the layer that is aimed at, sample by sample, and the embeddings that come of it.

use ndarray::{Array2, Axis, concatenate};

use super::AimedPlan;
use super::change::Change;
use super::raw::raw;
use crate::onnx::{Replaced, Selection, Update};
use crate::pass::Error;
use crate::pass::batches::Runner;
use crate::pass::calibrate::Measuring;
use crate::pass::data::Data;
use crate::safeground::Embeddings;
use crate::uwm::aim::Ahead;

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
        let notes = data.with_pairs(site.modality(), &all, |pairs| {
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
        })?;
        let joined = |parts: Vec<Array2<f32>>| {
            let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
            concatenate(Axis(0), &views).expect("all have the layer's width")
        };
        let model = site.graph.model;
        Ok(Self {
            rows: rows.map(joined),
            finite,
            weight: layer.weight.read(model)?.mapv(f64::from),
            negated: layer.weight.negated(model)?.mapv(f64::from),
            notes,
        })
    }

    /// The embeddings of both sides `[N, O]`, up to the length of each, for which a change of the layer's outputs is as
    /// large a change of theirs; `None` if what follows the layer does not let through such changes as they are. That it
    /// does is tried with some elements negated.
    ///
    /// # Errors
    /// If data or runtime fail.
    pub fn embeddings(&self, runner: Runner, data: &Data, plan: &AimedPlan) -> Result<Option<[Array2<f32>; 2]>, Error> {
        let site = plan.site;
        let probe = self.probe();
        if probe.is_empty() || !site.tower.pooled {
            return Ok(None);
        }
        let weight = self.weight.mapv(|value| value as f32);
        let outputs = |side: &Array2<f32>| side.dot(&weight.t());
        let seen = raw(runner, data, site, &probe, None)?;
        let both = |parts: &[Array2<f32>; 2]| {
            concatenate(Axis(0), &[parts[0].view(), parts[1].view()]).map(|rows| rows.mapv(f64::from)).ok()
        };
        let made = self.rows.each_ref().map(|side| outputs(&side.select(Axis(0), &probe)));
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
        let positions = (0..self.weight.len() as u32).filter(scattered).collect();
        let change = Change { update: Update::Multiply(-1.0), positions };
        match self.deviation(runner, data, plan, &before, &change)? {
            Some(deviation) if deviation <= PROVED => {}
            _ => return Ok(None),
        }
        Ok(Some(match bias {
            Some(bias) => self.rows.each_ref().map(|side| outputs(side) + &bias),
            None => raw(runner, data, site, &(0..self.finite.len()).collect::<Vec<_>>(), None)?,
        }))
    }

    /// How far off the embeddings of a few samples by the changed tower are from those that follow from `embeddings`, those
    /// of all pairs by the tower as it is, in parts of what the change moves them by; `None` if it cannot be tried.
    ///
    /// # Errors
    /// If data or runtime fail.
    pub fn foretold(
        &self,
        runner: Runner,
        data: &Data,
        plan: &AimedPlan,
        embeddings: &[Array2<f32>; 2],
        change: &Change,
    ) -> Result<Option<f64>, Error> {
        let probe = self.probe();
        let before = embeddings.each_ref().map(|side| side.select(Axis(0), &probe));
        self.deviation(runner, data, plan, &before, change)
    }

    /// The same for embeddings of the probe.
    fn deviation(
        &self,
        runner: Runner,
        data: &Data,
        plan: &AimedPlan,
        before: &[Array2<f32>; 2],
        change: &Change,
    ) -> Result<Option<f64>, Error> {
        let probe = self.probe();
        let Change { update, positions } = change.clone();
        let selection = Selection { layer: plan.layer.clone(), update, positions };
        let Some(weights) = Replaced::new(plan.site.graph.model, &[selection])? else { return Ok(None) };
        let seen = raw(runner, data, plan.site, &probe, Some(&weights))?;
        let difference = change.difference(self);
        let (mut off, mut moved) = (0.0, 0.0);
        for ((inputs, before), seen) in self.rows.iter().zip(before).zip(&seen) {
            let foretold = before + &inputs.select(Axis(0), &probe).dot(&difference.t());
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
    fn probe(&self) -> Vec<usize> {
        (0..self.finite.len()).filter(|&row| self.finite[row]).take(PROBE).collect()
    }
}

/// Samples of each side that are embedded to see what follows a layer.
const PROBE: usize = 16;
/// How far off embeddings may be in a trial: codes and short floats are not exact.
const PROVED: f64 = 0.1;
