//! `uwm-onnx rewrite`

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::Format;
use super::data::{DataArgs, RunArgs, data};
use super::model::ModelArgs;
use super::progress::Bars;
use super::recipe::RecipeArgs;
use super::terminal;
use crate::pass::{Controls, Error, Job, Runner, rewrite};
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
    #[arg(short, long, value_name = "PATH", required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// Write nothing and measure nothing on evaluation data: tell what would be edited and, for aimed edits, whether they
    /// can work.
    #[arg(long, conflicts_with_all = ["output", "patch_out", "scores_out", "json", "resume"])]
    dry_run: bool,
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
    #[command(flatten)]
    data: DataArgs,
    /// Data set of the evaluation quadruplets; rows of the split `evaluation`.
    #[arg(long, value_name = "FILE")]
    evaluation: Option<PathBuf>,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// What the edit is compared with: fast for one random choice of as many elements and the method with safe and
    /// unsafe in each other's place, full for five random choices.
    #[arg(long, value_enum, default_value = "fast")]
    controls: ControlsArg,
    /// Write the scores, to be used again with --scores.
    #[arg(long, value_name = "FILE")]
    scores_out: Option<PathBuf>,
    /// Write the report as JSON too, as --format json prints it, but for times.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Use these scores instead of a calibration.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scores_out", "resume"])]
    scores: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

/// What the edit is compared with.
#[derive(Clone, Copy, ValueEnum)]
pub enum ControlsArg {
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

impl Args {
    /// Does the job and returns what goes to stdout.
    pub fn run(self) -> Result<String, Error> {
        let (format, wish, limits) = (self.format, self.run.samples.runtime.clone().wish()?, self.run.limits());
        let job = self.job()?;
        // A signal is heard from here on; looking for a runtime can take a while.
        let bars = Bars::new();
        let runtime = open(&wish).map_err(Error::NoRuntime)?;
        let report = rewrite(&job, Runner { runtime: &*runtime, observer: &bars, limits })?;
        Ok(match format {
            Format::Human => report.to_table(terminal::look()),
            Format::Json => format!("{}\n", report.to_json()),
        })
    }

    /// Options over configuration over what lies beside the model.
    fn job(self) -> Result<Job, Error> {
        let model = self.model.files()?;
        let mut config = self.data.config(&model)?;
        config.evaluation = self.evaluation.map(data).or(config.evaluation);
        let mut config = self.recipe.over(config)?;
        self.model.choose_layers(&mut config);
        Ok(Job {
            hints: self.model.hints(),
            model,
            output: self.output,
            patch: self.patch_out,
            force: self.force,
            provenance: !self.no_provenance,
            resume: self.run.resume,
            scores_out: self.scores_out,
            scores: self.scores,
            json: self.json,
            controls: self.controls.into(),
            config,
        })
    }
}
