//! `verify`: whether an edited model is what it should be.

use std::path::Path;

use super::Error;
use crate::onnx::{self, Difference, Graph, Model, Names, Patch, Plan, compare, diff, edits_of};
use crate::report::Verified;

/// Whether `edited` is what the patch makes of `original`, to the byte; without a patch, whether it differs from the
/// original in values of tensors only, as its metadata say.
///
/// # Errors
/// If a file cannot be read, or the patch was not made for the original.
pub fn verify(edited: &Path, original: &Path, patch: Option<&Path>) -> Result<Verified, Error> {
    let (edited, original) = (Model::open(edited)?, Model::open(original)?);
    let faults = match patch {
        Some(path) => against_patch(&edited, &original, path)?,
        None => against_metadata(&edited, &original)?,
    };
    Ok(Verified {
        edited: edited.path().to_owned(),
        original: original.path().to_owned(),
        patch: patch.map(Path::to_owned),
        faults,
    })
}

fn against_patch(edited: &Model, original: &Model, path: &Path) -> Result<Vec<String>, Error> {
    let (patch, bytes) = Patch::read(path)?;
    patch.check_source(original)?;
    let graph = Graph::new(original)?;
    let names = Names::of_model(edited);
    if names.locations().len() != original.locations().len() {
        return Ok(vec![format!(
            "it has {} data files where the original has {}",
            names.locations().len(),
            original.locations().len()
        )]);
    }
    let with = edits_of(edited) > edits_of(original);
    let plan = Plan::apply(&graph, &patch, &names, with.then_some(bytes.as_slice()))?;
    let data = original.locations().iter().zip(edited.locations()).map(|((_, a), (_, b))| (*a, *b));
    let mut faults = vec![];
    for (index, of_edited) in std::iter::once((0, 0)).chain(data) {
        let source = &edited.sources()[of_edited];
        let file = source.path().display();
        match compare(&plan, index, source)? {
            None => {}
            Some(Difference::Byte(at)) => faults.push(format!("{file} is not what the patch makes from byte {at} on")),
            Some(Difference::Size(is, should)) => {
                faults.push(format!("{file} has {is} bytes, and the patch makes {should}"));
            }
        }
    }
    Ok(faults)
}

fn against_metadata(edited: &Model, original: &Model) -> Result<Vec<String>, onnx::Error> {
    let diff = diff(original, edited)?;
    let mut faults = diff.graph.clone();
    let edits = edits_of(edited);
    if edits == 0 || edits <= edits_of(original) {
        faults.push("its metadata do not say that this tool edited it; verify it with --patch".to_owned());
        return Ok(faults);
    }
    let entry = |name: &str| edited.metadata(&onnx::provenance_key(edits, name));
    match entry("source_sha256") {
        Some(sha256) if sha256 == original.sha256() => {}
        Some(sha256) => faults.push(format!(
            "its metadata say that it was made from a file with SHA-256 {sha256}, and the original has {}",
            original.sha256()
        )),
        None => faults.push("its metadata do not say what it was made from".to_owned()),
    }
    // A code at its zero point and a zero that is multiplied stay what they are, so that there may be fewer.
    match entry("selected").and_then(|selected| selected.parse::<usize>().ok()) {
        Some(selected) if diff.changed() <= selected => {}
        selected => faults.push(format!(
            "{} elements differ from the original, and its metadata say {}",
            diff.changed(),
            selected.map_or("nothing readable".to_owned(), |selected| selected.to_string())
        )),
    }
    Ok(faults)
}
