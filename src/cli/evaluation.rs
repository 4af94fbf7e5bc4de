//! What is measured, and on what: for every command that evaluates.

use std::path::{Path, PathBuf};

use clap::Args;

use super::data::{ConfigArgs, SampleArgs, data, find_preparation};
use super::model::FileArgs;
use crate::config::{Config, DataRef};
use crate::onnx::Modality;
use crate::pass::{Error, EvaluateJob, ModelFiles, Subject, find_models};
use crate::safeground::Bootstrap;

/// A model, perhaps a baseline, the data, and how they are run.
#[derive(Args)]
pub struct EvaluationArgs {
    #[command(flatten)]
    model: FileArgs,
    /// Compare with this model: a file or a folder. A tower that either lacks is the other's. Each is given samples as the
    /// files beside it say. A file that ends in .safetensors is taken for embeddings, as with --baseline-embeddings.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["baseline_text", "baseline_vision", "baseline_embeddings"])]
    pub baseline: Option<PathBuf>,
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
    /// Samples of the set that intervals are made of.
    #[arg(long, value_name = "N", default_value = "2000", value_parser = clap::value_parser!(u32).range(100..=100_000))]
    resamples: u32,
    /// Seed of these samples.
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,
    #[command(flatten)]
    pub samples: SampleArgs,
}

impl EvaluationArgs {
    /// Options over configuration over what lies beside each model. Where no model is named, the embeddings `stored` are
    /// evaluated.
    pub fn job(mut self, stored: Option<PathBuf>) -> Result<EvaluateJob, Error> {
        if let Some(embeddings) = self.baseline.take_if(|path| path.extension().is_some_and(|e| e == "safetensors")) {
            self.baseline_embeddings = Some(embeddings);
        }
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
            (None, Some(stated)) => Some(DataRef { split: self.split.or(stated.split.clone()), ..stated }),
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
            model: match (&model, stored) {
                (Some(files), _) => subject(files),
                (None, Some(path)) => Subject::Stored(path),
                (None, None) => unreachable!("clap requires one of them"),
            },
            baseline: baseline.as_ref().map(subject).or(self.baseline_embeddings.map(Subject::Stored)),
            hints,
            bootstrap: Bootstrap { resamples: self.resamples as usize, seed: self.seed, ..Bootstrap::default() },
            embeddings_out: None,
            force: false,
            config,
        })
    }

    /// The files of the baseline.
    fn baseline(&self) -> Result<Option<ModelFiles>, Error> {
        let single = |path: &PathBuf, only| ModelFiles::Single { path: path.clone(), only };
        Ok(match (&self.baseline, &self.baseline_text, &self.baseline_vision) {
            (Some(path), ..) => Some(files_at(path, self.model.variant())?),
            (_, Some(text), Some(vision)) => Some(ModelFiles::Pair { text: text.clone(), vision: vision.clone() }),
            (_, Some(text), None) => Some(single(text, Some(Modality::Text))),
            (_, None, Some(vision)) => Some(single(vision, Some(Modality::Vision))),
            _ => None,
        })
    }

    /// Which precision of a folder's files is meant.
    pub fn variant(&self) -> Option<&str> {
        self.model.variant()
    }
}

/// A file, or those of a folder.
pub fn files_at(path: &Path, variant: Option<&str>) -> Result<ModelFiles, Error> {
    match path.is_dir() {
        true => find_models(path, variant),
        false => Ok(ModelFiles::Single { path: path.to_owned(), only: None }),
    }
}
