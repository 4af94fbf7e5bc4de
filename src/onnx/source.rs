//! A file that is read: mapped, hashed once, and opened again only as itself.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::map::map;
use crate::plain;

/// A mapped file. Its descriptor is not kept: a model may have a data file for every tensor.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    bytes: Bytes,
    identity: Identity,
    sha256: OnceLock<String>,
}

/// Device, inode and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64, u64);

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Self(metadata.dev(), metadata.ino(), metadata.len())
        }
        #[cfg(not(unix))]
        Self(0, 0, metadata.len())
    }
}

impl Source {
    /// Maps the file.
    ///
    /// # Errors
    /// The system's, or that it is no plain file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = plain::open(path)?;
        let identity = Identity::of(&file.metadata()?);
        Ok(Self { path: path.to_owned(), bytes: map(&file)?, identity, sha256: OnceLock::new() })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// A descriptor, for the system's own copying.
    ///
    /// # Errors
    /// The system's, or that the path leads to another file by now.
    pub fn reopen(&self) -> io::Result<File> {
        let file = plain::open(&self.path)?;
        if Identity::of(&file.metadata()?) != self.identity {
            return Err(io::Error::other(format!("{} was replaced while it was in use", self.path.display())));
        }
        Ok(file)
    }

    /// SHA-256 in hexadecimal; computed when first asked for.
    pub fn sha256(&self) -> &str {
        self.sha256.get_or_init(|| sha256_of(&self.bytes))
    }
}

/// SHA-256 of some bytes, in hexadecimal.
pub fn sha256_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
