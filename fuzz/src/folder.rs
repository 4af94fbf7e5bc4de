//! Files for what reads files.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder that is filled once, and in which each input then writes its files over those of the last.
pub struct Folder(TempDir);

impl Folder {
    /// A new one, with what always lies in it. Where it is follows `TMPDIR`; in memory, files cost little.
    pub fn with(fill: impl FnOnce(&Self)) -> Self {
        let folder = Self(tempfile::tempdir().expect("the system has a place for temporary files"));
        fill(&folder);
        folder
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, and the folder that it is in.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        let folder = path.parent().expect("it is in the folder");
        std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, bytes)).expect("the folder can be written");
        path
    }

    /// Writes a file, or takes it away where there is no such part.
    pub fn put(&self, name: &str, bytes: Option<&[u8]>) -> PathBuf {
        match bytes {
            Some(bytes) => self.write(name, bytes),
            None => {
                let path = self.path().join(name);
                _ = std::fs::remove_file(&path);
                path
            }
        }
    }
}
