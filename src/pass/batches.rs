//! Batches through a runtime: several at a time, their results in order.

use std::ops::Range;

use ndarray::{Array2, Axis, Dimension, RemoveAxis};
use rayon::prelude::*;

use super::{Error, Observer};
use crate::dataset::Batch;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::{InputShape, Tower};
use crate::runtime::{Feed, Runtime, Tensor};

/// What everything that runs a graph needs.
#[derive(Clone, Copy)]
pub struct Runner<'r> {
    /// Runs the graphs.
    pub runtime: &'r dyn Runtime,
    /// Is told how far it got.
    pub observer: &'r dyn Observer,
    /// Samples a run, where the graph leaves that open.
    pub batch_size: usize,
}

impl Runner<'_> {
    /// Calls `work` on consecutive ranges of `0..samples`, as many at a time as the runtime likes, and `fold` on the
    /// results, one after another in order of ranges. Reading, preprocessing and running all happen in `work`, so one
    /// thread decodes while another computes.
    ///
    /// # Errors
    /// The first error in order of ranges, or [`Error::Interrupted`].
    pub fn over<T: Send>(
        &self,
        stage: &str,
        samples: usize,
        batch: usize,
        work: impl Fn(Range<usize>) -> Result<T, Error> + Sync,
        mut fold: impl FnMut(T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.observer.begin(stage, samples);
        let done = self.waves(samples, batch, work, &mut fold);
        self.observer.end();
        done
    }

    fn waves<T: Send>(
        &self,
        samples: usize,
        batch: usize,
        work: impl Fn(Range<usize>) -> Result<T, Error> + Sync,
        fold: &mut impl FnMut(T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let ranges: Vec<Range<usize>> =
            (0..samples).step_by(batch).map(|start| start..samples.min(start + batch)).collect();
        for wave in ranges.chunks(self.runtime.concurrency().max(1)) {
            if self.observer.cancelled() {
                return Err(Error::Interrupted);
            }
            let results: Vec<Result<T, Error>> = wave.par_iter().map(|range| work(range.clone())).collect();
            for (range, result) in wave.iter().zip(results) {
                fold(result?)?;
                self.observer.advance(range.len());
            }
        }
        Ok(())
    }
}

/// The batch as values for the tower's inputs, filled up to `size` rows by repeating the last, since a session is
/// prepared for one shape; and the mask of valid tokens `[size, T]` of a text.
///
/// # Errors
/// [`Error::Shape`] if the data do not fit the dimensions the graph declares. A runtime would find out later, or not at
/// all: tract takes two sizes that do not match for a broadcast it cannot decide, and computes symbols without end.
pub fn feed(tower: &Tower, batch: Batch, size: usize) -> Result<(Feed, Option<Array2<i64>>), Error> {
    match batch {
        Batch::Image { pixels } => {
            let pixels = fill(pixels, size).into_dyn();
            check(&tower.input, pixels.shape())?;
            let pixels = match tower.input.element {
                DataType::Float16 => Tensor::F16(pixels.mapv(half::f16::from_f32)),
                _ => Tensor::F32(pixels),
            };
            Ok((vec![(tower.input.name.clone(), pixels)], None))
        }
        Batch::Text { ids, mask } => {
            let (ids, mask) = (fill(ids, size), fill(mask, size));
            check(&tower.input, ids.shape())?;
            let mut feed = vec![(tower.input.name.clone(), integers(&tower.input, ids))];
            if let Some(input) = &tower.mask {
                check(input, mask.shape())?;
                feed.push((input.name.clone(), integers(input, mask.clone())));
            }
            Ok((feed, Some(mask)))
        }
    }
}

fn check(input: &InputShape, fed: &[usize]) -> Result<(), Error> {
    let fits = |(fed, declared): (&usize, &Option<usize>)| declared.is_none_or(|declared| declared == *fed);
    if fed.len() == input.dims.len() && fed.iter().zip(&input.dims).all(fits) {
        return Ok(());
    }
    Err(Error::Shape { input: input.to_string(), fed: fed.to_vec() })
}

fn integers(input: &InputShape, values: Array2<i64>) -> Tensor {
    match input.element {
        DataType::Int32 => Tensor::I32(values.mapv(|v| v as i32).into_dyn()),
        _ => Tensor::I64(values.into_dyn()),
    }
}

fn fill<T: Clone, D: Dimension + RemoveAxis>(rows: ndarray::Array<T, D>, size: usize) -> ndarray::Array<T, D> {
    let have = rows.len_of(Axis(0));
    if have == 0 || have >= size {
        return rows;
    }
    let mut order: Vec<usize> = (0..have).collect();
    order.resize(size, have - 1);
    rows.select(Axis(0), &order)
}
