//! The edits of one tower that a sweep tries, all from one run of the calibration pairs.

use super::frontier::coarse_to_fine;
use crate::config::Recipe;
use crate::onnx::{Linear, Modality};
use crate::pass::Error;
use crate::pass::batches::Runner;
use crate::pass::calibrate::{Averaged, Wanted};
use crate::pass::checkpoint::Checkpoints;
use crate::pass::choose::choose;
use crate::pass::data::{Data, Group};
use crate::pass::notes;
use crate::pass::plans::{Scene, plan_tower, remarks};
use crate::pass::score::TowerPlan;
use crate::pass::site::Site;
use crate::pass::tower_edit::TowerEdit;
use crate::uwm::Scoring;

/// A tower with the edits that are tried on it.
pub struct Tower<'a> {
    /// The tower.
    pub site: &'a Site<'a>,
    /// Its file.
    pub file: usize,
    /// The edits.
    pub plans: Vec<TowerPlan<'a>>,
    /// Every layer that one of them edits.
    layers: Vec<Linear>,
    /// Every score that one of them goes by, and perhaps those with roles swapped.
    scorings: Vec<Scoring>,
    /// What came of the calibration pairs, in one pool and apart.
    averages: Vec<(Group, Averaged)>,
}

impl<'a> Tower<'a> {
    /// The towers that are to be edited, text first; `recipes` gives those of each. With `swapped`, what can be scored can
    /// be scored with roles swapped too.
    ///
    /// # Errors
    /// If a layer that is wanted cannot be edited.
    pub fn all(
        scene: Scene<'a>,
        recipes: impl Fn(Modality) -> Result<Vec<Recipe>, Error>,
        data: &Data,
        swapped: bool,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Self>, Error> {
        let mut towers = vec![];
        for (file, site) in scene.sites.iter().filter(|(_, site)| scene.model.edits(site.modality())) {
            let mut tower =
                Self { site, file: *file, plans: vec![], layers: vec![], scorings: vec![], averages: vec![] };
            for recipe in recipes(site.modality())? {
                tower.add(plan_tower(*file, site, recipe, data, false)?, swapped, notes);
            }
            towers.push(tower);
        }
        Ok(towers)
    }

    fn add(&mut self, plan: TowerPlan<'a>, swapped: bool, notes: &mut Vec<String>) {
        notes::add(notes, remarks(&plan));
        let scorings = plan.scorings.iter().flat_map(|own| std::iter::once(*own).chain(swapped.then(|| own.swapped())));
        for scoring in scorings {
            if !self.scorings.contains(&scoring) {
                self.scorings.push(scoring);
            }
        }
        let wanted = |layer: &&Linear| self.layers.iter().chain(&plan.layers).any(|own| own.is(layer));
        self.layers = self.site.layers.iter().filter(wanted).cloned().collect();
        self.plans.push(plan);
    }

    /// Runs the calibration pairs: once as one pool, and once concept by concept if a recipe asks for that.
    ///
    /// # Errors
    /// Those of a calibration.
    pub fn calibrate(
        &mut self,
        runner: Runner,
        data: &Data,
        checkpoints: Option<&Checkpoints>,
        notes: &mut Vec<String>,
    ) -> Result<(), Error> {
        let mut groups: Vec<Group> = vec![];
        for group in self.plans.iter().flat_map(|plan| &plan.groups) {
            if !groups.contains(group) {
                groups.push(group.clone());
            }
        }
        for group in groups {
            let epsilon = self.plans.first().map_or(0.0, |plan| plan.recipe.epsilon);
            let wanted = Wanted { site: self.site, layers: &self.layers, scorings: &self.scorings, epsilon };
            let averaged = data.average(runner, wanted, &group, checkpoints)?;
            notes::add(notes, averaged.notes.iter().cloned());
            self.averages.push((group, averaged));
        }
        Ok(())
    }

    /// The elements of an edit.
    ///
    /// # Errors
    /// If the scores allow no selection.
    ///
    /// # Panics
    /// If the plan is not one of the tower's.
    pub fn choose(&self, plan: &TowerPlan<'a>, notes: &mut Vec<String>) -> Result<TowerEdit<'a>, Error> {
        choose(plan, notes, |group| {
            let (_, averaged) = self.averages.iter().find(|(own, _)| own == group).expect("each group was run");
            averaged.scores(&self.layers, plan.wanted())
        })
    }
}

/// The order in which edits are tried, by tower and plan: recipes that differ in `tau` alone are a scale, tried from coarse
/// to fine; scales take turns, and so do towers, so that any beginning is a fair view of the whole.
pub fn order(towers: &[Tower]) -> Vec<(usize, usize)> {
    let mut scales: Vec<(Recipe, Vec<(usize, usize)>)> = vec![];
    for (tower, of) in towers.iter().enumerate() {
        for (index, plan) in of.plans.iter().enumerate() {
            let mut alike = plan.recipe.clone();
            alike.rule.tau = 0.0;
            let known = scales.iter_mut().find(|(recipe, steps)| *recipe == alike && steps[0].0 == tower);
            match known {
                Some((_, steps)) => steps.push((tower, index)),
                None => scales.push((alike, vec![(tower, index)])),
            }
        }
    }
    let tau = |&(tower, index): &(usize, usize)| towers[tower].plans[index].recipe.rule.tau;
    let sorted: Vec<Vec<(usize, usize)>> = scales
        .into_iter()
        .map(|(_, mut steps)| {
            steps.sort_by(|a, b| tau(a).total_cmp(&tau(b)));
            coarse_to_fine(steps.len()).into_iter().map(|step| steps[step]).collect()
        })
        .collect();
    let in_turn = |lists: Vec<Vec<(usize, usize)>>| -> Vec<(usize, usize)> {
        let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
        (0..longest).flat_map(|turn| lists.iter().filter_map(move |list| list.get(turn).copied())).collect()
    };
    let of_tower = |tower: usize| sorted.iter().filter(|steps| steps[0].0 == tower).cloned().collect();
    in_turn((0..towers.len()).map(|tower| in_turn(of_tower(tower))).collect())
}
