//! The attack catalogue: what hostile or unlucky files have done to other readers and writers of ONNX models, each
//! tried here. Where a weakness of another tool has a CVE number, the test bears it.

#[path = "../common/mod.rs"]
mod common;

mod reading;
mod writing;

use std::path::Path;

use uwm_onnx::onnx::Model;
use uwm_onnx::pass::{ApplyJob, Error, apply};
use uwm_onnx::report::Applied;

/// That the model is refused for that reason.
fn refused(model: &Path, why: &str) {
    let error = Model::open(model).map(drop).unwrap_err().to_string();
    assert!(error.contains(why), "{why}: {error}");
}

/// Applies a patch in a file.
fn edit(model: &Path, patch: &Path, output: &Path, force: bool) -> Result<Applied, Error> {
    let job = ApplyJob {
        model: model.to_owned(),
        patch: patch.to_owned(),
        output: output.to_owned(),
        force,
        provenance: true,
        match_layers: false,
        patch_out: None,
    };
    apply(&job, &|| false)
}
