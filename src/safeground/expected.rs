//! Recall@1 in a gallery of another size: what a few pairs say of many.
//!
//! Among few items hardly any query goes wrong, whatever an edit did. But how far each right item lies above the wrong ones
//! shows all the same. The similarities of a query to wrong items are brought to mean 0 and deviation 1, and pooled over
//! all queries: `F`. Of a query whose right item is at `z` on that scale, the first among `M` items is right with
//! probability `F(z)^(M-1)`, if wrong items are drawn from the pool.

use ndarray::ArrayView1;

use super::Embeddings;

/// Pairs that are looked at, evenly spread over all; bounds the similarity matrix.
const MOST: usize = 1024;
/// The pool as a histogram over `-REACH..REACH`.
const BINS: usize = 8192;
const REACH: f64 = 8.0;

/// The expected recall@1, in percent, of `queries` in a gallery of `items`, where row `b` of `gallery` is right for query
/// `b`.
pub fn expected_recall(queries: &Embeddings, gallery: &Embeddings, items: usize) -> f64 {
    let total = queries.0.nrows();
    let pairs: Vec<usize> = match total {
        0 | 1 => return 100.0,
        2..=MOST => (0..total).collect(),
        _ => (0..MOST).map(|k| k * total / MOST).collect(),
    };
    let (queries, gallery) = (queries.select(&pairs), gallery.select(&pairs));
    let similarities = queries.0.dot(&gallery.0.t());
    let (mut pool, mut right) = (vec![0_u64; BINS], vec![]);
    for (own, row) in similarities.rows().into_iter().enumerate() {
        let [mean, std] = wrong(row, own);
        let scaled = |value: f32| (f64::from(value) - mean) / std;
        right.push(scaled(row[own]));
        row.iter().enumerate().filter(|(item, _)| *item != own).for_each(|(_, &value)| pool[bin(scaled(value))] += 1);
    }
    // How many lie below the middle of each bin.
    let mut below = 0.0;
    let shares: Vec<f64> = pool
        .iter()
        .map(|&count| {
            let middle = below + count as f64 / 2.0;
            below += count as f64;
            middle
        })
        .collect();
    let chance = |z: f64| (shares[bin(z)] / below).powf(items.saturating_sub(1) as f64);
    100.0 * right.iter().map(|&z| chance(z)).sum::<f64>() / right.len() as f64
}

/// Mean and deviation of a query's similarities to the items that are not `own`.
fn wrong(row: ArrayView1<f32>, own: usize) -> [f64; 2] {
    let others = || row.iter().enumerate().filter(|(item, _)| *item != own).map(|(_, &value)| f64::from(value));
    let count = (row.len() - 1) as f64;
    let mean = others().sum::<f64>() / count;
    let variance = others().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    [mean, variance.sqrt().max(f64::MIN_POSITIVE)]
}

fn bin(z: f64) -> usize {
    // What is not a number is nowhere, and so at the lower end.
    (((z + REACH) / (2.0 * REACH) * BINS as f64).max(0.0) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::safeground::recall;
    use ndarray::Array2;

    /// Texts and images of the same contents, each with noise of its own.
    fn pairs(count: usize, noise: f64) -> [Embeddings; 2] {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut some = |scale: f64| {
            Array2::from_shape_simple_fn((count, 12), || {
                (scale * (rng.f64() + rng.f64() + rng.f64() + rng.f64() - 2.0)) as f32
            })
        };
        let content = some(1.0);
        [&content + &some(noise), &content + &some(noise)].map(|rows| Embeddings::normalise(rows).unwrap())
    }

    #[test]
    fn a_few_pairs_tell_of_many() {
        let [texts, images] = pairs(600, 0.5);
        let measured = recall(&texts, &images).at_1;
        let some = |rows: std::ops::Range<usize>| {
            let rows: Vec<usize> = rows.collect();
            expected_recall(&texts.select(&rows), &images.select(&rows), 600)
        };
        assert!((30.0..95.0).contains(&measured), "{measured}");
        assert!((some(0..600) - measured).abs() < 6.0, "{} {measured}", some(0..600));
        // Which of 60 pairs are first among those 60 says much less.
        let few: Vec<f64> = (0..10).map(|part| some(part * 60..(part + 1) * 60)).collect();
        let mean = few.iter().sum::<f64>() / 10.0;
        assert!((mean - measured).abs() < 8.0, "{mean} {measured}");
        let plain = recall(&texts.select(&(0..60).collect::<Vec<_>>()), &images.select(&(0..60).collect::<Vec<_>>()));
        assert!(plain.at_1 - measured > 8.0, "{} {measured}", plain.at_1);
        // More items are harder, more noise too.
        assert!(expected_recall(&texts, &images, 100) > expected_recall(&texts, &images, 1000));
        let [noisy, others] = pairs(600, 0.8);
        assert!(expected_recall(&noisy, &others, 600) < expected_recall(&texts, &images, 600));
    }

    #[test]
    fn what_collapsed_is_no_surprise() {
        let one = Embeddings::normalise(Array2::from_elem((5, 3), 1.0)).unwrap();
        let got = expected_recall(&one, &one, 512);
        assert!((0.0..=100.0).contains(&got), "{got}");
        assert_eq!(expected_recall(&one.select(&[0]), &one.select(&[0]), 512), 100.0);
        let many = pairs(1500, 0.1);
        assert!(expected_recall(&many[0], &many[1], 512) > 90.0);
    }
}
