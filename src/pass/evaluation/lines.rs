//! Figures with their intervals, beside those of a baseline.

use crate::report::{Estimate, FigureLine};
use crate::safeground::figure::{Figure, Over};
use crate::safeground::{Bootstrap, Values, paired};

/// Values, intervals, changes and tests of figures.
pub fn lines(after: &[Figure], before: Option<&[Figure]>, bootstrap: Bootstrap) -> Vec<FigureLine> {
    let previous: Vec<Option<&Figure>> =
        after.iter().map(|figure| before?.iter().find(|other| other.name == figure.name)).collect();
    let changes: Vec<Option<Values>> =
        after.iter().zip(&previous).map(|(after, before)| Values::change(&(*before)?.values, &after.values)).collect();
    let mut intervals: Vec<[Option<[f64; 2]>; 3]> = vec![[None; 3]; after.len()];
    for over in [Over::Quadruplets, Over::Images] {
        let mut places = vec![];
        let mut values = vec![];
        for (index, figure) in after.iter().enumerate().filter(|(_, figure)| figure.over == over) {
            let parts = [
                Some((&figure.values, figure.range())),
                previous[index].map(|before| (&before.values, before.range())),
                changes[index].as_ref().map(|change| (change, figure.range_of_change())),
            ];
            for (part, of) in parts.into_iter().enumerate() {
                if let Some(of) = of {
                    places.push((index, part));
                    values.push(of);
                }
            }
        }
        for ((index, part), interval) in places.into_iter().zip(bootstrap.intervals(&values)) {
            intervals[index][part] = interval;
        }
    }
    let line = |(index, figure): (usize, &Figure)| {
        let estimate = |values: &Values, part: usize| {
            let value = values.figure().unwrap_or(f64::NAN);
            Estimate { value, interval: intervals[index][part] }
        };
        let p = previous[index].and_then(|before| Some(paired(&before.yes_or_no()?, &figure.yes_or_no()?).p));
        FigureLine {
            figure: figure.name,
            unit: figure.unit,
            items: figure.values.values.len(),
            value: estimate(&figure.values, 0),
            baseline: previous[index].map(|before| estimate(&before.values, 1)),
            change: changes[index].as_ref().map(|change| estimate(change, 2)),
            p,
        }
    };
    after.iter().enumerate().map(line).collect()
}
