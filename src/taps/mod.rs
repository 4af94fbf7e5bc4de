//! Reading what flows into chosen layers: a graph whose outputs are the layers' inputs, and their reduction.
//!
//! The inputs leave the graph whole and are reduced here, batch by batch. Measured on CPUs, that costs a percent of
//! the forward pass, while reducing inside the graph costs ten times as much.

mod layout;

use std::collections::HashMap;

use miette::Diagnostic;
use ndarray::{Array2, ArrayViewD, Axis, Slice};
use thiserror::Error;

pub use layout::{Layout, Verdict};

use crate::onnx::{self, Cut, Graph, Linear, Skeleton};
use crate::uwm::Statistics;

/// Layer inputs that cannot be reduced.
#[derive(Debug, Error, Diagnostic)]
pub enum Error {
    /// Samples and tokens cannot be told apart.
    #[error(
        "the input '{value}' of layer {layer} has shape {shape:?} for a batch of {batch} and a weight of {width} inputs: {reason}"
    )]
    #[diagnostic(
        code("layout-unknown"),
        help(
            "a layer's input must hold the same number of rows of the weight's width for each sample; choose other layers under `layers:` in uwm.yaml, or export with an open batch"
        )
    )]
    Layout {
        /// Name of the value.
        value: String,
        /// The first layer it feeds.
        layer: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Samples fed.
        batch: usize,
        /// Inputs of the weight.
        width: usize,
        /// What does not fit.
        reason: &'static str,
    },
    /// NaN or infinity.
    #[error("the input '{value}' of layer {layer} is not finite for {sample}")]
    #[diagnostic(
        code("activation-not-finite"),
        help(
            "the model overflows on this sample; remove it from the calibration set, check the export, or pass --skip-bad-samples"
        )
    )]
    NotFinite {
        /// Name of the value.
        value: String,
        /// The first layer it feeds.
        layer: String,
        /// Name of the sample.
        sample: String,
    },
}

/// A graph cut down to what some layers' inputs need.
pub struct Taps {
    /// Its outputs are the distinct input values of the layers.
    pub skeleton: Skeleton,
    /// For each layer, the indices of its inputs among the outputs: one for each use.
    pub of_layer: Vec<Vec<usize>>,
    /// What each output is.
    pub outputs: Vec<Tap>,
}

/// A value that feeds one or more layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// Its name.
    pub value: String,
    /// The first layer it feeds.
    pub layer: String,
    /// The inputs of that layer's weight.
    pub width: usize,
    /// Whether they run along the last axis but one.
    pub across: bool,
    /// If it is codes: the names of their scale and zero point.
    pub codes: Option<[String; 2]>,
}

/// A batch as it was run.
#[derive(Clone, Copy)]
pub struct Fed<'a> {
    /// Samples that were fed.
    pub batch: usize,
    /// Of these, the first ones that count.
    pub samples: usize,
    /// Which tokens are valid, `[batch, T]`.
    pub mask: Option<&'a Array2<i64>>,
}

impl Taps {
    /// Cuts out what the inputs of `layers` need; layers with one input (q, k, v) share it.
    ///
    /// # Errors
    /// Those of [`Skeleton::extract`].
    pub fn new(graph: &Graph, layers: &[Linear]) -> Result<Self, onnx::Error> {
        let mut taps: Vec<Tap> = vec![];
        let mut known: HashMap<(&str, usize, bool), usize> = HashMap::new();
        let mut of_layer = vec![];
        for layer in layers {
            let mut inputs = vec![];
            for used in &layer.uses {
                let (width, across) = (layer.weight.shape[1], used.across);
                inputs.push(*known.entry((&used.input, width, across)).or_insert_with(|| {
                    let (value, codes) = (used.input.clone(), used.codes.clone());
                    taps.push(Tap { value, layer: layer.node.clone(), width, across, codes });
                    taps.len() - 1
                }));
            }
            of_layer.push(inputs);
        }
        let outputs: Vec<Cut> = taps.iter().map(|tap| Cut { value: &tap.value, codes: tap.codes.as_ref() }).collect();
        Ok(Self { skeleton: Skeleton::extract(graph, &outputs)?, of_layer, outputs: taps })
    }
}

impl Tap {
    /// The value with the weight's inputs along its last axis.
    pub fn straight<'v>(&self, value: ArrayViewD<'v, f32>) -> ArrayViewD<'v, f32> {
        let mut value = value;
        if let (true, [.., a, b]) = (self.across, &*(0..value.ndim()).collect::<Vec<_>>()) {
            value.swap_axes(*a, *b);
        }
        value
    }

    /// Its shape then.
    pub fn straight_shape(&self, shape: &[usize]) -> Vec<usize> {
        let mut shape = shape.to_vec();
        if let (true, [.., a, b]) = (self.across, shape.as_mut_slice()) {
            std::mem::swap(a, b);
        }
        shape
    }

    /// Reads the layout off the shape for a batch of `batch` samples, each with `tokens` tokens if that is known.
    ///
    /// # Errors
    /// [`Error::Layout`] if the shape does not fit the weight or the tokens.
    pub fn layout(&self, shape: &[usize], batch: usize, tokens: Option<usize>) -> Result<Verdict, Error> {
        if shape.last() != Some(&self.width) {
            return Err(self.unfit(shape, batch, "its last axis is not the weight's width"));
        }
        let verdict = Layout::from_shape(shape, batch);
        match (verdict, tokens) {
            (Verdict::Settled(_, rows) | Verdict::Open(rows), Some(tokens)) if rows != 1 && rows != tokens => {
                Err(self.unfit(shape, batch, "a sample has neither one row nor one for each token"))
            }
            _ => Ok(verdict),
        }
    }

    /// An error about its shape.
    pub fn unfit(&self, shape: &[usize], batch: usize, reason: &'static str) -> Error {
        let Self { value, layer, width, .. } = self.clone();
        Error::Layout { value, layer, shape: shape.to_vec(), batch, width, reason }
    }

    /// Reduces the output of a run, in that layout.
    ///
    /// # Errors
    /// If its shape is not what was settled.
    pub fn reduce(&self, output: ArrayViewD<f32>, layout: Layout, fed: Fed) -> Result<Statistics, Error> {
        let output = self.straight(output);
        let unfit = || self.unfit(output.shape(), fed.batch, "it was another for the batches before");
        if output.shape().last() != Some(&self.width) {
            return Err(unfit());
        }
        let kept = Slice::from(..fed.samples);
        let measured = layout.show(&output, fed.batch, |inputs| {
            let tokens = inputs.len_of(Axis(1));
            // A pooled input has one row, which is none of the tokens.
            let mask = fed.mask.filter(|_| tokens > 1).map(|mask| mask.slice_axis(Axis(0), kept));
            let fits = mask.is_none_or(|mask| mask.ncols() == tokens);
            fits.then(|| Statistics::measure(inputs.slice_axis(Axis(0), kept), mask))
        });
        measured.flatten().ok_or_else(unfit)
    }

    /// The error about a sample that is not finite.
    pub fn not_finite(&self, sample: String) -> Error {
        Error::NotFinite { value: self.value.clone(), layer: self.layer.clone(), sample }
    }
}
