//! What is done to one tower: options that leave things open, and the recipe that does not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Error, MethodName};
use crate::onnx::Modality;
use crate::uwm::{Budget, Measure, Rule, Score, ScoreOption, Scoring};

/// Options of one tower; the preset's where absent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TowerOptions {
    /// Whether it is edited.
    pub edit: Option<bool>,
    /// Whether scores or a search find the elements.
    pub method: Option<MethodName>,
    /// The layers to edit.
    pub layers: Option<String>,
    /// The score.
    pub score: Option<Score>,
    /// Whether the score divides by the standard deviation.
    pub std: Option<bool>,
    /// What safe content weighs in a score that trades it.
    pub lambda: Option<f32>,
    /// What unsafe energy counts for in a score that rewards it; how far a search moves unsafe content.
    pub gain: Option<f32>,
    /// What a negation costs in a search.
    pub ridge: Option<f64>,
    /// Points of recall@1 and of PS that cross-validation may give away in a search.
    pub max_loss: Option<f64>,
    /// Whether scores are multiplied by `|W|`.
    pub weight_prior: Option<bool>,
    /// Whether mass or number is selected.
    pub selection: Option<Measure>,
    /// Whether a layer or the tower is selected in.
    pub budget: Option<Budget>,
    /// Share that is selected.
    pub tau: Option<f64>,
    /// Factor for selected elements.
    pub alpha: Option<f64>,
    /// What is done with the concepts of the pairs.
    pub concepts: Option<Concepts>,
    /// Tokens a text is padded or cut to (text only).
    pub length: Option<usize>,
}

/// How the concepts of the calibration pairs count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Concepts {
    /// All pairs are one pool.
    #[default]
    All,
    /// A selection a concept, each with the whole `tau`; their union is taken.
    Union,
    /// A selection a concept, each with an equal share of `tau`, so that the edit stays about as large as of one pool;
    /// their union is taken.
    Each,
}

/// What is done to one tower.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recipe {
    /// The layers to edit.
    pub layers: String,
    /// How elements are scored.
    #[serde(flatten)]
    pub scoring: Scoring,
    /// Whether scores are multiplied by `|W|`.
    pub weight_prior: bool,
    /// How they are selected.
    #[serde(flatten)]
    pub rule: Rule,
    /// Factor for selected elements.
    pub alpha: f64,
    /// Added to standard deviations.
    pub epsilon: f32,
    /// How the concepts of the pairs count.
    pub concepts: Concepts,
}

/// As it can stand in a configuration: with `{:#}` in full, else without what is usual.
impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { layers, scoring, weight_prior, rule, alpha, epsilon: _, concepts } = self;
        let (score, Rule { selection, budget, tau }) = (scoring.score, rule);
        let mut entries = vec![format!("layers: {}, score: {score}", layers_shown(layers)?)];
        let mut entry = |name: &str, value: String, usual: bool| {
            if f.alternate() || !usual {
                entries.push(format!("{name}: {value}"));
            }
        };
        if score.takes(ScoreOption::Std) {
            entry("std", scoring.std.to_string(), scoring.std);
        }
        if score.takes(ScoreOption::Lambda) {
            entry("lambda", scoring.lambda.to_string(), scoring.lambda == 1.0);
        }
        if score.takes(ScoreOption::Gain) {
            entry("gain", scoring.gain.to_string(), scoring.gain == 0.0);
        }
        // What is usual depends on the tower.
        entry("weight_prior", weight_prior.to_string(), !weight_prior);
        entry("selection", selection.to_string(), *selection == Measure::default());
        entry("budget", budget.to_string(), *budget == Budget::default());
        entry("tau", tau.to_string(), false);
        entry("alpha", alpha.to_string(), *alpha == -1.0);
        entry("concepts", concepts.to_string(), *concepts == Concepts::default());
        write!(f, "{{{}}}", entries.join(", "))
    }
}

/// A selection of layers as it can stand in a configuration: JSON's strings are YAML's, and a glob may hold anything.
pub(super) fn layers_shown(layers: &str) -> Result<String, fmt::Error> {
    match layers.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        true => Ok(layers.to_owned()),
        false => serde_json::to_string(layers).map_err(|_| fmt::Error),
    }
}

impl TowerOptions {
    /// These, and where they leave something open, the others.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            edit: self.edit.or(others.edit),
            method: self.method.or(others.method),
            layers: self.layers.or(others.layers),
            score: self.score.or(others.score),
            std: self.std.or(others.std),
            lambda: self.lambda.or(others.lambda),
            gain: self.gain.or(others.gain),
            ridge: self.ridge.or(others.ridge),
            max_loss: self.max_loss.or(others.max_loss),
            weight_prior: self.weight_prior.or(others.weight_prior),
            selection: self.selection.or(others.selection),
            budget: self.budget.or(others.budget),
            tau: self.tau.or(others.tau),
            alpha: self.alpha.or(others.alpha),
            concepts: self.concepts.or(others.concepts),
            length: self.length.or(others.length),
        }
    }

    /// The recipe, with the paper's values (`method.md` section 3) where something is still open; `None` if the tower is
    /// not to be edited.
    ///
    /// # Errors
    /// [`Error::Range`] if a number is out of range.
    pub fn recipe(&self, tower: Modality) -> Result<Option<Recipe>, Error> {
        if self.edit == Some(false) {
            return Ok(None);
        }
        let (layers, epsilon) = match tower {
            // The reference adds its epsilon for images and nothing for texts.
            Modality::Text => ("out_proj", 0.0),
            Modality::Vision => ("fc2", 1e-8),
        };
        let score = self.score.unwrap_or_default();
        let prior = tower == Modality::Text && score.is_ratio();
        let recipe = Recipe {
            layers: self.layers.clone().unwrap_or_else(|| layers.to_owned()),
            scoring: Scoring {
                score,
                // One value where it makes no difference, so that equal scores are equal.
                std: self.std.filter(|_| score.takes(ScoreOption::Std)).unwrap_or(true),
                lambda: self.lambda.filter(|_| score.takes(ScoreOption::Lambda)).unwrap_or(1.0),
                gain: self.gain.filter(|_| score.takes(ScoreOption::Gain)).unwrap_or(0.0),
                swapped: false,
            },
            weight_prior: self.weight_prior.unwrap_or(prior),
            rule: Rule {
                selection: self.selection.unwrap_or_default(),
                budget: self.budget.unwrap_or_default(),
                tau: self.tau.unwrap_or(0.02),
            },
            alpha: self.alpha.unwrap_or(-1.0),
            epsilon,
            concepts: self.concepts.unwrap_or_default(),
        };
        let check = |name, value: f64, fits: bool, range| match fits {
            true => Ok(()),
            false => Err(Error::Range { name, tower, value, range }),
        };
        let (tau, lambda) = (recipe.rule.tau, recipe.scoring.lambda);
        check("tau", tau, tau > 0.0 && tau < 1.0, "(0, 1), both ends excluded")?;
        check("alpha", recipe.alpha, (recipe.alpha as f32).is_finite(), "the finite float32 numbers")?;
        check("lambda", f64::from(lambda), lambda.is_finite() && lambda >= 0.0, "the finite numbers from 0 on")?;
        let gain = recipe.scoring.gain;
        check("gain", f64::from(gain), gain.is_finite() && gain >= 0.0, "the finite numbers from 0 on")?;
        Ok(Some(recipe))
    }
}

impl TowerOptions {
    /// An option that is given for scores, or for a search, and that this score does not go by.
    pub(super) fn unused_by(&self, score: Score) -> Option<&'static str> {
        let given = [
            ("std", score.takes(ScoreOption::Std), self.std.is_some()),
            ("lambda", score.takes(ScoreOption::Lambda), self.lambda.is_some()),
            ("gain", score.takes(ScoreOption::Gain), self.gain.is_some()),
            ("ridge", false, self.ridge.is_some()),
            ("max_loss", false, self.max_loss.is_some()),
        ];
        given.into_iter().find(|(_, taken, given)| *given && !taken).map(|(name, ..)| name)
    }

    /// Names of the options that are given for a recipe.
    pub fn given(&self) -> Vec<&'static str> {
        let Self {
            edit: _,
            method,
            layers,
            score,
            std,
            lambda,
            gain,
            ridge,
            max_loss,
            weight_prior,
            selection,
            budget,
            tau,
            alpha,
            concepts,
            length: _,
        } = self;
        let all = [
            ("method", method.is_some()),
            ("layers", layers.is_some()),
            ("score", score.is_some()),
            ("std", std.is_some()),
            ("lambda", lambda.is_some()),
            ("gain", gain.is_some()),
            ("ridge", ridge.is_some()),
            ("max_loss", max_loss.is_some()),
            ("weight_prior", weight_prior.is_some()),
            ("selection", selection.is_some()),
            ("budget", budget.is_some()),
            ("tau", tau.is_some()),
            ("alpha", alpha.is_some()),
            ("concepts", concepts.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}

/// The word by which a value is known in a configuration.
pub(super) fn word<T: Serialize>(value: &T, f: &mut fmt::Formatter) -> fmt::Result {
    let value = serde_json::to_value(value).map_err(|_| fmt::Error)?;
    f.write_str(value.as_str().unwrap_or_default())
}

macro_rules! by_word {
    ($type:ty, $all:expr) => {
        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let words = || $all.iter().map(ToString::to_string);
                let found = words().position(|word| word == text).map(|index| $all[index]);
                found.ok_or_else(|| format!("it is one of {}", words().collect::<Vec<_>>().join(", ")))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                word(self, f)
            }
        }
    };
}
pub(super) use by_word;

by_word!(Concepts, [Concepts::All, Concepts::Union, Concepts::Each]);
by_word!(Measure, [Measure::Adaptive, Measure::Hard]);
by_word!(Budget, [Budget::Layer, Budget::Tower]);
