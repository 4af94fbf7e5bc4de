//! Outputs that appear together, whole, or not at all.
//!
//! Each is written beside its target under a temporary name and gets its name when all are complete. What a killed
//! process left is cleared away by the next one that writes to the folder (see [`super::scratch`]).

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::error::Error;
use super::scratch::{Entry, Scratch};

/// A set of files to be published together.
pub struct Outputs {
    force: bool,
    /// Files that are read, and no output may replace.
    read: Vec<PathBuf>,
    // Dropped before the folders' locks, which tell others that these are in use.
    files: Vec<Pending>,
    scratches: Vec<(PathBuf, Scratch)>,
    made: Vec<MadeFolder>,
}

/// A folder made for the outputs; goes away again if nothing was put into it.
struct MadeFolder(PathBuf);

impl Drop for MadeFolder {
    fn drop(&mut self) {
        // Fails, as it should, when the folder holds something.
        let _ = std::fs::remove_dir(&self.0);
    }
}

struct Pending {
    file: NamedTempFile,
    target: PathBuf,
}

/// How long written data may wait before they are sent to disk.
const SYNC_EVERY: Duration = Duration::from_millis(20);

const EXISTS: &str = "it exists already";
const FORCE: &str = "choose another name, or pass --force to replace it";

/// Checks that `output` may be written: a new name in an existing folder, or an existing file with `force`; never one
/// of the inputs, by whatever name.
///
/// # Errors
/// [`Error::Output`] with what to do.
pub fn check_output(inputs: &[&Path], output: &Path, force: bool) -> Result<(), Error> {
    let refuse = |reason, help| Err(Error::Output { path: output.to_owned(), reason, help });
    if output.file_name().is_none() || output.is_dir() {
        return refuse("it is a directory", "give the name of a file, for example safe.onnx in that directory");
    }
    if !folder_of(output).is_dir() {
        return refuse("its folder does not exist", "create the folder first");
    }
    if inputs.iter().any(|input| same_file(input, output)) {
        return refuse("it is the input itself", "the input is never modified; choose another name");
    }
    match output.symlink_metadata() {
        Ok(there) if !there.is_file() && !there.is_symlink() => {
            refuse("it is neither a file nor a link", "the output is a new file; choose another name")
        }
        Ok(_) if !force => refuse(EXISTS, FORCE),
        _ => Ok(()),
    }
}

impl Outputs {
    /// No files yet; `force` allows them to replace others.
    pub fn new(force: bool) -> Self {
        Self { force, read: vec![], files: vec![], scratches: vec![], made: vec![] }
    }

    /// The same, where no output may replace one of the files `read` either.
    #[must_use]
    pub fn beside(self, read: Vec<PathBuf>) -> Self {
        Self { read, ..self }
    }

    /// Makes a folder, if it is missing; it goes away again if no output comes to be in it.
    ///
    /// # Errors
    /// [`Error::Output`] for a link, [`Error::Write`].
    pub fn make_folder(&mut self, folder: &Path) -> Result<(), Error> {
        match folder.symlink_metadata() {
            Ok(there) if there.is_dir() => Ok(()),
            Ok(_) => Err(Error::Output {
                path: folder.to_owned(),
                reason: "it is no folder, and a folder of that name is needed",
                help: "choose another output",
            }),
            Err(_) => {
                std::fs::create_dir(folder).map_err(|source| write_error(folder, source))?;
                // The innermost goes first.
                self.made.insert(0, MadeFolder(folder.to_owned()));
                Ok(())
            }
        }
    }

    /// Makes sure that files can be made in the folder of `target`, and clears away what a killed process left there.
    ///
    /// # Errors
    /// [`Error::Output`] if it would replace a file that is read, [`Error::Write`].
    pub fn prepare(&mut self, target: &Path) -> Result<(), Error> {
        if self.read.iter().any(|read| same_file(read, target)) {
            let (reason, help) = ("this job reads it", "choose another name");
            return Err(Error::Output { path: target.to_owned(), reason, help });
        }
        self.scratch(target).map(drop).map_err(|source| write_error(target, source))
    }

    fn scratch(&mut self, target: &Path) -> std::io::Result<&Scratch> {
        let folder = folder_of(target).canonicalize()?;
        let known = self.scratches.iter().position(|(known, _)| *known == folder);
        let index = match known {
            Some(index) => index,
            None => {
                self.scratches.push((folder.clone(), Scratch::open(&folder)?));
                self.scratches.len() - 1
            }
        };
        Ok(&self.scratches[index].1)
    }

    /// A new file that is to become `target`; files get their names in the order they are made here, and the last
    /// one is that which makes the others count.
    ///
    /// # Errors
    /// [`Error::Output`] if another output has that target, [`Error::Write`].
    pub fn create(&mut self, target: &Path) -> Result<usize, Error> {
        if self.files.iter().any(|file| file.target == target) {
            let help = "the two inputs refer to a data file of one name; edit them into folders of their own";
            return Err(Error::Output { path: target.to_owned(), reason: "two outputs would have that name", help });
        }
        let file = self.scratch(target).and_then(Scratch::file).map_err(|source| write_error(target, source))?;
        self.files.push(Pending { file, target: target.to_owned() });
        Ok(self.files.len() - 1)
    }

    /// The file of that number, open for writing.
    pub fn file(&self, index: usize) -> &File {
        self.files[index].file.as_file()
    }

    /// Waits until all files are on disk.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn sync(&self) -> Result<(), Error> {
        self.files.iter().try_for_each(|Pending { file, target }| {
            file.as_file().sync_all().map_err(|source| write_error(target, source))
        })
    }

    /// Does `work`, which writes the file of that number, while what is written goes to disk already: waiting for the
    /// disk at the end would take as long again.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn write(&self, index: usize, work: impl FnOnce(&File) -> Result<(), Error>) -> Result<(), Error> {
        let file = self.file(index);
        std::thread::scope(|scope| {
            let (done, waiting) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                while waiting.recv_timeout(SYNC_EVERY) == Err(RecvTimeoutError::Timeout) {
                    // What fails here fails again when it is synced for good.
                    let _ = file.sync_data();
                }
            });
            let written = work(file);
            drop(done);
            written
        })
    }

    /// Where it is until it is published.
    pub fn path(&self, index: usize) -> &Path {
        self.files[index].file.path()
    }

    /// The name it will get.
    pub fn target(&self, index: usize) -> &Path {
        &self.files[index].target
    }

    /// Gives all files their names, or none.
    ///
    /// # Errors
    /// If one cannot be named; what was there before is there again then.
    pub fn publish(mut self) -> Result<(), Error> {
        self.sync()?;
        if let [_] = self.files.as_slice() {
            let Pending { file, target } = self.files.remove(0);
            let done = if self.force { file.persist(&target) } else { file.persist_noclobber(&target) };
            done.map_err(|failure| write_error(&target, failure.error))?;
            sync_folder(&target);
            return Ok(());
        }
        let Some(last) = self.files.last().map(|file| file.target.clone()) else { return Ok(()) };
        let entries = self.entries()?;
        // From here on a killed process leaves a half-done set, which the journal allows to be undone.
        self.scratch(&last).and_then(|s| s.write_journal(&entries)).map_err(|source| write_error(&last, source))?;
        let named = self.name_all(&entries);
        if named.is_err() {
            Entry::undo(&entries);
        } else {
            entries.iter().filter_map(|entry| entry.backup.as_deref()).for_each(super::scratch::remove);
        }
        named
    }

    /// What is to be done, as the journal keeps it: for files that are replaced, with a name to put them aside.
    fn entries(&self) -> Result<Vec<Entry>, Error> {
        let entry = |(number, Pending { file, target }): (usize, &Pending)| {
            let make = || {
                let folder = folder_of(target).canonicalize()?;
                let replaced = self.force && target.symlink_metadata().is_ok();
                let (_, scratch) = self.scratches.iter().find(|(own, _)| *own == folder).ok_or(ErrorKind::NotFound)?;
                let backup = replaced.then(|| scratch.backup(number));
                Entry::new(file.as_file(), folder.join(target.file_name().unwrap_or_default()), backup)
            };
            make().map_err(|source: std::io::Error| write_error(target, source))
        };
        self.files.iter().enumerate().map(entry).collect()
    }

    fn name_all(&mut self, entries: &[Entry]) -> Result<(), Error> {
        // The last ones first: without its model a data file is nothing, and no old model meets new data.
        for entry in entries.iter().rev() {
            if let Some(backup) = &entry.backup {
                std::fs::rename(&entry.path, backup).map_err(|source| write_error(&entry.path, source))?;
            }
        }
        for Pending { file, target } in self.files.drain(..) {
            file.persist_noclobber(&target).map_err(|failure| write_error(&target, failure.error))?;
            sync_folder(&target);
        }
        Ok(())
    }
}

fn write_error(path: &Path, source: std::io::Error) -> Error {
    match source.kind() {
        ErrorKind::AlreadyExists => Error::Output { path: path.to_owned(), reason: EXISTS, help: FORCE },
        _ => Error::Write { path: path.to_owned(), source },
    }
}

/// The rename itself must survive a crash; not every file system can sync a folder, and then it need not.
fn sync_folder(target: &Path) {
    if let Ok(folder) = File::open(folder_of(target)) {
        let _ = folder.sync_all();
    }
}

/// The folder a path is in, as a path that can be opened.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Whether both names lead to one file, also by links.
pub fn same_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let (Ok(a), Ok(b)) = (a.metadata(), b.metadata()) {
            return (a.dev(), a.ino()) == (b.dev(), b.ino());
        }
    }
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
