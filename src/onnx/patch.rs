//! An edit of a model file as a value, and its application to the file's bytes.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::Error;
use super::model::Model;
use super::tensor::Weight;

/// The selected elements of one weight.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerEdit {
    /// The weight they belong to.
    pub weight: Weight,
    /// The factor; -1 flips sign bits and so undoes itself.
    pub alpha: f32,
    /// Logical positions `o * I + i`, ascending, without repetition.
    pub positions: Vec<u32>,
}

/// `W <- alpha * W` at listed positions of listed weights of one model file.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// SHA-256 of the file it was made for.
    pub source_sha256: String,
    /// One entry a weight.
    pub layers: Vec<LayerEdit>,
}

/// A patched file that is complete on disk but does not bear its name yet; dropped, it is gone.
#[derive(Debug)]
pub struct Staged {
    file: NamedTempFile,
    target: PathBuf,
}

const EXISTS: &str = "it exists already";
const FORCE: &str = "choose another name, or pass --force to replace it";

/// Checks that `output` may be written for `input`: a new name in an existing folder, or an existing file with
/// `force`; never the input itself, by whatever name. Tries whether the folder takes new files.
///
/// # Errors
/// [`Error::Output`] with what to do, or [`Error::Write`].
pub fn check_output(input: &Path, output: &Path, force: bool) -> Result<(), Error> {
    let refuse = |reason, help| Err(Error::Output { path: output.to_owned(), reason, help });
    let folder = folder_of(output);
    if output.file_name().is_none() || output.is_dir() {
        return refuse("it is a directory", "give the name of a file, for example safe.onnx in that directory");
    }
    if !folder.is_dir() {
        return refuse("its folder does not exist", "create the folder first");
    }
    if same_file(input, output) {
        return refuse("it is the input itself", "the input is never modified; choose another name");
    }
    if let Ok(there) = output.symlink_metadata() {
        if !there.is_file() && !there.is_symlink() {
            return refuse("it is neither a file nor a link", "the output is a new file; choose another name");
        }
        if !force {
            return refuse(EXISTS, FORCE);
        }
    }
    temporary(output).map(drop).map_err(|source| Error::Write { path: output.to_owned(), source })
}

impl Patch {
    /// Writes the patched file beside `output`, under a temporary name, and syncs it. The input is streamed from its
    /// map; what is held in memory is one edited tensor at a time.
    ///
    /// # Errors
    /// If the patch is for another file, a tensor is not editable, or the file cannot be written.
    pub fn stage(&self, model: &Model, output: &Path) -> Result<Staged, Error> {
        let mismatch = |reason: String| Error::Patch { path: model.path().to_owned(), reason };
        if self.source_sha256 != model.sha256() {
            return Err(mismatch("it was made for a file with another SHA-256".to_owned()));
        }
        let mut places = vec![];
        for layer in &self.layers {
            places.push((layer.weight.file_offset(model)?, layer));
        }
        places.sort_by_key(|(offset, _)| *offset);
        if let Some(twice) = places.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(mismatch(format!("it edits tensor '{}' twice", twice[0].1.weight.initializer)));
        }
        let io = |source| Error::Write { path: output.to_owned(), source };
        let file = temporary(output).map_err(io)?;
        let mut writer = BufWriter::with_capacity(1 << 20, file.as_file());
        let bytes = model.bytes();
        let mut written = 0;
        for (offset, layer) in places {
            writer.write_all(&bytes[written..offset]).map_err(io)?;
            let edited = edit(layer, &bytes[offset..]).map_err(mismatch)?;
            writer.write_all(&edited).map_err(io)?;
            written = offset + edited.len();
        }
        writer.write_all(&bytes[written..]).map_err(io)?;
        writer.flush().map_err(io)?;
        drop(writer);
        file.as_file().sync_all().map_err(io)?;
        Ok(Staged { file, target: output.to_owned() })
    }
}

/// The tensor's bytes after the edit; `bytes` begins where the tensor begins.
fn edit(layer: &LayerEdit, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let elements = layer.weight.shape[0] * layer.weight.shape[1];
    let mut edited = bytes[..elements * 4].to_vec();
    let values = edited.as_chunks_mut::<4>().0;
    if !layer.positions.is_sorted_by(|a, b| a < b) {
        return Err(format!("the positions in tensor '{}' do not ascend", layer.weight.initializer));
    }
    for &position in &layer.positions {
        let logical = position as usize;
        if logical >= elements {
            return Err(format!("position {logical} is outside tensor '{}'", layer.weight.initializer));
        }
        let value = &mut values[layer.weight.stored_index(logical)];
        if layer.alpha == -1.0 {
            value[3] ^= 0x80;
        } else {
            *value = (f32::from_le_bytes(*value) * layer.alpha).to_le_bytes();
        }
    }
    Ok(edited)
}

impl Staged {
    /// Where it is until it is published.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The name it will get.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Gives it its name, replacing a file of that name only with `force`.
    ///
    /// # Errors
    /// If it cannot be renamed; the temporary file is then removed.
    pub fn publish(self, force: bool) -> Result<(), Error> {
        let io = |source: std::io::Error| {
            let path = self.target.clone();
            match source.kind() {
                ErrorKind::AlreadyExists => Error::Output { path, reason: EXISTS, help: FORCE },
                _ => Error::Write { path, source },
            }
        };
        let done = if force { self.file.persist(&self.target) } else { self.file.persist_noclobber(&self.target) };
        done.map_err(|failure| io(failure.error))?;
        // The rename itself must survive a crash; not every file system can sync a folder, and then it need not.
        if let Ok(folder) = File::open(folder_of(&self.target)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

fn temporary(output: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".uwm-onnx-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any new file: what the umask leaves of this. The default would be private to the user.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder_of(output))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Whether both names lead to one file, also by links.
fn same_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let (Ok(a), Ok(b)) = (a.metadata(), b.metadata()) {
            return (a.dev(), a.ino()) == (b.dev(), b.ino());
        }
    }
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
