//! How the scores of a layer are spread: what shows whether a selection takes a few elements that stand out, or cuts
//! through many that are alike.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

/// Bins of a spread.
pub const SPREAD_BINS: usize = 48;

/// The scores of a layer in bins of their logarithm, all equally wide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreSpread {
    /// Decimal logarithms of the least and the greatest score above 0.
    pub range: [f64; 2],
    /// Elements in each bin, [`SPREAD_BINS`] of them.
    pub counts: Vec<u64>,
    /// Share of the sum of all scores above 0 that lies in each.
    pub mass: Vec<f64>,
    /// Elements that score 0, or less: they are in no bin.
    pub zero: u64,
    /// Decimal logarithm of the least score above 0 that was selected; none if there is none.
    pub threshold: Option<f64>,
}

/// How scores are spread, and where the selection begins, which is given as positions `o * I + i`; `None` if no score is
/// above 0. Sums are made in the order of the elements.
pub fn spread(scores: ArrayView2<f32>, selected: &[u32]) -> Option<ScoreSpread> {
    let above = || scores.iter().copied().filter(|score| *score > 0.0);
    let least = above().reduce(f32::min)?;
    let log = |score: f32| f64::from(score).log10();
    let [from, to] = [least, above().fold(least, f32::max)].map(log);
    let scale = SPREAD_BINS as f64 / (to - from).max(f64::MIN_POSITIVE);
    let (mut counts, mut mass) = (vec![0_u64; SPREAD_BINS], vec![0.0_f64; SPREAD_BINS]);
    for score in above() {
        // The greatest lies at the end of the last one.
        let bin = (((log(score) - from) * scale) as usize).min(SPREAD_BINS - 1);
        counts[bin] += 1;
        mass[bin] += f64::from(score);
    }
    let sum: f64 = mass.iter().sum();
    mass.iter_mut().for_each(|mass| *mass /= sum);
    let columns = scores.ncols();
    let taken = selected.iter().filter_map(|&position| {
        let position = position as usize;
        scores.get([position / columns, position % columns]).copied().filter(|score| *score > 0.0)
    });
    let zero = scores.len() as u64 - counts.iter().sum::<u64>();
    Some(ScoreSpread { range: [from, to], counts, mass, zero, threshold: taken.reduce(f32::min).map(log) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use proptest::prelude::*;

    fn of(scores: &[f32], selected: &[u32]) -> Option<ScoreSpread> {
        spread(Array2::from_shape_vec((2, scores.len() / 2), scores.to_vec()).unwrap().view(), selected)
    }

    #[test]
    fn decades_are_equally_wide() {
        let found = of(&[1e-3, 0.0, 1.1e-2, -5.0, 2e-2, 1.0], &[4, 5]).unwrap();
        assert!((found.range[0] + 3.0).abs() < 1e-6 && found.range[1] == 0.0, "{found:?}");
        let in_bins: Vec<(usize, u64)> =
            found.counts.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect();
        // 16 bins a decade.
        assert_eq!(in_bins, [(0, 1), (16, 1), (20, 1), (47, 1)]);
        assert_eq!(found.zero, 2);
        assert!((found.mass[47] - 1.0 / 1.032).abs() < 1e-6, "{found:?}");
        assert!((found.threshold.unwrap() - f64::from(2e-2_f32).log10()).abs() < 1e-12);
    }

    #[test]
    fn scores_that_are_alike_or_none() {
        assert_eq!(of(&[0.0, -1.0], &[]), None);
        let alike = of(&[0.5, 0.5, 0.5, 0.0], &[]).unwrap();
        assert_eq!((alike.range[0], alike.counts[0], alike.zero), (alike.range[1], 3, 1));
        assert_eq!((alike.mass[0], alike.threshold), (1.0, None));
        // What scores less than 0 may be selected by its number; the threshold is that of the others.
        assert_eq!(of(&[-1.0, 1.0], &[0, 1]).unwrap().threshold, Some(0.0));
        assert_eq!(of(&[-1.0, 1.0], &[0]).unwrap().threshold, None);
    }

    proptest! {
        #[test]
        fn every_element_counts_once(
            scores in prop::collection::vec(prop_oneof![Just(0.0_f32), -1.0_f32..0.0, prop::num::f32::POSITIVE], 1..300),
            selected in prop::collection::vec(0_u32..300, 0..20),
        ) {
            let scores: Vec<f32> = scores.into_iter().filter(|score| score.is_finite()).flat_map(|s| [s, s]).collect();
            let selected: Vec<u32> = selected.into_iter().filter(|p| (*p as usize) < scores.len()).collect();
            let Some(found) = of(&scores, &selected) else {
                prop_assert!(scores.iter().all(|score| *score <= 0.0));
                return Ok(());
            };
            let counted: u64 = found.counts.iter().sum();
            prop_assert_eq!(counted + found.zero, scores.len() as u64);
            prop_assert_eq!(found.zero, scores.iter().filter(|score| **score <= 0.0).count() as u64);
            prop_assert!((found.mass.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(found.mass.iter().zip(&found.counts).all(|(mass, count)| (*mass > 0.0) == (*count > 0)));
            prop_assert!(found.counts[0] > 0 && (found.range[0] == found.range[1] || found.counts[SPREAD_BINS - 1] > 0));
            if let Some(threshold) = found.threshold {
                prop_assert!((found.range[0]..=found.range[1]).contains(&threshold));
            }
            let any = selected.iter().any(|position| scores[*position as usize] > 0.0);
            prop_assert_eq!(found.threshold.is_some(), any);
        }
    }
}
