//! `apply` and `revert`: from a model and a patch to the edited model, and back.

use std::path::{Path, PathBuf};

use super::Error;
use super::files::{check, check_plain, write_model, write_plain};
use super::matching::{Matched, for_sibling};
use crate::onnx::{self, Graph, Hints, Model, Names, Outputs, Patch, Plan, is_edited};
use crate::report::{Applied, AppliedLayer, FileId, Reverted};

/// Everything `apply` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyJob {
    /// The model.
    pub model: PathBuf,
    /// The patch.
    pub patch: PathBuf,
    /// Where the edited model goes.
    pub output: PathBuf,
    /// Whether existing outputs are replaced, and an edited model is edited again.
    pub force: bool,
    /// Whether the edited file says in its metadata what was done to it.
    pub provenance: bool,
    /// If the patch may have been made for the same weights in another file: layers are found by what they are, with
    /// what the user says of the graph.
    pub match_layers: Option<Hints>,
    /// Where the patch for this very model goes, if layers were matched.
    pub patch_out: Option<PathBuf>,
}

/// Applies a patch. `stop` is asked now and then whether to give up.
///
/// # Errors
/// If the patch does not fit, or a file may not or cannot be written; then nothing is left behind.
pub fn apply(job: &ApplyJob, stop: &(dyn Fn() -> bool + Sync)) -> Result<Applied, Error> {
    let (given, given_bytes) = Patch::read(&job.patch)?;
    let model = Model::open(&job.model)?;
    if is_edited(&model) && !job.force {
        return Err(onnx::Error::Edited { path: job.model.clone() }.into());
    }
    let mut outputs = Outputs::new(job.force);
    let names = Names::for_output(&model, &job.output)?;
    check(&mut outputs, &model, &names, &job.output, job.force)?;
    if let Some(path) = &job.patch_out {
        check_plain(&mut outputs, &[&job.model, &job.patch], path, job.force)?;
    }
    let graph = Graph::new(&model)?;
    let (patch, bytes, matched) = match &job.match_layers {
        None => (given, given_bytes, Matched::default()),
        Some(hints) => {
            let (patch, matched) = for_sibling(&graph, hints, &given)?;
            let bytes = patch.to_bytes();
            (patch, bytes, matched)
        }
    };
    if let Some(path) = &job.patch_out {
        write_plain(&mut outputs, &bytes, path)?;
    }
    let plan = Plan::apply(&graph, &patch, &names, job.provenance.then_some(&bytes))?;
    let (checked, written) = rayon::join(
        // A patch that was just made for this model fits it.
        || if job.match_layers.is_some() { Ok(()) } else { patch.check_source(&model) },
        || write_model(&mut outputs, &model, &plan, &names, &job.output, stop).and_then(|_| outputs.sync()),
    );
    checked?;
    written.map_err(|error| if stop() { Error::Interrupted } else { error.into() })?;
    outputs.publish()?;
    let layer = |(index, layer): (usize, &onnx::PatchLayer)| AppliedLayer {
        tower: layer.tower,
        block: layer.block,
        role: layer.role.clone(),
        initializer: layer.tensor.clone(),
        shape: layer.shape,
        element: layer.element.clone(),
        alpha: layer.update.alpha(),
        selected: layer.positions.len(),
        saturated: layer.originals.saturated,
        correlation: matched.correlations.get(index).copied(),
    };
    Ok(Applied {
        model: FileId { path: job.model.clone(), sha256: model.sha256().to_owned() },
        output: job.output.clone(),
        patch: FileId::of(job.patch_out.clone().unwrap_or_else(|| job.patch.clone()), &bytes),
        selected: patch.selected(),
        saturated: patch.saturated(),
        layers: patch.layers.iter().enumerate().map(layer).collect(),
        notes: matched.notes,
    })
}

/// Undoes [`apply`]: the files the patch was made for, byte for byte.
///
/// # Errors
/// If the model is not what `apply` makes with this patch, or a file may not or cannot be written.
pub fn revert(
    edited: &Path,
    patch_path: &Path,
    output: &Path,
    force: bool,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Reverted, Error> {
    let (patch, bytes) = Patch::read(patch_path)?;
    let model = Model::open(edited)?;
    let mut outputs = Outputs::new(force);
    let names = Names::of_source(&patch);
    names.locations().iter().try_for_each(|location| {
        crate::onnx::check_location(location)
            .map_err(|reason| onnx::Error::PatchFile { path: patch_path.to_owned(), reason })
    })?;
    let graph = Graph::new(&model)?;
    let plan = Plan::revert(&graph, &patch, &bytes)?;
    check(&mut outputs, &model, &names, output, force)?;
    let written = write_model(&mut outputs, &model, &plan, &names, output, stop);
    let written = written.map_err(|error| if stop() { Error::Interrupted } else { error.into() })?;
    // Only the very original is published.
    patch.check_source(&written.open(&outputs)?).map_err(|error| match error {
        onnx::Error::Patch { reason, .. } => onnx::Error::Patch {
            path: edited.to_owned(),
            reason: format!("what it reverts to is not what the patch was made for: {reason}"),
        },
        other => other,
    })?;
    outputs.publish()?;
    let original = FileId { path: output.to_owned(), sha256: patch.source[0].sha256.clone() };
    Ok(Reverted { model: edited.to_owned(), original, restored: patch.selected() })
}
