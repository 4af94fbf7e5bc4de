//! Text files as they come from anybody: plain files, and no more of them than can be meant.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::error::Error;

/// Bytes of a text file that are read at most.
const MOST: u64 = 1 << 30;

/// A text file, without the mark that some programs begin it with.
///
/// # Errors
/// If it cannot be read, is a device or a pipe, or has more than a GiB.
pub fn text_of(path: &Path, what: &'static str) -> Result<String, Error> {
    let mut text = read(path, MOST).map_err(|source| Error::Io { what, path: path.to_owned(), source })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// A text file as it is.
///
/// # Errors
/// If it cannot be read, is a device or a pipe, or has more than `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<String> {
    // Before it is opened: opening a pipe would wait for a writer.
    let metadata = path.metadata()?;
    let refused = |reason: String| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    if !metadata.is_file() {
        return refused("it is no plain file".to_owned());
    }
    let mut text = String::new();
    File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    match text.len() as u64 > most {
        true => refused(format!("it has more than {most} bytes")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_of_a_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, "\u{feff}ab").unwrap();
        assert_eq!(text_of(&path, "file").unwrap(), "ab");
        assert!(read(&path, 5).is_ok() && read(&path, 4).is_err());
        assert!(read(folder.path(), 5).is_err() && read(&folder.path().join("b"), 5).is_err());
        if Path::new("/dev/zero").exists() {
            assert!(text_of(Path::new("/dev/zero"), "file").unwrap_err().to_string().contains("no plain file"));
        }
    }
}
