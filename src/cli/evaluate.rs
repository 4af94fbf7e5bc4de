//! `uwm-onnx evaluate`

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs};

use super::data::{ConfigArgs, SampleArgs, data};
use super::model::FileArgs;
use super::progress::Bars;
use super::{Exit, Format};
use crate::config::DataRef;
use crate::onnx::Modality;
use crate::pass::{Error, EvaluateJob, ModelFiles, Subject, evaluate, find_models};
use crate::runtime::open;
use crate::safeground::Bootstrap;

/// Measure how safe a vision-language encoder is, and what it still knows: SafeGround, recall and zero-shot accuracy with
/// 95 % intervals, overall and by concept; beside a baseline, every change too. Nothing is edited.
///
/// Tokenizer, preprocessor and uwm.yaml (which may name the data) are looked for beside the model. Exit code 1 if model or
/// baseline do not work at all.
#[derive(ClapArgs)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["model", "text", "vision", "stored"]))]
pub struct Args {
    #[command(flatten)]
    model: FileArgs,
    /// Evaluate the embeddings in this file instead of a model (see --embeddings-out).
    #[arg(long = "embeddings", value_name = "FILE", conflicts_with_all = ["model", "text", "vision"])]
    stored: Option<PathBuf>,
    /// Compare with this model: a file or a folder. A tower that it lacks is the evaluated model's.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["baseline_text", "baseline_vision", "baseline_embeddings"])]
    baseline: Option<PathBuf>,
    /// The text tower of the baseline.
    #[arg(long, value_name = "FILE", conflicts_with = "baseline_embeddings")]
    baseline_text: Option<PathBuf>,
    /// The vision tower of the baseline.
    #[arg(long, value_name = "FILE", conflicts_with = "baseline_embeddings")]
    baseline_vision: Option<PathBuf>,
    /// Compare with the embeddings in this file.
    #[arg(long, value_name = "FILE")]
    baseline_embeddings: Option<PathBuf>,
    /// The quadruplets: a manifest or another set (docs/data.md) [default: that of the evaluation in uwm.yaml].
    #[arg(long, value_name = "SET")]
    data: Option<PathBuf>,
    /// Which rows [default: evaluation; rows that name no split belong to every one].
    #[arg(long, value_name = "NAME")]
    split: Option<String>,
    /// A zero-shot set (docs/data.md).
    #[arg(long, value_name = "SET")]
    zero_shot: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Write the model's embeddings, to be evaluated again with --embeddings.
    #[arg(long, value_name = "FILE")]
    embeddings_out: Option<PathBuf>,
    /// Replace a file of embeddings that exists.
    #[arg(long)]
    force: bool,
    /// Samples of the set that intervals are made of.
    #[arg(long, value_name = "N", default_value = "2000", value_parser = clap::value_parser!(u32).range(100..=100_000))]
    resamples: u32,
    /// Seed of these samples.
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    #[command(flatten)]
    samples: SampleArgs,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Args {
    /// Does the job and returns what goes to stdout, and the exit code.
    pub fn run(self) -> Result<(String, Exit), Error> {
        let (format, limits) = (self.format, self.samples.limits());
        let wish = self.samples.runtime.clone().wish()?;
        let job = self.job()?;
        let bars = Bars::new();
        let runtime = job.needs_runtime().then(|| open(&wish)).transpose().map_err(Error::NoRuntime)?;
        let found = evaluate(&job, runtime.as_deref(), &bars, limits)?;
        let text = match format {
            Format::Human => found.to_table(),
            Format::Json => format!("{}\n", found.to_json()),
        };
        Ok((text, if found.works() { Exit::Ok } else { Exit::Differs }))
    }

    /// Options over configuration over what lies beside the model.
    fn job(self) -> Result<EvaluateJob, Error> {
        let hints = self.model.hints();
        let baseline = self.baseline_subject()?;
        let model = match (self.model.files()?, self.stored) {
            (Some(files), _) => Subject::Files(files),
            (None, Some(path)) => Subject::Stored(path),
            (None, None) => unreachable!("clap requires one of them"),
        };
        let beside = [Some(&model), baseline.as_ref()].into_iter().flatten().find_map(|subject| match subject {
            Subject::Files(files) => Some(files),
            Subject::Stored(_) => None,
        });
        let mut config = self.config.config(beside)?;
        config.evaluation = match (self.data, config.evaluation.take()) {
            (Some(manifest), _) => Some(DataRef { split: self.split, ..data(manifest) }),
            (None, Some(DataRef { manifest, split })) => Some(DataRef { manifest, split: self.split.or(split) }),
            (None, None) => None,
        };
        config.zero_shot = self.zero_shot.or(config.zero_shot);
        Ok(EvaluateJob {
            model,
            baseline,
            hints,
            config,
            bootstrap: Bootstrap { resamples: self.resamples as usize, seed: self.seed },
            embeddings_out: self.embeddings_out,
            force: self.force,
        })
    }

    fn baseline_subject(&self) -> Result<Option<Subject>, Error> {
        let single = |path: &PathBuf, only| ModelFiles::Single { path: path.clone(), only };
        Ok(match (&self.baseline, &self.baseline_text, &self.baseline_vision, &self.baseline_embeddings) {
            (Some(folder), ..) if folder.is_dir() => Some(Subject::Files(find_models(folder, None)?)),
            (Some(path), ..) => Some(Subject::Files(single(path, None))),
            (_, Some(text), Some(vision), _) => {
                Some(Subject::Files(ModelFiles::Pair { text: text.clone(), vision: vision.clone() }))
            }
            (_, Some(text), ..) => Some(Subject::Files(single(text, Some(Modality::Text)))),
            (_, _, Some(vision), _) => Some(Subject::Files(single(vision, Some(Modality::Vision)))),
            (.., Some(path)) => Some(Subject::Stored(path.clone())),
            _ => None,
        })
    }
}
