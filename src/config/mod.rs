//! `uwm.yaml`: the recipe and the data that go with a model. Paths in it are relative to its folder.

mod method;
mod preset;
mod recipe;
mod sweep;

use std::path::{Path, PathBuf};

use miette::Diagnostic;
use serde::Deserialize;
use thiserror::Error;

pub use method::{Aimed, Method, MethodName};
pub use preset::Preset;
pub use recipe::{Concepts, Recipe, TowerOptions};
pub use sweep::{Axis, GAINS, Grid, RIDGES, SweepOptions};

use crate::onnx::Modality;
use crate::plain;

/// The longest configuration that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// A configuration that cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    #[diagnostic(code("config-io"), help("check the path given with --config"))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not such a configuration.
    #[error("{} is not a valid configuration: {reason}", path.display())]
    #[diagnostic(
        code("config-format"),
        help(
            "it is YAML with the keys calibration, evaluation and validation ({{manifest, split, sensitive}}), zero_shot, coco_images, generated_images, tokenizer, preprocessor, preset, text and vision ({{edit, method, layers, score, std, lambda, gain, ridge, max_loss, weight_prior, selection, budget, tau, alpha, concepts}}; text also length), sweep ({{text, vision}}, each a list of grids with the same keys and lists of values)"
        )
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A value is out of range.
    #[error("{name} of the {tower} tower is {value}, outside {range}")]
    #[diagnostic(
        code("option-range"),
        help("leave it out for its usual value (the paper's: tau 0.02, alpha -1), or give one in that range")
    )]
    Range {
        /// The option.
        name: &'static str,
        /// Which tower.
        tower: Modality,
        /// What was given.
        value: f64,
        /// What is allowed.
        range: &'static str,
    },
    /// An option that does nothing.
    #[error("{name} is given for the {tower} tower, and '{score}' does not go by it")]
    #[diagnostic(
        code("option-unused"),
        help(
            "leave it out, or choose a score that takes it: std goes with pairwise, dataset, unsafe-only and difference; lambda with contrast, concept-contrast and energy-contrast; gain with energy-contrast and aimed; ridge with aimed, max_loss with aimed and steer (which take no other option but layers) where gain or ridge is left to be found"
        )
    )]
    Unused {
        /// The option.
        name: &'static str,
        /// Which tower.
        tower: Modality,
        /// The score.
        score: String,
    },
}

/// The content of a `uwm.yaml`; everything is optional.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The file it was read from, if it was.
    #[serde(skip)]
    pub path: Option<PathBuf>,
    /// Pairs to score with; split `calibration` unless named.
    pub calibration: Option<DataRef>,
    /// Quadruplets to measure on; split `evaluation` unless named.
    pub evaluation: Option<DataRef>,
    /// Quadruplets to choose by in a sweep; split `validation` unless named, of the evaluation's manifest unless given.
    pub validation: Option<DataRef>,
    /// A zero-shot set.
    pub zero_shot: Option<PathBuf>,
    /// For ViSU: the folder of the COCO images.
    pub coco_images: Option<PathBuf>,
    /// For ViSU: the folder of the generated images.
    pub generated_images: Option<PathBuf>,
    /// `tokenizer.json`
    pub tokenizer: Option<PathBuf>,
    /// `preprocessor_config.json`
    pub preprocessor: Option<PathBuf>,
    /// A recipe by name; the paper's where nothing is said.
    pub preset: Option<Preset>,
    /// Options of the text tower, which go before the preset's.
    pub text: TowerOptions,
    /// Options of the vision tower.
    pub vision: TowerOptions,
    /// What a sweep tries; [`SweepOptions::usual`] where nothing is said.
    pub sweep: Option<SweepOptions>,
}

/// A split of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRef {
    /// The set, of any form.
    pub manifest: PathBuf,
    /// Which rows.
    pub split: Option<String>,
    /// Whether the unsafe side of rows that do not say it themselves is hidden in reports; it is, where this says nothing.
    pub sensitive: Option<bool>,
}

impl Config {
    /// Reads a file; its paths become relative to the working directory.
    ///
    /// # Errors
    /// If it cannot be read or has an unknown or wrong entry.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = plain::text(path, LONGEST).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let mut config: Self = serde_saphyr::from_str(&text)
            .map_err(|e| Error::Format { path: path.to_owned(), reason: e.without_snippet().to_string() })?;
        if config.vision.length.is_some() {
            let reason = "vision: length: only texts have a length".to_owned();
            return Err(Error::Format { path: path.to_owned(), reason });
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let data = [&mut config.calibration, &mut config.evaluation, &mut config.validation]
            .into_iter()
            .flatten()
            .map(|d| &mut d.manifest);
        let files = [&mut config.zero_shot, &mut config.tokenizer, &mut config.preprocessor].into_iter().flatten();
        let folders = [&mut config.coco_images, &mut config.generated_images].into_iter().flatten();
        for file in data.chain(files).chain(folders) {
            *file = folder.join(&*file);
        }
        config.path = Some(path.to_owned());
        Ok(config)
    }

    /// The files that it names, and its own.
    pub fn files(&self) -> Vec<PathBuf> {
        let data = [&self.calibration, &self.evaluation, &self.validation].into_iter().flatten().map(|d| &d.manifest);
        let files = [&self.path, &self.zero_shot, &self.tokenizer, &self.preprocessor].into_iter().flatten();
        data.chain(files).cloned().collect()
    }

    /// With a preset instead of the recipe it has.
    #[must_use]
    pub fn with_preset(self, preset: Preset) -> Self {
        let stays = |tower: &TowerOptions| TowerOptions { length: tower.length, ..TowerOptions::default() };
        Self { preset: Some(preset), text: stays(&self.text), vision: stays(&self.vision), ..self }
    }

    /// What is done to a tower: the options over the preset's; `None` if the tower is not to be edited.
    ///
    /// # Errors
    /// [`Error::Range`] if a number is out of range, [`Error::Unused`] if an option does nothing.
    pub fn method(&self, tower: Modality) -> Result<Option<Method>, Error> {
        let options = self.options(tower);
        let method = options.clone().or(self.preset.unwrap_or_default().options(tower)).method(tower)?;
        method.as_ref().map_or(Ok(()), |method| options.check_used(method, tower))?;
        Ok(method)
    }

    /// What is said of a tower.
    pub fn options(&self, tower: Modality) -> &TowerOptions {
        match tower {
            Modality::Text => &self.text,
            Modality::Vision => &self.vision,
        }
    }
}
