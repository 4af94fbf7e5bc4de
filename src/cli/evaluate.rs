//! `uwm-onnx evaluate`

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs};

use super::data::{ConfigArgs, SampleArgs, data, find_preparation};
use super::model::FileArgs;
use super::progress::Bars;
use super::{Exit, Format};
use crate::config::{Config, DataRef};
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
    /// Compare with this model: a file or a folder. A tower that either lacks is the other's. Each is given samples as the
    /// files beside it say.
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

    /// Options over configuration over what lies beside each model.
    fn job(self) -> Result<EvaluateJob, Error> {
        let hints = self.model.hints();
        let (model, baseline) = (self.model.files()?, self.baseline()?);
        let models: Vec<&ModelFiles> = model.iter().chain(&baseline).collect();
        if models.is_empty() {
            let data = [("--data", self.data.is_some()), ("--split", self.split.is_some())];
            let data = data.into_iter().chain([("--zero-shot", self.zero_shot.is_some())]);
            let unused = data.filter(|(_, given)| *given).map(|(name, _)| name).next();
            if let Some(unused) = unused.or(self.config.only_for_data()) {
                return Err(Error::Conflict {
                    reason: format!("{unused} is given, and only stored embeddings are evaluated"),
                    help: "leave it out: a file of embeddings says itself what its rows are",
                });
            }
        }
        let mut config = self.config.stated(&models)?;
        config.evaluation = match (self.data, config.evaluation.take()) {
            (Some(manifest), _) => Some(DataRef { split: self.split, ..data(manifest) }),
            (None, Some(DataRef { manifest, split })) => Some(DataRef { manifest, split: self.split.or(split) }),
            (None, None) => None,
        };
        config.zero_shot = self.zero_shot.or(config.zero_shot);
        // Each model is given samples as its own files have them; where it has none, as the other's do.
        let subject = |own: &ModelFiles| {
            let mut prepared = config.clone();
            let others: Vec<&ModelFiles> = std::iter::once(own).chain(models.iter().copied()).collect();
            find_preparation(&mut prepared, &others);
            let Config { tokenizer, preprocessor, .. } = prepared;
            Subject::Files { files: own.clone(), tokenizer, preprocessor }
        };
        Ok(EvaluateJob {
            model: match (&model, self.stored) {
                (Some(files), _) => subject(files),
                (None, Some(path)) => Subject::Stored(path),
                (None, None) => unreachable!("clap requires one of them"),
            },
            baseline: baseline.as_ref().map(subject).or(self.baseline_embeddings.map(Subject::Stored)),
            hints,
            bootstrap: Bootstrap { resamples: self.resamples as usize, seed: self.seed, ..Bootstrap::default() },
            embeddings_out: self.embeddings_out,
            force: self.force,
            config,
        })
    }

    /// The files of the baseline.
    fn baseline(&self) -> Result<Option<ModelFiles>, Error> {
        let single = |path: &PathBuf, only| ModelFiles::Single { path: path.clone(), only };
        Ok(match (&self.baseline, &self.baseline_text, &self.baseline_vision) {
            (Some(folder), ..) if folder.is_dir() => Some(find_models(folder, self.model.variant())?),
            (Some(path), ..) => Some(single(path, None)),
            (_, Some(text), Some(vision)) => Some(ModelFiles::Pair { text: text.clone(), vision: vision.clone() }),
            (_, Some(text), None) => Some(single(text, Some(Modality::Text))),
            (_, None, Some(vision)) => Some(single(vision, Some(Modality::Vision))),
            _ => None,
        })
    }
}
