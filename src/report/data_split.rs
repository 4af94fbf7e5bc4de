//! What `data split` wrote.

use std::fmt::Write;

use serde::Serialize;
use serde_json::json;

use super::FileId;
use crate::few::harmless;

/// A manifest whose rows were dealt out to splits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataSplit {
    /// It.
    pub output: FileId,
    /// The splits.
    pub parts: Vec<Part>,
    /// Groups of rows that share something and stayed together; a row alone is one too.
    pub groups: usize,
    /// Rows of the largest.
    pub largest_group: usize,
    /// What chance went by.
    pub seed: u64,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// A split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Its name.
    pub split: String,
    /// The share that was asked for.
    pub share: f64,
    /// Its rows.
    pub rows: usize,
}

impl DataSplit {
    /// A line for each split.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let all: usize = self.parts.iter().map(|part| part.rows).sum();
        let _ = writeln!(out, "{}: {all} rows, SHA-256 {}", self.output.path.display(), self.output.sha256);
        for Part { split, share, rows } in &self.parts {
            let got = 100.0 * *rows as f64 / all.max(1) as f64;
            let _ = writeln!(out, "{split:<12} {rows:>8}  {got:>5.1} % of {:.1} %", 100.0 * share);
        }
        if self.groups < all {
            let (groups, largest) = (self.groups, self.largest_group);
            let _ = writeln!(
                out,
                "rows that share an image or a safe text are together: {groups} groups, the largest of {largest} rows"
            );
        }
        for note in &self.notes {
            let _ = writeln!(out, "note: {}", harmless(note));
        }
        out
    }

    /// One object.
    pub fn to_json(&self) -> String {
        format!("{}\n", json!(self))
    }
}
