//! Running a graph: a small trait, and the runtimes behind it.
//!
//! A runtime knows graphs and tensors, nothing of what is computed with them. `tract` (pure Rust) is built in.

mod tract;

use miette::Diagnostic;
use ndarray::ArrayD;
use serde::Serialize;
use thiserror::Error;

pub use tract::Tract;

use crate::onnx::Skeleton;

/// A tensor fed to a graph.
#[derive(Debug, Clone, PartialEq)]
pub enum Tensor {
    /// float32
    F32(ArrayD<f32>),
    /// float16
    F16(ArrayD<half::f16>),
    /// int64
    I64(ArrayD<i64>),
    /// int32
    I32(ArrayD<i32>),
}

/// Values for graph inputs, by name.
pub type Feed = Vec<(String, Tensor)>;

/// Where a graph really ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Name of the runtime.
    pub backend: &'static str,
    /// Name of the device.
    pub device: String,
    /// Threads used.
    pub threads: usize,
}

/// Something that can load graphs.
pub trait Runtime: Sync {
    /// Where its sessions run.
    fn place(&self) -> Place;

    /// How many batches a session should be given at a time, each from a thread of its own; 1 for a runtime that
    /// spreads a single batch over the threads itself.
    fn concurrency(&self) -> usize;

    /// Prepares a graph for feeds of the names, types and shapes of `like`.
    ///
    /// # Errors
    /// [`Error::Load`] if the runtime cannot take the graph.
    fn load(&self, graph: &Skeleton, like: &Feed) -> Result<Box<dyn Session>, Error>;
}

/// A loaded graph.
pub trait Session: Send + Sync {
    /// Computes all outputs, in the order of the graph.
    ///
    /// # Errors
    /// [`Error::Run`] if the runtime fails or an output is not a float tensor.
    fn run(&self, feed: Feed) -> Result<Vec<ArrayD<f32>>, Error>;
}

/// A failure inside a runtime.
#[derive(Debug, Error, Diagnostic)]
pub enum Error {
    /// The graph was not accepted.
    #[error("{backend} cannot load the graph: {reason}")]
    #[diagnostic(
        code("runtime-load"),
        help(
            "an operator or shape in the graph is beyond this runtime, or the preprocessor or token length does not fit the model; check those, or export with the TorchScript exporter at opset 17, or with a dynamic batch"
        )
    )]
    Load {
        /// Which runtime.
        backend: &'static str,
        /// What it said.
        reason: String,
    },
    /// The graph was loaded, and failed on a batch.
    #[error("{backend} failed while running the graph: {reason}")]
    #[diagnostic(
        code("runtime-run"),
        help(
            "check that tokenizer and preprocessor belong to the model (a token id beyond its vocabulary fails here); a smaller --batch-size needs less memory"
        )
    )]
    Run {
        /// Which runtime.
        backend: &'static str,
        /// What it said.
        reason: String,
    },
}
