//! Options about the runtime, for every command that runs a model.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::pass::Error;
use crate::runtime::{self, Backend, Device, Wish};

/// Which runtime, where, with how many threads.
#[derive(Args, Clone)]
pub struct RuntimeArgs {
    /// What runs the model: auto takes ONNX Runtime where its library is found, else tract.
    #[arg(long, value_enum, default_value = "auto")]
    backend: BackendName,
    /// Where it runs: cpu, cuda or cuda:N. What is not there is an error; nothing falls back to the CPU.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: Device,
    /// ONNX Runtime's shared library [default: ORT_DYLIB_PATH, else that of the active Python environment, of
    /// python3's onnxruntime, or of the system].
    #[arg(long, value_name = "FILE")]
    ort_library: Option<PathBuf>,
    /// Threads to use [default: all cores].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BackendName {
    Auto,
    Tract,
    Ort,
}

impl RuntimeArgs {
    /// Whether anything is said.
    pub fn given(&self) -> bool {
        self.backend != BackendName::Auto
            || self.device != Device::default()
            || self.ort_library.is_some()
            || self.threads.is_some()
    }

    /// What was asked for. Starts the threads of the whole process.
    pub fn wish(self) -> Result<Wish, Error> {
        let threads = self.threads.map(usize::from);
        if let Some(threads) = threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build_global()
                .map_err(|e| Error::NoRuntime(runtime::Error::Threads { threads, reason: e.to_string() }))?;
        }
        let backend = match self.backend {
            BackendName::Auto => Backend::Auto,
            BackendName::Tract => Backend::Tract,
            BackendName::Ort => Backend::Ort,
        };
        Ok(Wish { backend, device: self.device, library: self.ort_library, threads })
    }
}
