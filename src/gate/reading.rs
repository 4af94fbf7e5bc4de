//! Where in a policy's file something stands.

use std::path::Path;

use serde::de::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::Error;

/// The file, for errors.
pub struct Reading<'p> {
    /// Where it is.
    pub path: &'p Path,
}

impl Reading<'_> {
    /// The error that says what is wrong where.
    pub fn wrong(&self, place: [usize; 2], reason: String) -> Error {
        Error::Format { path: self.path.to_owned(), place: Some(place), reason }
    }
}

/// Line and column.
pub fn place<T>(of: &Spanned<T>) -> [usize; 2] {
    let at = of.referenced;
    [at.line() as usize, at.column() as usize]
}

/// What is given, so that a key without a value is an error and no key left out.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
