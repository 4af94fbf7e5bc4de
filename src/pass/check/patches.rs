//! Whether the files are what their patches and their metadata say.

use std::path::PathBuf;

use crate::onnx::Patch;
use crate::pass::{Error, verify};
use crate::report::checked::Structure;

/// What was found of the files: what differs, what the metadata lack, what is not as the patches make it.
pub type Compared = (Option<Structure>, Vec<String>, Option<Vec<String>>);

/// What is wrong with what the metadata of changed files say, file by file.
///
/// # Errors
/// If a file cannot be read.
pub fn without_provenance(structure: &Structure) -> Result<Vec<String>, Error> {
    let mut faults = vec![];
    if !structure.files.iter().any(|file| file.differs() || file.edits > 0) {
        faults.push("nothing was changed, and there are no metadata of an edit".to_owned());
    }
    for file in structure.files.iter().filter(|file| file.differs()) {
        let found = verify(&file.model.path, &file.original.path, None)?;
        faults.extend(found.faults.into_iter().map(|fault| format!("{}: {fault}", file.model.path.display())));
    }
    Ok(faults)
}

/// What is not as the patches make it: of every changed file, the patch that was made for its original.
///
/// # Errors
/// If a file or a patch cannot be read.
pub fn not_as_patched(structure: &Structure, patches: &[PathBuf]) -> Result<Vec<String>, Error> {
    let sources = patches.iter().map(|path| {
        let (patch, _) = Patch::read(path)?;
        Ok((path, patch.source[0].sha256.clone()))
    });
    let sources = sources.collect::<Result<Vec<_>, Error>>()?;
    let mut faults = vec![];
    for file in &structure.files {
        let own = sources.iter().find(|(_, sha256)| *sha256 == file.original.sha256);
        match own {
            Some((patch, _)) => {
                let found = verify(&file.model.path, &file.original.path, Some(patch))?;
                faults.extend(found.faults);
            }
            None if !file.differs() => {}
            None => faults.push(format!("no patch that was given was made for {}", file.original.path.display())),
        }
    }
    for (path, sha256) in &sources {
        if !structure.files.iter().any(|file| file.original.sha256 == *sha256) {
            faults.push(format!("{} was made for another file than the original", path.display()));
        }
    }
    Ok(faults)
}
