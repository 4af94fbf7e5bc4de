//! `uwm-onnx evaluate`

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs};

use super::evaluation::EvaluationArgs;
use super::progress::Bars;
use super::terminal;
use super::{Exit, Format};
use crate::pass::{Error, EvaluateJob, evaluate};
use crate::runtime::open;

/// Measure how safe a vision-language encoder is, and what it still knows: SafeGround, recall and zero-shot accuracy with
/// 95 % intervals, overall and by concept; beside a baseline, every change too. Nothing is edited.
///
/// Tokenizer, preprocessor and uwm.yaml (which may name the data) are looked for beside the model. Exit code 1 if model or
/// baseline do not work at all.
#[derive(ClapArgs)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["model", "text", "vision", "stored"]))]
pub struct Args {
    #[command(flatten)]
    of: EvaluationArgs,
    /// Evaluate the embeddings in this file instead of a model (see --embeddings-out).
    #[arg(long = "embeddings", value_name = "FILE", conflicts_with_all = ["model", "text", "vision"])]
    stored: Option<PathBuf>,
    /// Write the model's embeddings, to be evaluated again with --embeddings.
    #[arg(long, value_name = "FILE")]
    embeddings_out: Option<PathBuf>,
    /// Replace a file of embeddings that exists.
    #[arg(long)]
    force: bool,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Args {
    /// Does the job and returns what goes to stdout, and the exit code.
    pub fn run(self) -> Result<(String, Exit), Error> {
        let limits = self.of.samples.limits();
        let wish = self.of.samples.runtime.clone().wish()?;
        let job = EvaluateJob { embeddings_out: self.embeddings_out, force: self.force, ..self.of.job(self.stored)? };
        let bars = Bars::new();
        let runtime = job.needs_runtime().then(|| open(&wish)).transpose().map_err(Error::NoRuntime)?;
        let found = evaluate(&job, runtime.as_deref(), &bars, limits)?;
        let text = match self.format {
            Format::Human => found.to_table(terminal::look()),
            Format::Json => format!("{}\n", found.to_json()),
        };
        Ok((text, if found.works() { Exit::Ok } else { Exit::Differs }))
    }
}
