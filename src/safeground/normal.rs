//! The normal distribution, as far as intervals of other levels need it.

/// The value below which a standard normal variable lies with chance `p`, for `0.5 <= p < 1`: to 4.5e-4 (Abramowitz and Stegun
/// 1964, 26.2.23).
pub fn quantile(p: f64) -> f64 {
    let t = (-2.0 * (1.0 - p).ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - above / below
}

/// By how much the interval of a figure is to be wider, for `questions` such intervals to hold together as often as one does
/// alone at `level` percent (Bonferroni).
pub fn widening(level: f64, questions: usize) -> f64 {
    let tail = (1.0 - level / 100.0) / 2.0;
    quantile(1.0 - tail / questions.max(1) as f64) / quantile(1.0 - tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_tables() {
        for (p, value) in [(0.5, 0.0), (0.9, 1.281_552), (0.975, 1.959_964), (0.9995, 3.290_527)] {
            assert!((quantile(p) - value).abs() < 5e-4, "{p}: {}", quantile(p));
        }
        // 20 questions at 95 %: 3.0233 / 1.9600.
        assert!((widening(95.0, 20) - 1.5426).abs() < 1e-3);
        assert_eq!(widening(95.0, 1), 1.0);
    }
}
