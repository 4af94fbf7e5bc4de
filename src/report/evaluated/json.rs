//! The evaluation as one JSON object.

use serde_json::{Map, Value, json};

use super::{Evaluated, FigureGroup, FigureLine, Unwell};
use crate::report::timing::timing;
use crate::safeground::figure::Ties;

impl Unwell {
    /// Its code, its numbers and a sentence.
    pub(in crate::report) fn to_json(&self) -> Value {
        let mut value = json!(self);
        value["sentence"] = json!(self.sentence());
        value
    }
}

impl Evaluated {
    /// One object. Figures that were not measured are `null`, and `absent` says why; an interval of too few items is
    /// `null` too.
    pub fn to_json(&self) -> Value {
        let mut overall = lines(&self.overall);
        for name in self.absent.iter().flat_map(|absent| &absent.figures) {
            overall.insert((*name).to_owned(), Value::Null);
        }
        let worst: Map<String, Value> = self
            .worst
            .iter()
            .map(|worst| {
                let mut value = line(&worst.line);
                value["concept"] = json!(worst.concept);
                value["as_bad"] = json!(worst.as_bad);
                (worst.line.figure.to_owned(), value)
            })
            .collect();
        let ties = |of: &[Ties]| -> Map<String, Value> {
            of.iter().map(|ties| (ties.figure.to_owned(), json!(ties.items))).collect()
        };
        json!({
            "model": self.model,
            "baseline": self.baseline,
            "data": {
                "set": self.data.as_ref().map(|path| path.display().to_string()),
                "sha256": self.data_sha256,
                "quadruplets": self.quadruplets,
                "zero_shot_images": self.zero_shot_images,
            },
            "checks": self.ailments.iter().map(Unwell::to_json).collect::<Vec<_>>(),
            "figures": overall,
            "concepts": groups(&self.concepts),
            "styles": groups(&self.styles),
            "worst_concept": worst,
            "absent": self.absent,
            "ties": ties(&self.ties),
            "baseline_ties": ties(&self.baseline_ties),
            "bootstrap": {
                "level": self.bootstrap.level,
                "resamples": self.bootstrap.resamples,
                "seed": self.bootstrap.seed,
            },
            "notes": self.notes,
            "runtime": self.runtime,
            "timing_s": timing(&self.timing_s),
        })
    }
}

fn groups(groups: &[FigureGroup]) -> Map<String, Value> {
    let one = |group: &FigureGroup| {
        let value = json!({"quadruplets": group.quadruplets, "figures": lines(group)});
        (group.name.clone().unwrap_or_default(), value)
    };
    groups.iter().map(one).collect()
}

fn lines(group: &FigureGroup) -> Map<String, Value> {
    figures(&group.lines)
}

/// Figures by name.
pub(in crate::report) fn figures(lines: &[FigureLine]) -> Map<String, Value> {
    lines.iter().map(|of| (of.figure.to_owned(), line(of))).collect()
}

/// `value` and `interval`, and the same of baseline and change where there is one.
fn line(line: &FigureLine) -> Value {
    let mut value = json!({
        "value": line.value.value,
        "interval": line.value.interval,
        "unit": line.unit,
        "items": line.items,
    });
    for (name, estimate) in [("baseline", line.baseline), ("change", line.change)] {
        if let Some(estimate) = estimate {
            value[name] = json!(estimate.value);
            value[format!("{name}_interval")] = json!(estimate.interval);
        }
    }
    if let Some(p) = line.p {
        value["p"] = json!(p);
    }
    value
}
