//! What can run models on this machine.

use std::path::PathBuf;

use serde::Serialize;

use super::library::candidates;
use super::{Device, Error, Ort, Place, TRACT_VERSION, Wish, open, providers, version};

/// What was found, and what would be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// Version of the built-in runtime.
    pub tract: &'static str,
    /// Libraries that may be ONNX Runtime, in the order in which they would be tried.
    pub libraries: Vec<Library>,
    /// Execution providers of the library that was loaded.
    pub providers: Vec<&'static str>,
    /// Threads that would be used.
    pub threads: usize,
    /// The processor's architecture.
    pub architecture: &'static str,
    /// Of its instruction sets, those that matter for matrix products.
    pub cpu_features: Vec<&'static str>,
    /// What the options lead to.
    pub would_run_on: Option<Place>,
    /// Why to nothing.
    pub refused: Option<Refusal>,
}

/// A file that may be ONNX Runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Library {
    /// Where it is.
    #[serde(serialize_with = "shown")]
    pub path: PathBuf,
    /// How it was found.
    pub found_by: String,
    /// Its version.
    pub version: String,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// Why nothing can be used, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The error.
    pub error: String,
    /// Advice.
    pub help: String,
}

impl Survey {
    /// Looks for everything and opens what the wish asks for.
    pub fn make(wish: &Wish) -> Self {
        let mut libraries = vec![];
        let mut loaded = false;
        for candidate in candidates(wish.library.as_deref()) {
            // The first that loads is this process's; the version of others can be told all the same.
            let problem = match loaded {
                true => None,
                false => match Ort::open(&candidate, Device::Cpu, 1, String::new()) {
                    Ok(_) => {
                        loaded = true;
                        None
                    }
                    Err(Error::Library { reason, .. }) => Some(reason),
                    Err(other) => Some(other.to_string()),
                },
            };
            libraries.push(Library {
                version: version(&candidate),
                found_by: candidate.by.to_string(),
                path: candidate.path,
                problem,
            });
        }
        let (would_run_on, refused) = match open(wish) {
            Ok(runtime) => (Some(runtime.place().clone()), None),
            Err(error) => {
                let help = miette::Diagnostic::help(&error).map_or(String::new(), |help| help.to_string());
                (None, Some(Refusal { error: error.to_string(), help }))
            }
        };
        Self {
            tract: TRACT_VERSION,
            libraries,
            providers: if loaded { providers() } else { vec![] },
            threads: wish.threads.unwrap_or_else(rayon::current_num_threads),
            architecture: std::env::consts::ARCH,
            cpu_features: cpu_features(),
            would_run_on,
            refused,
        }
    }

    /// Whether what the options ask for is there.
    pub fn usable(&self) -> bool {
        self.would_run_on.is_some()
    }

    /// Whether ONNX Runtime can be used.
    pub fn has_onnx_runtime(&self) -> bool {
        self.libraries.iter().any(|library| library.problem.is_none())
    }
}

fn shown<S: serde::Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<&'static str> {
    let mut found = vec![];
    macro_rules! look {
        ($($name:tt)*) => { $(if std::is_x86_feature_detected!($name) { found.push($name); })* };
    }
    look!("sse4.2" "avx" "avx2" "fma" "f16c" "avx512f" "avx512bw" "avx512vnni" "avx512bf16" "avxvnni");
    found
}

#[cfg(target_arch = "aarch64")]
fn cpu_features() -> Vec<&'static str> {
    let mut found = vec![];
    macro_rules! look {
        ($($name:tt)*) => { $(if std::arch::is_aarch64_feature_detected!($name) { found.push($name); })* };
    }
    look!("neon" "fp16" "dotprod" "bf16" "i8mm" "sve");
    found
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_features() -> Vec<&'static str> {
    vec![]
}
