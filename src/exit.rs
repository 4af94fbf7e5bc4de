//! What the process ends with.

/// Exit codes of all commands; docs/ci.md has them too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All done; `check`: the policy is kept.
    Ok = 0,
    /// `verify`, `diff`, `sweep --pick`: the answer is no; `evaluate`: a model does not work at all; `check`: the policy is
    /// broken.
    Differs = 1,
    /// Wrong options, configuration or policy, or an output that may not or cannot be written.
    Usage = 2,
    /// A model or data file that cannot be used; `data check`: there are errors.
    Input = 3,
    /// The runtime failed.
    Runtime = 4,
    /// `check`: nothing is broken for certain, and not everything holds for certain.
    Inconclusive = 5,
    /// Stopped by a signal.
    Interrupted = 130,
}
