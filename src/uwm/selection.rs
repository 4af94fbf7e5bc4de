//! From scores to elements (`method.md` section 3): those that hold the upper `tau` of the mass, or the upper `tau` of
//! their number; in each layer for itself, or over all layers of a tower.

use ndarray::ArrayView2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Error;

/// What is counted up to `tau`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// The mass: scores are normalised to sum 1 and sorted ascending, and those are taken at which the cumulative sum
    /// exceeds `1 - tau`.
    #[default]
    Adaptive,
    /// The number of elements, rounded.
    Hard,
}

/// What `tau` is a share of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// Each layer.
    #[default]
    Layer,
    /// All layers of the tower together. So that they can be compared, an element counts by how many times the mean of
    /// its layer its score is.
    Tower,
}

/// How elements are selected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// What is counted.
    pub selection: Measure,
    /// Over what.
    pub budget: Budget,
    /// The share, in (0, 1).
    pub tau: f64,
}

/// Selects in the layers of a tower: positions `o * I + i` of each, ascending. Equal scores stand in order of layer and
/// position, the last ones first to be taken. An element with score 0 has none and is never taken. Sums are in float64.
///
/// # Errors
/// With the index of the layer: if a score is not finite, or negative ones outweigh the others where mass is counted.
pub fn select(scores: &[ArrayView2<f32>], rule: Rule) -> Result<Vec<Vec<u32>>, (usize, Error)> {
    match rule.budget {
        Budget::Layer => {
            let one = |(index, scores): (usize, &ArrayView2<f32>)| {
                let pool = Pool { parts: vec![(scores.view(), 1.0)] };
                let mut taken = pool.select(rule).map_err(|(_, error)| (index, error))?;
                Ok(taken.remove(0))
            };
            scores.par_iter().enumerate().map(one).collect()
        }
        Budget::Tower => {
            Pool { parts: scores.iter().map(|scores| (scores.view(), in_means(scores))).collect() }.select(rule)
        }
    }
}

/// What makes a layer's scores multiples of their mean.
fn in_means(scores: &ArrayView2<f32>) -> f64 {
    let mass: f64 = scores.iter().map(|&value| f64::from(value.max(0.0))).sum();
    if mass == 0.0 { 1.0 } else { scores.len() as f64 / mass }
}

/// Layers that are selected in together, with what their scores are multiplied by.
struct Pool<'a> {
    parts: Vec<(ArrayView2<'a, f32>, f64)>,
}

/// An element's place in the order: score, layer, position.
type Place = (f32, usize, usize);

/// Floats order as their bits, with those of negative ones turned over; this many upper bits tell the bins of the
/// histograms.
const BIN_SHIFT: u32 = 16;
const BINS: usize = 1 << (32 - BIN_SHIFT);

impl Pool<'_> {
    /// Exact without a full sort: a histogram over the upper 16 bits finds the one bin in which the limit is crossed, and
    /// only that bin is sorted.
    fn select(&self, rule: Rule) -> Result<Vec<Vec<u32>>, (usize, Error)> {
        let (mut mass, mut counts) = (vec![0.0_f64; BINS], vec![0_usize; BINS]);
        let mut candidates = 0;
        for (value, part, position) in self.elements() {
            if !value.is_finite() {
                return Err((part, Error::InvalidScore { position, value }));
            }
            mass[bin(value)] += f64::from(value);
            if value != 0.0 {
                counts[bin(value)] += 1;
                candidates += 1;
            }
        }
        if candidates == 0 {
            return Ok(vec![vec![]; self.parts.len()]);
        }
        let first = match rule.selection {
            Measure::Adaptive => self.by_mass(&mass, rule.tau)?,
            Measure::Hard => {
                let elements: usize = self.parts.iter().map(|(scores, _)| scores.len()).sum();
                self.by_count(&counts, (rule.tau * elements as f64).round() as usize)
            }
        };
        let mut taken = vec![vec![]; self.parts.len()];
        let Some(first) = first else { return Ok(taken) };
        for place in self.elements().filter(|place| place.0 != 0.0 && order(place, &first).is_ge()) {
            taken[place.1].push(place.2 as u32);
        }
        Ok(taken)
    }

    fn elements(&self) -> impl Iterator<Item = Place> {
        self.parts.iter().enumerate().flat_map(|(part, (scores, scale))| {
            let scaled = move |&value: &f32| if *scale == 1.0 { value } else { (f64::from(value) * scale) as f32 };
            // +0.0 and -0.0 are one score.
            scores.iter().enumerate().map(move |(position, value)| (scaled(value) + 0.0, part, position))
        })
    }

    /// The elements of one bin, ascending.
    fn sorted(&self, of: usize) -> Vec<Place> {
        let mut close: Vec<Place> = self.elements().filter(|place| bin(place.0) == of).collect();
        close.sort_unstable_by(order);
        close
    }

    /// The first element, ascending, at which the cumulative sum exceeds `1 - tau` of all.
    fn by_mass(&self, mass: &[f64], tau: f64) -> Result<Option<Place>, (usize, Error)> {
        let total: f64 = mass.iter().sum();
        if total <= 0.0 {
            return Err((0, Error::NoMass { total }));
        }
        let threshold = (1.0 - tau) * total;
        let mut below = 0.0;
        let crossing = mass.iter().position(|sum| {
            let crossed = below + sum > threshold;
            if !crossed {
                below += sum;
            }
            crossed
        });
        // Only rounding can leave the last bin short of a threshold next to the total.
        let Some(crossing) = crossing else { return Ok(None) };
        let mut last = None;
        for place in self.sorted(crossing) {
            below += f64::from(place.0);
            if below > threshold {
                return Ok(Some(place));
            }
            last = Some(place);
        }
        // The bin's sum came to more than its sorted elements do, by rounding: from the next bin on.
        Ok(last.and_then(|last| self.elements().filter(|place| order(place, &last).is_gt()).min_by(order)))
    }

    /// The first, ascending, of the last `count` elements.
    fn by_count(&self, counts: &[usize], count: usize) -> Option<Place> {
        let mut above = 0;
        let crossing = (0..BINS).rev().find(|&bin| {
            let crossed = above + counts[bin] >= count;
            if !crossed {
                above += counts[bin];
            }
            crossed
        });
        match (count, crossing) {
            (0, _) => None,
            // Fewer candidates than that: all of them.
            (_, None) => self.elements().filter(|place| place.0 != 0.0).min_by(order),
            (_, Some(crossing)) => {
                let close: Vec<Place> = self.sorted(crossing).into_iter().filter(|place| place.0 != 0.0).collect();
                Some(close[close.len() - (count - above)])
            }
        }
    }
}

fn order(a: &Place, b: &Place) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2))
}

fn bin(value: f32) -> usize {
    let bits = value.to_bits();
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    (ordered >> BIN_SHIFT) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use proptest::prelude::*;

    const ADAPTIVE: Rule = Rule { selection: Measure::Adaptive, budget: Budget::Layer, tau: 0.25 };

    /// The definition, with a full sort, for layers that lie one after the other.
    fn by_sorting(scores: &[f32], rule: Rule) -> Vec<u32> {
        let total: f64 = scores.iter().map(|&v| f64::from(v)).sum();
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
        let mut sum = 0.0;
        let count = scores.len() - ((rule.tau * scores.len() as f64).round() as usize).min(scores.len());
        let over = order.into_iter().enumerate().filter(|&(rank, p)| {
            sum += f64::from(scores[p]);
            scores[p] != 0.0
                && match rule.selection {
                    Measure::Adaptive => sum > (1.0 - rule.tau) * total,
                    Measure::Hard => rank >= count,
                }
        });
        let mut positions: Vec<u32> = over.map(|(_, p)| p as u32).collect();
        positions.sort_unstable();
        positions
    }

    fn array(scores: &[f32]) -> Array2<f32> {
        Array2::from_shape_vec((1, scores.len()), scores.to_vec()).unwrap()
    }

    proptest! {
        #[test]
        fn agrees_with_a_full_sort(
            // Small integers: their sums are exact in any order, ties and threshold hits included.
            scores in prop::collection::vec(-100_i16..600, 1..300),
            eighths in 1_u8..8,
            hard: bool,
        ) {
            // Hard selection takes zeros for no scores, which sorting alone would not tell.
            let scores: Vec<f32> = scores.into_iter().filter(|&v| !(hard && v <= 0)).map(f32::from).collect();
            prop_assume!(scores.iter().sum::<f32>() > 0.0);
            let selection = if hard { Measure::Hard } else { Measure::Adaptive };
            let rule = Rule { selection, tau: f64::from(eighths) / 8.0, ..ADAPTIVE };
            let array = array(&scores);
            prop_assert_eq!(&select(&[array.view()], rule).unwrap()[0], &by_sorting(&scores, rule));
        }

        /// Layers of one mass are as one layer.
        #[test]
        fn a_tower_is_one_pool(
            mut scores in prop::collection::vec(1_u16..500, 2..200),
            eighths in 1_u8..8,
            hard: bool,
        ) {
            // A power of two, so that shares are exact.
            let half = scores.len() / 2;
            scores.truncate(2 * half);
            let mass = 1_u32 << 18;
            for layer in scores.chunks_mut(half) {
                let others: u32 = layer[1..].iter().map(|&v| u32::from(v)).sum();
                prop_assume!(others < 60_000);
                layer[0] = 1;
            }
            let as_layers: Vec<Array2<f32>> = scores.chunks(half).map(|layer| {
                let mut layer: Vec<f32> = layer.iter().map(|&v| f32::from(v)).collect();
                layer[0] = mass as f32 - layer[1..].iter().sum::<f32>();
                array(&layer)
            }).collect();
            let joined: Vec<f32> = as_layers.iter().flatten().copied().collect();
            let selection = if hard { Measure::Hard } else { Measure::Adaptive };
            let rule = Rule { selection, budget: Budget::Tower, tau: f64::from(eighths) / 8.0 };
            let views: Vec<_> = as_layers.iter().map(|layer| layer.view()).collect();
            let got = select(&views, rule).unwrap();
            let flat: Vec<u32> = got.iter().zip(0..).flat_map(|(taken, k)| taken.iter().map(move |p| p + k * half as u32)).collect();
            prop_assert_eq!(flat, by_sorting(&joined, rule));
        }
    }

    #[test]
    fn ties_are_broken_by_position() {
        let scores = Array2::from_elem((2, 4), 1.0);
        assert_eq!(select(&[scores.view()], ADAPTIVE).unwrap(), [[6, 7]]);
        assert_eq!(select(&[scores.view()], Rule { selection: Measure::Hard, ..ADAPTIVE }).unwrap(), [[6, 7]]);
        let tower = Rule { budget: Budget::Tower, ..ADAPTIVE };
        assert_eq!(select(&[scores.view(), scores.view()], tower).unwrap(), [vec![], vec![4, 5, 6, 7]]);
    }

    #[test]
    fn what_has_no_score_is_not_taken() {
        let scores = array(&[0.0, 3.0, -0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        let hard = Rule { selection: Measure::Hard, tau: 0.5, ..ADAPTIVE };
        assert_eq!(select(&[scores.view()], hard).unwrap(), [[1, 3]]);
        let scores = array(&[-5.0, 3.0, -1.0, 1.0]);
        assert_eq!(select(&[scores.view()], hard).unwrap(), [[1, 3]]);
        assert_eq!(select(&[scores.view()], Rule { tau: 0.75, ..hard }).unwrap(), [[1, 2, 3]]);
        assert_eq!(select(&[scores.view()], Rule { tau: 0.01, ..hard }).unwrap(), [[0_u32; 0]]);
    }

    #[test]
    fn bad_scores_are_errors() {
        let of = |values: &[f32]| select(&[array(&[1.0, 2.0]).view(), array(values).view()], ADAPTIVE).unwrap_err();
        assert_eq!(select(&[array(&[0.0, 0.0]).view()], ADAPTIVE).unwrap(), [[0_u32; 0]]);
        assert_eq!(of(&[1.0, -1.5]), (1, Error::NoMass { total: -0.5 }));
        assert!(matches!(of(&[1.0, 1.0, f32::NAN]), (1, Error::InvalidScore { position: 2, .. })));
    }
}
