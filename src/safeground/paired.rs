//! Two models on the same quadruplets: McNemar's exact test.

use serde::Serialize;

/// How two yes-or-no measurements of the same items differ.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Paired {
    /// Items that are yes in the first and no in the second.
    pub only_first: usize,
    /// Items that are yes in the second and no in the first.
    pub only_second: usize,
    /// Two-sided: how likely such a difference, or a greater one, is if both are equally good.
    pub p: f64,
}

/// Compares two measurements of the same items. Under the null hypothesis each of the `n` items that differ is a fair
/// coin: `p = min(1, 2 P[Binomial(n, 1/2) >= max])` (McNemar 1947, the exact form).
///
/// # Panics
/// If they are not of the same length.
pub fn paired(first: &[bool], second: &[bool]) -> Paired {
    assert_eq!(first.len(), second.len(), "the same items");
    let count = |of: bool| first.iter().zip(second).filter(|(a, b)| a != b && **a == of).count();
    let (only_first, only_second) = (count(true), count(false));
    let (n, most) = (only_first + only_second, only_first.max(only_second));
    // ln C(n, k) - n ln 2, step by step from k = 0.
    let mut log = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=n {
        if k >= most {
            tail += log.exp();
        }
        log += ((n - k) as f64 / (k + 1) as f64).ln();
    }
    // Smaller than any float, and yet not 0.
    Paired { only_first, only_second, p: (2.0 * tail).clamp(f64::MIN_POSITIVE, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(only_first: usize, only_second: usize, both: usize) -> Paired {
        let part = |count: usize, value: bool| std::iter::repeat_n(value, count);
        let first: Vec<bool> = part(only_first, true).chain(part(only_second, false)).chain(part(both, true)).collect();
        let second: Vec<bool> =
            part(only_first, false).chain(part(only_second, true)).chain(part(both, true)).collect();
        paired(&first, &second)
    }

    #[test]
    fn agrees_with_the_binomial_distribution() {
        assert_eq!(of(0, 0, 5), Paired { only_first: 0, only_second: 0, p: 1.0 });
        assert_eq!(of(3, 3, 0).p, 1.0);
        // 2 (1 + 10) / 2^10, and 2 / 2^8.
        assert!((of(9, 1, 7).p - 22.0 / 1024.0).abs() < 1e-12);
        assert!((of(0, 8, 0).p - 2.0 / 256.0).abs() < 1e-12);
        // scipy.stats.binomtest(60, 100).pvalue
        assert!((of(60, 40, 0).p - 0.056_887_933_640_980_784).abs() < 1e-9);
        assert!(of(3000, 0, 0).p < 1e-300);
    }
}
