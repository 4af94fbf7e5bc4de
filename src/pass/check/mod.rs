//! `check`: whether a model may be shipped.

mod siblings;
mod signature;
mod structure;

pub use structure::compare_files;
