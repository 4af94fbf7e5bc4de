//! Where in a policy's file something stands.

use std::path::Path;

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
