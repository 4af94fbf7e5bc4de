//! Aimed negation: the last linear layer of a tower, its elements chosen together, how far by cross-validation.

mod change;
mod cross;
mod inputs;
mod raw;
mod survey;

use ndarray::Array2;
use serde_json::json;

use change::{Change, Learnt};
use cross::{Crossing, FEWEST, moments};
pub use inputs::Inputs;
use raw::embedded;
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
use crate::onnx::{Linear, Modality, Selection};
use crate::report::{self, AimPoint, ControlKind};
use crate::uwm::aim::{self, Detector, Fit};
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
    /// Whether just this tower was asked for: then it is an error if it cannot be aimed at, and else only a note.
    pub asked: bool,
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
        let (tower, node) = (site.modality(), crate::few::cut(&layer.node));
        if layer.uses.len() > 1 {
            return Err(Error::Conflict {
                reason: format!(
                    "layer {node} of the {tower} tower multiplies {} values by one weight",
                    layer.uses.len()
                ),
                help: "aimed edits need a layer that is given one: choose another with --layers, or another --preset",
            });
        }
        let element = layer.weight.open(site.graph.model)?.element;
        if aimed.method == MethodName::Steer && !element.is_float() {
            return Err(Error::Conflict {
                reason: format!(
                    "the weight of layer {node} of the {tower} tower is {} codes, which cannot take any value",
                    element.name()
                ),
                help: "negate instead (--preset aimed), or steer the file it was quantised from",
            });
        }
        Ok(Self { file, site, layer, aimed, asked: false })
    }
}

/// The last linear layer of a tower, after its blocks.
fn last(site: &Site) -> Result<Linear, Error> {
    let tower = site.modality();
    let none = |why: String| {
        let help = "name another layer that is given one row a sample with --layers, the other tower with --tower, or another --preset";
        Err(Error::Conflict { reason: format!("the {tower} tower has no last linear layer {why}"), help })
    };
    let opaque = |ends: fn(&str) -> bool| site.opaque.iter().rev().find(|node| ends(&node.role) && !node.convolution);
    let layer = |ends: fn(&str) -> bool| site.layers.iter().rev().find(|layer| ends(&layer.role));
    let projection = |role: &str| role == "projection";
    let head = |role: &str| role.starts_with("head.");
    // A projection ends a tower, whether it can be edited or not.
    let found = match (opaque(projection), layer(projection)) {
        (Some(node), None) => Err(Some(node)),
        (_, Some(layer)) => Ok(layer),
        (None, None) => layer(head).ok_or_else(|| opaque(head)),
    };
    match found {
        Ok(layer) => {
            site.check_editable(layer)?;
            Ok(layer.clone())
        }
        Err(Some(node)) => none(format!(
            "that can be edited: '{}' is {}, and its weight is {}",
            crate::few::cut(&node.node),
            node.role,
            node.weight
        )),
        Err(None) => none("between its blocks and its embedding".to_owned()),
    }
}

/// How far off embeddings may be from what was foretold, in parts of what the edit moves them by; codes and short floats are
/// not exact.
const FORETOLD: f64 = 0.3;
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
    /// Whether it is only asked: then that nothing comes of it is no error.
    pub dry: bool,
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
        let (mut trials, mut unfit) = (vec![], vec![]);
        for plan in plans {
            match self.attempt(plan, notes) {
                Ok(trial) => trials.push(trial),
                Err(error) if !plan.asked && is_of_the_layer(&error) => unfit.push(error),
                Err(error) => return Err(error),
            }
        }
        let of = |tower: Modality| -> Result<Option<[Array2<f32>; 2]>, Error> {
            let own = trials.iter().find(|trial| trial.plan.site.modality() == tower);
            match own.and_then(|trial| trial.embeddings.clone()) {
                Some(embeddings) => Ok(Some(embeddings)),
                None => embedded(self.runner, self.data, self.sites, tower),
            }
        };
        let embeddings = if trials.is_empty() { [None, None] } else { [of(Modality::Text)?, of(Modality::Vision)?] };
        let pairs = good(&trials, &embeddings);
        let bad = self.data.calibration.rows.len() - pairs.len();
        if bad > 0 && !trials.is_empty() {
            notes.push(format!(
                "{bad} calibration pairs have activations or embeddings that are zero or not finite, and do not count"
            ));
        }
        let mut looked = vec![];
        let mut fit = vec![];
        for trial in trials {
            match self.look(&trial, &embeddings, &pairs) {
                Ok(aim) => {
                    looked.push(aim);
                    fit.push(trial);
                }
                Err(error) if !trial.plan.asked && is_of_the_layer(&error) => unfit.push(error),
                Err(error) => return Err(error),
            }
        }
        let trials = fit;
        if trials.is_empty() {
            return Err(unfit.remove(0));
        }
        notes.extend(unfit.iter().map(ToString::to_string));
        let mut edits = vec![];
        for (trial, aim) in self.choose(&trials, &mut looked, pairs.len(), notes)? {
            let Trial { plan, inputs, embeddings } = &trials[trial];
            let edit = edit(plan, inputs, &pairs, aim, self.controls, notes)?;
            if let Some(embeddings) = embeddings {
                let change = Change { update: edit.update.clone(), positions: edit.choice.positions[0].clone() };
                let off = inputs.foretold(self.runner, self.data, plan, embeddings, &change)?;
                if !off.is_some_and(|off| off <= FORETOLD) {
                    notes.push(format!(
                        "the edited {} tower does not embed as was foretold ({}): the figures for held-out pairs do not hold, go by the evaluation",
                        plan.site.modality(),
                        off.map_or("not tried".to_owned(), |off| format!("off by {:.0} % of what the edit moves", 100.0 * off))
                    ));
                }
            }
            edits.push(edit);
        }
        Ok((edits, looked))
    }

    /// Runs the pairs through a tower.
    fn attempt<'t, 'p>(&self, plan: &'t AimedPlan<'p>, notes: &mut Vec<String>) -> Result<Trial<'t, 'p>, Error> {
        let inputs = Inputs::gather(self.runner, self.data, plan)?;
        notes::add(notes, inputs.notes.clone());
        let embeddings = inputs.embeddings(self.runner, self.data, plan)?;
        if embeddings.is_none() {
            notes.push(format!(
                "not cross-validated: what follows layer {} of the {} tower does more than add and normalise",
                plan.layer.node,
                plan.site.modality()
            ));
        }
        Ok(Trial { plan, inputs, embeddings })
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
            method: trial.plan.aimed.method.to_string(),
            limit: Some(trial.plan.aimed.max_loss),
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
        let other = if tower == Modality::Text { vision } else { text };
        if let Some((own, other)) = trial.embeddings.as_ref().zip(other.as_ref()) {
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
        pairs: usize,
        notes: &mut Vec<String>,
    ) -> Result<Vec<(usize, aim::Aim)>, Error> {
        // Of each trial that comes to something: the setting, and the GS on held-out pairs where that is known.
        let mut found: Vec<(usize, aim::Aim, Option<f64>)> = vec![];
        for (index, (trial, looked)) in trials.iter().zip(looked.iter_mut()).enumerate() {
            let Aimed { method, gain, ridge, max_loss, .. } = trial.plan.aimed;
            let steers = method == MethodName::Steer;
            if let (Some(gain), true) = (gain, steers || ridge.is_some()) {
                // Said by the user, whatever it costs.
                looked.limit = None;
                let gs = looked.curve.first().map(|point| point.GS);
                found.push((index, aim::Aim { gain, ridge: ridge.unwrap_or(0.0) }, gs));
            } else if let Some(before) = &looked.before {
                let step = 100.0 / pairs.max(1) as f64;
                if step > max_loss {
                    notes::add(
                        notes,
                        [format!(
                            "{pairs} calibration pairs tell PS to {step:.1} points only: the limit of {max_loss} says little"
                        )],
                    );
                }
                let point = pick(before, &looked.curve, max_loss);
                let setting = |point: AimPoint| aim::Aim { gain: point.gain, ridge: point.ridge };
                found.extend(point.map(|point| (index, setting(point), Some(point.GS))));
            } else if pairs < FEWEST {
                return Err(Error::Conflict {
                    reason: format!("{pairs} calibration pairs are too few to find out how far an aimed edit may go"),
                    help: "give some hundred pairs, or say --gain (and --ridge, where signs are turned)",
                });
            } else {
                let aim = aim::Aim { gain: gain.unwrap_or(USUAL.gain), ridge: ridge.unwrap_or(USUAL.ridge) };
                let aim = if steers { aim::Aim { ridge: 0.0, ..aim } } else { aim };
                looked.limit = None;
                let what = if steers { "its gain is a usual one" } else { "its gain and ridge are usual ones" };
                notes.push(format!(
                    "the {} tower is edited without cross-validation (which needs both towers), as far as nothing else is said {what}",
                    trial.plan.site.modality()
                ));
                found.push((index, aim, None));
            }
        }
        if self.all && found.len() < trials.len() || found.is_empty() {
            let tried: Vec<String> = looked.iter().map(tried).collect();
            let none = format!(
                "no setting does any good within its limits on held-out calibration pairs. {}",
                tried.join(" ")
            );
            if self.dry {
                notes.push(none.trim_end().to_owned());
                return Ok(vec![]);
            }
            let sentences = looked.iter().map(report::Aim::sentence).collect::<Vec<_>>().join(" ");
            return Err(Error::Conflict {
                reason: format!("{none} {sentences}"),
                help: "choose another --preset, allow more with --max-loss, or say --gain (and --ridge), which are then not checked; --dry-run --format json has all settings",
            });
        }
        if !self.all && found.len() > 1 {
            let known = found.iter().filter_map(|(.., gs)| *gs).fold(f64::NEG_INFINITY, f64::max);
            if known == f64::NEG_INFINITY {
                return Err(Error::Conflict {
                    reason: "both towers may be edited, and nothing tells where more comes of it".to_owned(),
                    help: "choose one with --tower; editing both cancels out",
                });
            }
            // Of equal ones the first.
            found.retain(|(.., gs)| *gs == Some(known));
            found.truncate(1);
            notes.extend(found.first().map(|(index, ..)| {
                let tower = looked[*index].tower;
                format!("the {tower} tower is edited, where it does more on held-out pairs; editing both cancels out (--tower chooses)")
            }));
        }
        for (index, aim, _) in &found {
            looked[*index].chosen = Some([aim.gain, aim.ridge]);
        }
        Ok(found.into_iter().map(|(index, aim, _)| (index, aim)).collect())
    }
}

/// The setting with the most GS, in words.
fn tried(aim: &report::Aim) -> String {
    let most = aim.curve.iter().max_by(|a, b| a.GS.total_cmp(&b.GS).then(b.gain.total_cmp(&a.gain)));
    most.zip(aim.before.as_ref()).map_or(String::new(), |(point, before)| {
        format!(
            "In the {} tower gain {} has the most GS, {:.1}, for {:.1} points of PS and {:.1} of recall@1 in a gallery of 256.",
            aim.tower,
            point.gain,
            point.GS,
            before.PS - point.PS,
            before.recall_of_256 - point.recall_of_256
        )
    })
}

/// Whether an error is of a layer, and not of data or runtime.
pub fn is_of_the_layer(error: &Error) -> bool {
    use crate::onnx::Error as Onnx;
    matches!(
        error,
        Error::Conflict { .. }
            | Error::Score { .. }
            | Error::Onnx(Onnx::Layer { .. } | Onnx::Layers { .. } | Onnx::Tensor { .. })
    )
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
    let moments = moments(inputs, pairs);
    let mut learnt = Learnt::from(&moments, inputs).map_err(|source| failed(&plan.layer, source))?;
    let selection = |learnt: &Learnt| {
        let Change { update, positions } = Change::make(plan.aimed.method, inputs, learnt, aim);
        Selection { layer: plan.layer.clone(), update, positions }
    };
    let own = selection(&learnt);
    if own.positions.is_empty() {
        return Err(failed(&plan.layer, uwm::Error::NothingSelected { layers: 1 }));
    }
    let mut controls = vec![];
    if wanted != Controls::Off {
        match Learnt::from(&moments.swapped(), inputs) {
            Ok(other) => controls.push((ControlKind::Swapped, vec![selection(&other)])),
            Err(error) => notes.push(format!("no control with roles swapped: {error}")),
        }
    }
    let fit = Fit::usual(inputs.weight.ncols(), pairs.len());
    let fitted = learnt.detector.clone();
    for seed in wanted.seeds() {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Box and Muller.
        let normal = || (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
        match Detector::random(&moments, &inputs.weight, fit, &fitted, normal) {
            Ok(other) => {
                learnt.detector = other;
                controls.push((ControlKind::Direction { seed }, vec![selection(&learnt)]));
            }
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

/// The setting with the most GS within the limits, if it betters the model; of equal ones the one that costs least.
fn pick(before: &AimPoint, curve: &[AimPoint], limit: f64) -> Option<AimPoint> {
    let kept = |lost: f64| lost <= limit + ROUNDING;
    let fits = |point: &&AimPoint| {
        kept(before.PS - point.PS)
            && kept(before.recall_of_256 - point.recall_of_256)
            && point.GS > before.GS + ROUNDING
    };
    let order = |a: &&AimPoint, b: &&AimPoint| {
        let safety = a.GS.total_cmp(&b.GS).then(a.PS.total_cmp(&b.PS));
        safety.then(a.recall_of_256.total_cmp(&b.recall_of_256)).then(b.gain.total_cmp(&a.gain))
    };
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
