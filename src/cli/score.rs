//! `uwm-onnx score` and `uwm-onnx merge`

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::Format;
use super::data::{DataArgs, RunArgs};
use super::model::ModelArgs;
use super::progress::Bars;
use super::recipe::RecipeArgs;
use crate::pass::{Error, MergeJob, Runner, ScoreJob, Shard, merge, score};
use crate::report::Scored;
use crate::runtime::open;

/// Score the layers of a model and write the scores to a file, for `rewrite --scores`.
///
/// tau, alpha, selection, budget, weight prior and a choice among the scored layers can be changed afterwards without a
/// calibration.
#[derive(ClapArgs)]
pub struct Score {
    #[command(flatten)]
    model: ModelArgs,
    /// The file of scores; with --shard, of the statistics of its pairs, for merge.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Measure only part i of n of the calibration pairs.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Leave out the scores with safe and unsafe in each other's place, which serve as a control.
    #[arg(long)]
    no_swapped: bool,
    /// Replace an output that exists.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    run: RunArgs,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Score {
    /// Does the job and returns what goes to stdout.
    pub fn run(self) -> Result<String, Error> {
        let (limits, wish) = (self.run.limits(), self.run.samples.runtime.clone().wish()?);
        let model = self.model.files()?;
        let mut config = self.recipe.over(self.data.config(&model)?)?;
        self.model.choose_layers(&mut config);
        let job = ScoreJob {
            hints: self.model.hints(),
            model,
            output: self.output,
            shard: self.shard,
            swapped: !self.no_swapped,
            force: self.force,
            resume: self.run.resume,
            config,
        };
        let bars = Bars::new();
        let runtime = open(&wish).map_err(Error::NoRuntime)?;
        Ok(shown(&score(&job, Runner { runtime: &*runtime, observer: &bars, limits })?, self.format))
    }
}

/// Make one file of scores of the statistics of all shards: the same bytes as one run gives.
#[derive(ClapArgs)]
pub struct Merge {
    #[command(flatten)]
    model: ModelArgs,
    /// The shards, in any order.
    #[arg(long = "shards", value_name = "FILE", required = true, num_args = 1..)]
    shards: Vec<PathBuf>,
    /// The file of scores.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace an output that exists.
    #[arg(long)]
    force: bool,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Merge {
    /// Does the job and returns what goes to stdout.
    pub fn run(self) -> Result<String, Error> {
        let (model, hints) = (self.model.files()?, self.model.hints());
        let job = MergeJob { model, hints, shards: self.shards, output: self.output, force: self.force };
        Ok(shown(&merge(&job)?, self.format))
    }
}

fn shown(scored: &Scored, format: Format) -> String {
    match format {
        Format::Human => scored.to_text(),
        Format::Json => scored.to_json(),
    }
}
