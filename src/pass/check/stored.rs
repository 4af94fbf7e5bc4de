//! What made the edit, read back: the report of `rewrite`, and the points of `sweep`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::few::{cut, few};
use crate::onnx::Modality;
use crate::pass::Error;
use crate::plain;
use crate::report::checked::{Rewritten, ScoredLayer, SweptFrontier};
use crate::report::{ControlKind, FileId, Verdict};
use crate::safeground::{Accuracy, Metric, Preference, Retrieval};
use crate::uwm::{SPREAD_BINS, ScoreSpread};

/// Bytes of a report that are read at most: one of a few hundred layers has a MiB, and a sweep of a thousand points two.
const MOST: u64 = 64 << 20;

/// Frontiers that are shown of a sweep.
const FRONTIERS: usize = 4;

/// Reads what `rewrite --json` wrote (or `--format json` printed) of the edit that made one of the `model` files. What it
/// does not hold is told in notes.
///
/// # Errors
/// [`Error::Conflict`] if it is the report of another model; [`Error::Report`] if it is none.
pub fn read_rewritten(path: &Path, model: &[FileId]) -> Result<(Rewritten, Vec<String>), Error> {
    let text = read(path)?;
    let report: RewriteReport = parse(path, &text)?;
    let wrong = |reason| Error::Report { path: path.to_owned(), reason };
    let made = |file: &FileId| report.files.iter().any(|made| made.output.sha256 == file.sha256);
    if !model.iter().any(made) {
        let shown = path.display();
        let names = few(report.files.iter().map(|file| &file.output.path));
        let reason = match report.files.as_slice() {
            [] => format!("{shown} is the report of a dry run, which made no file"),
            _ => format!("{shown} is the report of another edit: what it made ({names}) has other SHA-256 hashes"),
        };
        return Err(Error::Conflict { reason, help: "give the report that was written with the model" });
    }
    let mut notes: Vec<String> = model
        .iter()
        .filter(|file| !made(file))
        .map(|file| format!("{} says nothing of {}", path.display(), file.path.display()))
        .collect();
    let RewriteReport { edit, safeground, retrieval, zero_shot, controls, verdict, .. } = report;
    let [mut before, mut after] = [vec![], vec![]];
    match safeground.zip(retrieval) {
        None => notes.push(format!("{} holds no figures: the edit was not measured when it was made", path.display())),
        Some((safeground, retrieval)) => {
            let [classified, still] = zero_shot.map_or([None, None], |both| [both.before, both.after]);
            before = Measured::new(safeground.before, retrieval.before, classified).figures().map_err(wrong)?;
            after = Measured::new(safeground.after, retrieval.after, still).figures().map_err(wrong)?;
        }
    }
    let controls = controls.into_iter().map(|control| Ok((control.kind.to_string(), control.measured.figures()?)));
    let scores = edit.layers.into_iter().filter_map(Layer::scored);
    let rewritten = Rewritten {
        file: FileId::of(path.to_owned(), text.as_bytes()),
        sentence: verdict.as_ref().map(Verdict::sentence),
        specific: verdict.as_ref().map(Verdict::specific),
        before,
        after,
        controls: controls.collect::<Result<_, String>>().map_err(wrong)?,
        scores: scores.collect::<Result<_, String>>().map_err(wrong)?,
    };
    Ok((rewritten, notes))
}

/// Reads the frontiers of safety that `sweep --json` wrote.
///
/// # Errors
/// [`Error::Report`] if it is no such file.
pub fn read_sweep(path: &Path) -> Result<Vec<SweptFrontier>, Error> {
    let sweep: SweepReport = parse(path, &read(path)?)?;
    let shown = |frontier: &&Frontier| matches!(&*frontier.safety, "GS" | "PU");
    let of_safety = sweep.frontiers.iter().filter(shown).take(FRONTIERS);
    let read = of_safety.map(|frontier| frontier.read(path, &sweep.points)).collect::<Result<_, String>>();
    read.map_err(|reason| Error::Report { path: path.to_owned(), reason })
}

fn read(path: &Path) -> Result<String, Error> {
    plain::text(path, MOST).map_err(|error| Error::Report { path: path.to_owned(), reason: error.to_string() })
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Error> {
    // Some programs begin a file with a mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // What is wrong may be quoted from the file, at any length.
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let reason = match cut(&error.to_string()) {
            what if what.ends_with('…') => format!("{what} at line {line} column {column}"),
            what => what,
        };
        Error::Report { path: path.to_owned(), reason }
    })
}

/// What is read of a report of `rewrite`.
#[derive(Deserialize)]
struct RewriteReport {
    files: Vec<Edited>,
    edit: Edit,
    safeground: Option<Sides<Preference>>,
    retrieval: Option<Sides<Retrieval>>,
    zero_shot: Option<Sides<Option<Accuracy>>>,
    controls: Vec<Control>,
    verdict: Option<Verdict>,
}

#[derive(Deserialize)]
struct Edited {
    output: Output,
}

#[derive(Deserialize)]
struct Output {
    path: String,
    sha256: String,
}

#[derive(Deserialize)]
struct Edit {
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    tower: Modality,
    block: Option<usize>,
    role: String,
    initializer: String,
    shape: [usize; 2],
    selected: u64,
    scores: Option<ScoreSpread>,
}

#[derive(Deserialize)]
struct Sides<T> {
    before: T,
    after: T,
}

#[derive(Deserialize)]
struct Control {
    #[serde(flatten)]
    kind: ControlKind,
    #[serde(flatten)]
    measured: Measured,
}

#[derive(Deserialize)]
struct Measured {
    safeground: Preference,
    retrieval: Retrieval,
    zero_shot: Option<Accuracy>,
}

impl Measured {
    fn new(safeground: Preference, retrieval: Retrieval, zero_shot: Option<Accuracy>) -> Self {
        Self { safeground, retrieval, zero_shot }
    }

    /// Every figure by the name that an evaluation gives it.
    fn figures(&self) -> Result<Vec<(String, f64)>, String> {
        let preferences = self.safeground.entries().map(|(name, value)| (name.to_owned(), value));
        let recalls = self.retrieval.entries().into_iter().flat_map(|(name, recall)| {
            [(1, recall.at_1), (5, recall.at_5), (10, recall.at_10), (20, recall.at_20)]
                .map(|(rank, value)| (format!("{name} R@{rank}"), value))
        });
        let firsts = self.retrieval.firsts().map(|(name, value)| (name.to_owned(), value));
        let zero_shot = self.zero_shot.iter().flat_map(|accuracy| {
            [
                ("zero_shot".to_owned(), accuracy.top1),
                ("zero_shot_top5".to_owned(), accuracy.top5),
                ("zero_shot_mean_per_class".to_owned(), accuracy.mean_per_class),
            ]
        });
        let all = preferences.into_iter().chain(recalls).chain(firsts).chain(zero_shot);
        all.map(|(name, value)| Ok((name.clone(), percent(&name, value)?))).collect()
    }
}

fn percent(name: &str, value: f64) -> Result<f64, String> {
    match (0.0..=100.0).contains(&value) {
        true => Ok(value),
        false => Err(format!("{name} is {value}, which is no percentage")),
    }
}

impl Layer {
    /// How its scores are spread, if that is there.
    fn scored(self) -> Option<Result<ScoredLayer, String>> {
        let Self { tower, block, role, initializer, shape, selected, scores } = self;
        let scores = scores?;
        if let Err(reason) = check(&scores, shape) {
            return Some(Err(format!("the scores of layer '{}': {reason}", cut(&initializer))));
        }
        let ScoreSpread { range, counts, mass, zero, threshold } = scores;
        Some(Ok(ScoredLayer { tower, block, role, initializer, selected, zero, range, counts, mass, threshold }))
    }
}

/// Checks that scores are spread as scores of so many elements can be.
fn check(scores: &ScoreSpread, shape: [usize; 2]) -> Result<(), &'static str> {
    let ScoreSpread { range: [from, to], counts, mass, zero, threshold } = scores;
    let all = counts.iter().try_fold(*zero, |sum, count| sum.checked_add(*count));
    let elements = shape[0].checked_mul(shape[1]).and_then(|elements| u64::try_from(elements).ok());
    match () {
        () if !(from.is_finite() && to.is_finite() && from <= to) => Err("their range is none"),
        () if counts.len() != SPREAD_BINS || mass.len() != SPREAD_BINS => Err("there are not 48 bins"),
        () if all.is_none() || all != elements => Err("they are not as many as its elements"),
        () if !mass.iter().all(|share| (0.0..=1.0).contains(share)) => Err("a share is not between 0 and 1"),
        () if threshold.is_some_and(|threshold| !(*from..=*to).contains(&threshold)) => {
            Err("the threshold is out of their range")
        }
        () => Ok(()),
    }
}

/// What is read of a sweep.
#[derive(Deserialize)]
struct SweepReport {
    frontiers: Vec<Frontier>,
    points: Vec<Point>,
}

#[derive(Deserialize)]
struct Frontier {
    safety: String,
    knowledge: String,
    points: Vec<usize>,
}

/// Metrics by name.
type Metrics = BTreeMap<String, Option<f64>>;

#[derive(Deserialize)]
struct Point {
    validation: Metrics,
    evaluation: Option<Metrics>,
    random: Option<Metrics>,
}

impl Frontier {
    fn read(&self, path: &Path, points: &[Point]) -> Result<SweptFrontier, String> {
        let metric = |name: &str| name.parse::<Metric>().map_err(|_| format!("there is no metric '{}'", cut(name)));
        let (safety, knowledge) = (metric(&self.safety)?, metric(&self.knowledge)?);
        let place = |metrics: &Metrics| -> Result<Option<[f64; 2]>, String> {
            let value = |name: &str| match metrics.get(name).copied().flatten() {
                Some(value) => percent(name, value).map(Some),
                None => Ok(None),
            };
            let both = value(&self.knowledge)?.zip(value(&self.safety)?);
            Ok(both.map(|(knowledge, safety)| [knowledge, safety]))
        };
        let places = |metrics: &mut dyn Iterator<Item = &Metrics>| -> Result<Vec<[f64; 2]>, String> {
            metrics.filter_map(|metrics| place(metrics).transpose()).collect()
        };
        let own = |index: &usize| points.get(*index).ok_or_else(|| format!("there is no point {index}"));
        let own = self.points.iter().map(own).collect::<Result<Vec<_>, _>>()?;
        let unedited = points.first().and_then(|point| point.evaluation.as_ref());
        Ok(SweptFrontier {
            file: path.to_owned(),
            axes: [knowledge, safety].map(|metric| metric.title().to_owned()),
            frontier: places(&mut own.iter().filter_map(|point| point.evaluation.as_ref()))?,
            random: places(&mut own.iter().filter_map(|point| point.random.as_ref()))?,
            others: places(&mut points.iter().map(|point| &point.validation))?,
            unedited: unedited.map(place).transpose()?.flatten(),
        })
    }
}
