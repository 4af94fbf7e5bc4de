//! Calibration: pairs through a tower, scores of its layers out.

use rayon::prelude::*;

use super::Error;
use super::batches::{Runner, feed};
use super::site::Site;
use crate::config::Recipe;
use crate::dataset::Samples;
use crate::onnx::Linear;
use crate::taps::Taps;
use crate::uwm::{Pairwise, Scores, Statistics};

/// Scores `layers` of a tower on pairs `(safe[b], unsafe[b])` of its own modality. Holds the batches at work and one
/// `[O, I]` accumulator a layer.
///
/// # Errors
/// If data, runtime or scoring fail.
///
/// # Panics
/// If the two sample sets differ in length.
pub fn calibrate(
    runner: Runner,
    site: &Site,
    layers: &[Linear],
    safe: &dyn Samples,
    not_safe: &dyn Samples,
    recipe: &Recipe,
) -> Result<Vec<Scores>, Error> {
    assert_eq!(safe.len(), not_safe.len(), "calibration samples come in pairs");
    let taps = Taps::new(site.graph, layers)?;
    let size = site.batch_size(runner.batch_size, safe.len());
    let (like, _) = feed(&site.tower, safe.batch(0..1)?, size)?;
    let session = runner.runtime.load(&taps.skeleton, &like).map_err(|e| site.failed(e))?;
    let mut scores: Vec<Pairwise> =
        layers.iter().map(|layer| Pairwise::new(layer.weight.shape, recipe.epsilon)).collect();
    let weight = |layer: &Linear| layer.weight.read(site.graph.model);
    runner.over(
        &format!("calibrating {}", site.modality()),
        safe.len(),
        size,
        |range| {
            let measure = |samples: &dyn Samples| -> Result<Vec<Statistics>, Error> {
                let (feed, mask) = feed(&site.tower, samples.batch(range.clone())?, size)?;
                let name = |index| samples.name(range.start + index);
                Ok(taps.reduce(
                    &session.run(feed).map_err(|e| site.failed(e))?,
                    size,
                    range.len(),
                    mask.as_ref(),
                    name,
                )?)
            };
            Ok((measure(safe)?, measure(not_safe)?))
        },
        |(safe, not_safe)| {
            // A layer's sums are its own: parallel over layers, in order within each.
            scores.par_iter_mut().zip(layers).zip(&taps.of_layer).try_for_each(|((score, layer), &tap)| {
                score.add(&safe[tap], &not_safe[tap], || weight(layer)).map_err(Error::from)
            })
        },
    )?;
    let finish = |(score, layer): (Pairwise, &Linear)| {
        score
            .finish(recipe.weight_prior, || weight(layer))?
            .map_err(|source| Error::Score { layer: layer.node.clone(), source })
    };
    scores.into_par_iter().zip(layers).map(finish).collect()
}
