//! What `score` and `merge` did.

use serde::Serialize;
use serde_json::json;

use super::FileId;

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scored {
    /// It.
    pub output: FileId,
    /// Layers that are in it.
    pub layers: usize,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

impl Scored {
    /// A line, and the notes.
    pub fn to_text(&self) -> String {
        let mut lines =
            vec![format!("{}: {} layers, SHA-256 {}", self.output.path.display(), self.layers, self.output.sha256)];
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines.join("\n") + "\n"
    }

    /// One object.
    pub fn to_json(&self) -> String {
        format!("{}\n", json!(self))
    }
}
