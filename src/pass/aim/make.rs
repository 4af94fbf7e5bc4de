//! The edit of a setting, with its controls.

use serde_json::json;

use super::AimedPlan;
use super::change::{Change, Learnt};
use super::cross::moments;
use super::inputs::Inputs;
use crate::config::{Aimed, MethodName};
use crate::onnx::Selection;
use crate::pass::Error;
use crate::pass::choice::Choice;
use crate::pass::job::Controls;
use crate::pass::tower_edit::TowerEdit;
use crate::report::ControlKind;
use crate::uwm::aim::{Aim, Detector, Fit};
use crate::uwm::{self, Undefined};

/// The edit of a setting, made from some of the calibration pairs.
///
/// # Errors
/// If nothing tells unsafe inputs from safe ones, or no negation betters anything.
pub fn edit<'a>(
    plan: &AimedPlan<'a>,
    inputs: &Inputs,
    pairs: &[usize],
    aim: Aim,
    wanted: Controls,
    notes: &mut Vec<String>,
) -> Result<TowerEdit<'a>, Error> {
    let moments = moments(inputs, pairs);
    let mut learnt = Learnt::from(&moments, inputs).map_err(|source| plan.failed(source))?;
    let selection = |learnt: &Learnt| {
        let Change { update, positions } = Change::make(plan.aimed.method, inputs, learnt, aim);
        Selection { layer: plan.layer.clone(), update, positions }
    };
    let own = selection(&learnt);
    if own.positions.is_empty() {
        return Err(plan.failed(uwm::Error::NothingSelected { layers: 1 }));
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
        choice: Choice { positions: vec![own.positions], undefined: vec![Undefined::default()], ..Choice::default() },
        controls,
        score: aimed.method.to_string(),
        tau: None,
        recipe: json!(aimed),
    })
}
