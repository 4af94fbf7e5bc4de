//! `check`: whether a model may be shipped.

mod siblings;
mod signature;
mod stored;
mod structure;

pub use stored::{read_rewritten, read_sweep};
pub use structure::compare_files;
