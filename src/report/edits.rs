//! What `apply`, `revert`, `verify` and `diff` did or found, and its forms.

use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use super::{FileId, shown};
use crate::onnx::{Diff, Modality};

/// What `apply` did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Applied {
    /// The model.
    pub model: FileId,
    /// The edited model.
    #[serde(serialize_with = "shown")]
    pub output: PathBuf,
    /// The patch that was applied: the given one, or with matched layers the one made for this model.
    pub patch: FileId,
    /// Elements changed.
    pub selected: usize,
    /// Of these, codes that had to stop at the end of their range.
    pub saturated: usize,
    /// Layer by layer.
    pub layers: Vec<AppliedLayer>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// A layer that was edited.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppliedLayer {
    /// Its tower.
    pub tower: Modality,
    /// Its transformer block, where known.
    pub block: Option<usize>,
    /// Its role in the block.
    pub role: String,
    /// Its weight.
    pub initializer: String,
    /// `[O, I]`
    pub shape: [usize; 2],
    /// Type of its elements.
    pub element: String,
    /// The factor; none where other values took the place.
    pub alpha: Option<f64>,
    /// Elements changed.
    pub selected: usize,
    /// Of these, codes that had to stop at the end of their range.
    pub saturated: usize,
    /// With matched layers, how its weights correlate with those the patch was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<f64>,
}

/// What `revert` did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reverted {
    /// The edited model.
    #[serde(serialize_with = "shown")]
    pub model: PathBuf,
    /// What it was made from.
    pub original: FileId,
    /// Elements that have their old value again.
    pub restored: usize,
}

/// What `verify` found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The edited model.
    pub edited: PathBuf,
    /// What it should have been made from.
    pub original: PathBuf,
    /// What it should have been made with.
    pub patch: Option<PathBuf>,
    /// What is not as it should be.
    pub faults: Vec<String>,
}

/// What `diff` found.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The first model.
    pub a: PathBuf,
    /// The second model.
    pub b: PathBuf,
    /// What differs.
    pub diff: Diff,
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn notes(out: &mut String, notes: &[String]) {
    for note in notes {
        let _ = writeln!(out, "note: {note}");
    }
}

/// "1 element", "2 elements"
fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

impl Applied {
    /// For a terminal.
    pub fn to_text(&self) -> String {
        let mut out = format!("{} -> {}\n\n", self.model.path.display(), self.output.display());
        let width = self.layers.iter().map(|layer| layer.initializer.len()).max().unwrap_or(0).max(11);
        let matched = if self.layers.iter().any(|layer| layer.correlation.is_some()) { "  correlation" } else { "" };
        let _ = writeln!(
            out,
            "{:<8}{:>5} {:<12}{:<width$}{:>12}  {:<9}{:>9}{:>10}{matched}",
            "tower", "block", "role", "initializer", "shape", "type", "selected", "saturated"
        );
        for layer in &self.layers {
            let block = layer.block.map_or("-".to_owned(), |block| block.to_string());
            let shape = format!("{}x{}", layer.shape[0], layer.shape[1]);
            let correlation = layer.correlation.map_or(String::new(), |value| format!("{value:>13.4}"));
            let _ = writeln!(
                out,
                "{:<8}{block:>5} {:<12}{:<width$}{shape:>12}  {:<9}{:>9}{:>10}{correlation}",
                layer.tower.name(),
                layer.role,
                layer.initializer,
                layer.element,
                layer.selected,
                layer.saturated,
            );
        }
        let _ = writeln!(
            out,
            "{} changed, {} at the end of their range; patch {}",
            plural(self.selected, "element"),
            self.saturated,
            &self.patch.sha256[..16]
        );
        notes(&mut out, &self.notes);
        out
    }

    /// For programs.
    pub fn to_json(&self) -> String {
        pretty(&json!(self))
    }
}

impl Reverted {
    /// For a terminal.
    pub fn to_text(&self) -> String {
        format!(
            "{} -> {}\n{} restored; SHA-256 {}, as before the edit\n",
            self.model.display(),
            self.original.path.display(),
            plural(self.restored, "element"),
            self.original.sha256
        )
    }

    /// For programs.
    pub fn to_json(&self) -> String {
        pretty(&json!(self))
    }
}

impl Verified {
    /// Whether all is as it should be.
    pub fn holds(&self) -> bool {
        self.faults.is_empty()
    }

    /// For a terminal.
    pub fn to_text(&self) -> String {
        let verdict = if self.holds() { "verified" } else { "NOT verified" };
        let how = match (&self.patch, self.holds()) {
            (Some(patch), true) => format!(": every byte is what {} makes of", patch.display()),
            (None, true) => ": as its metadata say, only values of tensors differ from".to_owned(),
            (_, false) => " against".to_owned(),
        };
        let mut out = format!("{} {verdict}{how} {}\n", self.edited.display(), self.original.display());
        for fault in &self.faults {
            let _ = writeln!(out, "- {fault}");
        }
        out
    }

    /// For programs.
    pub fn to_json(&self) -> String {
        pretty(&json!({
            "verified": self.holds(),
            "edited": self.edited.display().to_string(),
            "original": self.original.display().to_string(),
            "patch": self.patch.as_ref().map(|patch| patch.display().to_string()),
            "faults": self.faults,
        }))
    }
}

impl Compared {
    /// For a terminal.
    pub fn to_text(&self) -> String {
        let diff = &self.diff;
        let mut out = format!("{} and {}\n", self.a.display(), self.b.display());
        if diff.only_values() {
            out.push_str("the same graph: names, nodes, opset, inputs and outputs\n");
        } else {
            let _ = writeln!(out, "NOT the same graph:");
            for what in &diff.graph {
                let _ = writeln!(out, "- {what}");
            }
        }
        if diff.tensors.is_empty() {
            let _ = writeln!(out, "{} compared, all equal", plural(diff.compared, "tensor"));
        } else {
            let width = diff.tensors.iter().map(|tensor| tensor.tensor.len()).max().unwrap_or(0).max(6);
            let _ = writeln!(
                out,
                "\n{:<width$}  {:<9}{:>10}{:>10}{:>10}{:>9}{:>13}",
                "tensor", "type", "elements", "changed", "negated", "other", "largest"
            );
            for tensor in &diff.tensors {
                let largest = tensor.largest.map_or("-".to_owned(), |value| format!("{value:.6}"));
                let _ = writeln!(
                    out,
                    "{:<width$}  {:<9}{:>10}{:>10}{:>10}{:>9}{largest:>13}",
                    tensor.tensor, tensor.element, tensor.elements, tensor.changed, tensor.negated, tensor.other
                );
            }
            let _ = writeln!(
                out,
                "{} changed in {} of {}",
                plural(diff.changed(), "element"),
                diff.tensors.len(),
                plural(diff.compared, "tensor")
            );
        }
        for (a, b) in &diff.renamed {
            let _ = writeln!(out, "note: data file '{a}' is '{b}' in the second model");
        }
        for entry in &diff.provenance {
            let _ = writeln!(out, "note: metadata, {entry}");
        }
        out
    }

    /// For programs.
    pub fn to_json(&self) -> String {
        let mut value = json!(self.diff);
        value["a"] = self.a.display().to_string().into();
        value["b"] = self.b.display().to_string().into();
        value["same_graph"] = self.diff.only_values().into();
        value["changed"] = self.diff.changed().into();
        pretty(&value)
    }
}
