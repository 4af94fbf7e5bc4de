//! How well a detector tells unsafe samples from safe ones that it was not fitted on.

use serde::Serialize;

/// Detector values of safe and unsafe samples, compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Separation {
    /// Samples of each side.
    pub samples: [usize; 2],
    /// Mean on each side, safe first.
    pub mean: [f64; 2],
    /// Standard deviation on each side.
    pub std: [f64; 2],
    /// `d'`: the distance of the means in standard deviations (root mean square of both sides').
    pub d_prime: f64,
    /// How often an unsafe sample has the larger value; ties count half. 0.5 is chance.
    pub auc: f64,
    /// Its 95 % interval (Hanley and McNeil 1982).
    pub auc_interval: [f64; 2],
}

impl Separation {
    /// Compares values; `None` where a side has fewer than two.
    pub fn of(safe: &[f64], not_safe: &[f64]) -> Option<Self> {
        if safe.len() < 2 || not_safe.len() < 2 {
            return None;
        }
        let ([mean_safe, var_safe], [mean_unsafe, var_unsafe]) = (spread(safe), spread(not_safe));
        let deviation = f64::midpoint(var_safe, var_unsafe).sqrt();
        let distance = mean_unsafe - mean_safe;
        let d_prime = if deviation > 0.0 { distance / deviation } else { 0.0 };
        let auc = auc(safe, not_safe);
        let (a, [m, n]) = (auc, [not_safe.len() as f64, safe.len() as f64]);
        let (q1, q2) = (a / (2.0 - a), 2.0 * a * a / (1.0 + a));
        let variance = (a * (1.0 - a) + (m - 1.0) * (q1 - a * a) + (n - 1.0) * (q2 - a * a)) / (m * n);
        let half = 1.959_964 * variance.max(0.0).sqrt();
        Some(Self {
            samples: [safe.len(), not_safe.len()],
            mean: [mean_safe, mean_unsafe],
            std: [var_safe.sqrt(), var_unsafe.sqrt()],
            d_prime,
            auc,
            auc_interval: [(a - half).max(0.0), (a + half).min(1.0)],
        })
    }
}

/// Mean and variance.
fn spread(values: &[f64]) -> [f64; 2] {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    [mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count]
}

fn auc(safe: &[f64], not_safe: &[f64]) -> f64 {
    let mut sorted = safe.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below = |value: f64| {
        let (less, no_more) = (sorted.partition_point(|s| *s < value), sorted.partition_point(|s| *s <= value));
        (less + no_more) as f64 / 2.0
    };
    not_safe.iter().map(|&value| below(value)).sum::<f64>() / (safe.len() * not_safe.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_and_ranks() {
        let apart = Separation::of(&[0.0, 1.0], &[10.0, 11.0]).unwrap();
        assert_eq!((apart.d_prime, apart.auc, apart.auc_interval), (20.0, 1.0, [1.0, 1.0]));
        let alike = Separation::of(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((alike.d_prime, alike.auc), (0.0, 0.5));
        assert!(alike.auc_interval[0] < 0.1 && alike.auc_interval[1] > 0.9);
        assert_eq!(Separation::of(&[2.0, 3.0], &[1.0, 0.0]).unwrap().auc, 0.0);
        assert_eq!(Separation::of(&[2.0, 3.0], &[1.0]), None);
        // An example worked out by hand: A = 0.75, m = n = 2.
        let two = Separation::of(&[1.0, 3.0], &[2.0, 4.0]).unwrap();
        let variance: f64 = (0.1875 + (0.6 - 0.5625) + (9.0 / 14.0 - 0.5625)) / 4.0;
        assert!((two.auc - 0.75).abs() < 1e-12);
        assert!((two.auc_interval[0] - (0.75 - 1.959_964 * variance.sqrt())).abs() < 1e-9);
    }
}
