//! The data, and how they are run: for every command that calibrates.

use std::path::PathBuf;

use clap::Args;

use super::model::find_beside;
use super::runtime::RuntimeArgs;
use crate::config::{Config, DataRef};
use crate::dataset::Folders;
use crate::pass::{Error, Limits, ModelFiles};

/// Where the images of a ViSU set are.
#[derive(Args, Clone)]
pub struct FolderArgs {
    /// For ViSU: the folder of the COCO images [default: coco, or train2017 and val2017, beside the JSON].
    #[arg(long, value_name = "FOLDER")]
    coco_images: Option<PathBuf>,
    /// For ViSU: the folder of the generated images [default: unsafe, visu, nsfw or generated beside the JSON].
    #[arg(long, value_name = "FOLDER")]
    generated_images: Option<PathBuf>,
}

impl FolderArgs {
    /// As the data room takes them.
    pub fn folders(self) -> Folders {
        Folders { coco: self.coco_images, generated: self.generated_images }
    }
}

/// The configuration, and what all data are prepared with.
#[derive(Args, Clone)]
pub struct ConfigArgs {
    /// The configuration [default: uwm.yaml beside the model, if there].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// tokenizer.json of the text tower.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// preprocessor_config.json or open_clip_config.json of the vision tower.
    #[arg(long, value_name = "FILE")]
    preprocessor: Option<PathBuf>,
    #[command(flatten)]
    folders: FolderArgs,
}

impl ConfigArgs {
    /// Options over configuration over what lies beside the model.
    pub fn config(self, model: &ModelFiles) -> Result<Config, Error> {
        let mut config = self.stated(&[model])?;
        find_preparation(&mut config, &[model]);
        Ok(config)
    }

    /// Options over the configuration, which is looked for beside these models.
    pub fn stated(self, models: &[&ModelFiles]) -> Result<Config, Error> {
        let mut config = match self.config.or_else(|| models.iter().find_map(|model| find_beside(model, "uwm.yaml"))) {
            Some(path) => Config::read(&path)?,
            None => Config::default(),
        };
        config.tokenizer = self.tokenizer.or(config.tokenizer);
        config.preprocessor = self.preprocessor.or(config.preprocessor);
        let Folders { coco, generated } = self.folders.folders();
        config.coco_images = coco.or(config.coco_images);
        config.generated_images = generated.or(config.generated_images);
        Ok(config)
    }

    /// What is named here that only data need.
    pub fn only_for_data(&self) -> Option<&'static str> {
        let Self { tokenizer, preprocessor, folders: FolderArgs { coco_images, generated_images }, .. } = self;
        let given = [
            ("--tokenizer", tokenizer),
            ("--preprocessor", preprocessor),
            ("--coco-images", coco_images),
            ("--generated-images", generated_images),
        ];
        given.into_iter().find(|(_, path)| path.is_some()).map(|(name, _)| name)
    }
}

/// Looks for tokenizer and preprocessor beside models, the first one's before the next one's, where they are not stated.
pub fn find_preparation(config: &mut Config, models: &[&ModelFiles]) {
    let find = |names: &[&str]| {
        let of = |model: &&ModelFiles| names.iter().find_map(|name| find_beside(model, name));
        models.iter().find_map(of)
    };
    config.tokenizer = config.tokenizer.take().or_else(|| find(&["tokenizer.json"]));
    let files = ["preprocessor_config.json", "open_clip_config.json"];
    config.preprocessor = config.preprocessor.take().or_else(|| find(&files));
}

/// What a model is calibrated with.
#[derive(Args, Clone)]
pub struct DataArgs {
    /// Data set of the calibration pairs, a manifest (JSONL) or of another form (docs/data.md); rows of the split
    /// `calibration`.
    #[arg(long, value_name = "SET")]
    calibration: Option<PathBuf>,
    #[command(flatten)]
    of: ConfigArgs,
}

/// A whole manifest, by its usual splits.
pub fn data(manifest: PathBuf) -> DataRef {
    DataRef { manifest, split: None, sensitive: None }
}

impl DataArgs {
    /// Whether calibration pairs are named here, and not only in a configuration.
    pub fn names_calibration(&self) -> bool {
        self.calibration.is_some()
    }

    /// Options over configuration over what lies beside the model.
    pub fn config(self, model: &ModelFiles) -> Result<Config, Error> {
        let mut config = self.of.config(model)?;
        config.calibration = self.calibration.map(data).or(config.calibration);
        Ok(config)
    }
}

/// How samples are run.
#[derive(Args, Clone)]
pub struct SampleArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// Samples a run, where the graph leaves it open: a number, or auto for as many as serve speed and, in a calibration, fit
    /// --memory-budget.
    #[arg(long, default_value = "auto", value_parser = batch_size)]
    batch_size: BatchSize,
    /// Leave samples out, and count them, whose activations or embeddings are not finite, instead of stopping.
    #[arg(long)]
    skip_bad_samples: bool,
}

impl SampleArgs {
    /// How much is taken on at a time.
    pub fn limits(&self) -> Limits {
        Limits { batch_size: self.batch_size.0, skip_bad_samples: self.skip_bad_samples, ..Limits::default() }
    }
}

/// How a model is calibrated.
#[derive(Args, Clone)]
pub struct RunArgs {
    #[command(flatten)]
    pub samples: SampleArgs,
    /// What the activations of a calibration may take with --batch-size auto, in bytes or with K, M or G (1024s).
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = bytes)]
    memory_budget: usize,
    /// Keep the progress of the calibration in this folder until the job is done, and go on from what is there.
    #[arg(long, value_name = "FOLDER")]
    pub resume: Option<PathBuf>,
}

impl RunArgs {
    /// How much is taken on at a time.
    pub fn limits(&self) -> Limits {
        Limits { memory_budget: self.memory_budget, ..self.samples.limits() }
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
