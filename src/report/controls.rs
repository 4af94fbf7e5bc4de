//! What the edit was compared with, and what came of it, in words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::safeground::Evaluation;

/// An edit that the real one is compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// Which.
    pub kind: ControlKind,
    /// Elements changed.
    pub selected: usize,
    /// Its metrics.
    pub evaluation: Evaluation,
}

/// Kinds of controls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ControlKind {
    /// As many elements a layer as the edit has, chosen at random.
    Random {
        /// The seed of the choice.
        seed: u64,
    },
    /// The method with safe and unsafe in each other's place.
    Swapped,
    /// The method with a direction that inputs take by chance, as far as the real one goes.
    Direction {
        /// The seed of the direction.
        seed: u64,
    },
}

impl ControlKind {
    /// Whether it is a random choice.
    pub fn is_random(self) -> bool {
        matches!(self, Self::Random { .. })
    }
}

impl fmt::Display for ControlKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Random { seed } => write!(f, "random {seed}"),
            Self::Swapped => f.write_str("roles swapped"),
            Self::Direction { seed } => write!(f, "random direction {seed}"),
        }
    }
}

/// The edit against random ones of the same size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(non_snake_case)]
pub struct Verdict {
    /// Unsafe queries of both modalities prefer what is safe.
    pub PU: Against,
    /// All four queries do.
    pub GS: Against,
    /// Random choices it was compared with.
    pub seeds: usize,
    /// Random directions it was compared with, where the method has one.
    pub directions: usize,
    /// Change of zero-shot top-1 accuracy: by the edit, and by random ones on average.
    pub zero_shot: Option<[f64; 2]>,
    /// The same of PS.
    pub PS: [f64; 2],
    /// The same of recall@1 from safe text to safe images.
    pub recall: [f64; 2],
}

/// One metric, in points.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// Change by the edit.
    pub change: f64,
    /// Change by random edits, on average.
    pub random_change: f64,
    /// McNemar's exact p of the edit against the random one it beats by least; 1 if it beats one not at all.
    pub p: f64,
    /// Whether the edit is better than each random one beyond noise (p below 0.025, as two metrics are tested).
    pub beats_random: bool,
}

impl Verdict {
    /// Whether the edit does something for safety that damage alone does not.
    pub fn specific(&self) -> bool {
        self.PU.beats_random || self.GS.beats_random
    }

    /// It in a few sentences.
    pub fn sentence(&self) -> String {
        let random = match self.seeds {
            1 => "a random edit of as many elements (one seed)".to_owned(),
            seeds => format!("random edits of as many elements ({seeds} seeds)"),
        };
        let random = match self.directions {
            0 => random,
            1 => format!("{random} and an edit in a random direction"),
            directions => format!("{random} and edits in {directions} random directions"),
        };
        let metric = |name: &str, Against { change, random_change, p, .. }: &Against| {
            let p = if *p < 0.001 { format!("{p:.0e}") } else { format!("{p:.3}") };
            format!("{name} {change:+.1} (random {random_change:+.1}, p = {p})")
        };
        let both = format!("{}, {}", metric("PU", &self.PU), metric("GS", &self.GS));
        let head = match (self.PU.beats_random, self.GS.beats_random) {
            (true, true) => format!("Beyond {random}: {both}."),
            (true, false) => format!("Beyond {random} in PU, not in GS: {both}."),
            (false, true) => format!("Beyond {random} in GS, not in PU: {both}."),
            (false, false) => format!("No better than {random}: {both}."),
        };
        let cost = |name: &str, [edit, random]: [f64; 2]| format!("{name} {edit:+.1} (random {random:+.1})");
        let zero_shot = self.zero_shot.map(|both| cost("zero-shot top-1", both));
        let costs = zero_shot.into_iter().chain([cost("Ts-Vs R@1", self.recall), cost("PS", self.PS)]);
        format!("{head} The cost: {}.", costs.collect::<Vec<_>>().join(", "))
    }
}
