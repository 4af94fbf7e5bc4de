//! What came of a rule.

use std::fmt;

use serde::Serialize;

/// What all comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every rule holds, for certain.
    Pass,
    /// A rule is broken, for certain.
    Fail,
    /// Neither: too few samples, an interval that straddles a bound, or something went wrong.
    Inconclusive,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
        })
    }
}

/// What comes of one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It is broken.
    Fail,
    /// It cannot be told.
    Inconclusive,
    /// Something went wrong: the exit code for that.
    Error(u8),
    /// It is optional, and there is nothing to judge.
    Skipped,
}

impl Outcome {
    /// In a word, as reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Error(_) => "error",
            Self::Skipped => "skipped",
        }
    }
}

/// A rule, or something that went wrong, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Its code, which stays: there is a page of that name under docs/findings.
    pub code: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The rule by its place in the policy, as `metrics.PU.min_gain`; none for what no rule asked for.
    pub rule: Option<String>,
    /// Line and column of the rule in the policy's file, from 1.
    pub place: Option<[usize; 2]>,
    /// What it is about: `PU`, `PU in 'weapons'`, a file.
    pub subject: String,
    /// What was found, in a sentence.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The figure that was judged, where it is one.
    pub judged: Option<Judged>,
}

/// Of which quadruplets a figure is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "concept", rename_all = "kebab-case")]
pub enum Scope {
    /// All.
    Overall,
    /// Those of a concept.
    Concept(String),
    /// Those of the concept that is worst by the figure.
    WorstConcept(String),
}

/// What a rule bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The figure is no less.
    Min,
    /// It is no more.
    Max,
    /// It went down by no more.
    MaxDrop,
    /// It went down by that at least.
    MinDrop,
    /// It went up by no more.
    MaxGain,
    /// It went up by that at least.
    MinGain,
    /// It went down by no more than that share of the baseline's.
    MaxRelativeDrop,
}

/// A figure against a bound.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// The figure.
    pub figure: &'static str,
    /// Of what.
    pub scope: Scope,
    /// What is bounded.
    pub bound: Bound,
    /// By how much: points of the figure, or for a relative drop a share from 0 to 1.
    pub limit: f64,
    /// What it was judged by: the figure for `min` and `max`, else its change (after less before).
    pub value: f64,
    /// Its interval; none for too few items.
    pub interval: Option<[f64; 2]>,
    /// Quadruplets, or images of the zero-shot set.
    pub items: usize,
}
