//! What is done to which tower, decided before anything is run.

use super::Error;
use super::aim::{AimedPlan, is_of_the_layer};
use super::data::Data;
use super::folder::siblings;
use super::job::ModelFiles;
use super::score::TowerPlan;
use super::site::Site;
use crate::config::{Config, Method, Recipe};
use crate::few::few;
use crate::onnx::{Graph, Hints, Linear, Modality, find_towers};

/// A model, what was found in it, and what was said of it.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The files.
    pub model: &'a ModelFiles,
    /// What the user says of inputs and embeddings.
    pub hints: &'a Hints,
    /// Recipe and data.
    pub config: &'a Config,
    /// The graphs, a file each.
    pub graphs: &'a [Graph<'a>],
    /// The towers, with the index of their file.
    pub sites: &'a [(usize, Site<'a>)],
}

/// What is done to the towers.
#[derive(Default)]
pub struct Plans<'a> {
    /// Those edited by scores.
    pub scored: Vec<TowerPlan<'a>>,
    /// Those that may be edited by aimed negation.
    pub aimed: Vec<AimedPlan<'a>>,
}

impl Plans<'_> {
    /// Only those edited by scores.
    ///
    /// # Errors
    /// If there are others.
    pub fn only_scored(&self, what: &str) -> Result<(), Error> {
        match self.aimed.is_empty() {
            true => Ok(()),
            false => Err(Error::Conflict {
                reason: format!("{what} is for scores, and aimed edits have none"),
                help: "leave it out, or choose another --preset",
            }),
        }
    }
}

/// Why an aimed edit beside another one is not made.
///
/// # Errors
/// [`Error::Conflict`], unless it is forced.
pub fn check_both(plans: &Plans, force: bool) -> Result<(), Error> {
    match plans.scored.len() + plans.aimed.len() > 1 && !plans.aimed.is_empty() && !force {
        true => Err(Error::Conflict {
            reason: "both towers are to be edited, one of them aimed at its safe side, which cancels out: both move and meet again".to_owned(),
            help: "edit one of them (--tower, or `edit: false` for the other in uwm.yaml); or, to see it, pass --force",
        }),
        false => Ok(()),
    }
}

/// A plan for each tower that is to be edited; with `swapped`, the same score is made with roles swapped too.
///
/// # Errors
/// If a layer that is wanted cannot be edited, or nothing is to be.
pub fn plan_towers<'a>(
    scene: Scene<'a>,
    data: &Data,
    swapped: bool,
    notes: &mut Vec<String>,
) -> Result<Plans<'a>, Error> {
    let (mut plans, mut unfit) = (Plans::default(), vec![]);
    for (file, site) in scene.sites.iter().filter(|(_, site)| scene.model.edits(site.modality())) {
        let tower = site.modality();
        match scene.config.method(tower)? {
            None => {}
            Some(Method::Scored(recipe)) => {
                let plan = plan_tower(*file, site, recipe, data, swapped)?;
                notes.extend(remarks(&plan));
                plans.scored.push(plan);
            }
            Some(Method::Aimed(aimed)) => match AimedPlan::new(*file, site, aimed) {
                Ok(plan) => {
                    let plan = AimedPlan { asked: scene.config.options(tower).edit == Some(true), ..plan };
                    notes.extend(overridable(site, std::slice::from_ref(&plan.layer)).into_iter().chain(mixing(site)));
                    plans.aimed.push(plan);
                }
                // The other tower may do, where this one was not asked for.
                Err(error) if scene.config.options(tower).edit.is_none() && is_of_the_layer(&error) => {
                    unfit.push(error)
                }
                Err(error) => return Err(error),
            },
        }
    }
    let edited: Vec<Modality> = plans
        .scored
        .iter()
        .map(|plan| plan.site.modality())
        .chain(plans.aimed.iter().map(|plan| plan.site.modality()))
        .collect();
    if edited.is_empty() && !unfit.is_empty() {
        return Err(unfit.remove(0));
    }
    notes.extend(unfit.iter().map(ToString::to_string));
    if edited.is_empty() {
        let towers = few(scene.sites.iter().map(|(_, site)| site.modality()));
        return Err(Error::Conflict {
            reason: format!("the recipe edits none of the towers that are there ({towers})"),
            help: "choose another --preset, or say `edit: true` for a tower in uwm.yaml",
        });
    }
    notes.extend(left_out(scene, &edited)?);
    notes.extend(unedited_siblings(scene.model));
    Ok(plans)
}

/// The plan of a recipe for a tower.
///
/// # Errors
/// If a layer that is wanted cannot be edited, or the data lack what the score needs.
pub fn plan_tower<'a>(
    file: usize,
    site: &'a Site<'a>,
    recipe: Recipe,
    data: &Data,
    swapped: bool,
) -> Result<TowerPlan<'a>, Error> {
    let layers = site.select(&recipe.layers)?;
    let scorings = std::iter::once(recipe.scoring).chain(swapped.then(|| recipe.scoring.swapped())).collect();
    let groups = data.groups(recipe.concepts);
    data.check_concepts(&recipe)?;
    Ok(TowerPlan { file, site, recipe, layers, scorings, groups })
}

/// What the user should know of a plan.
pub fn remarks(plan: &TowerPlan) -> impl Iterator<Item = String> {
    let TowerPlan { site, layers, recipe, .. } = plan;
    [overridable(site, layers), mixing(site), site.convolutions(&recipe.layers)].into_iter().flatten()
}

/// A word on files of the same model that are not edited.
pub fn unedited_siblings(model: &ModelFiles) -> Vec<String> {
    let others = model.inputs().into_iter().map(|input| siblings(&input)).filter(|others| !others.is_empty());
    let note = |others: Vec<std::path::PathBuf>| {
        format!(
            "not edited, though of the same model by their names: {}; `uwm-onnx apply --match layers` carries a patch over to them",
            few(others.iter().map(|path| path.display()))
        )
    };
    others.map(note).collect()
}

/// A word on what is in the files or was said, and takes no part.
fn left_out(scene: Scene, edited: &[Modality]) -> Result<Vec<String>, Error> {
    let mut said = vec![];
    for (file, graph) in scene.graphs.iter().enumerate() {
        let towers = find_towers(graph, scene.hints)?;
        said.extend(towers.left_out(scene.model.wanted(file)));
    }
    for (tower, options) in [(Modality::Text, &scene.config.text), (Modality::Vision, &scene.config.vision)] {
        let there = scene.model.edits(tower) && scene.sites.iter().any(|(_, site)| site.modality() == tower);
        let edited = edited.contains(&tower);
        let given = options.given();
        if there && !edited && !given.is_empty() {
            said.push(format!("options are given for the {tower} tower ({}), and it is not edited", few(given)));
        }
    }
    Ok(said)
}

/// A word on a tower whose numbers depend on what else is in the batch.
fn mixing(site: &Site) -> Option<String> {
    let how = match site.fixed_batch() {
        Some(fixed @ 2..) => format!("its graph takes {fixed} samples at a time, which so depend on one another"),
        _ => "it was run one sample at a time".to_owned(),
    };
    let tower = site.modality();
    site.mixes_samples().then(|| format!("the {tower} tower quantises its activations with one scale a batch: {how}"))
}

/// A word on weights that a caller of the model can replace (initializers that are graph inputs too).
fn overridable(site: &Site, layers: &[Linear]) -> Option<String> {
    let inputs = &site.graph.model.graph().input;
    let names: Vec<&str> = layers
        .iter()
        .map(|layer| layer.weight.initializer.as_str())
        .filter(|name| inputs.iter().any(|input| input.name == *name))
        .collect();
    let first = names.first()?;
    Some(format!(
        "{} edited initializers, '{first}' first, are graph inputs too: a caller that feeds them undoes the edit",
        names.len()
    ))
}
