//! Cross-validation: what aimed edits do to calibration pairs that they were not made from, by algebra alone.

use std::collections::BTreeMap;

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use super::change::{Change, Learnt};
use super::inputs::Inputs;
use crate::config::MethodName;
use crate::onnx::Modality;
use crate::pass::Error;
use crate::pass::batches::Runner;
use crate::report::AimPoint;
use crate::safeground::{Embeddings, Preference, Quadruplets, expected_recall, outcomes, recall};
use crate::uwm::aim::{Aim, Moments, Separation};
use crate::uwm::{self, Side};

/// Parts of the pairs, each held out once.
const FOLDS: usize = 4;
/// Pairs below which there is nothing to hold out.
pub const FEWEST: usize = 2 * FOLDS;

/// Calibration pairs dealt out into folds.
pub struct Crossing<'a> {
    inputs: &'a Inputs,
    /// The pairs that count.
    pairs: &'a [usize],
    /// For each fold, what was made from the others.
    folds: Vec<Learnt>,
}

/// Items of the gallery that recall is expected in, whatever the number of pairs.
const GALLERY: usize = 256;

/// The moments of some pairs.
pub fn moments(inputs: &Inputs, pairs: &[usize]) -> Moments {
    let mut moments = Moments::new(inputs.weight.ncols());
    for (side, rows) in [Side::Safe, Side::Unsafe].into_iter().zip(&inputs.rows) {
        moments.add(side, rows.select(Axis(0), pairs).view());
    }
    moments
}

impl<'a> Crossing<'a> {
    /// Fits a detector for each fold to the pairs of the others; `None` if there are too few pairs.
    ///
    /// # Errors
    /// If nothing tells unsafe inputs from safe ones.
    pub fn new(inputs: &'a Inputs, pairs: &'a [usize]) -> Result<Option<Self>, uwm::Error> {
        if pairs.len() < FEWEST {
            return Ok(None);
        }
        let part = |fold| moments(inputs, &fold_of(pairs, fold).map(|(_, pair)| pair).collect::<Vec<_>>());
        let parts: Vec<Moments> = (0..FOLDS).map(part).collect();
        let fit = |held: usize| {
            let mut others = Moments::new(inputs.weight.ncols());
            parts.iter().enumerate().filter(|(fold, _)| *fold != held).for_each(|(_, part)| others.join(part));
            Learnt::from(&others, inputs)
        };
        let folds = (0..FOLDS).map(fit).collect::<Result<_, uwm::Error>>()?;
        Ok(Some(Self { inputs, pairs, folds }))
    }

    /// What the detectors say of the pairs that they were not fitted to: safe samples, and their partners.
    fn values(&self) -> [Vec<f64>; 2] {
        self.inputs.rows.each_ref().map(|side| {
            let of = |(index, &pair): (usize, &usize)| self.folds[index % FOLDS].detector.of_input(side.row(pair));
            self.pairs.iter().enumerate().map(of).collect()
        })
    }

    /// How well unsafe samples are told: over all, and in each group that pairs name, in the order of names.
    pub fn separation(
        &self,
        group: impl Fn(usize) -> Option<String>,
    ) -> (Option<Separation>, Vec<(String, Separation)>) {
        let [safe, not_safe] = self.values();
        let mut groups = BTreeMap::<String, [Vec<f64>; 2]>::new();
        for ((&pair, &a), &b) in self.pairs.iter().zip(&safe).zip(&not_safe) {
            if let Some(name) = group(pair) {
                let sides = groups.entry(name).or_default();
                sides[0].push(a);
                sides[1].push(b);
            }
        }
        let apart = groups.into_iter().filter_map(|(name, [a, b])| Some((name, Separation::of(&a, &b)?)));
        (Separation::of(&safe, &not_safe), apart.collect())
    }

    /// Measures settings on held-out pairs; the first is the model as it is. `own` are the embeddings of all calibration
    /// pairs by the tower, `other` those by the other one.
    ///
    /// # Errors
    /// If the user wants to stop.
    pub fn curve(
        &self,
        runner: Runner,
        tower: Modality,
        [own, other]: [&[Array2<f32>; 2]; 2],
        method: MethodName,
        aims: &[Aim],
    ) -> Result<(AimPoint, Vec<AimPoint>), Error> {
        let unit = |rows: Array2<f32>| Embeddings::normalise_each(rows).0;
        let own = own.each_ref().map(|side| side.select(Axis(0), self.pairs));
        let other = other.each_ref().map(|side| unit(side.select(Axis(0), self.pairs)));
        let measure = |edited: [Array2<f32>; 2], aim: Aim, negated: usize| {
            let [safe, not_safe] = edited.map(unit);
            let [other_safe, other_unsafe] = other.clone();
            let set = match tower {
                Modality::Text => Quadruplets {
                    safe_text: safe,
                    unsafe_text: not_safe,
                    safe_image: other_safe,
                    unsafe_image: other_unsafe,
                },
                Modality::Vision => Quadruplets {
                    safe_text: other_safe,
                    unsafe_text: other_unsafe,
                    safe_image: safe,
                    unsafe_image: not_safe,
                },
            };
            let Preference { PS, PU, GS, .. } = Preference::of(&outcomes(&set));
            let recall = |queries, gallery| recall(queries, gallery).at_1;
            AimPoint {
                gain: aim.gain,
                ridge: aim.ridge,
                negated,
                PS,
                PU,
                GS,
                recall: recall(&set.safe_text, &set.safe_image),
                image_recall: recall(&set.safe_image, &set.safe_text),
                recall_of_256: f64::midpoint(
                    expected_recall(&set.safe_text, &set.safe_image, GALLERY),
                    expected_recall(&set.safe_image, &set.safe_text, GALLERY),
                ),
            }
        };
        let before = measure(own.clone(), Aim { gain: 0.0, ridge: 0.0 }, 0);
        let each: Vec<_> = (0..aims.len()).map(|aim| aim..aim + 1).collect();
        let mut curve = vec![];
        runner.over(
            &format!("aiming at {tower}"),
            &each,
            rayon::current_num_threads(),
            |aim| {
                let aim = aims[aim.start];
                let (edited, negated) = self.edited(&own, method, aim);
                Ok(measure(edited, aim, negated))
            },
            |_, point| {
                curve.push(point);
                Ok(())
            },
        )?;
        Ok((before, curve))
    }

    /// The embeddings of each fold as the edit made from the others changes them, and how many elements that changes.
    fn edited(&self, own: &[Array2<f32>; 2], method: MethodName, aim: Aim) -> ([Array2<f32>; 2], usize) {
        let of_fold = |(fold, learnt): (usize, &Learnt)| {
            let change = Change::make(method, self.inputs, learnt, aim);
            let difference = change.difference(self.inputs);
            let pairs: Vec<usize> = fold_of(self.pairs, fold).map(|(_, pair)| pair).collect();
            let moved = |side: &Array2<f32>| side.select(Axis(0), &pairs).dot(&difference.t());
            (change.positions.len(), self.inputs.rows.each_ref().map(moved))
        };
        let folds: Vec<_> = self.folds.par_iter().enumerate().map(of_fold).collect();
        let mut edited = own.clone();
        for (fold, (_, changes)) in folds.iter().enumerate() {
            for (side, changes) in edited.iter_mut().zip(changes) {
                for ((index, _), change) in fold_of(self.pairs, fold).zip(changes.rows()) {
                    let mut row = side.row_mut(index);
                    row += &change;
                }
            }
        }
        (edited, folds.iter().map(|(count, _)| count).sum::<usize>() / FOLDS)
    }
}

/// The pairs of a fold, each with its place among all.
fn fold_of(pairs: &[usize], fold: usize) -> impl Iterator<Item = (usize, usize)> {
    pairs.iter().copied().enumerate().skip(fold).step_by(FOLDS)
}
