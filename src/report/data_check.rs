//! What `data check` found.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;

use crate::dataset::{Checked, Finding, Severity};
use crate::few::harmless;

/// Sets that were looked through.
#[derive(Debug, Clone, PartialEq)]
pub struct DataCheck {
    /// What was found.
    pub checked: Checked,
}

impl DataCheck {
    /// Whether there are errors.
    pub fn has_errors(&self) -> bool {
        self.checked.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let Checked { sets, splits, pictures, findings } = &self.checked;
        for set in sets {
            let _ = writeln!(out, "{}: {}, {} rows", harmless(&set.path), set.form, set.rows);
        }
        let width = splits.iter().map(|split| split.split.chars().count()).max().unwrap_or(0).max(5);
        let _ = writeln!(out, "\n{:<width$} {:>8} {:>8} {:>8}  concepts", "split", "rows", "texts", "images");
        for split in splits {
            let _ = writeln!(
                out,
                "{:<width$} {:>8} {:>8} {:>8}  {}",
                harmless(&split.split),
                split.rows,
                split.texts,
                split.images,
                counts(&split.concepts)
            );
        }
        if pictures.named > 0 {
            let _ = writeln!(
                out,
                "\n{} images, {} of them readable ({}; {})",
                pictures.named,
                pictures.readable,
                counts(&pictures.formats),
                counts(&pictures.colors)
            );
        }
        out.push('\n');
        for finding in findings {
            let Finding { code, severity, count, what, examples } = finding;
            let severity = if *severity == Severity::Error { "error" } else { "warning" };
            let _ = writeln!(out, "{severity}[{code}]: {what}: {count}");
            for example in examples {
                let _ = writeln!(out, "    {}", harmless(example));
            }
            if *count > examples.len() {
                let _ = writeln!(out, "    and {} more", count - examples.len());
            }
        }
        for note in sets.iter().flat_map(|set| &set.notes) {
            let _ = writeln!(out, "note: {}", harmless(note));
        }
        let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let _ = writeln!(out, "kinds of errors: {}, of warnings: {}", of(Severity::Error), of(Severity::Warning));
        out
    }

    /// One object.
    pub fn to_json(&self) -> String {
        let mut value = json!(self.checked);
        value["ok"] = json!(!self.has_errors());
        format!("{value}\n")
    }
}

fn counts(of: &BTreeMap<String, usize>) -> String {
    of.iter().map(|(name, count)| format!("{} {count}", harmless(name))).collect::<Vec<_>>().join(", ")
}
