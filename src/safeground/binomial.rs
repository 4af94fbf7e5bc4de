//! Exact binomial probabilities, for counts that are too small for anything else.

/// `P[X >= k]` of `n` trials with chance `p` each.
pub fn at_least(k: usize, n: usize, p: f64) -> f64 {
    match (k, p) {
        (0, _) => 1.0,
        _ if k > n || p <= 0.0 => 0.0,
        _ if p >= 1.0 => 1.0,
        // The shorter end is summed.
        _ if k as f64 <= n as f64 * p => 1.0 - sum(0..=k - 1, n, p),
        _ => sum(k..=n, n, p),
    }
}

fn sum(range: std::ops::RangeInclusive<usize>, n: usize, p: f64) -> f64 {
    // ln C(n, k) + k ln p + (n - k) ln(1 - p), step by step from k = 0.
    let mut log = n as f64 * (-p).ln_1p();
    let odds = p.ln() - (-p).ln_1p();
    let mut total = 0.0;
    for k in 0..=*range.end() {
        if range.contains(&k) {
            total += log.exp();
        }
        log += ((n - k) as f64 / (k + 1) as f64).ln() + odds;
    }
    total.min(1.0)
}

/// The interval of a share of which `k` of `n` were seen, that leaves out `tail` at either end: 0.025 for a 95 % interval
/// (Clopper and Pearson 1934).
pub fn interval(k: usize, n: usize, tail: f64) -> [f64; 2] {
    let low = if k == 0 { 0.0 } else { solve(|p| at_least(k, n, p) - tail) };
    let high = if k == n { 1.0 } else { solve(|p| at_least(k + 1, n, p) - (1.0 - tail)) };
    [low, high]
}

/// Where a growing function of a chance is 0.
fn solve(f: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if f(middle) < 0.0 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_tables() {
        // scipy.stats.binom.sf(k - 1, n, p)
        assert!((at_least(3, 10, 0.1) - 0.070_190_826_4).abs() < 1e-9);
        assert!((at_least(7, 7, 0.5) - 1.0 / 128.0).abs() < 1e-12);
        assert!((at_least(40, 100, 0.5) - 0.982_399_9).abs() < 1e-6);
        assert_eq!([at_least(0, 5, 0.3), at_least(6, 5, 0.3)], [1.0, 0.0]);
        // scipy.stats.binomtest(k, n).proportion_ci()
        let close = |got: [f64; 2], want: [f64; 2]| got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(interval(0, 600, 0.025), [0.0, 1.0 - 0.025_f64.powf(1.0 / 600.0)]));
        assert!(close(interval(1, 91, 0.025), [0.000_278_179, 0.059_710_8]), "{:?}", interval(1, 91, 0.025));
        assert!(close(interval(10, 10, 0.025), [0.025_f64.powf(0.1), 1.0]));
    }
}
