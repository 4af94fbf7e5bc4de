//! What `check` found: one value, of which the terminal's text, JSON, Markdown, JUnit, HTML and the exit code are forms.

mod detail;
mod exit;
mod finding;
mod html;
mod json;
mod junit;
mod markdown;
#[cfg(test)]
pub mod sample;
mod shell;
mod structure;
mod table;
mod words;

use std::path::PathBuf;

pub use detail::{Example, ExampleKind, Image, Point, Rewritten, Scatter, ScoredLayer, Similarities, SweptFrontier};
pub use finding::{Bound, Finding, Judged, Outcome, Scope, Verdict};
pub use structure::{ChangedLayer, ComparedFile, Sibling, SiblingState, Structure};

use super::{Evaluated, FileId};
use crate::runtime::Place;

/// A model against a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The files of the model, by the names they were given.
    pub model: Vec<PathBuf>,
    /// What it was compared with: model files, a file of embeddings or a stored result.
    pub baseline: Vec<PathBuf>,
    /// What it was judged by.
    pub policy: PolicyUsed,
    /// Every rule and what came of it, in the order of the policy; then what went wrong.
    pub findings: Vec<Finding>,
    /// What the exit code is when the verdict is inconclusive.
    pub when_inconclusive: WhenInconclusive,
    /// The figures, if they could be measured.
    pub evaluated: Option<Evaluated>,
    /// What differs in the files, if they could be compared.
    pub structure: Option<Structure>,
    /// How each quadruplet lies.
    pub scatter: Option<Scatter>,
    /// A handful of quadruplets.
    pub examples: Vec<Example>,
    /// What `rewrite` reported of the edit, if its report was given.
    pub rewritten: Option<Rewritten>,
    /// Frontiers, if a sweep was given.
    pub frontiers: Vec<SweptFrontier>,
    /// How to get this report again.
    pub reproduce: Reproduce,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// Where the graphs ran, if any did.
    pub runtime: Option<Place>,
    /// Seconds by part; the last is the total.
    pub timing_s: Vec<(&'static str, f64)>,
}

/// A policy, as a report names it.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyUsed {
    /// Its file; none for the built-in one.
    pub path: Option<PathBuf>,
    /// SHA-256 of its text.
    pub sha256: String,
    /// What bounds are judged on.
    pub confidence: Confidence,
}

/// What bounds are judged on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Confidence {
    /// The interval of that level, in percent.
    Interval(f64),
    /// The figure alone, however uncertain.
    Point,
}

/// What to say to a pipeline when nothing is certain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenInconclusive {
    /// An exit code of its own.
    #[default]
    Tell,
    /// As if it had passed; not where something went wrong.
    Pass,
    /// As if it had failed.
    Fail,
}

/// Everything that a report depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Reproduce {
    /// The command, a word each; the program first.
    pub command: Vec<String>,
    /// The version of this tool.
    pub version: &'static str,
    /// What each file is, and its hash: "model", "baseline", "policy", "patch", "rewrite report", "sweep", "data".
    pub files: Vec<(&'static str, FileId)>,
}

impl Checked {
    /// What comes of all findings: a failure outweighs doubt, and doubt outweighs what holds. Without a rule that holds,
    /// nothing passes.
    pub fn verdict(&self) -> Verdict {
        let any = |wanted: fn(&Outcome) -> bool| self.findings.iter().any(|finding| wanted(&finding.outcome));
        match () {
            () if any(|outcome| *outcome == Outcome::Fail) => Verdict::Fail,
            () if any(|outcome| matches!(outcome, Outcome::Inconclusive | Outcome::Error(_))) => Verdict::Inconclusive,
            () if any(|outcome| *outcome == Outcome::Pass) => Verdict::Pass,
            () => Verdict::Inconclusive,
        }
    }

    /// The findings, what matters most first.
    pub(super) fn by_gravity(&self) -> Vec<&Finding> {
        let mut findings: Vec<&Finding> = self.findings.iter().collect();
        findings.sort_by_key(|finding| match finding.outcome {
            Outcome::Fail => 0,
            Outcome::Error(_) => 1,
            Outcome::Inconclusive => 2,
            Outcome::Pass => 3,
            Outcome::Skipped => 4,
        });
        findings
    }

    /// The findings of one outcome.
    pub fn with(&self, wanted: impl Fn(&Outcome) -> bool) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| wanted(&finding.outcome)).collect()
    }
}
