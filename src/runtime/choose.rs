//! Which runtime is used: what was asked for, or the best there is; and why.

use std::path::PathBuf;

use super::library::candidates;
use super::{Device, Error, Ort, Runtime, Tract};

/// Which runtime is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// ONNX Runtime where its library is found, else tract.
    #[default]
    Auto,
    /// The built-in one.
    Tract,
    /// ONNX Runtime.
    Ort,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wish {
    /// The runtime.
    pub backend: Backend,
    /// The device.
    pub device: Device,
    /// ONNX Runtime's library, if it was named.
    pub library: Option<PathBuf>,
    /// Threads; all of the rayon pool's if not said.
    pub threads: Option<usize>,
}

/// Opens the runtime that fits the wish.
///
/// # Errors
/// If what was asked for is not there. A library or a device that was named is never replaced by another.
pub fn open(wish: &Wish) -> Result<Box<dyn Runtime>, Error> {
    let threads = wish.threads.unwrap_or_else(rayon::current_num_threads).max(1);
    let cuda = wish.device != Device::Cpu;
    if wish.backend == Backend::Tract {
        return match cuda {
            true => Err(Error::Device {
                device: wish.device.to_string(),
                provider: "tract",
                reason: "it computes on the CPU only; choose --backend ort".to_owned(),
                providers: "cpu".to_owned(),
            }),
            false => Ok(Box::new(Tract::new(threads, "asked for"))),
        };
    }
    let needed = wish.backend == Backend::Ort || cuda;
    let mut unusable = None;
    for candidate in candidates(wish.library.as_deref()) {
        let how = if wish.backend == Backend::Ort { "asked for, " } else { "" };
        let reason = format!("{how}found by {}: {}", candidate.by, candidate.path.display());
        match Ort::open(&candidate, wish.device, threads, reason) {
            Ok(ort) => return Ok(Box::new(ort)),
            // What was named is used or is an error; so is a library that lacks the device.
            Err(error) if candidate.by.is_named() || matches!(error, Error::Device { .. }) => return Err(error),
            Err(error) => unusable = unusable.or(Some(error)),
        }
    }
    match unusable {
        Some(error) if needed => Err(error),
        None if needed => Err(Error::Missing),
        Some(error) => Ok(Box::new(Tract::new(threads, &format!("built in; {error}")))),
        None => Ok(Box::new(Tract::new(threads, "built in; no ONNX Runtime library was found"))),
    }
}
