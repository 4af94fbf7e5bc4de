//! Reading what flows into chosen layers: a graph whose outputs are the layers' inputs, and their reduction.
//!
//! The inputs leave the graph whole and are reduced here, batch by batch. Measured on CPUs, that costs a percent of
//! the forward pass, while reducing inside the graph costs ten times as much.

use miette::Diagnostic;
use ndarray::{Array2, ArrayD, Axis, Ix3, Slice};
use thiserror::Error;

use crate::onnx::{self, Graph, Linear, Skeleton};
use crate::uwm::Statistics;

/// Layer inputs that cannot be reduced.
#[derive(Debug, Error, Diagnostic)]
pub enum Error {
    /// Samples and tokens cannot be told apart.
    #[error(
        "the input '{value}' of layer {layer} has shape {shape:?} for a batch of {batch} and a weight of {width} inputs: not [batch, tokens, inputs]"
    )]
    #[diagnostic(
        code("layout-unknown"),
        help(
            "layers whose input is [batch, tokens, width] are supported so far; if batch and tokens happen to be equal, choose another --batch-size"
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
    },
    /// NaN or infinity.
    #[error("the input '{value}' of layer {layer} is not finite for {sample}")]
    #[diagnostic(
        code("activation-not-finite"),
        help("the model overflows on this sample; remove it from the calibration set or check the export")
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
    /// For each layer, the index of its input among the outputs.
    pub of_layer: Vec<usize>,
    /// Value name, first layer and width, per output.
    names: Vec<(String, String, usize)>,
}

impl Taps {
    /// Cuts out what the inputs of `layers` need; layers with one input (q, k, v) share it.
    ///
    /// # Errors
    /// Those of [`Skeleton::extract`].
    pub fn new(graph: &Graph, layers: &[Linear]) -> Result<Self, onnx::Error> {
        let mut names: Vec<(String, String, usize)> = vec![];
        let of_layer = layers
            .iter()
            .map(|layer| {
                names
                    .iter()
                    .position(|(value, _, width)| *value == layer.input && *width == layer.weight.shape[1])
                    .unwrap_or_else(|| {
                        names.push((layer.input.clone(), layer.node.clone(), layer.weight.shape[1]));
                        names.len() - 1
                    })
            })
            .collect();
        let outputs: Vec<&str> = names.iter().map(|(value, ..)| value.as_str()).collect();
        Ok(Self { skeleton: Skeleton::extract(graph, &outputs)?, of_layer, names })
    }

    /// Reduces the outputs of a run. `fed` is the size of the batch that was run, of which only the first `samples`
    /// count; `mask` `[fed, T]` tells valid tokens; `name` names a sample in messages.
    ///
    /// # Errors
    /// If an output is not `[fed, T, I]` or holds a value that is not finite.
    pub fn reduce(
        &self,
        outputs: &[ArrayD<f32>],
        fed: usize,
        samples: usize,
        mask: Option<&Array2<i64>>,
        name: impl Fn(usize) -> String,
    ) -> Result<Vec<Statistics>, Error> {
        let of = |output: &ArrayD<f32>, (value, layer, width): &(String, String, usize)| {
            let unknown = || Error::Layout {
                value: value.clone(),
                layer: layer.clone(),
                shape: output.shape().to_vec(),
                batch: fed,
                width: *width,
            };
            let inputs = output.view().into_dimensionality::<Ix3>().map_err(|_| unknown())?;
            let (rows, tokens, columns) = inputs.dim();
            let fits = columns == *width
                && rows == fed
                && (rows != tokens || rows == 1)
                && mask.is_none_or(|m| m.dim() == (fed, tokens));
            if !fits {
                return Err(unknown());
            }
            let kept = Slice::from(..samples);
            let mask = mask.map(|mask| mask.slice_axis(Axis(0), kept));
            let statistics = Statistics::measure(inputs.slice_axis(Axis(0), kept), mask);
            match statistics.first_bad_sample() {
                Some(sample) => {
                    Err(Error::NotFinite { value: value.clone(), layer: layer.clone(), sample: name(sample) })
                }
                None => Ok(statistics),
            }
        };
        outputs.iter().zip(&self.names).map(|(output, names)| of(output, names)).collect()
    }
}
