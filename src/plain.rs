//! Files that somebody names: opened only if they are plain ones, and read no further than can be meant.
//!
//! A pipe would wait for a writer that never comes, and a device has no end.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// Opens a plain file for reading; links are followed.
///
/// # Errors
/// If it cannot be opened, or is a folder, a device or a pipe.
pub fn open(path: &Path) -> io::Result<File> {
    // Before it is opened, since that alone does something to some devices.
    check(&path.metadata()?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    // It may have become a pipe since, which must not be waited for.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

/// The bytes of a plain file.
///
/// # Errors
/// As for [`open`]; if it has more than `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    // It may grow while it is read.
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(refused(&format!("it has more than {most} bytes"))),
        false => Ok(bytes),
    }
}

/// The text of a plain file.
///
/// # Errors
/// As for [`read`]; if it is not UTF-8.
pub fn text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?).map_err(|_| refused("it is not UTF-8"))
}

fn check(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(refused("it is no plain file")) }
}

fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_of_a_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, [b'a', 0xff]).unwrap();
        assert_eq!(read(&path, 2).unwrap(), [b'a', 0xff]);
        assert!(read(&path, 1).unwrap_err().to_string().contains("more than 1 bytes"));
        assert!(text(&path, 2).unwrap_err().to_string().contains("not UTF-8"));
        assert!(open(folder.path()).is_err() && open(&folder.path().join("b")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_pipes_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let [pipe, link] = ["pipe", "link"].map(|name| folder.path().join(name));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for path in [Path::new("/dev/zero"), Path::new("/dev/null"), &pipe, &link] {
            assert!(open(path).unwrap_err().to_string().contains("no plain file"), "{}", path.display());
        }
    }
}
