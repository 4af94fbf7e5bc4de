//! How far a figure could be off: percentile bootstrap intervals over the items it is an average of (Efron 1979).

use ndarray::{Array2, Axis, s};
use rayon::prelude::*;

use super::binomial;

/// What is drawn, and how often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// How many samples of the set are drawn, with replacement.
    pub resamples: usize,
    /// With the same seed the same samples are drawn.
    pub seed: u64,
    /// How often an interval is to hold the figure, in percent.
    pub level: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 2000, seed: 0, level: 95.0 }
    }
}

/// Fewer items than that tell no interval; of a mean of the lowest, so many must be among these.
pub const FEWEST: usize = 30;

/// How values of items become a figure.
#[derive(Debug, Clone, PartialEq)]
pub enum Statistic {
    /// Their mean.
    Mean,
    /// The mean of the lowest of them: of that share, rounded up to whole items.
    Lowest(f64),
    /// The mean of the means of groups; the group of each item. Groups without items do not count.
    Groups(Vec<usize>),
}

/// The values of a figure, an item each.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// A value an item.
    pub values: Vec<f32>,
    /// What is made of them.
    pub statistic: Statistic,
}

impl Values {
    /// The figure; `None` without items.
    pub fn figure(&self) -> Option<f64> {
        (!self.values.is_empty()).then(|| self.weighted(&vec![1.0; self.values.len()], &self.order()))
    }

    /// Some of the items.
    pub fn select(&self, items: &[usize]) -> Self {
        let statistic = match &self.statistic {
            Statistic::Groups(groups) => Statistic::Groups(items.iter().map(|&item| groups[item]).collect()),
            other => other.clone(),
        };
        Self { values: items.iter().map(|&item| self.values[item]).collect(), statistic }
    }

    /// After less before: figures differ by the figure of the differences, if it is a mean.
    pub fn change(before: &Self, after: &Self) -> Option<Self> {
        let alike = before.statistic == after.statistic && before.values.len() == after.values.len();
        if !alike || matches!(before.statistic, Statistic::Lowest(_)) {
            return None;
        }
        let values = after.values.iter().zip(&before.values).map(|(after, before)| after - before).collect();
        Some(Self { values, statistic: before.statistic.clone() })
    }

    /// The items from the lowest value on, where the statistic asks for that.
    fn order(&self) -> Vec<usize> {
        match self.statistic {
            Statistic::Lowest(_) => {
                let mut order: Vec<usize> = (0..self.values.len()).collect();
                order.sort_by(|&a, &b| self.values[a].total_cmp(&self.values[b]));
                order
            }
            _ => vec![],
        }
    }

    /// The figure of a sample that has each item so many times.
    fn weighted(&self, times: &[f32], order: &[usize]) -> f64 {
        let all = || self.values.iter().zip(times).map(|(&value, &times)| (f64::from(value), f64::from(times)));
        match &self.statistic {
            Statistic::Mean => {
                let (sum, count) = all().fold((0.0, 0.0), |(sum, count), (v, t)| (sum + v * t, count + t));
                sum / count
            }
            Statistic::Lowest(share) => {
                let count = times.iter().map(|&t| f64::from(t)).sum::<f64>();
                let wanted = (share * count).ceil().max(1.0);
                let (mut left, mut sum) = (wanted, 0.0);
                for &item in order {
                    let taken = f64::from(times[item]).min(left);
                    sum += taken * f64::from(self.values[item]);
                    left -= taken;
                    if left <= 0.0 {
                        break;
                    }
                }
                sum / wanted
            }
            Statistic::Groups(groups) => {
                let mut of = vec![[0.0; 2]; groups.iter().max().map_or(0, |last| last + 1)];
                for (&group, (value, times)) in groups.iter().zip(all()) {
                    of[group][0] += value * times;
                    of[group][1] += times;
                }
                let means = of.iter().filter(|[_, count]| *count > 0.0).map(|[sum, count]| sum / count);
                let (sum, count) = means.fold((0.0, 0.0), |(sum, count), mean| (sum + mean, count + 1.0));
                sum / count
            }
        }
    }
}

/// Samples that are looked at by one thread at a time.
const BLOCK: usize = 64;

impl Bootstrap {
    /// Intervals of figures over the same items: of the figure over samples of the items, what is left when half of what
    /// [`Self::level`] leaves out is cut off at either end (at 95, the 2.5th and the 97.5th percentile). `None` for fewer than [`FEWEST`] items.
    ///
    /// Where fewer than ten items differ from the rest, samples say too little of them, and where none does, nothing: then
    /// the interval is widened to what the exact one takes in (Clopper and Pearson 1934).
    pub fn intervals(self, figures: &[(&Values, Range)]) -> Vec<Option<[f64; 2]>> {
        let items = figures.first().map_or(0, |(values, _)| values.values.len());
        assert!(figures.iter().all(|(values, _)| values.values.len() == items), "the same items");
        if items < FEWEST {
            return vec![None; figures.len()];
        }
        let means: Vec<usize> = (0..figures.len()).filter(|&f| figures[f].0.statistic == Statistic::Mean).collect();
        let others: Vec<(usize, Vec<usize>)> = (0..figures.len())
            .filter(|&f| figures[f].0.statistic != Statistic::Mean)
            .map(|f| (f, figures[f].0.order()))
            .collect();
        let matrix = Array2::from_shape_fn((items, means.len()), |(item, mean)| figures[means[mean]].0.values[item]);
        let starts: Vec<usize> = (0..self.resamples).step_by(BLOCK).collect();
        let blocks: Vec<Array2<f64>> = starts
            .into_par_iter()
            .map(|start| {
                let samples = start..self.resamples.min(start + BLOCK);
                let mut times = Array2::<f32>::zeros((samples.len(), items));
                for (mut row, sample) in times.rows_mut().into_iter().zip(samples.clone()) {
                    // A seed a sample: the same whichever thread draws it.
                    let mut rng =
                        fastrand::Rng::with_seed(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ sample as u64);
                    (0..items).for_each(|_| row[rng.usize(..items)] += 1.0);
                }
                // The means of all figures in one product.
                let sums = times.dot(&matrix);
                let mut found = Array2::zeros((samples.len(), figures.len()));
                for (mut found, (sums, times)) in
                    found.rows_mut().into_iter().zip(sums.rows().into_iter().zip(times.rows()))
                {
                    means.iter().zip(sums).for_each(|(&figure, &sum)| found[figure] = f64::from(sum) / items as f64);
                    let times = times.to_slice().expect("rows are contiguous");
                    others
                        .iter()
                        .for_each(|(figure, order)| found[*figure] = figures[*figure].0.weighted(times, order));
                }
                found
            })
            .collect();
        let views: Vec<_> = blocks.iter().map(|block| block.view()).collect();
        let found = ndarray::concatenate(Axis(0), &views).expect("all blocks have a column a figure");
        (0..figures.len())
            .map(|figure| {
                let (values, range) = figures[figure];
                // Samples never go below the lowest item: a mean of a few of the lowest has no honest lower end.
                if matches!(values.statistic, Statistic::Lowest(share) if share * (items as f64) < FEWEST as f64) {
                    return None;
                }
                let mut column = found.slice(s![.., figure]).to_vec();
                column.sort_by(f64::total_cmp);
                let tail = self.tail();
                let interval = [quantile(&column, tail), quantile(&column, 1.0 - tail)];
                Some(range.widened(values, interval, tail))
            })
            .collect()
    }
}

impl Bootstrap {
    /// The share of samples that lies beyond either end of an interval.
    fn tail(self) -> f64 {
        (1.0 - self.level / 100.0) / 2.0
    }
}

/// What values a figure can take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Range {
    /// From 0 to that.
    UpTo(f64),
    /// A difference of two such figures.
    Difference(f64),
    /// Any.
    Any,
}

/// With fewer items than that at an end, an interval is widened.
const RARE: usize = 10;

impl Range {
    /// The interval together with the exact one (Clopper and Pearson 1934), where fewer than ten items have another value
    /// than the rest: of a share, that of the items that have it; of a difference, what the intervals of those that won and
    /// of those that lost leave possible at once. Of means of groups only where all items have one value.
    fn widened(self, of: &Values, interval: [f64; 2], tail: f64) -> [f64; 2] {
        let (values, items) = (&of.values, of.values.len());
        let is_mean = of.statistic == Statistic::Mean || values.iter().all(|value| *value == values[0]);
        let count = |wanted: f64| values.iter().filter(|value| f64::from(**value) == wanted).count();
        let rare = |counts: &[usize]| counts.iter().any(|count| *count < RARE || items - *count < RARE);
        let exact = match self {
            Self::UpTo(most) if is_mean && rare(&[count(most)]) => {
                binomial::interval(count(most), items, tail).map(|share| most * share)
            }
            Self::Difference(most) if is_mean => {
                let (won, lost) = (count(most), count(-most));
                if won + lost >= RARE && items - won >= RARE && items - lost >= RARE {
                    return interval;
                }
                let [won, lost] = [won, lost].map(|count| binomial::interval(count, items, tail));
                [most * (won[0] - lost[1]), most * (won[1] - lost[0])]
            }
            _ => return interval,
        };
        [interval[0].min(exact[0]), interval[1].max(exact[1])]
    }
}

/// Between the two nearest values, as numpy's default.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + part * (sorted[high] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: Vec<f32>) -> Values {
        Values { values, statistic: Statistic::Mean }
    }

    fn interval(values: &Values, range: Range) -> Option<[f64; 2]> {
        Bootstrap::default().intervals(&[(values, range)])[0]
    }

    #[test]
    fn intervals_of_shares_are_those_of_the_normal_distribution() {
        let share = mean((0..1000).map(|item| if item % 10 < 3 { 100.0 } else { 0.0 }).collect());
        let [low, high] = interval(&share, Range::UpTo(100.0)).unwrap();
        // 30 +- 1.96 sqrt(30 * 70 / 1000) = 30 +- 2.84.
        assert!((low - 27.16).abs() < 0.25 && (high - 32.84).abs() < 0.25, "{low} {high}");
        assert_eq!(share.figure(), Some(30.0));
        assert_eq!(interval(&share.select(&(0..29).collect::<Vec<_>>()), Range::UpTo(100.0)), None);
    }

    #[test]
    fn pairing_counts() {
        let before = mean((0..400).map(|item| if item % 2 == 0 { 100.0 } else { 0.0 }).collect());
        // One in twenty is better, none is worse.
        let after = mean((0..400).map(|item| if item % 2 == 0 || item % 20 == 1 { 100.0 } else { 0.0 }).collect());
        let change = Values::change(&before, &after).unwrap();
        let [low, high] = interval(&change, Range::Difference(100.0)).unwrap();
        assert!(low > 2.5 && high < 7.5 && change.figure() == Some(5.0), "{low} {high}");
        // All of them: no more certain than none of them.
        let none = mean(vec![0.0; 40]);
        let all = Values::change(&none, &mean(vec![100.0; 40])).unwrap();
        let [low, high] = interval(&all, Range::Difference(100.0)).unwrap();
        assert!(high == 100.0 && (82.0..92.0).contains(&low), "{low}");
        // Four that got worse, of 640: as McNemar's p of 0.125 has it, this may be nothing.
        let few = mean((0..640).map(|item| if item < 4 { -100.0 } else { 0.0 }).collect());
        let [low, high] = interval(&few, Range::Difference(100.0)).unwrap();
        assert!(low < -1.2 && high > 0.0, "{low} {high}");
        let same = Values::change(&before, &before).unwrap();
        let [low, high] = interval(&same, Range::Difference(100.0)).unwrap();
        assert!(low == -high && (0.8..1.0).contains(&high), "{low} {high}");
    }

    #[test]
    fn certainty_is_not_made_of_nothing() {
        let none = mean(vec![0.0; 600]);
        let [low, high] = interval(&none, Range::UpTo(100.0)).unwrap();
        // 1 - 0.025^(1/600)
        assert!(low == 0.0 && (high - 0.6129).abs() < 1e-3, "{high}");
        let [low, high] = interval(&mean(vec![100.0; 600]), Range::UpTo(100.0)).unwrap();
        assert!(high == 100.0 && (low - 99.3871).abs() < 1e-3);
        assert_eq!(interval(&mean(vec![1.0; 600]), Range::Any), Some([1.0, 1.0]));
    }

    #[test]
    fn the_same_on_any_number_of_threads() {
        let mut rng = fastrand::Rng::with_seed(2);
        let values: Vec<f32> = (0..333).map(|_| rng.f32()).collect();
        let groups = (0..333).map(|item| item * item % 7).collect();
        let all = [
            mean(values.clone()),
            Values { values: values.clone(), statistic: Statistic::Lowest(0.2) },
            Values { values, statistic: Statistic::Groups(groups) },
        ];
        let figures: Vec<_> = all.iter().map(|values| (values, Range::Any)).collect();
        let of = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Bootstrap { resamples: 500, seed: 3, level: 95.0 }.intervals(&figures))
        };
        assert_eq!(of(1), of(3));
        assert_ne!(of(1), Bootstrap { resamples: 500, seed: 4, level: 95.0 }.intervals(&figures));
        for (values, interval) in all.iter().zip(of(1)) {
            let ([low, high], figure) = (interval.unwrap(), values.figure().unwrap());
            assert!(low < figure && figure < high, "{low} {figure} {high}");
        }
    }

    #[test]
    fn the_lowest_and_groups() {
        let values = vec![5.0, 1.0, 3.0, 2.0];
        let lowest = |share| Values { values: values.clone(), statistic: Statistic::Lowest(share) }.figure();
        assert_eq!([lowest(0.01), lowest(0.5), lowest(0.51)], [Some(1.0), Some(1.5), Some(2.0)]);
        let groups = Values { values, statistic: Statistic::Groups(vec![0, 2, 2, 2]) };
        assert_eq!(groups.figure(), Some(3.5));
        assert_eq!(groups.select(&[1, 2]).figure(), Some(2.0));
        assert_eq!(mean(vec![]).figure(), None);
    }
}
