//! A patch file, for a small model.

use std::path::PathBuf;

use safetensors::Dtype;
use uwm_onnx::onnx::{Graph, Hints, Model, Names, Patch, Plan, compare};
use uwm_onnx::pass::{ApplyJob, apply};

use super::folder::Folder;
use super::{parts, small, tensors};

struct Place {
    folder: Folder,
    model: PathBuf,
}

thread_local! {
    static PLACE: Place = {
        let folder = Folder::with(|_| ());
        let model = folder.write("model.onnx", &small::of_every_storage());
        Place { folder, model }
    };
}

/// Tensors of a layer, in the order of the parts.
const OF_LAYER: [(&str, Dtype); 6] = [
    ("positions", Dtype::U8),
    ("kept", Dtype::U8),
    ("originals", Dtype::U8),
    ("sample", Dtype::F32),
    ("left", Dtype::F64),
    ("right", Dtype::F64),
];

/// `0` and the bytes of a patch; or `1`, its JSON, and the tensors of its layers.
pub fn patch(bytes: &[u8]) {
    let whole = match parts(bytes) {
        Some((b'1', parts)) => {
            let names = (0..).flat_map(|k| OF_LAYER.map(|(name, dtype)| (format!("{k}.{name}"), dtype)));
            let rows = parts[1..].iter().zip(names).map(|(bytes, (name, dtype))| tensors::row(name, dtype, bytes));
            tensors::file("uwm.patch", Some(parts[0]), &rows.collect::<Vec<_>>())
        }
        Some(_) => Some(bytes[1..].to_vec()),
        None => None,
    };
    let Some(bytes) = whole else { return };
    let Ok(patch) = Patch::from_bytes(&bytes) else { return };
    let written = patch.to_bytes();
    let again = Patch::from_bytes(&written).expect("a patch that was written is read");
    assert_eq!(again.to_bytes(), written, "what is written is read as it was");
    PLACE.with(|place| place.applied(&patch, &bytes));
}

impl Place {
    /// Applied, taken back, and matched with the layers of a model that it is not for.
    fn applied(&self, patch: &Patch, bytes: &[u8]) {
        let model = Model::open(&self.model).expect("it is a model");
        let graph = Graph::new(&model).expect("with a graph");
        _ = patch.check_source(&model);
        let names = Names::of_model(&model);
        for plan in [Plan::apply(&graph, patch, &names, Some(bytes)), Plan::revert(&graph, patch, bytes)] {
            _ = plan.and_then(|plan| compare(&plan, 0, &model.sources()[0]));
        }
        let path = self.folder.write("edit.uwm", bytes);
        let job = ApplyJob {
            model: self.model.clone(),
            patch: path,
            output: self.folder.path().join("safe.onnx"),
            force: true,
            provenance: true,
            match_layers: Some(Hints::default()),
            patch_out: None,
        };
        if let Ok(applied) = apply(&job, &|| false) {
            let _ = (applied.to_text(), applied.to_json());
        }
    }
}
