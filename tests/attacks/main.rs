//! The attack catalogue: what hostile or unlucky files have done to other readers and writers of ONNX models, each
//! tried here. Where a weakness of another tool has a CVE number, the test bears it.

#[path = "../common/mod.rs"]
mod common;

mod reading;
mod writing;

use std::path::Path;

use uwm_onnx::onnx::{Graph, Hints, Model};
use uwm_onnx::pass::{ApplyJob, Error, Site, apply};
use uwm_onnx::report::Applied;

/// Why a model, or a layer of it, cannot be read.
fn why_not(path: &Path) -> Option<String> {
    let read = || -> Result<(), uwm_onnx::onnx::Error> {
        let model = Model::open(path)?;
        let graph = Graph::new(&model)?;
        let sites = Site::find(&graph, &Hints::default())?;
        let mut layers = sites.iter().flat_map(|site| &site.layers);
        layers.try_for_each(|layer| layer.weight.read(&model).map(drop))
    };
    read().err().map(|error| error.to_string())
}

/// That the model is refused for that reason.
fn refused(path: &Path, why: &str) {
    let reason = why_not(path);
    assert!(reason.as_ref().is_some_and(|reason| reason.contains(why)), "{why}: {reason:?}");
}

/// Applies a patch in a file.
fn edit(model: &Path, patch: &Path, output: &Path, force: bool) -> Result<Applied, Error> {
    let job = ApplyJob {
        model: model.to_owned(),
        patch: patch.to_owned(),
        output: output.to_owned(),
        force,
        provenance: true,
        match_layers: None,
        patch_out: None,
    };
    apply(&job, &|| false)
}
