//! The report as one JSON object.

use serde_json::{Map, Value, json};

use super::evaluated::json::figures;
use super::timing::timing;
use super::{Control, Report};

/// A control with its metrics.
fn control(control: &Control) -> Value {
    let mut value = json!(control.kind);
    value["selected"] = json!(control.selected);
    value["safeground"] = json!(control.evaluation.safeground);
    value["retrieval"] = json!(control.evaluation.retrieval);
    value["zero_shot"] = json!(control.evaluation.zero_shot);
    value
}

impl Report {
    /// One object. `model` and `output` are there when one file was edited; `files` always lists all. What was not
    /// measured is `null`, and `notes` says why.
    pub fn to_json(&self) -> Value {
        let single = match self.files.as_slice() {
            [file] => Some(file),
            _ => None,
        };
        let measured = self.evaluation.as_ref();
        let safeground = measured.map(|both| {
            let mut value = json!(both.pick(|e| &e.safeground));
            let styles = both.before.by_style.keys();
            let styles: Map<String, Value> =
                styles.map(|style| (style.clone(), json!(both.pick(|e| e.by_style.get(style))))).collect();
            if !styles.is_empty() {
                value["by_style"] = Value::Object(styles);
            }
            value
        });
        json!({
            "model": single.map(|file| &file.model),
            "output": single.map(|file| &file.output),
            "files": self.files,
            "data": {
                "calibration_pairs": self.calibration_pairs,
                "evaluation_quadruplets": self.evaluation_quadruplets,
            },
            "edit": self.edit,
            "figures": (!self.figures.is_empty()).then(|| figures(&self.figures)),
            "checks": self.unwell.iter().map(super::Unwell::to_json).collect::<Vec<_>>(),
            "safeground": safeground,
            "retrieval": measured.map(|both| both.pick(|e| &e.retrieval)),
            "zero_shot": measured.filter(|both| both.before.zero_shot.is_some()).map(|both| both.pick(|e| e.zero_shot)),
            "controls": self.controls.iter().map(control).collect::<Vec<_>>(),
            "verdict": self.verdict.as_ref().map(|verdict| {
                let mut value = json!(verdict);
                value["specific"] = json!(verdict.specific());
                value["sentence"] = json!(verdict.sentence());
                value
            }),
            "aim": self.aims.iter().map(super::Aim::to_json).collect::<Vec<_>>(),
            "notes": self.notes,
            "runtime": self.runtime,
            "timing_s": timing(&self.timing_s),
        })
    }
}
