//! A policy and what was found against it: pure functions, no I/O but reading the policy.

mod default;
mod error;
mod figures;
mod files;
mod health;
mod policy;
mod reading;
mod rule;
#[cfg(test)]
mod tests;

pub use default::DEFAULT;
pub use error::Error;
pub use figures::judge as judge_figures;
pub use files::{Facts, judge as judge_files};
pub use health::judge as judge_health;
pub use policy::{Policy, StructureRules};
pub use rule::{FigureRule, Within};

/// Codes of all findings that judging makes; that of an error is the error's own.
pub const CODES: [&str; 20] = [
    "allowed-tensors",
    "concept-unknown",
    "interval-straddles-bound",
    "max-elements-changed",
    "metric-max",
    "metric-max-drop",
    "metric-max-gain",
    "metric-max-relative-drop",
    "metric-min",
    "metric-min-drop",
    "metric-min-gain",
    "metric-not-measured",
    "no-stale-siblings",
    "only-initializer-values-changed",
    "original-missing",
    "patch-matches",
    "provenance-required",
    "same-io-signature",
    "sibling-unknown",
    "too-few-samples",
];
