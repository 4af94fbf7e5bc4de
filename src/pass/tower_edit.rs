//! What is done to a tower, however it was chosen.

use serde_json::Value;

use super::choice::Choice;
use super::site::Site;
use crate::onnx::{Linear, Selection, Update};
use crate::report::ControlKind;

/// The elements that were chosen in the layers of a tower, and what becomes of them.
pub struct TowerEdit<'a> {
    /// The file the tower is in.
    pub file: usize,
    /// The tower.
    pub site: &'a Site<'a>,
    /// Its layers.
    pub layers: Vec<Linear>,
    /// What becomes of what is chosen in them.
    pub update: Update,
    /// What is chosen.
    pub choice: Choice,
    /// What the same method does where it should find nothing.
    pub controls: Vec<(ControlKind, Vec<Selection>)>,
    /// What it goes by, in a word.
    pub score: String,
    /// The share that was selected, if it goes by one.
    pub tau: Option<f64>,
    /// All that it was made with, for the patch.
    pub recipe: Value,
}

impl TowerEdit<'_> {
    /// The edit of these positions instead, a layer each.
    pub fn selections(&self, positions: &[Vec<u32>]) -> Vec<Selection> {
        let layers = self.layers.iter().zip(positions);
        layers
            .map(|(layer, positions)| Selection {
                layer: layer.clone(),
                update: self.update.clone(),
                positions: positions.clone(),
            })
            .collect()
    }

    /// The edit.
    pub fn own(&self) -> Vec<Selection> {
        self.selections(&self.choice.positions)
    }
}
