//! `uwm.yaml`: the recipe and the data that go with a model. Paths in it are relative to its folder.

use std::path::{Path, PathBuf};

use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::onnx::Modality;

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
            "it is YAML with the keys calibration and evaluation ({{manifest, split}}), zero_shot, tokenizer, preprocessor, text and vision ({{layers, tau, alpha, weight_prior}}; text also length)"
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
    #[diagnostic(code("option-range"), help("the paper's values are tau 0.02 and alpha -1"))]
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
}

/// The content of a `uwm.yaml`; everything is optional.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Pairs to score with; split `calibration` unless named.
    pub calibration: Option<DataRef>,
    /// Quadruplets to measure on; split `evaluation` unless named.
    pub evaluation: Option<DataRef>,
    /// A zero-shot set.
    pub zero_shot: Option<PathBuf>,
    /// `tokenizer.json`
    pub tokenizer: Option<PathBuf>,
    /// `preprocessor_config.json`
    pub preprocessor: Option<PathBuf>,
    /// Options of the text tower.
    pub text: TowerOptions,
    /// Options of the vision tower.
    pub vision: TowerOptions,
}

/// A split of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRef {
    /// The JSONL file.
    pub manifest: PathBuf,
    /// Which rows.
    pub split: Option<String>,
}

/// Options of one tower; the paper's where absent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TowerOptions {
    /// Role of the layers to edit.
    pub layers: Option<String>,
    /// Share of the score's mass that is selected.
    pub tau: Option<f64>,
    /// Factor for selected elements.
    pub alpha: Option<f64>,
    /// Whether scores are multiplied by `|W|`.
    pub weight_prior: Option<bool>,
    /// Tokens a text is padded or cut to (text only).
    pub length: Option<usize>,
}

/// What is done to one tower.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recipe {
    /// Role of the layers to edit.
    pub layers: String,
    /// Share of the score's mass that is selected, in (0, 1).
    pub tau: f64,
    /// Factor for selected elements.
    pub alpha: f64,
    /// Whether scores are multiplied by `|W|`.
    pub weight_prior: bool,
    /// Added to standard deviations.
    pub epsilon: f32,
}

impl Config {
    /// Reads a file; its paths become relative to the working directory.
    ///
    /// # Errors
    /// If it cannot be read or has an unknown or wrong entry.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let mut config: Self = serde_saphyr::from_str(&text)
            .map_err(|e| Error::Format { path: path.to_owned(), reason: e.without_snippet().to_string() })?;
        if config.vision.length.is_some() {
            let reason = "vision: length: only texts have a length".to_owned();
            return Err(Error::Format { path: path.to_owned(), reason });
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let data = [&mut config.calibration, &mut config.evaluation].into_iter().flatten().map(|d| &mut d.manifest);
        let files = [&mut config.zero_shot, &mut config.tokenizer, &mut config.preprocessor].into_iter().flatten();
        for file in data.chain(files) {
            *file = folder.join(&*file);
        }
        Ok(config)
    }

    /// The recipe of a tower: the paper's (`method.md` section 3), changed by the options.
    ///
    /// # Errors
    /// [`Error::Range`] if tau is not inside (0, 1) or alpha is not finite.
    pub fn recipe(&self, tower: Modality) -> Result<Recipe, Error> {
        let (options, layers, weight_prior, epsilon) = match tower {
            // The reference adds its epsilon for images and nothing for texts.
            Modality::Text => (&self.text, "out_proj", true, 0.0),
            Modality::Vision => (&self.vision, "fc2", false, 1e-8),
        };
        let recipe = Recipe {
            layers: options.layers.clone().unwrap_or_else(|| layers.to_owned()),
            tau: options.tau.unwrap_or(0.02),
            alpha: options.alpha.unwrap_or(-1.0),
            weight_prior: options.weight_prior.unwrap_or(weight_prior),
            epsilon,
        };
        if !(recipe.tau > 0.0 && recipe.tau < 1.0) {
            return Err(Error::Range { name: "tau", tower, value: recipe.tau, range: "(0, 1), both ends excluded" });
        }
        if !(recipe.alpha as f32).is_finite() {
            return Err(Error::Range {
                name: "alpha",
                tower,
                value: recipe.alpha,
                range: "the finite float32 numbers",
            });
        }
        Ok(recipe)
    }
}
