//! Before a calibration: how many samples a run, and which rows of a layer's input belong to which sample.

use std::sync::OnceLock;

use ndarray::{ArrayViewD, Axis};

use super::Error;
use super::batches::{Runner, USUAL_BATCH, feed, fill};
use super::site::Site;
use crate::dataset::{Batch, Samples};
use crate::runtime::{Feed, Session};
use crate::taps::{Layout, Taps, Verdict};

/// A session for the taps of a tower.
pub struct Prepared {
    /// What is run.
    pub session: Box<dyn Session>,
    /// Samples a run.
    pub size: usize,
    /// Runs at a time.
    pub workers: usize,
    /// How to read each output.
    pub layouts: Vec<Layout>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Samples that tell rows apart: one stays, one is exchanged.
const PROBE: usize = 2;

/// Loads the taps' graph, for as many samples a run as the limits allow.
///
/// # Errors
/// If a sample cannot be read, the runtime does not take the graph, or an output's shape does not fit its layer.
pub fn prepare(
    runner: Runner,
    site: &Site,
    taps: &Taps,
    safe: &dyn Samples,
    not_safe: &dyn Samples,
) -> Result<Prepared, Error> {
    let scene = Scene { runner, site, taps, safe, not_safe };
    let wished = site.batch_size(runner.limits.batch_size.unwrap_or(USUAL_BATCH), safe.len());
    let session = scene.load(wished)?;
    // Some runtimes prepare a session for one shape and know all others then; others tell after a run, of any size.
    let (one_shape, batch) = match session.shapes() {
        Some(_) => (true, wished),
        None => (false, if site.fixed_batch().is_some() { wished } else { wished.min(PROBE) }),
    };
    let shapes = match session.shapes() {
        Some(shapes) => taps.outputs.iter().zip(&shapes).map(|(tap, shape)| tap.straight_shape(shape)).collect(),
        None => scene.observe(&*session, batch, false, |view| view.shape().to_vec())?,
    };
    let (mut size, workers) = scene.fit(&shapes, batch, wished, one_shape);
    let mut notes = vec![];
    let layouts = match scene.layouts(&*session, &shapes, batch)? {
        Ok(layouts) => layouts,
        Err(index) => {
            let tap = &taps.outputs[index];
            if site.fixed_batch().is_some_and(|fixed| fixed > 1) {
                let reason = "the graph fixes its batch, and its samples cannot be told apart";
                return Err(tap.unfit(&shapes[index], batch, reason).into());
            }
            notes.push(format!(
                "the samples of a batch cannot be told apart at the input of layer {}: the {} tower was run one sample at a time",
                tap.layer,
                site.modality()
            ));
            size = 1;
            vec![Layout::Blocks; taps.outputs.len()]
        }
    };
    let session = if one_shape && size != wished {
        // Not two models at a time.
        drop(session);
        scene.load(size)?
    } else {
        session
    };
    Ok(Prepared { session, size, workers, layouts, notes })
}

/// Rows of a layer's input (samples times tokens) that keep a processor's matrix products at their best.
const ENOUGH_ROWS: usize = 400;

/// Unsafe samples that are looked at for one that differs from the first safe one.
const PARTNERS: usize = 16;

struct Scene<'a> {
    runner: Runner<'a>,
    site: &'a Site<'a>,
    taps: &'a Taps,
    safe: &'a dyn Samples,
    not_safe: &'a dyn Samples,
}

impl Scene<'_> {
    fn load(&self, size: usize) -> Result<Box<dyn Session>, Error> {
        let (like, _) = feed(&self.site.tower, self.safe.batch(0..1)?, size)?;
        self.runner.runtime.load(&self.taps.skeleton, &like).map_err(|e| self.site.failed(e))
    }

    /// The first samples as a batch; the very first exchanged for another, if that is wished.
    fn first(&self, batch: usize, exchanged: bool) -> Result<Feed, Error> {
        let samples = self.safe.batch(0..batch.min(self.safe.len()))?;
        let mut samples = fill(samples, batch);
        if exchanged {
            let first = self.safe.batch(0..1)?;
            for k in 0..self.not_safe.len().min(PARTNERS) {
                let other = self.not_safe.batch(k..k + 1)?;
                if other != first {
                    exchange(&mut samples, other);
                    break;
                }
            }
        }
        Ok(feed(&self.site.tower, samples, batch)?.0)
    }

    /// Runs the first samples and looks at each output.
    fn observe<T: Send + Sync>(
        &self,
        session: &dyn Session,
        batch: usize,
        exchanged: bool,
        look: impl Fn(&ArrayViewD<f32>) -> T + Sync,
    ) -> Result<Vec<T>, Error> {
        let seen: Vec<OnceLock<T>> = self.taps.outputs.iter().map(|_| OnceLock::new()).collect();
        let look = |index: usize, view: ArrayViewD<f32>| {
            drop(seen[index].set(look(&self.taps.outputs[index].straight(view))));
        };
        session.run(self.first(batch, exchanged)?, &look).map_err(|e| self.site.failed(e))?;
        Ok(seen.into_iter().filter_map(OnceLock::into_inner).collect())
    }

    /// How many samples a run, and how many runs at a time, so that the activations stay within the budget: what the
    /// graph gives out, and as much again as its largest part needs four times over, for what lies between.
    fn fit(&self, shapes: &[Vec<usize>], batch: usize, wished: usize, one_shape: bool) -> (usize, usize) {
        // More rows than that do not make a matrix product faster.
        let rows = |shape: &Vec<usize>| shape.iter().rev().skip(1).product::<usize>() / batch.max(1);
        let enough = ENOUGH_ROWS.div_ceil(shapes.iter().map(rows).max().unwrap_or(1).max(1));
        let useful = if enough <= wished / 2 { enough } else { wished };
        let bytes = |shape: &Vec<usize>| 4 * shape.iter().product::<usize>() / batch.max(1);
        let largest = shapes.iter().map(bytes).max().unwrap_or(0);
        let sample = (shapes.iter().map(bytes).sum::<usize>() + 4 * largest).max(1);
        let (limits, most) = (self.runner.limits, self.runner.runtime.concurrency().max(1));
        if limits.batch_size.is_some() {
            return (wished, most);
        }
        let room = limits.memory_budget / sample;
        if self.site.fixed_batch().is_some() {
            return (wished, (room / wished).clamp(1, most));
        }
        // A runtime that prepares for one shape may give other last bits for another: then the number of threads must
        // not show in the size.
        let share = if one_shape { 8 } else { most };
        let size = (room / share).clamp(1, useful);
        (size, (room / size).clamp(1, most))
    }

    /// The layout of each output, or the number of the first one whose samples cannot be told apart.
    fn layouts(
        &self,
        session: &dyn Session,
        shapes: &[Vec<usize>],
        batch: usize,
    ) -> Result<Result<Vec<Layout>, usize>, Error> {
        let tokens = match self.safe.batch(0..1)? {
            Batch::Text { ids, mask } => Some(self.site.tower.rows_that_count(&ids, mask).ncols()),
            Batch::Image { .. } => None,
        };
        let verdicts = self.taps.outputs.iter().zip(shapes).map(|(tap, shape)| tap.layout(shape, batch, tokens));
        let verdicts = verdicts.collect::<Result<Vec<_>, _>>()?;
        let probed = match verdicts.iter().any(|verdict| matches!(verdict, Verdict::Open(_))) {
            false => vec![],
            true => {
                let before = self.observe(session, batch, false, Layout::fingerprints)?;
                let after = self.observe(session, batch, true, Layout::fingerprints)?;
                before.iter().zip(&after).map(|(a, b)| Layout::from_probe(a, b, batch, 0)).collect()
            }
        };
        let settle = |(index, verdict): (usize, Verdict)| match verdict {
            Verdict::Settled(layout, _) => Ok(layout),
            Verdict::Open(_) => probed.get(index).copied().flatten().ok_or(index),
            Verdict::Impossible => Err(index),
        };
        Ok(verdicts.into_iter().enumerate().map(settle).collect())
    }
}

/// Puts the only sample of `other` in the place of the first one.
fn exchange(samples: &mut Batch, other: Batch) {
    match (samples, other) {
        (Batch::Image { pixels }, Batch::Image { pixels: other }) if pixels.shape()[1..] == other.shape()[1..] => {
            pixels.index_axis_mut(Axis(0), 0).assign(&other.index_axis(Axis(0), 0));
        }
        (Batch::Text { ids, mask }, Batch::Text { ids: other, mask: its }) if ids.ncols() == other.ncols() => {
            ids.row_mut(0).assign(&other.row(0));
            mask.row_mut(0).assign(&its.row(0));
        }
        // Samples of several sizes: then nothing changes, and nothing is told apart.
        _ => {}
    }
}
