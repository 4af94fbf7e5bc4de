//! Temporary files in the folder of an output, and clearing away those of processes that were killed.
//!
//! A process holds a lock on a file `.uwm-onnx-<id>.lock` as long as it has temporary files `.uwm-onnx-<id>-*.tmp`.
//! A lock file that can be locked is a dead process's. Before several files get their names, the lock file is given
//! a journal: if the last of them never got its name, the others are taken back.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

const PREFIX: &str = ".uwm-onnx-";
const LOCK: &str = ".lock";
const TEMPORARY: &str = ".tmp";
/// The last bytes of a complete journal.
const END: &[u8] = b"end\0";

/// The right to have temporary files in a folder.
pub struct Scratch {
    folder: PathBuf,
    /// Removed when dropped.
    lock: NamedTempFile,
    id: String,
}

impl Scratch {
    /// Takes a lock of its own, and clears away what dead processes left.
    ///
    /// # Errors
    /// If the folder does not take new files.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let lock = loop {
            let lock = Builder::new().prefix(PREFIX).suffix(LOCK).rand_bytes(8).tempfile_in(folder)?;
            // Where locks are not supported nobody can take it for a dead process's either.
            let _ = lock.as_file().try_lock();
            // Between the two lines another process may have found it unlocked, and removed it.
            if lock
                .path()
                .symlink_metadata()
                .is_ok_and(|now| lock.as_file().metadata().is_ok_and(|own| same(&own, &now)))
            {
                break lock;
            }
        };
        let name = lock.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let id = id_of(name).unwrap_or_default().to_owned();
        let scratch = Self { folder: folder.to_owned(), lock, id };
        scratch.sweep();
        Ok(scratch)
    }

    /// A new temporary file, with the permissions that a new file gets.
    ///
    /// # Errors
    /// The system's.
    pub fn file(&self) -> io::Result<NamedTempFile> {
        let prefix = format!("{PREFIX}{}-", self.id);
        let mut builder = Builder::new();
        builder.prefix(&prefix).suffix(TEMPORARY);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // What the umask leaves of this. The default would be private to the user.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        builder.tempfile_in(&self.folder)
    }

    /// A name to put a file aside.
    pub fn backup(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{PREFIX}{}-old-{number}{TEMPORARY}", self.id))
    }

    /// Writes down what is about to be done.
    ///
    /// # Errors
    /// The system's.
    pub fn write_journal(&self, entries: &[Entry]) -> io::Result<()> {
        let mut text: Vec<u8> = entries.iter().flat_map(Entry::to_bytes).collect();
        text.extend(END);
        let mut file = self.lock.as_file();
        file.write_all(&text)?;
        file.sync_all()
    }

    /// Clears away what dead processes of this user left. What cannot be cleared stays, harmless.
    fn sweep(&self) {
        let Ok(own) = self.lock.as_file().metadata() else { return };
        for name in names(&self.folder) {
            let Some(id) = id_of(&name).filter(|id| *id != self.id) else { continue };
            let path = self.folder.join(&name);
            let Some(mut lock) = open_own(&path, &own) else { continue };
            if lock.try_lock().is_err() {
                continue;
            }
            let mut journal = vec![];
            if lock.read_to_end(&mut journal).is_ok() {
                Entry::recover(&journal);
            }
            let prefix = format!("{PREFIX}{id}-");
            for name in names(&self.folder) {
                if name.starts_with(&prefix) && name.ends_with(TEMPORARY) {
                    remove(&self.folder.join(name));
                }
            }
            remove(&path);
        }
    }
}

/// Removes a file; what cannot be removed stays.
pub fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.starts_with(PREFIX)).collect()
}

/// The id in the name of a lock file.
fn id_of(name: &str) -> Option<&str> {
    let id = name.strip_prefix(PREFIX)?.strip_suffix(LOCK)?;
    (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(id)
}

/// Opens a regular file of the user who owns `own`, not through a link.
fn open_own(path: &Path, own: &Metadata) -> Option<File> {
    let before = path.symlink_metadata().ok().filter(Metadata::is_file)?;
    let file = File::options().read(true).write(true).open(path).ok()?;
    let now = file.metadata().ok()?;
    (same(&before, &now) && same_owner(own, &now)).then_some(file)
}

#[cfg(unix)]
fn same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(unix)]
fn same_owner(a: &Metadata, b: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(a) == std::os::unix::fs::MetadataExt::uid(b)
}

#[cfg(not(unix))]
fn same(a: &Metadata, b: &Metadata) -> bool {
    a.created().ok() == b.created().ok()
}

#[cfg(not(unix))]
fn same_owner(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// One file of a set: what becomes of which name.
pub struct Entry {
    /// Device and inode of the new file.
    identity: (u64, u64),
    /// The name it gets.
    pub path: PathBuf,
    /// Where the file that had the name is put until all is done.
    pub backup: Option<PathBuf>,
}

impl Entry {
    /// `file` is to become `path`.
    ///
    /// # Errors
    /// The system's.
    pub fn new(file: &File, path: PathBuf, backup: Option<PathBuf>) -> io::Result<Self> {
        Ok(Self { identity: identity(&file.metadata()?), path, backup })
    }

    fn is_in_place(&self) -> bool {
        self.path.symlink_metadata().is_ok_and(|there| identity(&there) == self.identity)
    }

    /// Takes back names that were given, and gives them to those who had them.
    pub fn undo(entries: &[Self]) {
        for entry in entries {
            if entry.is_in_place() {
                remove(&entry.path);
            }
            if let Some(backup) = entry.backup.as_deref().filter(|_| entry.path.symlink_metadata().is_err()) {
                let _ = std::fs::rename(backup, &entry.path);
            }
        }
    }

    /// Undoes what a journal tells of, unless its last entry, the one that counts, was done.
    fn recover(journal: &[u8]) {
        let Some(entries) = Self::parse(journal) else { return };
        if entries.last().is_some_and(|last| !last.is_in_place()) {
            Self::undo(&entries);
        }
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(unix)]
impl Entry {
    fn to_bytes(&self) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt;
        let path = |path: &Path| path.as_os_str().as_bytes().to_vec();
        let (device, inode) = self.identity;
        let backup = self.backup.as_deref().map(path).unwrap_or_default();
        [format!("{device} {inode}").into_bytes(), path(&self.path), backup].join(&0).into_iter().chain([0]).collect()
    }

    fn parse(journal: &[u8]) -> Option<Vec<Self>> {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let body = journal.strip_suffix(END)?;
        let parts: Vec<&[u8]> = body.split(|byte| *byte == 0).collect();
        let (entries, _) = parts.as_chunks::<3>();
        let entry = |[identity, path, backup]: &[&[u8]; 3]| {
            let (device, inode) = std::str::from_utf8(identity).ok()?.split_once(' ')?;
            let named = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
            Some(Self {
                identity: (device.parse().ok()?, inode.parse().ok()?),
                path: named(path),
                backup: (!backup.is_empty()).then(|| named(backup)),
            })
        };
        entries.iter().map(entry).collect()
    }
}

// Without inodes a half-done set cannot be told from files of others: it stays.
#[cfg(not(unix))]
fn identity(metadata: &Metadata) -> (u64, u64) {
    let created = metadata.created().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    (metadata.len(), created.map_or(0, |since| since.as_nanos() as u64))
}

#[cfg(not(unix))]
impl Entry {
    fn to_bytes(&self) -> Vec<u8> {
        vec![]
    }

    fn parse(_: &[u8]) -> Option<Vec<Self>> {
        None
    }
}
