//! The elements that are chosen in a tower.

use super::data::Group;
use crate::uwm::{ScoreSpread, Undefined};

/// The elements chosen in each of a tower's layers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Choice {
    /// Positions `o * I + i`, ascending, a layer each.
    pub positions: Vec<Vec<u32>>,
    /// What had no score, a layer each.
    pub undefined: Vec<Undefined>,
    /// How the scores are spread that it was made by, a layer each; none where concepts have scores of their own.
    pub scores: Vec<Option<ScoreSpread>>,
    /// What each concept brought, if each selected for itself.
    pub concepts: Vec<Brought>,
}

/// What a concept brought to the elements of a tower.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Brought {
    /// Its name.
    pub concept: String,
    /// Its pairs.
    pub pairs: usize,
    /// Elements it selected.
    pub selected: usize,
    /// Of these, such as no concept before it had selected.
    pub added: usize,
}

impl Choice {
    /// Elements chosen.
    pub fn selected(&self) -> usize {
        self.positions.iter().map(Vec::len).sum()
    }

    /// Joins what a group of pairs selected.
    pub fn add(&mut self, group: &Group, positions: Vec<Vec<u32>>, undefined: Vec<Undefined>) {
        let (before, selected) = (self.selected(), positions.iter().map(Vec::len).sum());
        for (all, new) in self.positions.iter_mut().zip(positions) {
            if all.is_empty() {
                *all = new;
            } else {
                all.extend(new);
                all.sort_unstable();
                all.dedup();
            }
        }
        for (all, new) in self.undefined.iter_mut().zip(undefined) {
            *all = all.and(new);
        }
        if let Some(concept) = &group.concept {
            let (concept, pairs, added) = (concept.clone(), group.rows.len(), self.selected() - before);
            self.concepts.push(Brought { concept, pairs, selected, added });
        }
    }
}
