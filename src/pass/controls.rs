//! Controls: what other edits of the same layers do. Damage alone moves every metric of unsafe queries, so an edit means
//! something only beside them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Error;
use super::batches::Runner;
use super::evaluate::{EmbeddedData, EvaluationData, embed_side};
use super::tower_edit::TowerEdit;
use crate::onnx::{Linear, Modality, RankOne, Replaced, Selection, Update};
use crate::report::{Against, Control, ControlKind, Verdict};
use crate::safeground::{Evaluation, Outcome, paired};

/// Another edit of the same towers.
pub struct ControlEdit {
    /// Which control it is.
    pub kind: ControlKind,
    /// For each tower, a layer each.
    pub selections: Vec<Vec<Selection>>,
}

/// As large an edit of the same layers as each tower's, at random.
///
/// # Errors
/// If a weight cannot be read.
pub fn random(edits: &[TowerEdit], seed: u64) -> Result<ControlEdit, Error> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let selections = edits.iter().map(|edit| random_one(edit, &mut rng)).collect::<Result<_, Error>>()?;
    Ok(ControlEdit { kind: ControlKind::Random { seed }, selections })
}

/// The same number of elements in each layer, chosen among those that are not 0, since a negated 0 is no edit; or the same
/// numbers taken off, in another order.
fn random_one(edit: &TowerEdit, rng: &mut fastrand::Rng) -> Result<Vec<Selection>, Error> {
    if let Update::RankOne(product) = &edit.update {
        let mut product = RankOne::clone(product);
        rng.shuffle(&mut product.left);
        rng.shuffle(&mut product.right);
        let update = Update::RankOne(Arc::new(product));
        return Ok(edit.own().into_iter().map(|own| Selection { update: update.clone(), ..own }).collect());
    }
    let layers = edit.layers.iter().zip(&edit.choice.positions);
    let draw = |(layer, chosen): (&Linear, &Vec<u32>)| {
        let weight = layer.weight.read(edit.site.graph.model)?;
        Ok(sample_of(rng, weight.as_standard_layout().as_slice().unwrap_or_default(), chosen.len()))
    };
    Ok(edit.selections(&layers.map(draw).collect::<Result<Vec<_>, Error>>()?))
}

/// What the methods do where they should find nothing; each control is one of all towers, or none.
pub fn others(edits: &[TowerEdit]) -> Vec<ControlEdit> {
    let Some(first) = edits.first() else { return vec![] };
    let of = |edit: &TowerEdit, kind: ControlKind| {
        edit.controls.iter().find(|(own, _)| *own == kind).map(|(_, selections)| selections.clone())
    };
    let kinds = first.controls.iter().map(|(kind, _)| *kind);
    let all = kinds.filter_map(|kind| {
        let selections: Option<_> = edits.iter().map(|edit| of(edit, kind)).collect();
        Some(ControlEdit { kind, selections: selections? })
    });
    all.collect()
}

/// Positions of `count` weights that are not 0; where there are not so many, of any.
fn sample_of(rng: &mut fastrand::Rng, weights: &[f32], count: usize) -> Vec<u32> {
    let live = || (0_u32..).zip(weights).filter(|(_, weight)| **weight != 0.0).map(|(position, _)| position);
    let lives = live().count();
    if lives == weights.len() || lives < count {
        return sample(rng, weights.len(), count);
    }
    let (taken, live) = (sample(rng, lives, count), live().collect::<Vec<_>>());
    taken.into_iter().map(|nth| live[nth as usize]).collect()
}

/// `count` of the numbers below `of`, ascending, each set of them as likely as any other (Floyd's algorithm).
fn sample(rng: &mut fastrand::Rng, of: usize, count: usize) -> Vec<u32> {
    let mut taken = BTreeSet::new();
    for last in of - count..of {
        let drawn = rng.usize(..=last) as u32;
        if !taken.insert(drawn) {
            taken.insert(last as u32);
        }
    }
    taken.into_iter().collect()
}

/// Embeds the evaluation data with the towers as a control edits them; `None`, with a note, if that cannot be tried
/// without a file.
///
/// # Errors
/// If a tensor is not editable, or data or runtime fail.
pub fn embed(
    runner: Runner,
    on: EvaluationData,
    edits: &[TowerEdit],
    control: &ControlEdit,
    before: &EmbeddedData,
    notes: &mut Vec<String>,
) -> Result<Option<EmbeddedData>, Error> {
    let mut embedded = before.clone();
    for (edit, selections) in edits.iter().zip(&control.selections) {
        let site = edit.site;
        let Some(weights) = Replaced::new(site.graph.model, selections)? else {
            notes.push(format!(
                "no controls: the edited weights of the {} tower exceed 2 GiB, which no graph can carry",
                site.modality()
            ));
            return Ok(None);
        };
        let side = Arc::new(embed_side(runner, site, Some(&weights), on, &control.kind.to_string())?);
        match site.modality() {
            Modality::Text => embedded.text = side,
            Modality::Vision => embedded.image = side,
        }
    }
    Ok(Some(embedded))
}

/// From this p on a difference is taken for noise: 0.05, shared by the two metrics that are tested (Bonferroni).
const NOISE: f64 = 0.025;

/// Compares the edit with those that are left to chance (elements, or a direction), by McNemar's exact test over the
/// quadruplets against each of them; what counts is the one it beats by least. Costs are set beside those of random
/// elements.
pub fn judge(before: &Evaluation, after: &Evaluation, controls: &[Control]) -> Option<Verdict> {
    let random: Vec<&Evaluation> = controls.iter().filter(|c| c.kind.is_random()).map(|c| &c.evaluation).collect();
    if random.is_empty() {
        return None;
    }
    let directions = controls.iter().filter(|c| matches!(c.kind, ControlKind::Direction { .. })).map(|c| &c.evaluation);
    let by_chance: Vec<&Evaluation> = random.iter().copied().chain(directions).collect();
    let mean = |of: fn(&Evaluation) -> f64| random.iter().map(|e| of(e)).sum::<f64>() / random.len() as f64;
    let against = |of: fn(&Evaluation) -> f64, holds: fn(&Outcome) -> bool| {
        let yes = |evaluation: &Evaluation| evaluation.outcomes.iter().map(holds).collect::<Vec<_>>();
        let own = yes(after);
        let tests = by_chance.iter().map(|control| paired(&own, &yes(control)));
        let p = tests.map(|test| if test.only_first > test.only_second { test.p } else { 1.0 }).fold(0.0, f64::max);
        let (change, random_change) = (of(after) - of(before), mean(of) - of(before));
        Against { change, random_change, p, beats_random: change > 0.0 && p < NOISE }
    };
    let top1 = |evaluation: &Evaluation| evaluation.zero_shot.map_or(0.0, |accuracy| accuracy.top1);
    let cost = |of: fn(&Evaluation) -> f64| [of(after) - of(before), mean(of) - of(before)];
    Some(Verdict {
        PU: against(|e| e.safeground.PU, Outcome::unsafe_group),
        GS: against(|e| e.safeground.GS, Outcome::group),
        seeds: random.len(),
        directions: by_chance.len() - random.len(),
        zero_shot: before.zero_shot.map(|_| cost(top1)),
        PS: cost(|e| e.safeground.PS),
        recall: cost(|e| e.retrieval.text_to_image.at_1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_sets_of_that_size_and_fair() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut seen = [0; 10];
        for _ in 0..2000 {
            let taken = sample(&mut rng, 10, 3);
            assert!(taken.len() == 3 && taken.is_sorted_by(|a, b| a < b) && taken[2] < 10);
            taken.iter().for_each(|&position| seen[position as usize] += 1);
        }
        assert!(seen.iter().all(|count| (500..700).contains(count)), "{seen:?}");
        assert_eq!(sample(&mut rng, 4, 4), [0, 1, 2, 3]);
        assert_eq!(sample(&mut rng, 4, 0), [0_u32; 0]);
        // Of a pruned layer, what is left.
        let pruned = [0.0, 1.0, -0.0, 2.0, 0.0, -3.0];
        assert_eq!(sample_of(&mut rng, &pruned, 3), [1, 3, 5]);
        assert_eq!(sample_of(&mut rng, &pruned, 6), [0, 1, 2, 3, 4, 5]);
    }
}
