//! Aimed negation: the last linear layer of a tower, its elements chosen together, how far by cross-validation.

mod change;
mod cross;
mod foretell;
mod inputs;
mod make;
mod pick;
mod plan;
mod raw;
mod survey;

use ndarray::Array2;

use change::Change;
use cross::Crossing;
use foretell::Foretelling;
pub use inputs::Inputs;
pub use make::edit;
pub use plan::AimedPlan;
use raw::embedded;
pub use survey::survey;

use super::Error;
use super::batches::Runner;
use super::data::Data;
use super::job::Controls;
use super::notes;
use super::site::Site;
use super::tower_edit::TowerEdit;
use crate::config::{Aimed, GAINS, MethodName, RIDGES};
use crate::onnx::Modality;
use crate::report;
use crate::uwm::aim;

/// How far off embeddings may be from what was foretold, in parts of what the edit moves them by; codes and short floats are
/// not exact.
const FORETOLD: f64 = 0.3;

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
                let off =
                    Foretelling { runner: self.runner, data: self.data, plan, inputs }.deviates(embeddings, &change)?;
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
        let foretelling = Foretelling { runner: self.runner, data: self.data, plan, inputs: &inputs };
        let embeddings = foretelling.embeddings()?;
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
            limit: trial.plan.aimed.max_loss,
            before: None,
            curve: vec![],
            chosen: None,
        };
        let Some(crossing) = Crossing::new(&trial.inputs, pairs).map_err(|source| trial.plan.failed(source))? else {
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

/// The settings that are tried: those that are said, or the usual ones; `ridge` varies last.
fn settings(aimed: &Aimed) -> Vec<aim::Aim> {
    let of = |said: Option<f64>, usual: &[f64]| said.map_or(usual.to_vec(), |said| vec![said]);
    // A steering edit has nothing to pay for one by one.
    let ridges = if aimed.method == MethodName::Steer { vec![0.0] } else { of(aimed.ridge, &RIDGES) };
    let gains = of(aimed.gain, &GAINS).into_iter();
    gains.flat_map(|gain| ridges.iter().map(move |&ridge| aim::Aim { gain, ridge })).collect()
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
