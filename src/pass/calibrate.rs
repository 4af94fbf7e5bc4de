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
use crate::dataset::Samples;
use crate::onnx::Linear;
use crate::taps::{Fed, Taps};
use crate::uwm::{Accumulator, Means, Product, Scores, Scoring, Statistics, Sums};

/// What a calibration gives.
#[derive(Debug)]
pub struct Calibrated {
    /// Scores: for each scoring, a layer each.
    pub scores: Vec<Vec<Scores>>,
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
    /// The pairs.
    pub pairs: Pairs<'a>,
    /// The scores that are wanted.
    pub scorings: &'a [Scoring],
    /// Added to standard deviations.
    pub epsilon: f32,
}

/// What is to be scored, and how.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The tower.
    pub site: &'a Site<'a>,
    /// Its layers.
    pub layers: &'a [Linear],
    /// The scores.
    pub scorings: &'a [Scoring],
    /// Added to standard deviations.
    pub epsilon: f32,
}

/// Samples of a tower's modality: row `b` of both is a pair.
#[derive(Clone, Copy)]
pub struct Pairs<'a> {
    /// The safe ones.
    pub safe: &'a dyn Samples,
    /// Their unsafe partners.
    pub not_safe: &'a dyn Samples,
    /// The number of each pair's concept.
    pub concepts: &'a [usize],
}

/// The means that scores are made of, in the layers of a tower.
pub struct Averaged {
    /// A layer each.
    means: Vec<Means>,
    /// What the user should know of how it ran.
    pub notes: Vec<String>,
}

/// Scores layers of a tower.
///
/// # Errors
/// If data, runtime or scoring fail.
///
/// # Panics
/// If the samples do not come in pairs.
pub fn calibrate(
    runner: Runner,
    calibration: Calibration,
    keep: Option<&dyn Fn(usize) -> Checkpoint>,
) -> Result<Calibrated, Error> {
    let Calibration { site, layers, scorings, .. } = calibration;
    let Averaged { means, notes } = average(runner, calibration, keep)?;
    let all: Vec<_> = layers.iter().zip(&means).collect();
    Ok(Calibrated { scores: scores(site, &all, scorings)?, notes })
}

/// Runs the pairs through a tower. Holds the batches at work and one `[O, I]` accumulator a layer and product. `keep` makes
/// a checkpoint for a job that is told its batch size: sums are kept there, and taken up again.
///
/// # Errors
/// If data or runtime fail.
///
/// # Panics
/// If the samples do not come in pairs.
pub fn average(
    runner: Runner,
    calibration: Calibration,
    keep: Option<&dyn Fn(usize) -> Checkpoint>,
) -> Result<Averaged, Error> {
    let Calibration { site, layers, pairs, scorings, epsilon } = calibration;
    let measuring = Measuring::new(runner, site, layers, pairs)?;
    let mut scoring = Accumulating::new(site, layers, scorings, epsilon, pairs.concepts);
    let mut checkpoint = keep.map(|keep| keep(measuring.prepared.size));
    if let Some(checkpoint) = &checkpoint {
        scoring.resume(checkpoint.read(layers, &scoring.products, scoring.concepts, pairs.safe.len())?);
    }
    let done = measuring.over(scoring.seen()..pairs.safe.len(), |range, statistics| {
        scoring.add(&measuring.taps.of_layer, &pairs.concepts[range.clone()], statistics)?;
        checkpoint.as_mut().map_or(Ok(()), |checkpoint| checkpoint.write_now_and_then(scoring.sums()))
    });
    if let Some(checkpoint) = checkpoint.as_mut().filter(|_| matches!(done, Ok(()) | Err(Error::Interrupted))) {
        checkpoint.write(scoring.sums())?;
    }
    done?;
    Ok(Averaged { means: scoring.means()?, notes: measuring.prepared.notes })
}

impl Averaged {
    /// Scores of some of the `layers` that it has means of: for each scoring, a layer each.
    ///
    /// # Errors
    /// If a weight cannot be read or no pair could be scored.
    ///
    /// # Panics
    /// If one is not among the layers, or was not asked for when the pairs were run.
    pub fn scores(&self, layers: &[Linear], wanted: Wanted) -> Result<Vec<Vec<Scores>>, Error> {
        let find = |layer: &Linear| {
            layers.iter().position(|own| own.is(layer)).expect("it was among the layers that were run")
        };
        let wanted_means: Vec<_> = wanted.layers.iter().map(|layer| (layer, &self.means[find(layer)])).collect();
        scores(wanted.site, &wanted_means, wanted.scorings)
    }
}

/// The scores of layers by the means of their products: for each scoring, a layer each.
///
/// # Errors
/// If a weight cannot be read or no pair could be scored.
fn scores(site: &Site, layers: &[(&Linear, &Means)], scorings: &[Scoring]) -> Result<Vec<Vec<Scores>>, Error> {
    let of_layer = |(layer, means): &(&Linear, &Means)| {
        let weight = layer.weight.read(site.graph.model)?;
        let scores = scorings.iter().map(|scoring| means.score(scoring, &weight)).collect::<Result<Vec<_>, _>>();
        scores.map_err(|source| Error::Score { layer: layer.node.clone(), source })
    };
    let of_layers = layers.par_iter().map(of_layer).collect::<Result<Vec<_>, Error>>()?;
    let mut by_scoring: Vec<Vec<Scores>> = scorings.iter().map(|_| vec![]).collect();
    for of_layer in of_layers {
        by_scoring.iter_mut().zip(of_layer).for_each(|(all, scores)| all.push(scores));
    }
    Ok(by_scoring)
}

/// Statistics on their way to scores: those of a run, or kept ones.
pub struct Accumulating<'a> {
    site: &'a Site<'a>,
    layers: &'a [Linear],
    scorings: &'a [Scoring],
    epsilon: f32,
    /// What is summed in each layer.
    products: Vec<Product>,
    /// How many concepts there are.
    concepts: usize,
    sums: Vec<Accumulator>,
}

impl<'a> Accumulating<'a> {
    /// Nothing yet. `concepts` are the numbers of the pairs' concepts.
    pub fn new(
        site: &'a Site<'a>,
        layers: &'a [Linear],
        scorings: &'a [Scoring],
        epsilon: f32,
        concepts: &[usize],
    ) -> Self {
        let mut products: Vec<Product> = vec![];
        for product in scorings.iter().flat_map(Scoring::products) {
            if !products.contains(&product) {
                products.push(product);
            }
        }
        let concepts = concepts.iter().max().map_or(0, |last| last + 1);
        let begin = |layer: &Linear| Accumulator::new(layer.weight.shape, &products, epsilon, concepts);
        let sums = layers.iter().map(begin).collect();
        Self { site, layers, scorings, epsilon, products, concepts, sums }
    }

    /// Takes up sums that were kept.
    fn resume(&mut self, kept: Option<Vec<Sums>>) {
        if let Some(kept) = kept {
            let resume = |(sums, layer): (Sums, &Linear)| {
                Accumulator::resume(sums, layer.weight.shape[1], &self.products, self.epsilon)
            };
            self.sums = kept.into_iter().zip(self.layers).map(resume).collect();
        }
    }

    /// Pairs that are in the sums.
    fn seen(&self) -> usize {
        self.sums.first().map_or(0, |sums| sums.sums().pairs)
    }

    fn sums(&self) -> impl Iterator<Item = &Sums> {
        self.sums.iter().map(Accumulator::sums)
    }

    /// Adds the statistics of some pairs at the taps, where layer `k` has those of `of_layer[k]`.
    ///
    /// # Errors
    /// If a weight cannot be read.
    pub fn add(&mut self, of_layer: &[Vec<usize>], concepts: &[usize], of_taps: BothSides) -> Result<(), Error> {
        let model = self.site.graph.model;
        // A layer's sums are its own: parallel over layers, in order within each.
        self.sums.par_iter_mut().zip(self.layers).zip(of_layer).try_for_each(|((sums, layer), inputs)| {
            let [safe, not_safe] = of_taps.each_ref().map(|statistics| joined(statistics, inputs));
            sums.add(&safe, &not_safe, concepts, || layer.weight.read(model)).map_err(Error::from)
        })
    }

    /// The means, a layer each.
    ///
    /// # Errors
    /// If a weight cannot be read.
    fn means(self) -> Result<Vec<Means>, Error> {
        let Self { site, layers, sums, .. } = self;
        let finish = |(sums, layer): (Accumulator, &Linear)| sums.finish(|| layer.weight.read(site.graph.model));
        Ok(sums.into_par_iter().zip(layers).map(finish).collect::<Result<_, crate::onnx::Error>>()?)
    }

    /// The scores: for each scoring, a layer each.
    ///
    /// # Errors
    /// If a weight cannot be read or no pair could be scored.
    pub fn finish(self) -> Result<Vec<Vec<Scores>>, Error> {
        let (site, layers, scorings) = (self.site, self.layers, self.scorings);
        let means = self.means()?;
        scores(site, &layers.iter().zip(&means).collect::<Vec<_>>(), scorings)
    }
}

/// Statistics of safe samples and of their partners, a tap each.
pub type BothSides = [Vec<Statistics>; 2];

/// The statistics over all inputs of a layer.
fn joined<'s>(statistics: &'s [Statistics], inputs: &[usize]) -> Cow<'s, Statistics> {
    let mut inputs = inputs.iter().map(|&input| &statistics[input]);
    let first = inputs.next().expect("a layer has an input");
    inputs.fold(Cow::Borrowed(first), |all, other| Cow::Owned(all.join(other)))
}

/// Pairs going through a tower.
pub struct Measuring<'a> {
    runner: Runner<'a>,
    site: &'a Site<'a>,
    pairs: Pairs<'a>,
    /// Where it is measured.
    pub taps: Taps,
    /// How it is run.
    pub prepared: Prepared,
}

impl<'a> Measuring<'a> {
    /// Prepares a run.
    ///
    /// # Errors
    /// If a sample cannot be read or the runtime does not take the graph.
    ///
    /// # Panics
    /// If the samples do not come in pairs.
    pub fn new(runner: Runner<'a>, site: &'a Site<'a>, layers: &[Linear], pairs: Pairs<'a>) -> Result<Self, Error> {
        let counts = [pairs.safe.len(), pairs.not_safe.len(), pairs.concepts.len()];
        assert!(counts.iter().all(|&count| count == counts[0]), "calibration samples come in pairs: {counts:?}");
        let taps = Taps::new(site.graph, layers)?;
        let prepared = prepare(runner, site, &taps, pairs.safe, pairs.not_safe)?;
        Ok(Self { runner, site, pairs, taps, prepared })
    }

    /// Measures some of the pairs, beginning at a multiple of a chunk, and hands their statistics on in order.
    ///
    /// # Errors
    /// Those of data and runtime, and of `fold`.
    pub fn over(
        &self,
        pairs: Range<usize>,
        mut fold: impl FnMut(&Range<usize>, BothSides) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.runner.over(
            &format!("calibrating {}", self.site.modality()),
            &batches(pairs.start, pairs.end, self.prepared.size),
            self.prepared.workers,
            |range| Ok([self.measure(self.pairs.safe, range.clone())?, self.measure(self.pairs.not_safe, range)?]),
            |range, statistics| fold(range, statistics),
        )
    }

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
