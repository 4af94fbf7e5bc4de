//! Adaptive selection (`method.md` section 3): the elements that hold the upper `tau` of the score's mass.

use ndarray::ArrayView2;

use super::Error;

/// Positive floats order as their bits; this many upper bits tell the bins of the histogram.
const BIN_SHIFT: u32 = 16;

/// Normalises the scores to sum 1, sorts ascending, and returns the positions `o * I + i` (ascending) at which the
/// cumulative sum exceeds `1 - tau`. Equal scores stand in order of position. Sums are in float64.
///
/// Exact without a full sort: a histogram over the upper 16 bits finds the one bin in which the threshold is
/// crossed, and only that bin is sorted.
///
/// # Errors
/// If a score is negative or not finite, or all are 0.
pub fn adaptive(scores: ArrayView2<f32>, tau: f64) -> Result<Vec<u32>, Error> {
    let mut sums = vec![0.0_f64; 1 << (32 - BIN_SHIFT)];
    for (position, &value) in scores.iter().enumerate() {
        if !value.is_finite() || value < 0.0 {
            return Err(Error::InvalidScore { position, value });
        }
        sums[bin(value)] += f64::from(value);
    }
    let total: f64 = sums.iter().sum();
    if total == 0.0 {
        return Err(Error::AllZero);
    }
    let threshold = (1.0 - tau) * total;
    let mut below = 0.0;
    let crossing = sums
        .iter()
        .position(|sum| {
            let crossed = below + sum > threshold;
            if !crossed {
                below += sum;
            }
            crossed
        })
        // Only rounding can leave the last bin short of a threshold next to the total.
        .unwrap_or(sums.len());
    let mut close: Vec<(f32, usize)> =
        scores.iter().copied().enumerate().filter(|&(_, v)| bin(v) == crossing).map(|(p, v)| (v, p)).collect();
    close.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut last_kept = None;
    for &(value, position) in &close {
        below += f64::from(value);
        if below > threshold {
            break;
        }
        last_kept = Some((value, position));
    }
    let selected = |position: usize, value: f32| {
        bin(value) > crossing
            || bin(value) == crossing
                && last_kept.is_none_or(|(v, p)| value.total_cmp(&v).then(position.cmp(&p)).is_gt())
    };
    let positions = scores.iter().enumerate().filter(|&(position, &value)| selected(position, value));
    Ok(positions.map(|(position, _)| position as u32).collect())
}

fn bin(value: f32) -> usize {
    // +0.0 and -0.0 are one score.
    ((value + 0.0).to_bits() >> BIN_SHIFT) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use proptest::prelude::*;

    /// The definition, with a full sort.
    fn by_sorting(scores: &[f32], tau: f64) -> Vec<u32> {
        let total: f64 = scores.iter().map(|&v| f64::from(v)).sum();
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
        let mut sum = 0.0;
        let over = order.into_iter().filter(|&p| {
            sum += f64::from(scores[p]);
            sum > (1.0 - tau) * total
        });
        let mut positions: Vec<u32> = over.map(|p| p as u32).collect();
        positions.sort_unstable();
        positions
    }

    proptest! {
        #[test]
        fn agrees_with_a_full_sort(
            // Small integers: their sums are exact in any order, ties and threshold hits included.
            scores in prop::collection::vec(0_u16..600, 1..300),
            eighths in 1_u8..8,
        ) {
            prop_assume!(scores.iter().any(|&v| v > 0));
            let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
            let tau = f64::from(eighths) / 8.0;
            let array = Array2::from_shape_vec((1, scores.len()), scores.clone()).unwrap();
            prop_assert_eq!(adaptive(array.view(), tau).unwrap(), by_sorting(&scores, tau));
        }
    }

    #[test]
    fn ties_are_broken_by_position() {
        let scores = Array2::from_elem((2, 4), 1.0);
        assert_eq!(adaptive(scores.view(), 0.25).unwrap(), [6, 7]);
    }

    #[test]
    fn bad_scores_are_errors() {
        let of =
            |values: &[f32]| adaptive(Array2::from_shape_vec((1, values.len()), values.to_vec()).unwrap().view(), 0.02);
        assert_eq!(of(&[0.0, 0.0]), Err(Error::AllZero));
        assert_eq!(of(&[1.0, -1.0]), Err(Error::InvalidScore { position: 1, value: -1.0 }));
        assert!(matches!(of(&[1.0, 1.0, f32::NAN]), Err(Error::InvalidScore { position: 2, .. })));
    }
}
