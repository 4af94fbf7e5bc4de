//! Makes ONNX vision-language encoders safer without training: finds the weights that carry unsafe content more than
//! safe content, and negates them in the file (Unsafe Weights Manipulation, WACV 2026, arXiv 2503.11742).
//!
//! Data flows one way, a module a step: a [model file](onnx) gives layers; [taps] over a [runtime]
//! turn a [data set](dataset) into statistics; [uwm] makes scores and a selection of them; the selection is a
//! [patch](onnx::Patch) of the file; [safeground] measures the result, and a [report] shows it. [pass] orders
//! the steps, [config] holds the recipe, [gate] a policy and what is judged by it, [cli] is the command line. [guard] stands between us and libraries that panic.
//!
//! ```no_run
//! use uwm_onnx::config::Config;
//! use uwm_onnx::onnx::Hints;
//! use uwm_onnx::pass::{Controls, Error, Job, Limits, ModelFiles, Runner, Unobserved, rewrite};
//! use uwm_onnx::report::Look;
//! use uwm_onnx::runtime::{Wish, open};
//!
//! # fn main() -> Result<(), Error> {
//! let mut config = Config::read("models/emoji-clip/uwm.yaml".as_ref())?;
//! config.tokenizer = Some("models/emoji-clip/tokenizer.json".into());
//! config.preprocessor = Some("models/emoji-clip/preprocessor_config.json".into());
//! let job = Job {
//!     model: ModelFiles::Single { path: "models/emoji-clip/model.onnx".into(), only: None },
//!     output: Some("safe.onnx".into()),
//!     patch: Some("edit.uwm".into()),
//!     provenance: true,
//!     force: false,
//!     resume: None,
//!     scores_out: None,
//!     scores: None,
//!     json: None,
//!     controls: Controls::Fast,
//!     hints: Hints::default(),
//!     config,
//! };
//! let runtime = open(&Wish::default()).map_err(Error::NoRuntime)?;
//! let runner = Runner { runtime: &*runtime, observer: &Unobserved, limits: Limits::default() };
//! let report = rewrite(&job, runner)?;
//! println!("{}", report.to_table(Look::PLAIN));
//! # Ok(())
//! # }
//! ```

pub mod cli;
pub mod config;
pub mod dataset;
pub mod exit;
mod few;
pub mod gate;
pub mod guard;
pub mod onnx;
pub mod pass;
mod plain;
pub mod report;
pub mod runtime;
pub mod safeground;
pub mod taps;
pub mod uwm;
