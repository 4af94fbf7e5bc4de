//! What can be wrong with a policy.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// A policy that cannot be used. Messages name file, line and column.
#[derive(Debug, Error, Diagnostic)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the policy {}: {source}", path.display())]
    #[diagnostic(code("policy-io"), help("check the path given with --policy"))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not such a policy.
    #[error("{path}{place}: the policy is not valid: {reason}", path = path.display(), place = shown(*place))]
    #[diagnostic(
        code("policy-format"),
        help(
            "docs/check.md has all keys, schemas/policy-1.schema.json is for editors, policies/default.yaml an example"
        )
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Line and column.
        place: Option<[usize; 2]>,
        /// What is wrong.
        reason: String,
    },
    /// A rule asks for a figure that there is not.
    #[error("{path}{place}: there is no figure '{name}'", path = path.display(), place = shown(Some(*place)))]
    #[diagnostic(code("policy-metric-unknown"), help("figures are {known}"))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Line and column.
        place: [usize; 2],
        /// What it calls it.
        name: String,
        /// What there is.
        known: String,
    },
    /// A rule compares, and there is nothing to compare with.
    #[error("{policy}: {rule} compares with a baseline, and none was given")]
    #[diagnostic(
        code("policy-needs-baseline"),
        help("name what the model was made from with --baseline, or a policy without such rules with --policy")
    )]
    NeedsBaseline {
        /// The policy.
        policy: String,
        /// The rule.
        rule: String,
    },
    /// A rule asks for a patch, and none was given.
    #[error("{policy}: structure.patch_matches asks for the patch that the model was made with, and none was given")]
    #[diagnostic(
        code("policy-needs-patch"),
        help("name it with --patch (rewrite --patch-out writes it), or leave the rule out")
    )]
    NeedsPatch {
        /// The policy.
        policy: String,
    },
}

/// `:line:column`, as editors read it behind a path.
fn shown(place: Option<[usize; 2]>) -> String {
    place.map_or(String::new(), |[line, column]| format!(":{line}:{column}"))
}
