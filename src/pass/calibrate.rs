//! Calibration: pairs through a tower, scores of its layers out.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;

use super::Error;
use super::batches::{Runner, batches, feed};
use super::checkpoint::Checkpoint;
use super::prepare::{Prepared, prepare};
use super::site::Site;
use crate::config::Recipe;
use crate::dataset::Samples;
use crate::onnx::Linear;
use crate::taps::{Fed, Taps};
use crate::uwm::{Pairwise, Scores, Statistics, Sums};

/// What a calibration gives.
#[derive(Debug)]
pub struct Calibrated {
    /// Scores, a layer each.
    pub scores: Vec<Scores>,
    /// What the user should know of how it ran.
    pub notes: Vec<String>,
}

/// What a calibration is made with.
#[derive(Clone, Copy)]
pub struct Calibration<'a> {
    /// The tower.
    pub site: &'a Site<'a>,
    /// The layers to score.
    pub layers: &'a [Linear],
    /// Samples of the tower's modality.
    pub safe: &'a dyn Samples,
    /// Their unsafe partners, in the same order.
    pub not_safe: &'a dyn Samples,
    /// How to score.
    pub recipe: &'a Recipe,
}

/// Scores layers of a tower on pairs `(safe[b], unsafe[b])` of its own modality. Holds the batches at work and one
/// `[O, I]` accumulator a layer. `keep` makes a checkpoint for a job that is told its batch size: sums are kept there,
/// and taken up again.
///
/// # Errors
/// If data, runtime or scoring fail.
///
/// # Panics
/// If the two sample sets differ in length.
pub fn calibrate(
    runner: Runner,
    calibration: Calibration,
    keep: Option<&dyn Fn(usize) -> Checkpoint>,
) -> Result<Calibrated, Error> {
    let Calibration { site, layers, safe, not_safe, recipe } = calibration;
    assert_eq!(safe.len(), not_safe.len(), "calibration samples come in pairs");
    let taps = Taps::new(site.graph, layers)?;
    let prepared = prepare(runner, site, &taps, safe, not_safe)?;
    let mut checkpoint = keep.map(|keep| keep(prepared.size));
    let kept = checkpoint.as_ref().map_or(Ok(None), |checkpoint| checkpoint.read(layers, safe.len()))?;
    let first = kept.as_ref().and_then(|sums| sums.first()).map_or(0, |sums| sums.pairs);
    let mut scores = begin(layers, recipe, kept);
    let weight = |layer: &Linear| layer.weight.read(site.graph.model);
    let measuring = Measuring { runner, site, taps: &taps, prepared: &prepared };
    let done = runner.over(
        &format!("calibrating {}", site.modality()),
        &batches(first, safe.len(), prepared.size),
        prepared.workers,
        |range| Ok((measuring.measure(safe, range.clone())?, measuring.measure(not_safe, range)?)),
        |_, (safe, not_safe)| {
            // A layer's sums are its own: parallel over layers, in order within each.
            scores.par_iter_mut().zip(layers).zip(&taps.of_layer).try_for_each(|((score, layer), inputs)| {
                let (safe, not_safe) = (joined(&safe, inputs), joined(&not_safe, inputs));
                score.add(&safe, &not_safe, || weight(layer)).map_err(Error::from)
            })?;
            let sums = scores.iter().map(Pairwise::sums);
            checkpoint.as_mut().map_or(Ok(()), |checkpoint| checkpoint.write_now_and_then(sums))
        },
    );
    if let Some(checkpoint) = checkpoint.as_mut().filter(|_| matches!(done, Ok(()) | Err(Error::Interrupted))) {
        checkpoint.write(scores.iter().map(Pairwise::sums))?;
    }
    done?;
    let finish = |(score, layer): (Pairwise, &Linear)| {
        score
            .finish(recipe.weight_prior, || weight(layer))?
            .map_err(|source| Error::Score { layer: layer.node.clone(), source })
    };
    let scores = scores.into_par_iter().zip(layers).map(finish).collect::<Result<_, Error>>()?;
    Ok(Calibrated { scores, notes: prepared.notes })
}

/// The statistics over all inputs of a layer.
fn joined<'s>(statistics: &'s [Statistics], inputs: &[usize]) -> Cow<'s, Statistics> {
    let mut inputs = inputs.iter().map(|&input| &statistics[input]);
    let first = inputs.next().expect("a layer has an input");
    inputs.fold(Cow::Borrowed(first), |all, other| Cow::Owned(all.join(other)))
}

fn begin(layers: &[Linear], recipe: &Recipe, kept: Option<Vec<Sums>>) -> Vec<Pairwise> {
    match kept {
        Some(sums) => sums.into_iter().map(|sums| Pairwise::resume(sums, recipe.epsilon)).collect(),
        None => layers.iter().map(|layer| Pairwise::new(layer.weight.shape, recipe.epsilon)).collect(),
    }
}

struct Measuring<'a> {
    runner: Runner<'a>,
    site: &'a Site<'a>,
    taps: &'a Taps,
    prepared: &'a Prepared,
}

impl Measuring<'_> {
    /// Runs some samples and reduces each output as it comes.
    fn measure(&self, samples: &dyn Samples, range: Range<usize>) -> Result<Vec<Statistics>, Error> {
        let (feed, mask) = feed(&self.site.tower, samples.batch(range.clone())?, self.prepared.size)?;
        let fed = Fed { batch: self.prepared.size, samples: range.len(), mask: mask.as_ref() };
        let reduced: Vec<OnceLock<Result<Statistics, Error>>> =
            self.taps.outputs.iter().map(|_| OnceLock::new()).collect();
        let reduce = |index: usize, output: ndarray::ArrayViewD<f32>| {
            let tap = &self.taps.outputs[index];
            let statistics = tap.reduce(output, self.prepared.layouts[index], fed).map_err(Error::from);
            let _ = reduced[index].set(statistics.and_then(|statistics| {
                match statistics.finite.iter().position(|finite| !finite) {
                    Some(bad) if !self.runner.limits.skip_bad_samples => {
                        Err(tap.not_finite(samples.name(range.start + bad)).into())
                    }
                    _ => Ok(statistics),
                }
            }));
        };
        self.prepared.session.run(feed, &reduce).map_err(|e| self.site.failed(e))?;
        reduced.into_iter().filter_map(OnceLock::into_inner).collect()
    }
}
