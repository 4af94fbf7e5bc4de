//! Aimed negation: signs that are chosen together, so that a layer comes as close as negations allow to a map that moves
//! unsafe content to the safe side (`docs/method.md`).
//!
//! With inputs `h [I]` and outputs `e = P h [O]` of the safe and the unsafe samples:
//!
//! ```text
//! mu   = mean e_u - mean e_s
//! v    = (C + rho D)^-1 mean h_u, scaled to v . mean h_u = 1     C = (safe C_s + C_u) / (safe + 1), D = diag(C)
//! t(h) = e - gain (v . h) mu                                     the wanted map
//! ```

mod ahead;
mod detector;
mod moments;
mod search;
mod separation;

pub use ahead::Ahead;
pub use detector::{Detector, Fit};
pub use moments::Moments;
pub use search::{Aim, negate};
pub use separation::Separation;
