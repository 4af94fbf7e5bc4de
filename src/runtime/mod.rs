//! Running a graph: a small trait, and the runtimes behind it.
//!
//! A runtime knows graphs and tensors, nothing of what is computed with them. `tract` (pure Rust) is built in; ONNX
//! Runtime is used where its shared library is found.

mod choose;
mod error;
mod library;
mod ort;
mod survey;
mod tract;

use std::fmt;
use std::str::FromStr;

use ndarray::{ArrayD, ArrayViewD};
use serde::Serialize;

pub use choose::{Backend, Wish, open};
pub use error::Error;
pub use library::{Candidate, FoundBy, candidates};
pub use ort::{NAME as ONNX_RUNTIME, Ort, providers, version};
pub use survey::{Library, Refusal, Survey};
pub use tract::{Tract, VERSION as TRACT_VERSION};

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
    /// bool
    Bool(ArrayD<bool>),
}

impl Tensor {
    /// Its dimensions.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::F32(array) => array.shape(),
            Self::F16(array) => array.shape(),
            Self::I64(array) => array.shape(),
            Self::I32(array) => array.shape(),
            Self::Bool(array) => array.shape(),
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::F32(_) => "FLOAT",
            Self::F16(_) => "FLOAT16",
            Self::I64(_) => "INT64",
            Self::I32(_) => "INT32",
            Self::Bool(_) => "BOOL",
        }
    }
}

/// Values for graph inputs, by name.
pub type Feed = Vec<(String, Tensor)>;

/// Names, types and shapes of a feed, for messages.
fn describe(feed: &Feed) -> String {
    let one = |(name, value): &(String, Tensor)| format!("'{name}' {} {:?}", value.type_name(), value.shape());
    feed.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Where a graph is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA device, by number.
    Cuda(u32),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("'{text}' is no device; it is cpu, cuda or cuda:N");
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", index)) => index.parse().map(Self::Cuda).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

/// Where graphs really run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Name of the runtime.
    pub backend: &'static str,
    /// Its version.
    pub version: String,
    /// What computes within it: ONNX Runtime's execution provider.
    pub provider: String,
    /// Name of the device.
    pub device: String,
    /// Threads used.
    pub threads: usize,
    /// Why this runtime was taken.
    pub reason: String,
}

/// Something that can load graphs.
pub trait Runtime: Sync {
    /// Where its sessions run.
    fn place(&self) -> &Place;

    /// How many batches a session should be given at a time, each from a thread of its own. 1 for a runtime that
    /// spreads a single batch over the threads: what is done before and after should then be spread as well.
    fn concurrency(&self) -> usize;

    /// Prepares a graph for feeds of the names, types and shapes of `like`.
    ///
    /// # Errors
    /// [`Error::Load`] if the runtime cannot take the graph, [`Error::Device`] if the device cannot,
    /// [`Error::Memory`] if it would not fit.
    fn load(&self, graph: &Skeleton, like: &Feed) -> Result<Box<dyn Session>, Error>;
}

/// Is shown an output by its number.
pub type Take<'a> = dyn Fn(usize, ArrayViewD<f32>) + Sync + 'a;

/// A loaded graph.
pub trait Session: Send + Sync {
    /// Computes all outputs and shows each, with its number in the graph, as float32; several at a time where the
    /// runtime's threads would be idle else. Nothing is copied that is float32 already.
    ///
    /// # Errors
    /// [`Error::Run`] if the runtime fails or an output is not a float tensor, [`Error::Memory`] if it ran out of it.
    fn run(&self, feed: Feed, take: &Take) -> Result<(), Error>;

    /// The shapes of the outputs, where the runtime knows them beforehand.
    fn shapes(&self) -> Option<Vec<Vec<usize>>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_by_name() {
        for (text, device) in [("cpu", Device::Cpu), ("cuda", Device::Cuda(0)), ("cuda:3", Device::Cuda(3))] {
            assert_eq!(text.parse(), Ok(device));
        }
        assert_eq!(Device::Cuda(3).to_string(), "cuda:3");
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "CUDA"] {
            assert!(text.parse::<Device>().unwrap_err().contains("cpu, cuda or cuda:N"), "{text}");
        }
    }
}
