//! The edits of one tower that a sweep tries, all from one run of the calibration pairs.

use super::frontier::coarse_to_fine;
use crate::config::Method;
use crate::onnx::{Linear, Modality};
use crate::pass::Error;
use crate::pass::aim::{AimedPlan, Inputs, edit, is_of_the_layer};
use crate::pass::batches::Runner;
use crate::pass::calibrate::{Averaged, Wanted};
use crate::pass::checkpoint::Checkpoints;
use crate::pass::choose::choose;
use crate::pass::data::{Data, Group};
use crate::pass::job::Controls;
use crate::pass::notes;
use crate::pass::plans::{Scene, plan_tower, remarks};
use crate::pass::score::TowerPlan;
use crate::pass::site::Site;
use crate::pass::tower_edit::TowerEdit;
use crate::uwm::Scoring;
use crate::uwm::aim::Aim;

/// An edit that is tried.
pub enum Planned<'a> {
    /// By scores.
    Scored(TowerPlan<'a>),
    /// By aimed negation.
    Aimed(Box<AimedPlan<'a>>),
}

impl Planned<'_> {
    /// What is done.
    pub fn method(&self) -> Method {
        match self {
            Self::Scored(plan) => Method::Scored(plan.recipe.clone()),
            Self::Aimed(plan) => Method::Aimed(plan.aimed.clone()),
        }
    }

    /// The layers that it is done to.
    pub fn layers(&self) -> &[Linear] {
        match self {
            Self::Scored(plan) => &plan.layers,
            Self::Aimed(plan) => std::slice::from_ref(&plan.layer),
        }
    }

    /// The same edit on another scale, and how far along it this one is.
    fn step(&self) -> (Method, f64) {
        match self.method() {
            Method::Scored(mut recipe) => {
                let tau = std::mem::replace(&mut recipe.rule.tau, 0.0);
                (Method::Scored(recipe), tau)
            }
            Method::Aimed(mut aimed) => {
                let gain = aimed.gain.take().unwrap_or(0.0);
                (Method::Aimed(aimed), gain)
            }
        }
    }
}

/// A tower with the edits that are tried on it.
pub struct Tower<'a> {
    /// The tower.
    pub site: &'a Site<'a>,
    /// Its file.
    pub file: usize,
    /// The edits.
    pub plans: Vec<Planned<'a>>,
    /// Every layer that one of them scores.
    layers: Vec<Linear>,
    /// Every score that one of them goes by, and perhaps those with roles swapped.
    scorings: Vec<Scoring>,
    /// What came of the calibration pairs, in one pool and apart.
    averages: Vec<(Group, Averaged)>,
    /// What they bring to each layer that is aimed at.
    inputs: Vec<(Linear, Inputs)>,
    /// Whether what cannot be tried is left out with a word, and not an error: nobody asked for it by name.
    lenient: bool,
}

impl<'a> Tower<'a> {
    /// The towers that are to be edited, text first; `methods` gives what is tried on each. With `swapped`, what can be scored can
    /// be scored with roles swapped too; if `lenient`, a tower that cannot be aimed at is only scored.
    ///
    /// # Errors
    /// If a layer that is wanted cannot be edited.
    pub fn all(
        scene: Scene<'a>,
        methods: impl Fn(Modality) -> Result<Vec<Method>, Error>,
        data: &Data,
        [swapped, lenient]: [bool; 2],
        notes: &mut Vec<String>,
    ) -> Result<Vec<Self>, Error> {
        let mut towers = vec![];
        for (file, site) in scene.sites.iter().filter(|(_, site)| scene.model.edits(site.modality())) {
            let mut tower = Self {
                site,
                file: *file,
                plans: vec![],
                layers: vec![],
                scorings: vec![],
                averages: vec![],
                inputs: vec![],
                lenient,
            };
            for method in methods(site.modality())? {
                match method {
                    Method::Scored(recipe) => tower.add(plan_tower(*file, site, recipe, data, false)?, swapped, notes),
                    Method::Aimed(aimed) => match AimedPlan::new(*file, site, aimed) {
                        Ok(plan) => tower.plans.push(Planned::Aimed(Box::new(plan))),
                        Err(error) if lenient && is_of_the_layer(&error) => notes::add(notes, [error.to_string()]),
                        Err(error) => return Err(error),
                    },
                }
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
        self.plans.push(Planned::Scored(plan));
    }

    fn scored(&self) -> impl Iterator<Item = &TowerPlan<'a>> {
        self.plans.iter().filter_map(|plan| match plan {
            Planned::Scored(plan) => Some(plan),
            Planned::Aimed(_) => None,
        })
    }

    /// Runs the calibration pairs: once as one pool, once concept by concept if a recipe asks for that, and once for each
    /// layer that is aimed at.
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
        for group in self.scored().flat_map(|plan| &plan.groups) {
            if !groups.contains(group) {
                groups.push(group.clone());
            }
        }
        for group in groups {
            let epsilon = self.scored().next().map_or(0.0, |plan| plan.recipe.epsilon);
            let wanted = Wanted { site: self.site, layers: &self.layers, scorings: &self.scorings, epsilon };
            let averaged = data.average(runner, wanted, &group, checkpoints)?;
            notes::add(notes, averaged.notes.iter().cloned());
            self.averages.push((group, averaged));
        }
        let aimed = self.plans.iter().filter_map(|plan| match plan {
            Planned::Scored(_) => None,
            Planned::Aimed(plan) => Some(plan),
        });
        let mut unfit: Vec<Linear> = vec![];
        for plan in aimed {
            if self.inputs.iter().map(|(layer, _)| layer).chain(&unfit).any(|layer| layer.is(&plan.layer)) {
                continue;
            }
            match Inputs::gather(runner, data, plan) {
                Ok(inputs) => {
                    notes::add(notes, inputs.notes.iter().cloned());
                    let bad = inputs.finite.iter().filter(|finite| !**finite).count();
                    let tower = self.site.modality();
                    let said = format!(
                        "{bad} calibration pairs are not finite in the {tower} tower's last layer, and do not count"
                    );
                    notes::add(notes, (bad > 0).then_some(said));
                    self.inputs.push((plan.layer.clone(), inputs));
                }
                Err(error) if self.lenient && is_of_the_layer(&error) => {
                    notes::add(notes, [error.to_string()]);
                    unfit.push(plan.layer.clone());
                }
                Err(error) => return Err(error),
            }
        }
        self.plans.retain(|plan| !matches!(plan, Planned::Aimed(plan) if unfit.iter().any(|own| own.is(&plan.layer))));
        Ok(())
    }

    /// An edit, with what its method chooses where it should find nothing, if `controls` are wanted.
    ///
    /// # Errors
    /// If the calibration pairs allow none.
    ///
    /// # Panics
    /// If the plan is not one of the tower's.
    pub fn choose(
        &self,
        plan: &Planned<'a>,
        controls: Controls,
        notes: &mut Vec<String>,
    ) -> Result<TowerEdit<'a>, Error> {
        match plan {
            Planned::Scored(plan) => choose(plan, notes, |group| {
                let (_, averaged) = self.averages.iter().find(|(own, _)| own == group).expect("each group was run");
                averaged.scores(&self.layers, plan.wanted())
            }),
            Planned::Aimed(plan) => {
                let (_, inputs) = self.inputs.iter().find(|(own, _)| own.is(&plan.layer)).expect("each layer was run");
                let pairs: Vec<usize> = (0..inputs.finite.len()).filter(|&pair| inputs.finite[pair]).collect();
                let gain = plan.aimed.gain.expect("a grid says it");
                // Steering has none.
                let ridge = plan.aimed.ridge.unwrap_or(0.0);
                edit(plan, inputs, &pairs, Aim { gain, ridge }, controls, notes)
            }
        }
    }
}

/// The order in which edits are tried, by tower and plan: those that differ in `tau` alone (in `gain`, if they are aimed)
/// are a scale, tried from coarse to fine; scales take turns, and so do towers, so that any beginning is a fair view of the whole.
pub fn order(towers: &[Tower]) -> Vec<(usize, usize)> {
    let mut scales: Vec<(Method, Vec<(usize, usize)>)> = vec![];
    for (tower, of) in towers.iter().enumerate() {
        for (index, plan) in of.plans.iter().enumerate() {
            let (alike, _) = plan.step();
            let known = scales.iter_mut().find(|(method, steps)| *method == alike && steps[0].0 == tower);
            match known {
                Some((_, steps)) => steps.push((tower, index)),
                None => scales.push((alike, vec![(tower, index)])),
            }
        }
    }
    let along = |&(tower, index): &(usize, usize)| towers[tower].plans[index].step().1;
    let sorted: Vec<Vec<(usize, usize)>> = scales
        .into_iter()
        .map(|(_, mut steps)| {
            steps.sort_by(|a, b| along(a).total_cmp(&along(b)));
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
