//! `uwm-onnx check`

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs, ValueEnum};

use super::evaluation::{EvaluationArgs, files_at};
use super::progress::Bars;
use super::terminal;
use super::{Exit, Format};
use crate::pass::{CheckJob, Error, check};
use crate::report::checked::WhenInconclusive;
use crate::runtime::open;

/// Judge a model by a policy before it is released: how safe it became, what it can still do, and that nothing else in its
/// files was touched. PASS, FAIL or INCONCLUSIVE, and reports.
///
/// Exit codes: 0 pass, 1 policy failed, 2 usage or configuration, 3 bad model or data, 4 runtime, 5 inconclusive.
#[derive(ClapArgs)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["model", "text", "vision"]))]
pub struct Args {
    #[command(flatten)]
    of: EvaluationArgs,
    /// Compare with a result of another day: the JSON of evaluate or check, on the same data. --baseline takes it too, where
    /// its name ends in .json.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["baseline", "baseline_text", "baseline_vision", "baseline_embeddings"])]
    baseline_result: Option<PathBuf>,
    /// What the model was made from, a file or a folder [default: the baseline].
    #[arg(long, value_name = "PATH")]
    original: Option<PathBuf>,
    /// What is asked of the model, as YAML (docs/check.md) [default: policies/default.yaml, which is built in].
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The patch that the model was made with: then every byte is checked. One a file.
    #[arg(long = "patch", value_name = "FILE")]
    patches: Vec<PathBuf>,
    /// Show what rewrite reported of the edit (rewrite --json): its controls and its scores.
    #[arg(long, value_name = "FILE")]
    rewrite: Option<PathBuf>,
    /// Show the frontiers of a sweep (sweep --json).
    #[arg(long, value_name = "FILE")]
    sweep: Option<PathBuf>,
    /// Write a report; any number, told apart by their ending: .json, .md, .xml (JUnit), .html.
    #[arg(long = "report", value_name = "FILE", num_args = 1..)]
    reports: Vec<PathBuf>,
    /// Quadruplets that the HTML report shows, with their images; 0 for none.
    #[arg(long, value_name = "N", default_value = "6", value_parser = clap::value_parser!(u16).range(0..=100))]
    examples: u16,
    /// Replace reports that exist.
    #[arg(long)]
    force: bool,
    /// What an inconclusive verdict is to the pipeline, instead of exit code 5; where something went wrong it stays wrong.
    #[arg(long, value_enum, value_name = "OUTCOME")]
    inconclusive: Option<As>,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

/// The command as it was given, by its usual name.
fn command() -> Vec<String> {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    std::iter::once("uwm-onnx".to_owned()).chain(words).collect()
}

#[derive(Clone, Copy, ValueEnum)]
enum As {
    /// Exit code 0.
    Pass,
    /// Exit code 1.
    Fail,
}

impl Args {
    /// Does the job and returns what goes to stdout, and the exit code.
    pub fn run(mut self) -> Result<(String, Exit), Error> {
        let stored = |path: &mut PathBuf| path.extension().is_some_and(|e| e == "json");
        self.baseline_result = self.baseline_result.or(self.of.baseline.take_if(stored));
        let limits = self.of.samples.limits();
        let wish = self.of.samples.runtime.clone().wish()?;
        let original = self.original.as_ref().map(|path| files_at(path, self.of.variant())).transpose();
        let job = CheckJob {
            policy: self.policy,
            baseline_result: self.baseline_result,
            original: None,
            patches: self.patches,
            rewrite: self.rewrite,
            sweep: self.sweep,
            reports: self.reports,
            examples: self.examples.into(),
            force: self.force,
            when_inconclusive: match self.inconclusive {
                None => WhenInconclusive::Tell,
                Some(As::Pass) => WhenInconclusive::Pass,
                Some(As::Fail) => WhenInconclusive::Fail,
            },
            command: command(),
        };
        let evaluate = self.of.job(None);
        let (job, evaluate) = match original {
            Ok(original) => (CheckJob { original, ..job }, evaluate),
            Err(error) => (job, Err(error)),
        };
        let bars = Bars::new();
        let checked = check(&job, evaluate, &|| open(&wish).map_err(Error::NoRuntime), &bars, limits)?;
        let text = match self.format {
            Format::Human => checked.to_table(terminal::look()),
            Format::Json => terminal::shown(&format!("{}\n", checked.to_json())),
        };
        Ok((text, checked.exit()))
    }
}
