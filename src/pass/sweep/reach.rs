//! What each score reaches within limits: the frontiers of single scores side by side.

use std::collections::BTreeSet;

use super::pick::ROUNDING;
use crate::report::{Reach, SweepPoint, TriedEdit};
use crate::safeground::Metric;

/// Points of knowledge that may be lost.
const LOSSES: [f64; 8] = [0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 16.0];

/// The most GS on the split that is chosen by, of points that lose no more of zero-shot accuracy (of recall, where that was
/// not measured); `None` if the edits go by one score only. The first point is the model as it is.
pub fn reach(edits: &[TriedEdit], points: &[SweepPoint]) -> Option<Reach> {
    let names: BTreeSet<String> = edits.iter().map(name).collect();
    let unedited = &points.first()?.validation;
    let knowledge = [Metric::ZERO_SHOT, Metric::RECALL].into_iter().find(|metric| metric.of(unedited).is_some())?;
    let (safety, own) = (Metric::GS, knowledge.of(unedited)?);
    let best = |score: Option<&String>| {
        let goes_by = |edit: usize| score.is_none_or(|score| name(&edits[edit]) == *score);
        let points = points.iter().filter(|point| [point.text, point.vision].into_iter().flatten().all(goes_by));
        let points: Vec<(f64, f64)> = points
            .filter_map(|point| Some((knowledge.of(&point.validation)?, safety.of(&point.validation)?)))
            .collect();
        let within = |loss: f64| {
            points.iter().filter(move |(left, _)| *left >= own - loss - ROUNDING).map(|(_, safety)| *safety)
        };
        LOSSES.map(|loss| within(loss).max_by(f64::total_cmp)).to_vec()
    };
    let of = names.iter().map(|score| (Some(score.clone()), best(Some(score)))).chain([(None, best(None))]).collect();
    (names.len() > 1).then(|| Reach { safety, knowledge, losses: LOSSES.to_vec(), of })
}

fn name(edit: &TriedEdit) -> String {
    edit.recipe.name()
}
