//! `uwm-onnx rewrite`

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::Format;
use super::model::{ModelArgs, config, find_beside};
use super::progress::Bars;
use super::recipe::RecipeArgs;
use super::runtime::RuntimeArgs;
use crate::config::DataRef;
use crate::pass::{Controls, Error, Job, Limits, Runner, rewrite};
use crate::runtime::open;

/// Edit a model: calibrate, score, negate, and measure before and after.
///
/// Tokenizer, preprocessor and uwm.yaml (which names the data) are looked for beside the model and, for a model in a
/// folder `onnx`, one folder up.
#[derive(ClapArgs)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Where the edited file goes; a folder when both --text and --vision are given.
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// Write the edit itself too, as a patch for apply, revert and verify; a folder when both --text and --vision are
    /// given.
    #[arg(long, value_name = "PATH")]
    patch_out: Option<PathBuf>,
    /// Replace outputs that exist, and edit a model that was edited before.
    #[arg(long)]
    force: bool,
    /// Do not append metadata_props that say what was done.
    #[arg(long)]
    no_provenance: bool,
    /// The configuration [default: uwm.yaml beside the model, if there].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Manifest (JSONL) of the calibration pairs; rows of the split `calibration`.
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// Manifest (JSONL) of the evaluation quadruplets; rows of the split `evaluation`.
    #[arg(long, value_name = "FILE")]
    evaluation: Option<PathBuf>,
    /// tokenizer.json of the text tower.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// preprocessor_config.json of the vision tower.
    #[arg(long, value_name = "FILE")]
    preprocessor: Option<PathBuf>,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// What the edit is compared with: fast for one random choice of as many elements and the method with safe and
    /// unsafe in each other's place, full for five random choices.
    #[arg(long, value_enum, default_value = "fast")]
    controls: ControlsArg,
    /// Write the scores, to be used again with --scores.
    #[arg(long, value_name = "FILE")]
    scores_out: Option<PathBuf>,
    /// Use these scores instead of a calibration.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scores_out", "resume"])]
    scores: Option<PathBuf>,
    #[command(flatten)]
    runtime: RuntimeArgs,
    /// Samples a run, where the graph leaves it open: a number, or auto for as many as serve speed and fit
    /// --memory-budget.
    #[arg(long, default_value = "auto", value_parser = batch_size)]
    batch_size: BatchSize,
    /// What the activations of a calibration may take with --batch-size auto, in bytes or with K, M or G (1024s).
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = bytes)]
    memory_budget: usize,
    /// Leave samples out, and count them, whose activations or embeddings are not finite, instead of stopping.
    #[arg(long)]
    skip_bad_samples: bool,
    /// Keep the progress of the calibration in this folder until the job is done, and go on from what is there.
    #[arg(long, value_name = "FOLDER")]
    resume: Option<PathBuf>,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

/// What the edit is compared with.
#[derive(Clone, Copy, ValueEnum)]
enum ControlsArg {
    Off,
    Fast,
    Full,
}

impl From<ControlsArg> for Controls {
    fn from(arg: ControlsArg) -> Self {
        match arg {
            ControlsArg::Off => Self::Off,
            ControlsArg::Fast => Self::Fast,
            ControlsArg::Full => Self::Full,
        }
    }
}

/// A number of samples, or `None` for auto.
#[derive(Clone, Copy)]
struct BatchSize(Option<usize>);

fn batch_size(text: &str) -> Result<BatchSize, String> {
    match text.parse() {
        _ if text == "auto" => Ok(BatchSize(None)),
        Ok(size @ 1..=65_536) => Ok(BatchSize(Some(size))),
        _ => Err("it is auto or a number from 1 to 65536".to_owned()),
    }
}

/// A number of bytes.
fn bytes(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.strip_suffix(['K', 'M', 'G']) {
        Some(digits) => (digits, text.chars().last().map_or(0, |unit| 10 * (1 + "KMG".find(unit).unwrap_or(0)))),
        None => (text, 0),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(1 << unit));
    bytes.filter(|&bytes| bytes > 0).ok_or_else(|| "it is a number of bytes, as 500M or 2G".to_owned())
}

impl Args {
    /// Does the job and returns what goes to stdout.
    pub fn run(self) -> Result<String, Error> {
        let limits = Limits {
            batch_size: self.batch_size.0,
            memory_budget: self.memory_budget,
            skip_bad_samples: self.skip_bad_samples,
        };
        let (format, wish, job) = (self.format, self.runtime.clone().wish()?, self.job()?);
        // A signal is heard from here on; looking for a runtime can take a while.
        let bars = Bars::new();
        let runtime = open(&wish).map_err(Error::NoRuntime)?;
        let report = rewrite(&job, Runner { runtime: &*runtime, observer: &bars, limits })?;
        Ok(match format {
            Format::Human => report.to_table(),
            Format::Json => format!("{}\n", report.to_json()),
        })
    }

    /// Options over configuration over what lies beside the model.
    fn job(self) -> Result<Job, Error> {
        let model = self.model.files()?;
        let find = |name: &str| find_beside(&model, name);
        let mut config = config(self.config, &model)?;
        let data = |manifest| DataRef { manifest, split: None };
        config.calibration = self.calibration.map(data).or(config.calibration);
        config.evaluation = self.evaluation.map(data).or(config.evaluation);
        config.tokenizer = self.tokenizer.or(config.tokenizer).or_else(|| find("tokenizer.json"));
        config.preprocessor = self.preprocessor.or(config.preprocessor).or_else(|| find("preprocessor_config.json"));
        let mut config = self.recipe.over(config);
        self.model.choose_layers(&mut config);
        Ok(Job {
            hints: self.model.hints(),
            model,
            output: self.output,
            patch: self.patch_out,
            force: self.force,
            provenance: !self.no_provenance,
            resume: self.resume,
            scores_out: self.scores_out,
            scores: self.scores,
            controls: self.controls.into(),
            config,
        })
    }
}
