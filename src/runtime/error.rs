//! What can go wrong in a runtime, or on the way to one.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

use super::library::FoundBy;

/// A failure inside a runtime.
#[derive(Debug, Error, Diagnostic)]
pub enum Error {
    /// A shared library is not a usable ONNX Runtime.
    #[error("{} ({by}) cannot be used as ONNX Runtime: {reason}", path.display())]
    #[diagnostic(
        code("runtime-library"),
        help(
            "`pip install onnxruntime` brings a library that fits (1.24 or newer); `uwm-onnx doctor` shows what is found; --backend tract needs none"
        )
    )]
    Library {
        /// The file.
        path: PathBuf,
        /// Where it was found.
        by: FoundBy,
        /// What is wrong with it.
        reason: String,
    },
    /// ONNX Runtime was asked for, and there is none.
    #[error("no ONNX Runtime library was found")]
    #[diagnostic(
        code("runtime-missing"),
        help(
            "`pip install onnxruntime` in the active Python environment, or name the library with --ort-library or ORT_DYLIB_PATH; --backend tract needs none"
        )
    )]
    Missing,
    /// The system does not give so many threads.
    #[error("{threads} threads cannot be started: {reason}")]
    #[diagnostic(code("threads-unavailable"), help("ask for fewer with --threads"))]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        reason: String,
    },
    /// The device is not to be had.
    #[error("{device} cannot be used: {provider}: {reason}; the library has {providers}")]
    #[diagnostic(
        code("device-unavailable"),
        help(
            "`pip install onnxruntime-gpu` brings CUDA for NVIDIA devices with a driver that fits; --device cpu works everywhere"
        )
    )]
    Device {
        /// What was asked for.
        device: String,
        /// The execution provider that would serve it.
        provider: &'static str,
        /// Why not.
        reason: String,
        /// What the library has.
        providers: String,
    },
    /// The graph was not accepted.
    #[error("{backend} cannot load the graph: {reason}")]
    #[diagnostic(
        code("runtime-load"),
        help(
            "an operator or shape in the graph is beyond this runtime, or the preprocessor or token length does not fit the model; check those, try the other --backend, or export with the TorchScript exporter at opset 17, or with a dynamic batch"
        )
    )]
    Load {
        /// Which runtime.
        backend: &'static str,
        /// What it said.
        reason: String,
    },
    /// The graph was loaded, and failed on a batch.
    #[error("{backend} failed while running the graph on {fed}: {reason}")]
    #[diagnostic(
        code("runtime-run"),
        help(
            "check that tokenizer and preprocessor belong to the model (a token id beyond its vocabulary fails here)"
        )
    )]
    Run {
        /// Which runtime.
        backend: &'static str,
        /// What it was fed.
        fed: String,
        /// What it said, with the node.
        reason: String,
    },
    /// There was not enough memory.
    #[error("{backend} has not enough memory for {fed}: {reason}")]
    #[diagnostic(
        code("runtime-memory"),
        help("a smaller --batch-size needs less memory, and so does a smaller --memory-budget with --batch-size auto")
    )]
    Memory {
        /// Which runtime.
        backend: &'static str,
        /// What it was fed.
        fed: String,
        /// What it said, with the node.
        reason: String,
    },
}

/// How allocators say that they failed.
const OUT_OF_MEMORY: [&str; 6] = [
    "failed to allocate memory",
    "bad_alloc",
    "bad allocation",
    "out of memory",
    "out_of_memory",
    "memory allocation of",
];

impl Error {
    /// The failure of a run, from what the runtime said.
    pub(super) fn in_run(backend: &'static str, reason: String, fed: &str) -> Self {
        let (fed, said) = (fed.to_owned(), reason.to_lowercase());
        if OUT_OF_MEMORY.iter().any(|words| said.contains(words)) {
            Self::Memory { backend, fed, reason }
        } else {
            Self::Run { backend, fed, reason }
        }
    }
}
