//! The files of a model beside those it was made from.

use std::collections::HashSet;
use std::path::PathBuf;

use super::siblings::{Edit, hints_for};
use super::signature;
use crate::onnx::{Diff, Graph, Hints, Linear, Modality, Model, Source, diff, edits_of, find_layers, find_towers};
use crate::pass::{Error, ModelFiles};
use crate::report::FileId;
use crate::report::checked::{ChangedLayer, ComparedFile, Structure};

/// Compares the files of a model with the original's: what differs in them, in each linear layer, and whether files
/// beside them that hold the same weights have the edit too. Nothing is run.
///
/// # Errors
/// [`Error::Conflict`] if it cannot be told which file was made from which; if a file is no model, or the values of a
/// tensor cannot be read.
pub fn compare_files(model: &ModelFiles, original: &ModelFiles, hints: &Hints) -> Result<Structure, Error> {
    let given = [model.inputs(), original.inputs()].concat();
    let compare = |(original, model)| compare(&Model::open(original)?, &Model::open(model)?, &given, hints);
    let pairs = pairs(model, original, hints)?;
    Ok(Structure { files: pairs.iter().map(|(a, b)| compare((a, b))).collect::<Result<_, Error>>()? })
}

/// The original of each of the model's files: original first.
fn pairs(model: &ModelFiles, original: &ModelFiles, hints: &Hints) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
    use ModelFiles::{Pair, Single};
    let conflict = |reason: String| {
        let help = "name the file that each of the model's files was made from, tower by tower or one for all";
        Err(Error::Conflict { reason, help })
    };
    match (model, original) {
        (Single { path, only: Some(tower) }, Single { path: of, only: Some(other) }) if tower != other => {
            conflict(format!(
                "{} is given for the {tower} tower, and the original {} for the {other} tower",
                path.display(),
                of.display()
            ))
        }
        (Single { path, .. }, Single { path: of, .. }) => Ok(vec![(of.clone(), path.clone())]),
        (Single { path, only }, Pair { text, vision }) => {
            let towers = match only {
                Some(tower) => vec![*tower],
                None => towers(&Model::open(path)?, hints),
            };
            match towers.as_slice() {
                [Modality::Text] => Ok(vec![(text.clone(), path.clone())]),
                [Modality::Vision] => Ok(vec![(vision.clone(), path.clone())]),
                several => conflict(format!(
                    "{} has {} towers, and the original is a file for each ({} and {})",
                    path.display(),
                    if several.is_empty() { "no known" } else { "both" },
                    text.display(),
                    vision.display()
                )),
            }
        }
        (Pair { text, vision }, Single { path, .. }) => conflict(format!(
            "the model is a file for each tower ({} and {}), and the original is the one file {}",
            text.display(),
            vision.display(),
            path.display()
        )),
        (Pair { text, vision }, Pair { text: of_text, vision: of_vision }) => {
            let mut pairs = vec![(of_text.clone(), text.clone()), (of_vision.clone(), vision.clone())];
            // One file may be given for both.
            pairs.dedup();
            Ok(pairs)
        }
    }
}

/// The towers that a model has, understood or not.
fn towers(model: &Model, hints: &Hints) -> Vec<Modality> {
    let Ok(graph) = Graph::new(model) else { return vec![] };
    let Ok(towers) = find_towers(&graph, &hints_for(&graph, hints)) else { return vec![] };
    towers.found.iter().map(|tower| tower.modality).chain(towers.failed.iter().map(|(tower, _)| *tower)).collect()
}

fn compare(original: &Model, model: &Model, given: &[PathBuf], hints: &Hints) -> Result<ComparedFile, Error> {
    // Hashing has only one thread.
    let (hashed, found) = rayon::join(
        || rayon::join(|| file_ids(original), || file_ids(model)),
        || -> Result<_, Error> {
            let diff = diff(original, model)?;
            let layers = linear_layers(original, hints);
            let changes: Vec<ChangedLayer> = layers.iter().map(|layer| change(original, layer, &diff)).collect();
            let siblings = match diff.changed() {
                0 => vec![],
                _ => {
                    let of = layers.iter().zip(&changes).filter(|(_, change)| change.changed > 0);
                    let edit = Edit::between(original, model, of.map(|(layer, _)| layer), hints);
                    edit.siblings(given)?
                }
            };
            Ok((diff, changes, siblings))
        },
    );
    let (diff, layers, siblings) = found?;
    let io = signature::differences(original, model);
    let ((original, of_original), (edited, of_edited)) = hashed;
    let data = [of_original, of_edited];
    Ok(ComparedFile { original, model: edited, diff, io, layers, data, edits: edits_of(model), siblings })
}

/// The model's file, and its data files.
fn file_ids(model: &Model) -> (FileId, Vec<FileId>) {
    let of = |source: &Source| FileId { path: source.path().to_owned(), sha256: source.sha256().to_owned() };
    let own = FileId { path: model.path().to_owned(), sha256: model.sha256().to_owned() };
    (own, model.sources().iter().skip(1).map(of).collect())
}

/// The linear layers of all towers, tied ones once; none where no tower is known.
fn linear_layers(model: &Model, hints: &Hints) -> Vec<Linear> {
    let Ok(graph) = Graph::new(model) else { return vec![] };
    let Ok(towers) = find_towers(&graph, &hints_for(&graph, hints)) else { return vec![] };
    let mut layers = find_layers(&graph, &towers.found).linear;
    let mut seen = HashSet::new();
    layers.retain(|layer| seen.insert(layer.weight.initializer.clone()));
    layers
}

/// How much of a layer differs.
fn change(original: &Model, layer: &Linear, diff: &Diff) -> ChangedLayer {
    let name = &layer.weight.initializer;
    // Tensors in bodies of nodes are named after these, and could be named like another.
    let dims = original.constant(name).map(|constant| &constant.tensor.dims);
    let found = diff.tensors.iter().find(|tensor| tensor.tensor == *name && dims == Ok(&tensor.dims));
    ChangedLayer {
        tower: layer.modality,
        block: layer.block,
        role: layer.role.clone(),
        initializer: name.clone(),
        elements: layer.weight.shape[0] * layer.weight.shape[1],
        changed: found.map_or(0, |tensor| tensor.changed),
        negated: found.map_or(0, |tensor| tensor.negated),
    }
}
