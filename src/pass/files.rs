//! The files of an edited model: what goes where, checked before any work; written; published together.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::onnx::{Error, Model, Names, Outputs, Plan, check_output, stage};
use crate::report::FileId;

/// Checks that the model and its data files can be written at `output`, and makes the folders that its data need.
///
/// # Errors
/// If a file may not or cannot be written.
pub fn check(outputs: &mut Outputs, model: &Model, names: &Names, output: &Path, force: bool) -> Result<(), Error> {
    let inputs: Vec<&Path> = model.sources().iter().map(|source| source.path()).collect();
    check_output(&inputs, output, force)?;
    outputs.prepare(output)?;
    for (index, location) in names.locations().iter().enumerate() {
        let path = names.path(index, output);
        let depth = location.split('/').filter(|part| !matches!(*part, "" | ".")).count().saturating_sub(1);
        let folders: Vec<&Path> = path.ancestors().skip(1).take(depth).collect();
        folders.into_iter().rev().try_for_each(|folder| outputs.make_folder(folder))?;
        check_output(&inputs, &path, force)?;
        outputs.prepare(&path)?;
    }
    Ok(())
}

/// A model that is written and not published yet.
pub struct Staged {
    /// Number of the model file in the outputs.
    pub file: usize,
    /// Where its data are for now, by location.
    data: HashMap<String, PathBuf>,
}

impl Staged {
    /// Opens it.
    ///
    /// # Errors
    /// As for [`Model::open`].
    pub fn open(&self, outputs: &Outputs) -> Result<Model, Error> {
        Model::open_with(outputs.path(self.file), &self.data)
    }
}

/// Writes what the plan makes of a model: its data files, then the model file.
///
/// # Errors
/// If a tensor is not editable or a file cannot be written.
pub fn write_model(
    outputs: &mut Outputs,
    model: &Model,
    plan: &Plan,
    names: &Names,
    output: &Path,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Staged, Error> {
    let mut written: HashMap<usize, PathBuf> = HashMap::new();
    let mut data = HashMap::new();
    for (index, (_, source)) in model.locations().iter().enumerate() {
        if !written.contains_key(source) {
            let target = names.path(index, output);
            let file = outputs.create(&target)?;
            outputs.write(file, |file| stage(plan, *source, file, &target, stop))?;
            written.insert(*source, outputs.path(file).to_owned());
        }
        data.insert(names.locations()[index].clone(), written[source].clone());
    }
    let file = outputs.create(output)?;
    outputs.write(file, |file| stage(plan, 0, file, output, stop))?;
    Ok(Staged { file, data })
}

/// Checks that a file of bytes can be written at `output`.
///
/// # Errors
/// If it may not or cannot be.
pub fn check_plain(outputs: &mut Outputs, inputs: &[&Path], output: &Path, force: bool) -> Result<(), Error> {
    check_output(inputs, output, force)?;
    outputs.prepare(output)
}

/// Checks that no two outputs have one name.
///
/// # Errors
/// [`Error::Output`] if they do.
pub fn apart<'p>(outputs: impl Iterator<Item = &'p PathBuf>) -> Result<(), Error> {
    let mut seen = std::collections::HashSet::new();
    for output in outputs {
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        if !seen.insert(folder.join(output.file_name().unwrap_or_default())) {
            let (reason, help) = ("another output is to have that name too", "give each output a name of its own");
            return Err(Error::Output { path: output.clone(), reason, help });
        }
    }
    Ok(())
}

/// Writes a file of bytes.
///
/// # Errors
/// If it cannot be written.
pub fn write_plain(outputs: &mut Outputs, bytes: &[u8], output: &Path) -> Result<(), Error> {
    use std::io::Write;
    let file = outputs.create(output)?;
    let written = outputs.file(file).write_all(bytes);
    written.map_err(|source| Error::Write { path: output.to_owned(), source })
}

/// The data files of a written model, by the names they get.
pub fn data_files(written: &Model, names: &Names, output: &Path) -> Vec<FileId> {
    let mut files: Vec<FileId> = vec![];
    for (index, (_, source)) in written.locations().iter().enumerate() {
        let path = names.path(index, output);
        if !files.iter().any(|file| file.path == path) {
            files.push(FileId { path, sha256: written.sources()[*source].sha256().to_owned() });
        }
    }
    files
}
