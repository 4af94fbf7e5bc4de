//! Which tower is edited, and how far: by what cross-validation found, or as it was said.

use super::cross::FEWEST;
use super::{Aiming, Trial};
use crate::config::{Aimed, MethodName};
use crate::pass::{Error, notes};
use crate::report::{self, AimPoint};
use crate::uwm::aim::Aim;

/// Where nothing can be cross-validated.
const USUAL: Aim = Aim { gain: 2.5, ridge: 0.3 };
/// Rounding that a limit forgives.
const ROUNDING: f64 = 1e-9;

impl Aiming<'_, '_> {
    /// Which trials are carried out, and with which setting.
    pub(super) fn choose(
        &self,
        trials: &[Trial],
        looked: &mut [report::Aim],
        pairs: usize,
        notes: &mut Vec<String>,
    ) -> Result<Vec<(usize, Aim)>, Error> {
        // Of each trial that comes to something: the setting, and the GS on held-out pairs where that is known.
        let mut found: Vec<(usize, Aim, Option<f64>)> = vec![];
        for (index, (trial, looked)) in trials.iter().zip(looked.iter_mut()).enumerate() {
            let Aimed { method, gain, ridge, max_loss, .. } = trial.plan.aimed;
            let steers = method == MethodName::Steer;
            if let (Some(gain), None) = (gain, max_loss) {
                // Said by the user, whatever it costs.
                let gs = looked.curve.first().map(|point| point.GS);
                found.push((index, Aim { gain, ridge: ridge.unwrap_or(0.0) }, gs));
            } else if let Some((before, max_loss)) = looked.before.as_ref().zip(max_loss) {
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
                let setting = |point: AimPoint| Aim { gain: point.gain, ridge: point.ridge };
                found.extend(point.map(|point| (index, setting(point), Some(point.GS))));
            } else if pairs < FEWEST {
                return Err(Error::Conflict {
                    reason: format!("{pairs} calibration pairs are too few to find out how far an aimed edit may go"),
                    help: "give some hundred pairs, or say --gain (and --ridge, where signs are turned)",
                });
            } else {
                let aim = Aim { gain: gain.unwrap_or(USUAL.gain), ridge: ridge.unwrap_or(USUAL.ridge) };
                let aim = if steers { Aim { ridge: 0.0, ..aim } } else { aim };
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
