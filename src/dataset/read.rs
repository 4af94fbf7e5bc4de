//! Text files as they come from anybody: plain files, and no more of them than can be meant.

use std::path::Path;

use super::error::Error;
use crate::plain;

/// Bytes of a text file that are read at most.
const MOST: u64 = 1 << 30;

/// A text file, without the mark that some programs begin it with.
///
/// # Errors
/// If it cannot be read, is a device or a pipe, or has more than a GiB.
pub fn text_of(path: &Path, what: &'static str) -> Result<String, Error> {
    let mut text = plain::text(path, MOST).map_err(|source| Error::Io { what, path: path.to_owned(), source })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_its_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, "\u{feff}ab").unwrap();
        assert_eq!(text_of(&path, "file").unwrap(), "ab");
        assert!(text_of(folder.path(), "file").unwrap_err().to_string().contains("no plain file"));
    }
}
