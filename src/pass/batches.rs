//! Batches through a runtime: several at a time, their results in order.

use std::ops::Range;

use ndarray::{Array2, Axis, Dimension, RemoveAxis};

use super::pipeline::ordered;
use super::{Error, Observer};
use crate::dataset::Batch;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::{InputRole, InputShape, Tower};
use crate::runtime::{Feed, Runtime, Tensor};
use crate::uwm::CHUNK;

/// What everything that runs a graph needs.
#[derive(Clone, Copy)]
pub struct Runner<'r> {
    /// Runs the graphs.
    pub runtime: &'r dyn Runtime,
    /// Is told how far it got.
    pub observer: &'r dyn Observer,
    /// How much is taken on at a time.
    pub limits: Limits,
}

/// How much is taken on at a time, and what is let pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Samples a run, where the graph leaves that open; if not said, as many as serve speed and fit the budget.
    pub batch_size: Option<usize>,
    /// Bytes that the activations of a calibration may take, if the batch size is not said.
    pub memory_budget: usize,
    /// Whether samples whose activations or embeddings are not finite are left out and counted, instead of an error.
    pub skip_bad_samples: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { batch_size: None, memory_budget: 1 << 30, skip_bad_samples: false }
    }
}

/// Samples a run, if nothing stands against it. More do not make a CPU faster.
pub const USUAL_BATCH: usize = 8;

/// The batches of `samples` from the one number `first` on. None reaches over a multiple of [`CHUNK`], where sums may
/// have been kept: so each sample is in the same batch whether or not the run begins in the middle.
pub fn batches(first: usize, samples: usize, size: usize) -> Vec<Range<usize>> {
    let chunks = (first..samples).step_by(CHUNK).map(|start| start..samples.min(start + CHUNK));
    let split = |chunk: Range<usize>| chunk.clone().step_by(size).map(move |start| start..chunk.end.min(start + size));
    chunks.flat_map(split).collect()
}

impl Runner<'_> {
    /// Calls `work` on ranges of samples, `workers` at a time, and `fold` on the results, one after another in order.
    /// Reading, preprocessing and running all happen in `work`, so one thread decodes while another computes.
    ///
    /// # Errors
    /// The first error in order of ranges, or [`Error::Interrupted`].
    pub fn over<T: Send>(
        &self,
        stage: &str,
        ranges: &[Range<usize>],
        workers: usize,
        work: impl Fn(Range<usize>) -> Result<T, Error> + Sync,
        mut fold: impl FnMut(&Range<usize>, T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.observer.begin(stage, ranges.iter().map(ExactSizeIterator::len).sum());
        let done = ordered(
            ranges.len(),
            workers,
            |index| match self.observer.cancelled() {
                true => Err(Error::Interrupted),
                false => work(ranges[index].clone()),
            },
            |index, result| {
                fold(&ranges[index], result)?;
                self.observer.advance(ranges[index].len());
                Ok(())
            },
        );
        self.observer.end();
        done
    }
}

/// The batch as values for the tower's inputs, filled up to `size` rows by repeating the last, since a session is
/// prepared for one shape; and which rows of a text count, `[size, T + added]`.
///
/// # Errors
/// [`Error::Shape`] if the data do not fit the dimensions the graph declares. A runtime would find out later, or not at
/// all: tract takes two sizes that do not match for a broadcast it cannot decide, and computes symbols without end.
pub fn feed(tower: &Tower, batch: Batch, size: usize) -> Result<(Feed, Option<Array2<i64>>), Error> {
    match fill(batch, size) {
        Batch::Image { pixels } => {
            let pixels = pixels.into_dyn();
            check(&tower.input, pixels.shape())?;
            let pixels = match tower.input.element {
                DataType::Float16 => Tensor::F16(pixels.mapv(half::f16::from_f32)),
                _ => Tensor::F32(pixels),
            };
            Ok((vec![(tower.input.name.clone(), pixels)], None))
        }
        Batch::Text { ids, mask } => {
            check(&tower.input, ids.shape())?;
            let mut feed = vec![(tower.input.name.clone(), integers(&tower.input, ids.clone()))];
            if let Some(input) = &tower.mask {
                check(input, mask.shape())?;
                feed.push((input.name.clone(), integers(input, mask.clone())));
            }
            for (input, role) in &tower.constant {
                // Some graphs take one row of positions for all samples.
                let rows = if input.dims.first() == Some(&Some(1)) { 1 } else { ids.nrows() };
                let value = |(_, t): (usize, usize)| if *role == InputRole::PositionIds { t as i64 } else { 0 };
                let values = Array2::from_shape_fn((rows, ids.ncols()), value);
                check(input, values.shape())?;
                feed.push((input.name.clone(), integers(input, values)));
            }
            Ok((feed, Some(tower.rows_that_count(&ids, mask))))
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

/// The values in the input's own type.
fn integers(input: &InputShape, values: Array2<i64>) -> Tensor {
    match input.element {
        DataType::Int32 => Tensor::I32(values.mapv(|v| v as i32).into_dyn()),
        DataType::Float => Tensor::F32(values.mapv(|v| v as f32).into_dyn()),
        DataType::Float16 => Tensor::F16(values.mapv(|v| half::f16::from_f32(v as f32)).into_dyn()),
        DataType::Bool => Tensor::Bool(values.mapv(|v| v != 0).into_dyn()),
        _ => Tensor::I64(values.into_dyn()),
    }
}

/// The batch with its last sample repeated until there are `size`.
pub fn fill(batch: Batch, size: usize) -> Batch {
    match batch {
        Batch::Image { pixels } => Batch::Image { pixels: fill_rows(pixels, size) },
        Batch::Text { ids, mask } => Batch::Text { ids: fill_rows(ids, size), mask: fill_rows(mask, size) },
    }
}

fn fill_rows<T: Clone, D: Dimension + RemoveAxis>(rows: ndarray::Array<T, D>, size: usize) -> ndarray::Array<T, D> {
    let have = rows.len_of(Axis(0));
    if have == 0 || have >= size {
        return rows;
    }
    let mut order: Vec<usize> = (0..have).collect();
    order.resize(size, have - 1);
    rows.select(Axis(0), &order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_cover_all_samples_and_meet_at_chunks() {
        assert_eq!(batches(0, 20, 8), [0..8, 8..16, 16..20]);
        assert!(batches(0, 0, 8).is_empty());
        for size in [1, 3, 8, 64, 100] {
            let all = batches(0, 200, size);
            assert_eq!(all.iter().flat_map(Clone::clone).collect::<Vec<_>>(), (0..200).collect::<Vec<_>>());
            let resumed = batches(2 * CHUNK, 200, size);
            assert!(all.ends_with(&resumed) && resumed[0].start == 2 * CHUNK, "{size}");
        }
    }
}
