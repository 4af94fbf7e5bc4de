//! The check as one JSON object: `schemas/check-report-1.schema.json` describes it.

use serde_json::{Value, json};

use super::words::{docs, shown};
use super::{Checked, Confidence, Example, Finding, Outcome, Rewritten, ScoredLayer, SiblingState, Structure};
use super::{SweptFrontier, WhenInconclusive};
use crate::report::timing::timing;

/// What the schema is called by. A field is added under the same number; one that goes or changes its meaning takes a new
/// number.
const SCHEMA_VERSION: u32 = 1;

impl Checked {
    /// One object. What is not known is `null`, and so is a number that is not finite. Captions and images of examples
    /// are left out, and so are the points of the scatter.
    pub fn to_json(&self) -> Value {
        json!({
            "schema_version": SCHEMA_VERSION,
            "kind": "uwm-onnx-check",
            "verdict": self.verdict(),
            "exit_code": self.exit_code(),
            "when_inconclusive": match self.when_inconclusive {
                WhenInconclusive::Tell => "tell",
                WhenInconclusive::Pass => "pass",
                WhenInconclusive::Fail => "fail",
            },
            "headline": self.headline(),
            "change": self.change(),
            "model": self.model.iter().map(|path| shown(path)).collect::<Vec<_>>(),
            "baseline": self.baseline.iter().map(|path| shown(path)).collect::<Vec<_>>(),
            "policy": {
                "path": self.policy.path.as_deref().map(shown),
                "sha256": self.policy.sha256,
                "judged_on": match self.policy.confidence {
                    Confidence::Interval(_) => "interval",
                    Confidence::Point => "point",
                },
                "level": match self.policy.confidence {
                    Confidence::Interval(level) => Some(level),
                    Confidence::Point => None,
                },
            },
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "evaluation": self.evaluated.as_ref().map(|evaluated| evaluated.to_json()),
            "structure": self.structure.as_ref().map(structure),
            "scatter": self.scatter.as_ref().map(|all| json!({"of": all.of, "drawn": all.points.len()})),
            "examples": self.examples.iter().map(example).collect::<Vec<_>>(),
            "rewritten": self.rewritten.as_ref().map(rewritten),
            "frontiers": self.frontiers.iter().map(frontier).collect::<Vec<_>>(),
            "reproduce": {
                "command": self.reproduce.command,
                "version": self.reproduce.version,
                "files": self.reproduce.files.iter().map(|(role, file)| {
                    json!({"role": role, "path": shown(&file.path), "sha256": file.sha256})
                }).collect::<Vec<_>>(),
            },
            "notes": self.notes,
            "runtime": self.runtime,
            "timing_s": timing(&self.timing_s),
        })
    }
}

fn finding(finding: &Finding) -> Value {
    json!({
        "code": finding.code,
        "outcome": finding.outcome.name(),
        "exit_code": match finding.outcome {
            Outcome::Error(code) => Some(code),
            _ => None,
        },
        "rule": finding.rule,
        "place": finding.place.map(|[line, column]| json!({"line": line, "column": column})),
        "subject": finding.subject,
        "message": finding.message,
        "help": finding.help,
        "docs": docs(finding),
        "judged": finding.judged,
    })
}

fn structure(structure: &Structure) -> Value {
    let files = structure.files.iter().map(|file| {
        let siblings = file.siblings.iter().map(|sibling| {
            let (state, agrees, reason) = match &sibling.state {
                SiblingState::Edited => ("edited", None, None),
                SiblingState::Stale => ("stale", None, None),
                SiblingState::Other(percent) => ("other", Some(percent), None),
                SiblingState::Unknown(reason) => ("unknown", None, Some(reason)),
            };
            json!({"path": shown(&sibling.path), "state": state, "agrees_percent": agrees, "reason": reason})
        });
        json!({
            "original": file.original,
            "model": file.model,
            "original_data": file.data[0],
            "model_data": file.data[1],
            "graph": file.diff.graph,
            "io": file.io,
            "provenance": file.diff.provenance,
            "renamed_data": file.diff.renamed,
            "compared_tensors": file.diff.compared,
            "tensors": file.diff.tensors,
            "layers": file.layers,
            "edits": file.edits,
            "siblings": siblings.collect::<Vec<_>>(),
        })
    });
    json!({
        "sentence": structure.sentence(),
        "changed": structure.changed(),
        "negated": structure.negated(),
        "files": files.collect::<Vec<_>>(),
    })
}

fn example(example: &Example) -> Value {
    json!({
        "id": example.id,
        "kind": example.kind,
        "concept": example.concept,
        "sensitive": example.sensitive,
        "before": example.before,
        "after": example.after,
    })
}

fn rewritten(rewritten: &Rewritten) -> Value {
    let figures = |of: &[(String, f64)]| {
        of.iter().map(|(figure, value)| json!({"figure": figure, "value": value})).collect::<Vec<_>>()
    };
    let controls = rewritten.controls.iter().map(|(name, of)| json!({"name": name, "figures": figures(of)}));
    json!({
        "file": rewritten.file,
        "sentence": rewritten.sentence,
        "specific": rewritten.specific,
        "before": figures(&rewritten.before),
        "after": figures(&rewritten.after),
        "controls": controls.collect::<Vec<_>>(),
        "scores": rewritten.scores.iter().map(scores).collect::<Vec<_>>(),
    })
}

fn scores(layer: &ScoredLayer) -> Value {
    json!({
        "tower": layer.tower,
        "block": layer.block,
        "role": layer.role,
        "initializer": layer.initializer,
        "selected": layer.selected,
        "zero": layer.zero,
        "range_log10": layer.range,
        "counts": layer.counts,
        "mass": layer.mass,
        "threshold_log10": layer.threshold,
    })
}

fn frontier(swept: &SweptFrontier) -> Value {
    json!({
        "file": shown(&swept.file),
        "axes": swept.axes,
        "frontier": swept.frontier,
        "random": swept.random,
        "others": swept.others,
        "unedited": swept.unedited,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::checked::sample::{NASTY, sample, snapshot};
    use crate::report::checked::{PolicyUsed, Reproduce, Sibling};
    use crate::report::{Absent, Unwell};
    use crate::safeground::health::{Ailment, Part};

    /// Nothing but a finding of each kind.
    fn bare() -> Checked {
        let outcomes = [Outcome::Error(2), Outcome::Fail, Outcome::Inconclusive, Outcome::Skipped];
        let any = Finding { place: None, rule: None, judged: None, ..sample().findings.remove(0) };
        Checked {
            model: vec![],
            baseline: vec![],
            policy: PolicyUsed { path: None, confidence: Confidence::Point, ..sample().policy },
            findings: outcomes.map(|outcome| Finding { outcome, ..any.clone() }).to_vec(),
            when_inconclusive: WhenInconclusive::Pass,
            evaluated: None,
            structure: None,
            scatter: None,
            examples: vec![],
            rewritten: None,
            frontiers: vec![],
            reproduce: Reproduce { command: vec![], version: "", files: vec![] },
            notes: vec![],
            runtime: None,
            timing_s: vec![],
        }
    }

    /// With numbers that are none, and every sign that a model does not work.
    fn odd() -> Checked {
        let mut odd = sample();
        let evaluated = odd.evaluated.as_mut().unwrap();
        evaluated.baseline = None;
        evaluated.overall.lines[0].value.value = f64::NAN;
        evaluated.overall.lines[1].value.interval = Some([f64::NEG_INFINITY, f64::INFINITY]);
        evaluated.overall.lines[2].baseline = None;
        evaluated.overall.lines[2].p = None;
        evaluated.absent = vec![Absent { figures: vec!["zero_shot_top5"], reason: "no set".to_owned() }];
        let ailments = [
            Ailment::PaddingCounts { cosine: 0.5 },
            Ailment::EmbeddingsUndefined { part: Part::SafeTexts, bad: 3, of: 4 },
            Ailment::EmbeddingsCollapsed { part: Part::UnsafeImages, spread: f64::NAN },
            Ailment::RetrievalAtChance { before: 50.0 },
            Ailment::ZeroShotAtChance { top1: 10.0, chance: 10.0 },
        ];
        evaluated.ailments = ailments.map(|ailment| Unwell { who: "model", ailment }).to_vec();
        let siblings = &mut odd.structure.as_mut().unwrap().files[0].siblings;
        let sibling = siblings[0].clone();
        let states = [SiblingState::Other(f64::NAN), SiblingState::Unknown("no graph".to_owned())];
        siblings.extend(states.map(|state| Sibling { state, ..sibling.clone() }));
        odd.findings[0].judged.as_mut().unwrap().value = f64::INFINITY;
        odd
    }

    /// tests/schemas.rs holds these against the schema.
    #[test]
    fn it_looks_as_ever() {
        let nothing = Checked { findings: vec![], when_inconclusive: WhenInconclusive::Fail, ..bare() };
        snapshot(|| {
            for (name, of) in [("json", sample()), ("json_odd", odd()), ("json_bare", bare()), ("json_empty", nothing)]
            {
                insta::assert_snapshot!(name, format!("{:#}", of.to_json()));
            }
        });
    }

    #[test]
    fn what_could_not_be_told_is_null_and_names_stay_as_they_are() {
        let value = odd().to_json();
        assert_eq!(value["findings"][0]["judged"]["value"], Value::Null);
        assert_eq!(value["evaluation"]["figures"]["PU"]["interval"], json!([null, null]));
        assert_eq!(value["findings"][0]["docs"], "docs/findings/metric-min-gain.md");
        assert_eq!([&value["verdict"], &value["exit_code"]], [&json!("fail"), &json!(1)]);
        assert_eq!(value["findings"][5]["exit_code"], 3);
        let text = value.to_string();
        assert!(!text.contains(char::is_control) && text.contains(r"\u001b[31m"));
        assert!(!text.contains("a red square"), "captions stay out of it");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["examples"][1]["id"], NASTY);
    }
}
