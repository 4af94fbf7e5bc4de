//! What `sweep` tried and found.

mod plot;
mod table;

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{FileId, Report, Verdict};
use crate::config::Method;
use crate::onnx::Modality;
use crate::runtime::Place;
use crate::safeground::{Evaluation, METRICS, Metric};

/// A sweep: chosen by one split, reported on another.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// The model.
    pub model: Vec<FileId>,
    /// Pairs the scores come from.
    pub calibration_pairs: usize,
    /// What points were chosen by.
    pub validation: SplitSize,
    /// What is reported.
    pub evaluation: SplitSize,
    /// The edits of single towers, text first.
    pub edits: Vec<TriedEdit>,
    /// Every combination of them; the first is the model as it is.
    pub points: Vec<SweepPoint>,
    /// The best of them.
    pub frontiers: Vec<Frontier>,
    /// What single scores reach.
    pub reach: Option<Reach>,
    /// What was to be picked, and what was.
    pub picked: Option<Picked>,
    /// Times an edited tower embedded the validation split, and the evaluation split.
    pub runs: [usize; 2],
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// Where the graphs ran.
    pub runtime: Place,
    /// Seconds by part; the last is the total.
    pub timing_s: Vec<(&'static str, f64)>,
}

/// How much of a split was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct SplitSize {
    /// Quadruplets.
    pub quadruplets: usize,
    /// Zero-shot images.
    pub zero_shot_images: usize,
}

/// An edit of one tower.
#[derive(Debug, Clone, PartialEq)]
pub struct TriedEdit {
    /// Its short name, `t3` or `v7`.
    pub id: String,
    /// The tower.
    pub tower: Modality,
    /// How it is made.
    pub recipe: Method,
    /// Elements changed.
    pub selected: usize,
    /// Elements of the layers that were scored.
    pub elements: usize,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was measured.
    Tried,
    /// It changes the same elements as another, which stands for both.
    SameAs(String),
    /// It cannot be made or measured.
    Impossible(String),
    /// It was not its turn within the allowed number of runs.
    LeftOut,
}

/// A combination of an edit of each tower, or none.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepPoint {
    /// The text tower's, as an index into the edits.
    pub text: Option<usize>,
    /// The vision tower's.
    pub vision: Option<usize>,
    /// Elements changed in both.
    pub selected: usize,
    /// On the validation split.
    pub validation: Evaluation,
    /// On the evaluation split, if it is on a frontier.
    pub evaluation: Option<Evaluation>,
    /// As many elements a layer chosen at random, on the evaluation split.
    pub random: Option<Evaluation>,
    /// The edit against that.
    pub verdict: Option<Verdict>,
}

/// Points that no other betters in either of two metrics, on the validation split.
#[derive(Debug, Clone, PartialEq)]
pub struct Frontier {
    /// The one.
    pub safety: Metric,
    /// The other.
    pub knowledge: Metric,
    /// From most knowledge on, as indices into the points.
    pub points: Vec<usize>,
}

/// What points of one score reach, on the validation split.
#[derive(Debug, Clone, PartialEq)]
pub struct Reach {
    /// This is reached,
    pub safety: Metric,
    /// where no more of this is lost
    pub knowledge: Metric,
    /// than so many points.
    pub losses: Vec<f64>,
    /// With one score in both towers, and with any.
    pub of: Vec<(Option<String>, Vec<Option<f64>>)>,
}

/// The answer to `--pick`.
#[derive(Debug, Clone, PartialEq)]
pub struct Picked {
    /// The question.
    pub rule: String,
    /// The point, if one is better than the model as it is and keeps the limits.
    pub point: Option<usize>,
    /// What was written, if that was wanted.
    pub report: Option<Box<Report>>,
    /// Where it would have been written.
    pub output: Option<PathBuf>,
}

impl Sweep {
    /// Names of a point's edits, text first.
    fn ids(&self, point: &SweepPoint) -> [Option<&str>; 2] {
        [point.text, point.vision].map(|edit| edit.map(|edit| self.edits[edit].id.as_str()))
    }

    /// One object, without times: the same sweep gives the same bytes.
    pub fn to_json(&self) -> Value {
        let point = |point: &SweepPoint| {
            let [text, vision] = self.ids(point);
            let mut value = json!({"text": text, "vision": vision, "selected": point.selected});
            value["validation"] = metrics(&point.validation);
            value["evaluation"] = json!(point.evaluation.as_ref().map(metrics));
            value["random"] = json!(point.random.as_ref().map(metrics));
            value["verdict"] = json!(point.verdict);
            value
        };
        let frontier = |frontier: &Frontier| {
            json!({
                "safety": frontier.safety.to_string(),
                "knowledge": frontier.knowledge.to_string(),
                "points": frontier.points,
            })
        };
        json!({
            "model": self.model,
            "data": {
                "calibration_pairs": self.calibration_pairs,
                "validation": self.validation,
                "evaluation": self.evaluation,
            },
            "edits": self.edits.iter().map(TriedEdit::to_json).collect::<Vec<_>>(),
            "points": self.points.iter().map(point).collect::<Vec<_>>(),
            "frontiers": self.frontiers.iter().map(frontier).collect::<Vec<_>>(),
            "reach": self.reach.as_ref().map(|reach| json!({
                "safety": reach.safety.to_string(),
                "knowledge": reach.knowledge.to_string(),
                "losses": reach.losses,
                "of": reach.of.iter().map(|(score, best)| json!({"score": score, "best": best})).collect::<Vec<_>>(),
            })),
            "picked": self.picked.as_ref().map(|picked| json!({
                "rule": picked.rule,
                "point": picked.point,
                "edit": picked.report.as_ref().map(|report| &report.edit),
                "files": picked.report.as_ref().map(|report| &report.files),
            })),
            "runs": {"validation": self.runs[0], "evaluation": self.runs[1]},
            "notes": self.notes,
            "runtime": self.runtime,
        })
    }

    /// The same with the report of what was written, and with times.
    pub fn to_full_json(&self) -> Value {
        let mut value = self.to_json();
        if let Some(report) = self.picked.as_ref().and_then(|picked| picked.report.as_ref()) {
            value["picked"]["report"] = report.to_json();
        }
        value["timing_s"] = super::timing::timing(&self.timing_s);
        value
    }
}

impl TriedEdit {
    fn to_json(&self) -> Value {
        let mut value = json!({
            "id": self.id,
            "tower": self.tower,
            "recipe": self.recipe,
            "selected": self.selected,
            "elements": self.elements,
        });
        let (outcome, why) = match &self.outcome {
            Outcome::Tried => ("tried", None),
            Outcome::SameAs(id) => ("same", Some(id)),
            Outcome::Impossible(reason) => ("impossible", Some(reason)),
            Outcome::LeftOut => ("left-out", None),
        };
        value["outcome"] = json!(outcome);
        value["why"] = json!(why);
        value
    }
}

/// Every metric by its name.
fn metrics(evaluation: &Evaluation) -> Value {
    let entry = |metric: Metric| (metric.to_string(), json!(metric.of(evaluation)));
    Value::Object(METRICS.into_iter().map(entry).collect::<Map<_, _>>())
}
