//! The scores of a tower's layers: from a calibration or from a file, and into a file.

use std::path::Path;

use super::Error;
use super::batches::Runner;
use super::calibrate::Wanted;
use super::checkpoint::Checkpoints;
use super::data::{Data, Group};
use super::kept::{Header, Kept, KeptGroup, KeptLayer, KeptTower, Writer};
use super::notes;
use super::site::Site;
use crate::config::Recipe;
use crate::onnx::{Linear, Source};
use crate::uwm::{self, Scores, Scoring};

/// A tower that is to be edited.
pub struct TowerPlan<'a> {
    /// The file it is in.
    pub file: usize,
    /// The tower.
    pub site: &'a Site<'a>,
    /// What is done to it.
    pub recipe: Recipe,
    /// The layers to edit.
    pub layers: Vec<Linear>,
    /// The scores to make: the recipe's, and perhaps the same with roles swapped.
    pub scorings: Vec<Scoring>,
    /// The calibration pairs, as the recipe puts them together.
    pub groups: Vec<Group>,
}

impl TowerPlan<'_> {
    /// What is to be scored.
    pub fn wanted(&self) -> Wanted<'_> {
        Wanted { site: self.site, layers: &self.layers, scorings: &self.scorings, epsilon: self.recipe.epsilon }
    }

    /// What a file of its scores says of them.
    ///
    /// # Errors
    /// If a sample cannot be read.
    pub fn header(&self, data: &Data, runner: Runner) -> Result<KeptTower, Error> {
        let place = runner.runtime.place();
        let tower = self.site.modality();
        Ok(KeptTower {
            tower,
            model: self.site.graph.model.sources().iter().map(|source| Source::sha256(source).to_owned()).collect(),
            data: data.identity(self.site)?.to_owned(),
            runtime: [place.backend, &place.version, &place.provider, &place.device].map(str::to_owned),
            epsilon: self.recipe.epsilon,
            layers: self.layers.iter().map(KeptLayer::of).collect(),
            scorings: self.scorings.clone(),
            groups: self.groups.iter().map(KeptGroup::of).collect(),
        })
    }
}

/// Gives scores, from where they are.
pub struct Scorer<'a> {
    /// The calibration data.
    pub data: &'a Data,
    /// Runs the towers.
    pub runner: Runner<'a>,
    /// Scores that were kept, instead of a calibration.
    pub kept: Option<&'a Kept>,
    /// Where they are kept.
    pub writer: Option<Writer<'a>>,
    /// Where a calibration's progress is kept.
    pub checkpoints: Option<&'a Checkpoints>,
    /// What the user should know.
    pub notes: &'a mut Vec<String>,
}

impl Scorer<'_> {
    /// The scores of a group of pairs: for each scoring, a layer each.
    ///
    /// # Errors
    /// Those of a calibration, or of the files.
    pub fn score(&mut self, wanted: Wanted, group: &Group) -> Result<Vec<Vec<Scores>>, Error> {
        let scored = match self.kept {
            Some(kept) => kept.read(wanted, group, self.data.identity(wanted.site)?),
            None => self.data.average(self.runner, wanted, group, self.checkpoints).and_then(|averaged| {
                notes::add(self.notes, averaged.notes.iter().cloned());
                averaged.scores(wanted.layers, wanted)
            }),
        };
        if let Some(writer) = &mut self.writer {
            match &scored {
                Ok(scores) => writer.group(wanted, group, Some(scores))?,
                Err(Error::Score { source: uwm::Error::NoPairs { .. }, .. }) => writer.group(wanted, group, None)?,
                Err(_) => {}
            }
        }
        scored
    }

    /// Ends the file of scores, if there is one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> Result<(), Error> {
        self.writer.map_or(Ok(()), Writer::finish)
    }
}

/// The header of a file with these towers' scores.
///
/// # Errors
/// If a sample cannot be read.
pub fn header(plans: &[TowerPlan], data: &Data, runner: Runner) -> Result<Header, Error> {
    let towers = plans.iter().map(|plan| plan.header(data, runner)).collect::<Result<_, Error>>()?;
    Ok(Header { tool: env!("CARGO_PKG_VERSION").to_owned(), towers })
}

/// Opens a file of scores to be used, and says so. Where it has none with roles swapped, that control is left out.
///
/// # Errors
/// If it cannot be read or is none.
pub fn open_kept(path: &Path, plans: &mut [TowerPlan], notes: &mut Vec<String>) -> Result<Kept, Error> {
    let kept = Kept::open(path)?;
    notes.push(format!("scores were taken from {}; nothing was calibrated", path.display()));
    for plan in plans {
        let tower = plan.site.modality();
        let all = plan.scorings.len();
        plan.scorings.retain(|scoring| !scoring.swapped || kept.has(tower, scoring));
        if plan.scorings.len() < all {
            notes.push(format!(
                "no control with roles swapped: {} has no such scores of the {tower} tower",
                path.display()
            ));
        }
    }
    Ok(kept)
}
