//! The report as one JSON object.

use serde_json::{Map, Value, json};

use super::Report;

impl Report {
    /// One object. `model` and `output` are there when one file was edited; `files` always lists all. What was not
    /// measured is `null`, and `notes` says why.
    pub fn to_json(&self) -> Value {
        let single = match self.files.as_slice() {
            [file] => Some(file),
            _ => None,
        };
        let mut safeground = json!(self.safeground);
        if let (Value::Object(safeground), false) = (&mut safeground, self.by_style.is_empty()) {
            let styles: Map<String, Value> =
                self.by_style.iter().map(|(style, values)| (style.clone(), json!(values))).collect();
            safeground.insert("by_style".to_owned(), Value::Object(styles));
        }
        let timing: Map<String, Value> = self
            .timing_s
            .iter()
            .map(|&(part, seconds)| (part.to_owned(), json!((seconds * 1e3).round() / 1e3)))
            .collect();
        json!({
            "model": single.map(|file| &file.model),
            "output": single.map(|file| &file.output),
            "files": self.files,
            "data": {
                "calibration_pairs": self.calibration_pairs,
                "evaluation_quadruplets": self.evaluation_quadruplets,
            },
            "edit": self.edit,
            "safeground": safeground,
            "retrieval": self.retrieval,
            "zero_shot": self.zero_shot,
            "notes": self.notes,
            "runtime": self.runtime,
            "timing_s": timing,
        })
    }
}
