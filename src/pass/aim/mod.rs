//! Aimed negation: the last linear layer of a tower, its elements chosen together, how far by cross-validation.

mod change;
mod cross;
mod inputs;
mod survey;

use ndarray::Array2;
use serde_json::json;

use change::Change;
use cross::{Crossing, moments};
pub use inputs::Inputs;
use inputs::embedded;
pub use survey::survey;

use super::Error;
use super::batches::Runner;
use super::choose::Choice;
use super::data::Data;
use super::job::Controls;
use super::notes;
use super::site::Site;
use super::tower_edit::TowerEdit;
use crate::config::{Aimed, GAINS, MethodName, RIDGES};
use crate::few::few;
use crate::onnx::{Linear, Modality, Selection};
use crate::report::{self, AimPoint, ControlKind};
use crate::uwm::aim::{self, Detector, Fit, Moments};
use crate::uwm::{self, Undefined};

/// A tower that may be edited by aimed negation.
pub struct AimedPlan<'a> {
    /// The file it is in.
    pub file: usize,
    /// The tower.
    pub site: &'a Site<'a>,
    /// The layer.
    pub layer: Linear,
    /// What is said of it.
    pub aimed: Aimed,
}

impl<'a> AimedPlan<'a> {
    /// The plan for a tower: the layer that is named, or its last one.
    ///
    /// # Errors
    /// If there is none, several are named, or it cannot be edited.
    pub fn new(file: usize, site: &'a Site<'a>, aimed: Aimed) -> Result<Self, Error> {
        let layer = match &aimed.layers {
            Some(wanted) => {
                let mut layers = site.select(wanted)?;
                match (layers.len(), layers.pop()) {
                    (1, Some(layer)) => layer,
                    (count, _) => {
                        return Err(Error::Conflict {
                            reason: format!("'{wanted}' is {count} layers of the {} tower", site.modality()),
                            help: "aimed negation edits one layer: name that one, or leave it out for the last one",
                        });
                    }
                }
            }
            None => last(site)?,
        };
        Ok(Self { file, site, layer, aimed })
    }
}

/// The last linear layer of a tower, after its blocks.
fn last(site: &Site) -> Result<Linear, Error> {
    let ends = |role: &str| role == "projection" || role.starts_with("head.");
    let found = site.layers.iter().rev().find(|layer| layer.role == "projection");
    let found = found.or_else(|| site.layers.iter().rev().find(|layer| ends(&layer.role)));
    if let Some(layer) = found {
        site.check_editable(layer)?;
        return Ok(layer.clone());
    }
    let tower = site.modality();
    let hidden = site.opaque.iter().rev().find(|node| ends(&node.role) && !node.convolution);
    let why = hidden.map_or(String::new(), |node| {
        format!(" that can be edited ('{}' is {}, and its weight is {})", node.node, node.role, node.weight)
    });
    Err(Error::Conflict {
        reason: format!("the {tower} tower has no linear layer between its blocks and its embedding{why}"),
        help: "name another layer that is given one row a sample with --layers, the other tower with --tower, or another --preset",
    })
}

/// Cosine from which on an embedding is the one that was foretold; codes and short floats are not exact.
const SAME: f64 = 0.98;
/// Where nothing can be cross-validated.
const USUAL: aim::Aim = aim::Aim { gain: 2.5, ridge: 0.3 };
/// Rounding that a limit forgives.
const ROUNDING: f64 = 1e-9;

/// What aims.
#[derive(Clone, Copy)]
pub struct Aiming<'a, 's> {
    /// Runs the towers.
    pub runner: Runner<'a>,
    /// The calibration data.
    pub data: &'a Data,
    /// All towers that are there.
    pub sites: &'a [(usize, Site<'s>)],
    /// Which controls are wanted.
    pub controls: Controls,
    /// Whether all plans are carried out, and not the best.
    pub all: bool,
}

/// A plan with what the calibration pairs bring to it.
struct Trial<'p, 'a> {
    plan: &'p AimedPlan<'a>,
    inputs: Inputs,
    embeddings: Option<[Array2<f32>; 2]>,
}

impl<'a> Aiming<'a, '_> {
    /// Tries the plans on the calibration pairs and makes the edit of the best, with what was found out on the way.
    ///
    /// # Errors
    /// If data or runtime fail, or no setting does any good within the limits.
    pub fn aim<'p>(
        self,
        plans: &[AimedPlan<'p>],
        notes: &mut Vec<String>,
    ) -> Result<(Vec<TowerEdit<'p>>, Vec<report::Aim>), Error> {
        let mut trials = vec![];
        for plan in plans {
            let inputs = Inputs::gather(self.runner, self.data, plan)?;
            notes::add(notes, inputs.notes.clone());
            let embeddings = inputs.embeddings(self.runner, self.data, plan)?;
            if embeddings.is_none() {
                notes.push(format!(
                    "not cross-validated: what follows layer {} of the {} tower does more than add a bias and normalise",
                    plan.layer.node,
                    plan.site.modality()
                ));
            }
            trials.push(Trial { plan, inputs, embeddings });
        }
        let of = |tower: Modality| -> Result<Option<[Array2<f32>; 2]>, Error> {
            match trials.iter().find(|trial| trial.plan.site.modality() == tower) {
                Some(trial) => Ok(trial.embeddings.clone()),
                None => embedded(self.runner, self.data, self.sites, tower),
            }
        };
        let embeddings = [of(Modality::Text)?, of(Modality::Vision)?];
        let pairs = good(&trials, &embeddings);
        let bad = self.data.calibration.rows.len() - pairs.len();
        if bad > 0 {
            notes.push(format!(
                "{bad} calibration pairs have activations or embeddings that are zero or not finite, and do not count"
            ));
        }
        let mut looked = vec![];
        for trial in &trials {
            looked.push(self.look(trial, &embeddings, &pairs)?);
        }
        let chosen = self.choose(&trials, &mut looked, notes)?;
        let mut edits = vec![];
        for (trial, aim) in chosen {
            let Trial { plan, inputs, embeddings } = &trials[trial];
            let edit = edit(plan, inputs, &pairs, aim, self.controls, notes)?;
            if let Some(embeddings) = embeddings {
                let change = Change { update: edit.update.clone(), positions: edit.choice.positions[0].clone() };
                let as_foretold = inputs.foretold(self.runner, self.data, plan, embeddings, &change)?;
                if as_foretold.is_none_or(|cosine| cosine < SAME) {
                    notes.push(format!(
                        "the edited {} tower does not embed as was foretold (cosine {}): the figures for held-out pairs do not hold, go by the evaluation",
                        plan.site.modality(),
                        as_foretold.map_or("not defined".to_owned(), |cosine| format!("{cosine:.3}"))
                    ));
                }
            }
            edits.push(edit);
        }
        Ok((edits, looked))
    }

    /// What can be said of a layer beforehand.
    fn look(
        &self,
        trial: &Trial,
        [text, vision]: &[Option<[Array2<f32>; 2]>; 2],
        pairs: &[usize],
    ) -> Result<report::Aim, Error> {
        let (layer, tower) = (&trial.plan.layer, trial.plan.site.modality());
        let mut aim = report::Aim {
            tower,
            role: layer.role.clone(),
            node: layer.node.clone(),
            separation: None,
            by_concept: vec![],
            by_style: vec![],
            limit: trial.plan.aimed.max_loss,
            before: None,
            curve: vec![],
            chosen: None,
        };
        let Some(crossing) = Crossing::new(&trial.inputs, pairs).map_err(|source| failed(layer, source))? else {
            return Ok(aim);
        };
        let rows = &self.data.calibration.rows;
        (aim.separation, aim.by_concept) = crossing.separation(|pair| rows[pair].concept.clone());
        aim.by_style = crossing.separation(|pair| rows[pair].style.clone()).1;
        let (own, other) = if tower == Modality::Text { (text, vision) } else { (vision, text) };
        if let Some((own, other)) = own.as_ref().zip(other.as_ref()) {
            let (before, curve) = crossing.curve(
                self.runner,
                tower,
                [own, other],
                trial.plan.aimed.method,
                &settings(&trial.plan.aimed),
            )?;
            (aim.before, aim.curve) = (Some(before), curve);
        }
        Ok(aim)
    }

    /// Which trials are carried out, and with which setting.
    fn choose(
        &self,
        trials: &[Trial],
        looked: &mut [report::Aim],
        notes: &mut Vec<String>,
    ) -> Result<Vec<(usize, aim::Aim)>, Error> {
        let mut best: Vec<(usize, aim::Aim, f64)> = vec![];
        for (index, (trial, aim)) in trials.iter().zip(looked.iter()).enumerate() {
            let Aimed { gain, ridge, .. } = trial.plan.aimed;
            match (gain, ridge, &aim.before) {
                // Said by the user, whatever it costs.
                (Some(gain), ridge, _) if ridge.is_some() || trial.plan.aimed.method == MethodName::Steer => {
                    let ridge = ridge.unwrap_or(0.0);
                    let gs = aim.curve.first().map_or(0.0, |point| point.GS);
                    best.push((index, aim::Aim { gain, ridge }, gs));
                }
                (gain, ridge, None) => {
                    let aim = aim::Aim { gain: gain.unwrap_or(USUAL.gain), ridge: ridge.unwrap_or(USUAL.ridge) };
                    notes.push(format!(
                        "gain {} and ridge {} were not found by cross-validation, which needs both towers and some pairs more",
                        aim.gain, aim.ridge
                    ));
                    best.push((index, aim, 0.0));
                }
                (.., Some(before)) => {
                    let point = pick(before, &aim.curve, trial.plan.aimed.max_loss);
                    best.extend(
                        point.map(|point| (index, aim::Aim { gain: point.gain, ridge: point.ridge }, point.GS)),
                    );
                }
            }
        }
        if best.is_empty() {
            let found: Vec<String> = looked.iter().map(report::Aim::sentence).collect();
            return Err(Error::Conflict {
                reason: format!(
                    "no setting does any good without losing more than {} points of PS or of recall@1 (in a gallery of 256) on held-out calibration pairs. {}",
                    few(looked.iter().map(|aim| aim.limit)),
                    found.join(" ")
                ),
                help: "choose another --preset, allow more with --max-loss, or say --gain and --ridge, which are then not checked",
            });
        }
        if !self.all {
            // Of equal ones the first.
            let most = best.iter().map(|(.., gs)| *gs).fold(f64::NEG_INFINITY, f64::max);
            best.retain(|(.., gs)| *gs == most);
            best.truncate(1);
        }
        for (index, aim, _) in &best {
            looked[*index].chosen = Some([aim.gain, aim.ridge]);
        }
        if trials.len() > 1 && !self.all {
            let tower = looked.iter().find(|aim| aim.chosen.is_some()).map(|aim| aim.tower);
            notes.extend(tower.map(|tower| {
                format!("the {tower} tower is edited, where it does more on held-out pairs; editing both cancels out (--tower chooses)")
            }));
        }
        Ok(best.into_iter().map(|(index, aim, _)| (index, aim)).collect())
    }
}

/// The edit of a setting, made from some of the calibration pairs.
///
/// # Errors
/// If nothing tells unsafe inputs from safe ones, or no negation betters anything.
pub fn edit<'a>(
    plan: &AimedPlan<'a>,
    inputs: &Inputs,
    pairs: &[usize],
    aim: aim::Aim,
    wanted: Controls,
    notes: &mut Vec<String>,
) -> Result<TowerEdit<'a>, Error> {
    let weight = &inputs.weight;
    let moments = moments(inputs, pairs);
    let fit = Fit::usual(weight.ncols(), pairs.len());
    let fitted = Detector::fit(&moments, weight, fit).map_err(|source| failed(&plan.layer, source))?;
    let selection = |moments: &Moments, detector: &Detector| {
        let Change { update, positions } = Change::make(plan.aimed.method, inputs, moments, detector, aim);
        Selection { layer: plan.layer.clone(), update, positions }
    };
    let own = selection(&moments, &fitted);
    if own.positions.is_empty() {
        return Err(failed(&plan.layer, uwm::Error::NothingSelected { layers: 1 }));
    }
    let mut controls = vec![];
    if wanted != Controls::Off {
        let swapped = moments.swapped();
        match Detector::fit(&swapped, weight, fit) {
            Ok(other) => controls.push((ControlKind::Swapped, vec![selection(&swapped, &other)])),
            Err(error) => notes.push(format!("no control with roles swapped: {error}")),
        }
    }
    for seed in wanted.seeds() {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Box and Muller.
        let normal = || (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
        match Detector::random(&moments, weight, fit, &fitted, normal) {
            Ok(other) => controls.push((ControlKind::Direction { seed }, vec![selection(&moments, &other)])),
            Err(error) => notes.push(format!("no control with a random direction: {error}")),
        }
    }
    let ridge = (plan.aimed.method == MethodName::Aimed).then_some(aim.ridge);
    let aimed = Aimed { gain: Some(aim.gain), ridge, ..plan.aimed.clone() };
    Ok(TowerEdit {
        file: plan.file,
        site: plan.site,
        layers: vec![plan.layer.clone()],
        update: own.update,
        choice: Choice { positions: vec![own.positions], undefined: vec![Undefined::default()], concepts: vec![] },
        controls,
        score: aimed.method.to_string(),
        tau: None,
        recipe: json!(aimed),
    })
}

/// The settings that are tried: those that are said, or the usual ones; `ridge` varies last.
fn settings(aimed: &Aimed) -> Vec<aim::Aim> {
    let of = |said: Option<f64>, usual: &[f64]| said.map_or(usual.to_vec(), |said| vec![said]);
    // A steering edit has nothing to pay for one by one.
    let ridges = if aimed.method == MethodName::Steer { vec![0.0] } else { of(aimed.ridge, &RIDGES) };
    let gains = of(aimed.gain, &GAINS).into_iter();
    gains.flat_map(|gain| ridges.iter().map(move |&ridge| aim::Aim { gain, ridge })).collect()
}

/// The setting with the most GS within the limits, if it betters the model; of equal ones the one that negates least.
fn pick(before: &AimPoint, curve: &[AimPoint], limit: f64) -> Option<AimPoint> {
    let kept = |lost: f64| lost <= limit + ROUNDING;
    let fits = |point: &&AimPoint| {
        kept(before.PS - point.PS)
            && kept(before.recall_of_256 - point.recall_of_256)
            && point.GS > before.GS + ROUNDING
    };
    let order = |a: &&AimPoint, b: &&AimPoint| a.GS.total_cmp(&b.GS).then(b.negated.cmp(&a.negated));
    curve.iter().filter(fits).max_by(order).copied()
}

/// The pairs whose inputs and embeddings are all there.
fn good(trials: &[Trial], embeddings: &[Option<[Array2<f32>; 2]>; 2]) -> Vec<usize> {
    let all = trials.first().map_or(0, |trial| trial.inputs.finite.len());
    let whole = |rows: &Array2<f32>, pair: usize| {
        let row = rows.row(pair);
        row.iter().all(|value| value.is_finite()) && row.iter().any(|&value| value != 0.0)
    };
    let fits = |&pair: &usize| {
        trials.iter().all(|trial| trial.inputs.finite[pair])
            && embeddings.iter().flatten().flatten().all(|rows| whole(rows, pair))
    };
    (0..all).filter(fits).collect()
}

fn failed(layer: &Linear, source: uwm::Error) -> Error {
    Error::Score { layer: layer.node.clone(), source }
}

/// Why aimed negation of both towers is not done.
///
/// # Errors
/// [`Error::Conflict`], unless it is forced.
pub fn check_both(plans: &[AimedPlan], force: bool) -> Result<(), Error> {
    match plans.len() > 1 && !force {
        true => Err(Error::Conflict {
            reason: format!(
                "aimed negation is asked for in both towers ({}), which cancels out: both move to the other side and meet again",
                few(plans.iter().map(|plan| plan.site.modality()))
            ),
            help: "edit one of them (--tower); or, to see it, pass --force",
        }),
        false => Ok(()),
    }
}
