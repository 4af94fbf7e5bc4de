//! What is edited in a tower: from scores to elements of each layer.

use rayon::prelude::*;
use serde_json::json;

use super::Error;
use super::choice::Choice;
use super::data::Group;
use super::score::TowerPlan;
use super::site::Site;
use super::tower_edit::TowerEdit;
use crate::config::{Concepts, Recipe};
use crate::onnx::{Linear, Update};
use crate::report::ControlKind;
use crate::uwm::{self, Rule, ScoreSpread, Scores, Scoring, Undefined, select, spread};

/// Selects in the layers of a tower; where the plan has a second scoring, with roles swapped, by that too. `score` gives
/// the scores of a group of pairs: for each scoring, a layer each.
///
/// # Errors
/// Those of `score`; if scores allow no selection.
pub fn choose<'a>(
    plan: &TowerPlan<'a>,
    notes: &mut Vec<String>,
    mut score: impl FnMut(&Group) -> Result<Vec<Vec<Scores>>, Error>,
) -> Result<TowerEdit<'a>, Error> {
    let TowerPlan { site, recipe, layers, scorings, groups, .. } = plan;
    let share = if recipe.concepts == Concepts::Each { groups.len().max(1) as f64 } else { 1.0 };
    let rule = Rule { tau: recipe.rule.tau / share, ..recipe.rule };
    let none = || Choice {
        positions: vec![vec![]; layers.len()],
        undefined: vec![Undefined::default(); layers.len()],
        ..Choice::default()
    };
    let mut choices: Vec<Choice> = scorings.iter().map(|_| none()).collect();
    let (mut skipped, mut unfit) = (vec![], false);
    for group in groups {
        let by_scoring = match score(group) {
            Err(Error::Score { source: uwm::Error::NoPairs { .. }, .. }) if group.concept.is_some() => {
                skipped.push(format!(
                    "'{}' ({} pairs)",
                    group.concept.as_deref().unwrap_or_default(),
                    group.rows.len()
                ));
                continue;
            }
            scores => scores?,
        };
        for ((choice, scoring), scores) in choices.iter_mut().zip(scorings).zip(by_scoring) {
            let undefined: Vec<Undefined> = scores.iter().map(|scores| scores.undefined).collect();
            match selected(site, layers, recipe, scoring, rule, scores) {
                // What is positive in one is negative in the other.
                Err(Error::Score { source: uwm::Error::NoMass { .. }, .. }) if scoring.swapped => unfit = true,
                selected => {
                    let (positions, scores) = selected?;
                    if groups.len() == 1 && !scoring.swapped {
                        choice.scores = spreads(&scores, &positions);
                    }
                    choice.add(group, positions, undefined);
                }
            }
        }
    }
    if skipped.len() == groups.len() {
        let pairs = groups.iter().map(|group| group.rows.len()).sum();
        let layer = layers.first().map_or(String::new(), |layer| layer.node.clone());
        return Err(Error::Score { layer, source: uwm::Error::NoPairs { pairs } });
    }
    if !skipped.is_empty() {
        let tower = site.modality();
        notes.push(format!(
            "no pair of these concepts can be scored in the {tower} tower: {}",
            crate::few::few(skipped)
        ));
    }
    if unfit {
        notes.push(format!(
            "no control with roles swapped: these scores of the {} tower have no positive mass",
            site.modality()
        ));
        choices.truncate(1);
    }
    let mut choices = choices.into_iter();
    let choice = choices.next().unwrap_or_default();
    if choice.selected() == 0 {
        let layer = layers.first().map_or(String::new(), |layer| layer.node.clone());
        return Err(Error::Score { layer, source: uwm::Error::NothingSelected { layers: layers.len() } });
    }
    let mut edit = TowerEdit {
        file: plan.file,
        site,
        layers: layers.clone(),
        update: Update::Multiply(recipe.alpha),
        choice,
        controls: vec![],
        score: recipe.scoring.to_string(),
        tau: Some(recipe.rule.tau),
        recipe: json!(recipe),
    };
    edit.controls = choices.map(|other| (ControlKind::Swapped, edit.selections(&other.positions))).collect();
    Ok(edit)
}

/// How the scores of each layer are spread.
fn spreads(scores: &[Scores], positions: &[Vec<u32>]) -> Vec<Option<ScoreSpread>> {
    scores.par_iter().zip(positions).map(|(scores, positions)| spread(scores.values.view(), positions)).collect()
}

/// Selects by one score; with the scores that it went by.
fn selected(
    site: &Site,
    layers: &[Linear],
    recipe: &Recipe,
    scoring: &Scoring,
    rule: Rule,
    mut scores: Vec<Scores>,
) -> Result<(Vec<Vec<u32>>, Vec<Scores>), Error> {
    if recipe.weight_prior {
        scores.par_iter_mut().zip(layers).try_for_each(|(scores, layer)| {
            scores.weigh(&layer.weight.read(site.graph.model)?);
            Ok::<_, Error>(())
        })?;
    }
    let failed = |(layer, source): (usize, uwm::Error)| Error::Score { layer: layers[layer].node.clone(), source };
    // That no element is worth its cost can well be; other scores are above 0 wherever something flows.
    let dead = |scores: &Scores| scores.values.iter().all(|&score| score == 0.0);
    if let Some(layer) = scores.iter().position(dead).filter(|_| !scoring.score.trades()) {
        return Err(failed((layer, uwm::Error::AllZero)));
    }
    let views: Vec<_> = scores.iter().map(|scores| scores.values.view()).collect();
    let positions = select(&views, rule).map_err(failed)?;
    Ok((positions, scores))
}
