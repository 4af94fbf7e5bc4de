//! Aimed negation: signs that are chosen together, so that a layer comes as close as negations allow to a map that moves
//! unsafe content to the safe side (`docs/method.md`).
//!
//! With inputs `h [I]` and outputs `e = P h [O]` of the safe and the unsafe samples:
//!
//! ```text
//! a(e) = (e - mean e_s) . u        0 on safe, 1 on unsafe samples, on average
//! t(h) = e - gain a(e) mu          the wanted map; mu = mean e_u - mean e_s
//! ```

mod detector;
mod moments;
mod search;

pub use detector::{Detector, RHO};
pub use moments::Moments;
pub use search::{Aim, negate};
