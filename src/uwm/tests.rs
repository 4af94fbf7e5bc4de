//! Sums and scores against their definitions, and what is left out.

use std::convert::Infallible;

use ndarray::{Array2, Axis, array};

use super::*;

fn sample(norm: Array2<f32>, std: Array2<f32>, tokens: usize) -> Statistics {
    let samples = norm.nrows();
    let mean = norm.mapv(|n| n / 2.0);
    Statistics { norm, std, mean, tokens: vec![tokens; samples], finite: vec![true; samples] }
}

fn scoring(name: &str, std: bool) -> Scoring {
    Scoring { score: name.parse().unwrap(), std, lambda: 1.0, gain: 0.0, swapped: false }
}

fn score(pairs: &[(Statistics, Statistics)], weight: &Array2<f32>, scoring: Scoring) -> Result<Scores, Error> {
    let give = || Ok::<_, Infallible>(weight.clone());
    let mut sums = Accumulator::new([weight.nrows(), weight.ncols()], &scoring.products(), 0.0, 1);
    for (safe, not_safe) in pairs {
        sums.add(safe, not_safe, &vec![0; safe.tokens.len()], give).unwrap();
    }
    sums.finish(give).unwrap().score(&scoring, weight)
}

/// The definition of `method.md` section 2, element by element.
fn by_definition(stats: &Statistics, weight: &Array2<f32>, std: bool) -> Array2<f64> {
    let (rows, columns) = weight.dim();
    let w = |o: usize, j: usize| f64::from(weight[[o, j]]).abs();
    let n = |j: usize| f64::from(stats.norm[[0, j]]);
    Array2::from_shape_fn((rows, columns), |(o, j)| {
        let input = n(j) * (0..rows).map(|o| w(o, j)).sum::<f64>() / rows as f64;
        let output = (0..columns).map(|j| n(j) * w(o, j)).sum::<f64>() / columns as f64;
        output * input / if std { f64::from(stats.std[[0, j]]) } else { 1.0 }
    })
}

fn weight() -> Array2<f32> {
    array![[1.0, -2.0, 0.5], [0.3, 0.0, -4.0]]
}

fn two_pairs() -> [(Statistics, Statistics); 2] {
    [
        (
            sample(array![[1.0, 2.0, 3.0]], array![[0.5, 0.25, 1.0]], 5),
            sample(array![[2.0, 1.0, 4.0]], array![[0.75, 0.5, 0.2]], 7),
        ),
        (
            sample(array![[0.4, 2.5, 1.0]], array![[0.2, 0.5, 0.5]], 3),
            sample(array![[2.0, 3.0, 0.1]], array![[0.7, 0.1, 0.3]], 4),
        ),
    ]
}

#[test]
fn ratios_agree_with_the_definition() {
    let (weight, pairs) = (weight(), two_pairs());
    for std in [true, false] {
        let one = |stats: &Statistics| by_definition(stats, &weight, std);
        let ratio = pairs.iter().map(|(s, u)| one(u) / one(s)).fold(Array2::<f64>::zeros((2, 3)), |a, b| a + b) / 2.0;
        let sum = |of: fn(&(Statistics, Statistics)) -> &Statistics| {
            pairs.iter().map(|p| one(of(p))).fold(Array2::<f64>::zeros((2, 3)), |a, b| a + b)
        };
        let (safe, not_safe) = (sum(|p| &p.0), sum(|p| &p.1));
        for (name, want) in [
            ("pairwise", ratio),
            ("dataset", &not_safe / &safe),
            ("unsafe-only", &not_safe / 2.0),
            ("difference", (&not_safe - &safe) / 2.0),
        ] {
            let got = score(&pairs, &weight, scoring(name, std)).unwrap();
            for (got, want) in got.values.iter().zip(&want) {
                // Where nothing flows there is no ratio.
                let want = if want.is_nan() { 0.0 } else { *want };
                // Differences of sums of about 10 keep the rounding of these.
                let close = (f64::from(*got) - want).abs() <= 2e-6 * want.abs().max(1.0);
                assert!(close, "{name} {std}: {got} {want}");
            }
            assert_eq!(got.undefined, Undefined::default(), "{name}");
        }
    }
}

/// What is swapped in the score is swapped in the data.
#[test]
fn roles_swapped_is_the_score_of_swapped_pairs() {
    let (weight, pairs) = (weight(), two_pairs());
    let turned = pairs.clone().map(|(safe, not_safe)| (not_safe, safe));
    for of in SCORES {
        for std in [true, false] {
            let scoring = Scoring { score: of, std, lambda: 0.5, gain: 0.0, swapped: false };
            let (got, want) =
                (score(&pairs, &weight, scoring.swapped()).unwrap(), score(&turned, &weight, scoring).unwrap());
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * b.abs().max(0.1);
            assert!(got.values.iter().zip(&want.values).all(close), "{of}: {} {}", got.values, want.values);
        }
    }
}

/// The reference divides by a deviation of 0 and gets infinity, or with its epsilon a huge number.
#[test]
fn dead_features_and_short_samples_are_left_out_and_counted() {
    let weight = array![[1.0, 1.0]];
    let good = (sample(array![[1.0, 1.0]], array![[1.0, 1.0]], 3), sample(array![[2.0, 2.0]], array![[1.0, 1.0]], 3));
    let dead = (good.0.clone(), sample(array![[2.0, 2.0]], array![[0.0, 1.0]], 3));
    let short = (good.0.clone(), sample(array![[9.0, 9.0]], array![[0.0, 0.0]], 1));
    let empty = (good.0.clone(), sample(array![[0.0, 0.0]], array![[0.0, 0.0]], 0));
    for name in ["pairwise", "dataset", "unsafe-only", "difference"] {
        let with_std = scoring(name, true);
        let alone = score(std::slice::from_ref(&good), &weight, with_std).unwrap();
        let all = [good.clone(), dead.clone(), short.clone(), empty.clone()];
        let got = score(&all, &weight, with_std).unwrap();
        assert_eq!(got.undefined, Undefined { short_pairs: 2, features: 1, ..Undefined::default() }, "{name}");
        // The dead pair counts where it is alive, the short ones nowhere.
        assert_eq!(got.values[[0, 0]], alone.values[[0, 0]], "{name}");
        assert!(got.values.iter().all(|score| score.is_finite()));
        assert_eq!(score(std::slice::from_ref(&short), &weight, with_std), Err(Error::NoPairs { pairs: 1 }));
        // Without a deviation one token is enough; none at all is not (the reference takes its ratio for 0).
        let got = score(&all, &weight, scoring(name, false)).unwrap();
        assert_eq!(got.undefined, Undefined { short_pairs: 1, ..Undefined::default() }, "{name}");
        assert_eq!(
            score(std::slice::from_ref(&empty), &weight, scoring(name, false)),
            Err(Error::NoPairs { pairs: 1 })
        );
    }
    let got = score(&[good, short, empty], &weight, scoring("contrast", true)).unwrap();
    assert_eq!(got.undefined.short_pairs, 1);
}

#[test]
fn a_sample_that_is_not_finite_costs_its_pair() {
    let weight = array![[1.0, 1.0]];
    let good = (sample(array![[1.0, 1.0]], array![[1.0, 1.0]], 3), sample(array![[2.0, 2.0]], array![[1.0, 1.0]], 3));
    let mut bad = good.clone();
    (bad.1.finite[0], bad.1.norm[[0, 0]], bad.1.mean[[0, 0]]) = (false, f32::NAN, f32::NAN);
    for of in SCORES {
        let scoring = Scoring { score: of, std: true, lambda: 1.0, gain: 0.0, swapped: false };
        let alone = score(std::slice::from_ref(&good), &weight, scoring).unwrap();
        let both = score(&[bad.clone(), good.clone()], &weight, scoring).unwrap();
        assert_eq!(both.values, alone.values);
        assert_eq!(both.undefined, Undefined { not_finite: 1, ..Undefined::default() });
        assert_eq!(score(std::slice::from_ref(&bad), &weight, scoring), Err(Error::NoPairs { pairs: 1 }));
    }
}

#[test]
fn a_row_of_zeros_scores_zero() {
    let weight = array![[1.0, 1.0], [0.0, 0.0]];
    let pair = (sample(array![[1.0, 1.0]], array![[1.0, 1.0]], 3), sample(array![[2.0, 2.0]], array![[1.0, 1.0]], 3));
    let mut got = score(std::slice::from_ref(&pair), &weight, scoring("pairwise", true)).unwrap();
    assert_eq!((got.values.clone(), got.undefined.outputs), (array![[4.0, 4.0], [0.0, 0.0]], 1));
    got.weigh(&array![[-0.5, 1.0], [1.0, 1.0]]);
    assert_eq!(got.values, array![[2.0, 4.0], [0.0, 0.0]]);
    let got = score(&[pair], &weight, scoring("dataset", true)).unwrap();
    assert_eq!(got.values, array![[4.0, 4.0], [0.0, 0.0]]);
}

/// Every product, over several chunks, with samples that are left out.
#[test]
fn going_on_from_kept_sums_gives_the_same_bits() {
    let weight = array![[1.0, -2.0], [0.3, 0.5]];
    let give = || Ok::<_, Infallible>(weight.clone());
    let pair = |b: usize| {
        let x = |k: usize| 1.0 + ((b * 7 + k * 13) % 11) as f32 / 3.0;
        let tokens = if b.is_multiple_of(5) { 1 } else { 4 };
        (
            sample(array![[x(0), x(1)]], array![[x(2), x(3)]], 4),
            sample(array![[x(4), x(5)]], array![[x(6), x(7)]], tokens),
        )
    };
    let all = SCORES.map(|score| Scoring { score, std: true, lambda: 1.0, gain: 0.0, swapped: false });
    let mut products: Vec<Product> = all.iter().flat_map(Scoring::products).collect();
    products.sort_by_key(|product| format!("{product:?}"));
    products.dedup();
    let run = |from: usize, sums: &mut Accumulator| {
        for b in from..150 {
            let (safe, not_safe) = pair(b);
            sums.add(&safe, &not_safe, &[b % 3], give).unwrap();
        }
    };
    let mut whole = Accumulator::new([2, 2], &products, 0.0, 3);
    run(0, &mut whole);
    let kept = whole.sums().clone();
    assert_eq!(kept.pairs, 2 * CHUNK);
    let mut resumed = Accumulator::resume(kept.clone(), 2, &products, 0.0);
    run(kept.pairs, &mut resumed);
    let (resumed, whole) = (resumed.finish(give).unwrap(), whole.finish(give).unwrap());
    for scoring in all {
        assert_eq!(resumed.score(&scoring, &weight).unwrap(), whole.score(&scoring, &weight).unwrap(), "{scoring}");
    }
}

/// Against covariances in float64, far from the origin, where a naive sum would cancel.
#[test]
fn contrast_agrees_with_covariances() {
    let (pairs, inputs) = (200, 4);
    let value = |b: usize, j: usize, k: usize| 50.0 + ((b * 31 + j * 17 + k * 7) % 23) as f32 / 23.0;
    let mean = |k: usize| Array2::from_shape_fn((pairs, inputs), |(b, j)| value(b, j, k));
    let (safe, not_safe) = (mean(0), mean(1) + 0.3);
    let stats = |mean: &Array2<f32>| Statistics {
        mean: mean.clone(),
        ..sample(Array2::ones((pairs, inputs)), Array2::ones((pairs, inputs)), 4)
    };
    let weight = Array2::from_shape_fn((3, inputs), |(o, j)| ((o * 5 + j * 3) % 7) as f32 - 3.0);
    let give = || Ok::<_, Infallible>(weight.clone());
    let concepts: Vec<usize> = (0..pairs).map(|b| b % 3).collect();
    let (wide, wide_u) = (safe.mapv(f64::from), not_safe.mapv(f64::from));
    let difference = &wide_u - &wide;
    let centred = &wide - &wide.mean_axis(Axis(0)).unwrap();
    let gram = |rows: &Array2<f64>| rows.t().dot(rows) / pairs as f64;
    let by_concept = (0..3).fold(Array2::zeros((inputs, inputs)), |sum, concept| {
        let rows: Vec<usize> = (0..pairs).filter(|b| b % 3 == concept).collect();
        let mean = difference.select(Axis(0), &rows).mean_axis(Axis(0)).unwrap().insert_axis(Axis(0));
        sum + mean.t().dot(&mean) * (rows.len() as f64 / pairs as f64)
    });
    let w = weight.mapv(f64::from);
    for (name, difference) in [("contrast", gram(&difference)), ("concept-contrast", by_concept)] {
        let scoring = Scoring { lambda: 0.5, ..scoring(name, true) };
        let mut sums = Accumulator::new([3, inputs], &scoring.products(), 0.0, 3);
        sums.add(&stats(&safe), &stats(&not_safe), &concepts, give).unwrap();
        let got = sums.finish(give).unwrap().score(&scoring, &weight).unwrap();
        let want = &w * &(w.dot(&difference) - w.dot(&gram(&centred)) * 0.5);
        for (got, want) in got.values.iter().zip(&want) {
            assert!((f64::from(*got) - want.max(0.0)).abs() < 1e-4, "{name}: {got} {want}");
        }
        assert!(want.iter().any(|&score| score > 0.05), "{want}");
    }
}

/// Against the definition, with samples of different lengths.
#[test]
fn energy_contrast_agrees_with_the_definition() {
    let (weight, pairs) = (weight(), two_pairs());
    let scoring = Scoring { lambda: 0.5, gain: 0.25, ..scoring("energy-contrast", true) };
    let got = score(&pairs, &weight, scoring).unwrap();
    let energy = |of: fn(&(Statistics, Statistics)) -> &Statistics, j: usize| {
        let of_pair = |pair| f64::from(of(pair).norm[[0, j]]).powi(2) / of(pair).tokens[0] as f64;
        pairs.iter().map(of_pair).sum::<f64>() / 2.0
    };
    // All pairs are of one concept.
    let difference = |j: usize| {
        let of_pair = |(s, u): &(Statistics, Statistics)| f64::from(u.mean[[0, j]]) - f64::from(s.mean[[0, j]]);
        pairs.iter().map(of_pair).sum::<f64>() / 2.0
    };
    let mut scored = 0;
    for ((o, j), got) in got.values.indexed_iter() {
        let w = |j: usize| f64::from(weight[[o, j]]);
        let output: f64 = (0..3).map(|j| w(j) * difference(j)).sum();
        let traded = 0.25 * energy(|p| &p.1, j) - 0.5 * energy(|p| &p.0, j);
        let want = (w(j) * output * difference(j) + w(j).powi(2) * traded).max(0.0);
        assert!((f64::from(*got) - want).abs() < 1e-5, "{got} {want}");
        scored += usize::from(want > 0.0);
    }
    assert!((1..6).contains(&scored), "{scored}");
}

#[test]
fn names_are_told() {
    assert_eq!(scoring("dataset", false).to_string(), "dataset (without std)");
    assert!("x".parse::<Score>().unwrap_err().contains("'x'; there are pairwise, dataset, unsafe-only"));
    for score in SCORES {
        assert_eq!(score.to_string().parse::<Score>().unwrap(), score);
    }
}
