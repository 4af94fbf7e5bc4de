//! Recipes by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::MethodName;
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
    /// Contrast weighed by energy, in the vision tower's `fc2`; the text tower stays.
    Contrast,
    /// The same in the text tower's `fc2`, which does more and costs more retrieval; the vision tower stays.
    ContrastText,
    /// Aimed negation of the last linear layer of one tower.
    Aimed,
    /// Other values in that layer: more than negation can do.
    Steer,
}

by_word!(
    Preset,
    [Preset::Paper, Preset::PaperCaptioning, Preset::Contrast, Preset::ContrastText, Preset::Aimed, Preset::Steer]
);

impl Preset {
    /// What it says of a tower, where that is not the paper's.
    pub fn options(self, tower: Modality) -> TowerOptions {
        let none = TowerOptions::default();
        match (self, tower) {
            (Self::Paper, _) => none,
            (Self::PaperCaptioning, Modality::Text) => TowerOptions { edit: Some(false), ..none },
            (Self::PaperCaptioning, Modality::Vision) => TowerOptions { tau: Some(0.085), ..none },
            // Editing both towers cancels: both move to the other side and meet again.
            (Self::Contrast, Modality::Text) => TowerOptions { edit: Some(false), ..none },
            (Self::Contrast, Modality::Vision) => TowerOptions {
                score: "energy-contrast".parse().ok(),
                gain: Some(4.0),
                lambda: Some(16.0),
                selection: Some(Measure::Hard),
                tau: Some(0.015),
                ..none
            },
            (Self::ContrastText, Modality::Text) => TowerOptions {
                layers: Some("fc2".to_owned()),
                score: "energy-contrast".parse().ok(),
                gain: Some(4.0),
                lambda: Some(8.0),
                selection: Some(Measure::Hard),
                tau: Some(0.08),
                ..none
            },
            (Self::ContrastText, Modality::Vision) => TowerOptions { edit: Some(false), ..none },
            // Of both towers, the one where it does more.
            (Self::Aimed, _) => TowerOptions { method: Some(MethodName::Aimed), ..none },
            (Self::Steer, _) => TowerOptions { method: Some(MethodName::Steer), ..none },
        }
    }
}
