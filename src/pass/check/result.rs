//! A result of another day as the baseline: figures with their intervals, without the items they are of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::pass::Error;
use crate::report::{Estimate, Evaluated, FigureLine, FileId};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 26;

/// What is used of the JSON of `evaluate`.
#[derive(Deserialize)]
struct Stored {
    model: Vec<StoredFile>,
    data: StoredData,
    bootstrap: StoredBootstrap,
    figures: BTreeMap<String, Option<StoredFigure>>,
    #[serde(default)]
    concepts: BTreeMap<String, StoredGroup>,
    #[serde(default)]
    styles: BTreeMap<String, StoredGroup>,
    #[serde(default)]
    checks: Vec<StoredCheck>,
}

/// The JSON of `check`, which has the other inside.
#[derive(Deserialize)]
struct StoredReport {
    evaluation: Stored,
}

#[derive(Deserialize)]
struct StoredFile {
    path: PathBuf,
    sha256: String,
}

#[derive(Deserialize)]
struct StoredData {
    quadruplets: usize,
    zero_shot_images: usize,
    sha256: Option<String>,
}

#[derive(Deserialize)]
struct StoredBootstrap {
    level: f64,
}

#[derive(Deserialize)]
struct StoredGroup {
    figures: BTreeMap<String, Option<StoredFigure>>,
}

#[derive(Clone, Copy, Deserialize)]
struct StoredFigure {
    value: Option<f64>,
    interval: Option<[f64; 2]>,
}

#[derive(Deserialize)]
struct StoredCheck {
    who: String,
    code: String,
}

/// Puts the figures of a stored result beside those of a model.
///
/// # Errors
/// If it is no such result, or not of the same samples, or its intervals are of another level.
pub fn compare_with(path: &Path, evaluated: &mut Evaluated) -> Result<(), Error> {
    let unusable = |reason: String| Error::Result { path: path.to_owned(), reason };
    let stored = read(path)?;
    let unwell = stored.checks.iter().find(|check| check.who == "model");
    if let Some(StoredCheck { code, .. }) = unwell {
        return Err(unusable(format!("the model it is of does not work ({})", crate::few::cut(code))));
    }
    match (&stored.data.sha256, &evaluated.data_sha256) {
        (Some(stored), Some(own)) if stored == own => {}
        (Some(_), Some(_)) => return Err(unusable("it is of other samples than the model is measured on".to_owned())),
        _ => return Err(unusable("it does not say which samples it is of".to_owned())),
    }
    let counts = [stored.data.quadruplets, stored.data.zero_shot_images];
    if counts != [evaluated.quadruplets, evaluated.zero_shot_images] {
        let own = [evaluated.quadruplets, evaluated.zero_shot_images];
        return Err(unusable(format!(
            "it is of {counts:?} quadruplets and zero-shot images, and the model of {own:?}"
        )));
    }
    if stored.bootstrap.level != evaluated.bootstrap.level {
        let (stored, asked) = (stored.bootstrap.level, evaluated.bootstrap.level);
        return Err(unusable(format!("its intervals are of {stored} %, and the policy asks for {asked} %")));
    }
    let beside = |line: &mut FigureLine, figures: Option<&BTreeMap<String, Option<StoredFigure>>>| {
        let of = figures.and_then(|figures| *figures.get(line.figure)?).and_then(StoredFigure::estimate);
        line.baseline = of;
        line.change = of.map(|baseline| change(baseline, line.value));
    };
    for line in &mut evaluated.overall.lines {
        beside(line, Some(&stored.figures));
    }
    for (groups, of) in [(&mut evaluated.concepts, &stored.concepts), (&mut evaluated.styles, &stored.styles)] {
        for group in groups {
            let figures = group.name.as_ref().and_then(|name| of.get(name)).map(|group| &group.figures);
            group.lines.iter_mut().for_each(|line| beside(line, figures));
        }
    }
    for worst in &mut evaluated.worst {
        beside(&mut worst.line, stored.concepts.get(&worst.concept).map(|group| &group.figures));
    }
    evaluated.baseline =
        Some(stored.model.into_iter().map(|file| FileId { path: file.path, sha256: file.sha256 }).collect());
    evaluated.notes.push(format!(
        "the baseline's figures are those of {}: without its items, intervals of changes are wider than they would be beside the model itself",
        path.display()
    ));
    Ok(())
}

fn read(path: &Path) -> Result<Stored, Error> {
    let unusable = |reason: String| Error::Result { path: path.to_owned(), reason };
    let bytes = crate::plain::read(path, LONGEST).map_err(|e| unusable(e.to_string()))?;
    // Which of the two it is is told by what it has.
    let alone = serde_json::from_slice(&bytes);
    let stored: Stored = match alone {
        Ok(stored) => stored,
        Err(first) => match serde_json::from_slice::<StoredReport>(&bytes) {
            Ok(report) => report.evaluation,
            Err(_) => return Err(unusable(first.to_string())),
        },
    };
    let all = stored.figures.values().chain(stored.concepts.values().flat_map(|group| group.figures.values()));
    let odd = all.flatten().any(|figure| {
        let [low, high] = figure.interval.unwrap_or_default();
        !(low.is_finite() && high.is_finite() && low <= high)
            || figure.value.is_some_and(|value| !(-100.0..=100.0).contains(&value))
    });
    if odd { Err(unusable("an interval in it is none".to_owned())) } else { Ok(stored) }
}

impl StoredFigure {
    fn estimate(self) -> Option<Estimate> {
        Some(Estimate { value: self.value?, interval: self.interval })
    }
}

/// The difference of two figures of which only intervals are known: the square-and-add interval (Newcombe 1998; Zou and
/// Donner 2008), which takes them for independent. Figures of the same samples go up and down together, so that the true
/// interval is narrower.
fn change(before: Estimate, after: Estimate) -> Estimate {
    let value = after.value - before.value;
    let interval = before.interval.zip(after.interval).map(|([b_low, b_high], [a_low, a_high])| {
        let down = (after.value - a_low).hypot(b_high - before.value);
        let up = (a_high - after.value).hypot(before.value - b_low);
        [value - down, value + up]
    });
    Estimate { value, interval }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_differences_are_newcombes() {
        // Newcombe 1998, example (a), method 10: 56/70 less 48/80 with Wilson's intervals.
        let estimate = |value, interval| Estimate { value, interval: Some(interval) };
        let found = change(estimate(0.6, [0.4904, 0.7004]), estimate(0.8, [0.6917, 0.8772]));
        let [low, high] = found.interval.unwrap();
        assert!((found.value - 0.2).abs() < 1e-12);
        assert!((low - 0.0524).abs() < 1e-3 && (high - 0.3339).abs() < 1e-3, "{low} {high}");
        assert_eq!(change(Estimate { value: 1.0, interval: None }, estimate(2.0, [1.0, 3.0])).interval, None);
    }
}
