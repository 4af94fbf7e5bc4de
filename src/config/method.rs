//! How the elements of a tower are found: by scores, or by a search.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::recipe::{by_word, layers_shown, word};
use super::{Error, Recipe, TowerOptions};
use crate::onnx::Modality;

/// The ways there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MethodName {
    /// Each element has a score; the top ones are taken.
    #[default]
    Scored,
    /// Elements of the last layer are negated together, so that it comes close to a wanted map.
    Aimed,
    /// The last layer is given the values that make it the wanted map.
    Steer,
}

by_word!(MethodName, [MethodName::Scored, MethodName::Aimed, MethodName::Steer]);

/// What is done to a tower.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Method {
    /// By scores.
    Scored(Recipe),
    /// By aiming at a map.
    Aimed(Aimed),
}

/// One layer brought to a wanted map, or as close to it as negations come.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Aimed {
    /// [`MethodName::Aimed`] or [`MethodName::Steer`].
    pub method: MethodName,
    /// The layer; the tower's last one where nothing is said.
    pub layers: Option<String>,
    /// How far unsafe content is moved; found by cross-validation where nothing is said.
    pub gain: Option<f64>,
    /// What a negation costs; the same. Steering has none.
    pub ridge: Option<f64>,
    /// Points of recall@1 and of PS that cross-validation may give away; `None` where nothing is left for it to find.
    pub max_loss: Option<f64>,
}

/// What may be given away where nothing is said.
const MAX_LOSS: f64 = 2.0;

impl Aimed {
    /// Whether nothing is left to be found by cross-validation.
    fn is_said(&self) -> bool {
        self.gain.is_some() && (self.method == MethodName::Steer || self.ridge.is_some())
    }
}

/// As it can stand in a configuration.
impl fmt::Display for Aimed {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { method, layers, gain, ridge, max_loss } = self;
        write!(f, "{{method: {method}")?;
        if let Some(layers) = layers {
            write!(f, ", layers: {}", layers_shown(layers)?)?;
        }
        let max_loss = max_loss.filter(|loss| *loss != MAX_LOSS);
        for (name, value) in [("gain", gain), ("ridge", ridge), ("max_loss", &max_loss)] {
            if let Some(value) = value {
                write!(f, ", {name}: {value}")?;
            }
        }
        f.write_str("}")
    }
}

/// As it can stand in a configuration: with `{:#}` in full.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Scored(recipe) => recipe.fmt(f),
            Self::Aimed(aimed) => aimed.fmt(f),
        }
    }
}

impl Method {
    /// What it goes by, in a word.
    pub fn name(&self) -> String {
        match self {
            Self::Scored(recipe) => recipe.scoring.score.to_string(),
            Self::Aimed(aimed) => aimed.method.to_string(),
        }
    }
}

impl TowerOptions {
    /// What is done; `None` if the tower is not to be edited. All options count, those that the method does not go by
    /// too.
    ///
    /// # Errors
    /// [`Error::Range`] if a number is out of range.
    pub fn method(&self, tower: Modality) -> Result<Option<Method>, Error> {
        let method = self.method.unwrap_or_default();
        if method == MethodName::Scored {
            return Ok(self.recipe(tower)?.map(Method::Scored));
        }
        if self.edit == Some(false) {
            return Ok(None);
        }
        // As it was written, not the float64 next to a float32.
        let gain = self.gain.map(|gain| gain.to_string().parse().unwrap_or(f64::NAN));
        let check = |name, value: Option<f64>, fits: fn(f64) -> bool, range| match value {
            Some(value) if !fits(value) => Err(Error::Range { name, tower, value, range }),
            _ => Ok(()),
        };
        check("gain", gain, |gain| gain.is_finite() && gain > 0.0, "the finite numbers above 0")?;
        check("max_loss", self.max_loss, |loss| loss.is_finite() && loss >= 0.0, "the finite numbers from 0 on")?;
        check("ridge", self.ridge, |ridge| ridge.is_finite() && ridge >= 0.0, "the finite numbers from 0 on")?;
        let mut aimed = Aimed {
            method,
            layers: self.layers.clone(),
            gain,
            ridge: self.ridge.filter(|_| method == MethodName::Aimed),
            max_loss: None,
        };
        aimed.max_loss = (!aimed.is_said()).then(|| self.max_loss.unwrap_or(MAX_LOSS));
        Ok(Some(Method::Aimed(aimed)))
    }

    /// Checks that the method goes by the options that are given.
    ///
    /// # Errors
    /// [`Error::Unused`] if not.
    pub(super) fn check_used(&self, method: &Method, tower: Modality) -> Result<(), Error> {
        let unused = match method {
            Method::Scored(recipe) => self.unused_by(recipe.scoring.score),
            Method::Aimed(aimed) => {
                let takes = |name: &str| match name {
                    "method" | "layers" | "gain" => true,
                    "max_loss" => !aimed.is_said(),
                    "ridge" => aimed.method == MethodName::Aimed,
                    _ => false,
                };
                self.given().into_iter().find(|name| !takes(name))
            }
        };
        match unused {
            Some(name) => Err(Error::Unused { name, tower, score: method.name() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn vision(yaml: &str) -> Result<String, String> {
        let config: Config = serde_saphyr::from_str(yaml).map_err(|e| e.without_snippet().to_string())?;
        let method = config.method(Modality::Vision).map_err(|e| e.to_string())?;
        Ok(method.map_or("stays".to_owned(), |method| method.to_string()))
    }

    #[test]
    fn what_is_said_and_what_is_printed_agree() {
        assert_eq!(vision("preset: aimed").unwrap(), "{method: aimed}");
        assert_eq!(vision("preset: aimed\nvision: {edit: false}").unwrap(), "stays");
        let said = "{method: aimed, layers: head.fc2, gain: 3.1, ridge: 0.3}";
        // A name with a dot is quoted, as globs are.
        assert_eq!(vision(&format!("vision: {said}")).unwrap(), said.replace("head.fc2", "\"head.fc2\""));
        assert_eq!(vision("preset: aimed\nvision: {max_loss: 3}").unwrap(), "{method: aimed, max_loss: 3}");
        assert_eq!(
            vision("vision: {method: aimed, gain: 2, max_loss: 3}").unwrap(),
            "{method: aimed, gain: 2, max_loss: 3}"
        );
        assert!(vision("preset: steer\nvision: {gain: 2, max_loss: 3}").unwrap_err().contains("max_loss is given"));
        assert!(vision("vision: {max_loss: 3}").unwrap_err().contains("max_loss is given"));
        assert!(vision("preset: aimed\nvision: {tau: 0.1}").unwrap_err().contains("tau is given"));
        assert!(vision("vision: {ridge: 0.1}").unwrap_err().contains("ridge is given"));
        assert!(vision("vision: {method: aimed, gain: 0}").unwrap_err().contains("gain of the vision tower is 0"));
        assert!(vision("vision: {method: aimed, ridge: -1}").unwrap_err().contains("ridge of the vision tower is -1"));
        assert_eq!(vision("preset: steer\nvision: {gain: 2}").unwrap(), "{method: steer, gain: 2}");
        assert!(vision("vision: {method: steer, ridge: 1}").unwrap_err().contains("'steer' does not go by it"));
        assert!(vision("vision: {method: guessed}").is_err());
    }
}
