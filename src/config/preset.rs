//! Recipes by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::recipe::{TowerOptions, by_word, word};
use crate::onnx::Modality;
use crate::uwm::Measure;

/// A recipe by its name (`docs/method.md` describes each).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// The paper's: pairwise scores, text `out_proj` and vision `fc2`, tau 0.02.
    #[default]
    Paper,
    /// The paper's for a vision tower that is used alone (LLaVA): `fc2`, tau 0.085; the text tower stays.
    PaperCaptioning,
    /// Signed contrast.
    Contrast,
}

by_word!(Preset, [Preset::Paper, Preset::PaperCaptioning, Preset::Contrast]);

impl Preset {
    /// What it says of a tower, where that is not the paper's.
    pub fn options(self, tower: Modality) -> TowerOptions {
        let none = TowerOptions::default();
        match (self, tower) {
            (Self::Paper, _) => none,
            (Self::PaperCaptioning, Modality::Text) => TowerOptions { edit: Some(false), ..none },
            (Self::PaperCaptioning, Modality::Vision) => TowerOptions { tau: Some(0.085), ..none },
            (Self::Contrast, Modality::Text) => TowerOptions {
                layers: Some("v_proj".to_owned()),
                score: "contrast".parse().ok(),
                selection: Some(Measure::Hard),
                tau: Some(0.05),
                ..none
            },
            (Self::Contrast, Modality::Vision) => TowerOptions { edit: Some(false), ..none },
        }
    }
}
