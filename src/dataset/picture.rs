//! Where an image lies: a file of its own, or a part of an archive.

use std::fmt;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::Error;
use crate::plain;

/// Bytes of an encoded image that are read at most.
const MOST_BYTES: u64 = 1 << 28;

/// An encoded image that is read when it is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Picture {
    /// A file.
    File(PathBuf),
    /// A part of an archive that is stored as it is.
    Member {
        /// The archive.
        archive: Arc<Path>,
        /// Its name in there.
        name: String,
        /// Where it begins.
        offset: u64,
        /// Its length in bytes.
        size: u64,
    },
}

impl Picture {
    /// The file it is in.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Member { archive, .. } => archive,
        }
    }

    /// The same picture by its file's real name, whatever links lead to it.
    #[must_use]
    pub fn real(&self) -> Self {
        match self {
            Self::File(path) => Self::File(path.canonicalize().unwrap_or_else(|_| path.clone())),
            member => member.clone(),
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// If they cannot be read, or are more than 256 MiB.
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        let io = |source| Error::Io { what: "image", path: self.path().to_owned(), source };
        let mut file = plain::open(self.path()).map_err(io)?;
        let size = match self {
            Self::File(_) => file.metadata().map_err(io)?.len(),
            Self::Member { offset, size, .. } => {
                file.seek(SeekFrom::Start(*offset)).map_err(io)?;
                *size
            }
        };
        if size > MOST_BYTES {
            let reason = format!("it has {size} bytes, and more than {MOST_BYTES} are not read");
            return Err(Error::Image { path: self.to_string(), reason });
        }
        let mut bytes = vec![];
        // A file can grow.
        let read = file.take(if matches!(self, Self::File(_)) { MOST_BYTES + 1 } else { size }).read_to_end(&mut bytes);
        read.map_err(io)?;
        if bytes.len() as u64 > MOST_BYTES || (matches!(self, Self::Member { .. }) && (bytes.len() as u64) < size) {
            let reason = format!("it has {} bytes where {size} were to be expected", bytes.len());
            return Err(Error::Image { path: self.to_string(), reason });
        }
        Ok(bytes)
    }
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Member { archive, name, .. } => write!(f, "{}:{name}", archive.display()),
        }
    }
}
