//! Damaged models: an error or an understanding, never a panic.

use std::path::Path;

use proptest::prelude::*;
use uwm_onnx::onnx::{Graph, Hints, Model};
use uwm_onnx::pass::Site;

fn understand(bytes: &[u8]) -> Result<usize, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, bytes).unwrap();
    let model = Model::open(&path).map_err(|e| e.to_string())?;
    let graph = Graph::new(&model).map_err(|e| e.to_string())?;
    let sites = Site::find(&graph, &Hints::default()).map_err(|e| e.to_string())?;
    let mut layers = 0;
    for site in &sites {
        for layer in site.select("fc2").map_err(|e| e.to_string())? {
            assert_eq!(layer.weight.read(&model).unwrap().dim(), layer.weight.shape.into());
            layers += 1;
        }
    }
    Ok(layers)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damage_never_panics(
        dynamo in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
    ) {
        let name = if dynamo { "clip_dynamo.onnx" } else { "clip_torchscript.onnx" };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference").join(name);
        let mut bytes = std::fs::read(path).unwrap();
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = understand(&bytes);
    }
}

#[test]
fn the_undamaged_models_are_understood() {
    let read = |name: &str| {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference").join(name)).unwrap()
    };
    assert_eq!(understand(&read("clip_torchscript.onnx")), Ok(6));
    assert_eq!(understand(&read("clip_dynamo.onnx")), Ok(6));
    assert_eq!(understand(&read("text_model.onnx")), Ok(3));
}
