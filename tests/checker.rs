//! The edited file passes Python's `onnx.checker`. Needs a Python with `onnx`: the one named by `UWM_TEST_PYTHON`
//! (`tools/check.sh` makes it), else `python3`. Where there is none, the test says so and passes.

mod common;

use std::path::Path;
use std::process::Command;

use uwm_onnx::onnx::{Graph, Model, Patch, Selection};
use uwm_onnx::pass::Site;

#[test]
fn edited_models_pass_the_checker() {
    let python = std::env::var("UWM_TEST_PYTHON");
    let program = python.as_deref().unwrap_or("python3");
    let found = Command::new(program).args(["-c", "import onnx"]).output().is_ok_and(|out| out.status.success());
    if !found {
        assert!(python.is_err(), "UWM_TEST_PYTHON is set to {program}, which has no onnx");
        eprintln!("SKIPPED: {program} has no onnx package; pip install onnx, or run tools/check.sh");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for input in [
        "tests/fixtures/reference/clip_torchscript.onnx",
        "tests/fixtures/reference/clip_dynamo.onnx",
        "models/emoji-clip/model.onnx",
    ] {
        let model = Model::open(&root.join(input)).unwrap();
        let graph = Graph::new(&model).unwrap();
        let layers = Site::find(&graph).unwrap().into_iter().flat_map(|site| site.select("fc2").unwrap());
        let select = |layer| Selection { layer, alpha: -1.0, positions: vec![0, 7, 100] };
        let patch = Patch::make(&model, &layers.map(select).collect::<Vec<_>>(), serde_json::json!({})).unwrap();
        let output = folder.path().join("safe.onnx");
        common::apply_patch(model.path(), &patch, &output);
        let check = "import onnx, sys; onnx.checker.check_model(sys.argv[1], full_check=True)";
        let result = Command::new(program).args(["-c", check]).arg(&output).output().unwrap();
        assert!(result.status.success(), "{input}: {}", String::from_utf8_lossy(&result.stderr));
    }
}
