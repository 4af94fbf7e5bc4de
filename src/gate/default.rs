//! The policy that is taken where none is named.

/// Its text, which docs/check.md explains.
pub const DEFAULT: &str = include_str!("../../policies/default.yaml");
