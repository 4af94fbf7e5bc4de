//! The edited file passes Python's `onnx.checker`. Needs a Python with `onnx`, which `tools/check.sh` makes; without one
//! the test fails, unless `UWM_TEST_WITHOUT_PYTHON=1`.

mod common;

use std::path::Path;

use uwm_onnx::onnx::{Graph, Hints, Model, Patch, Selection, Update};
use uwm_onnx::pass::Site;

#[test]
fn edited_models_pass_the_checker() {
    let Some(python) = common::python("onnx") else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let mut outputs = vec![];
    for input in [
        "tests/fixtures/reference/clip_torchscript.onnx",
        "tests/fixtures/reference/clip_dynamo.onnx",
        "models/emoji-clip/model.onnx",
        // Not fp16.onnx: its nodes are in an order that the checker does not take, before and after.
        "tests/fixtures/siblings/dynamic_int8.onnx",
        "tests/fixtures/siblings/dynamic_uint8.onnx",
        "tests/fixtures/siblings/qdq_int8.onnx",
        "tests/fixtures/siblings/qoperator_uint8.onnx",
        "tests/fixtures/siblings/nbits4.onnx",
        "tests/fixtures/siblings/nbits8.onnx",
    ] {
        let model = Model::open(&root.join(input)).unwrap();
        let graph = Graph::new(&model).unwrap();
        let layers =
            Site::find(&graph, &Hints::default()).unwrap().into_iter().flat_map(|site| site.select("fc2").unwrap());
        let select = |layer| Selection { layer, update: Update::Multiply(-1.0), positions: vec![0, 7, 100] };
        let patch = Patch::make(&model, &layers.map(select).collect::<Vec<_>>(), serde_json::json!({})).unwrap();
        let output = folder.path().join(format!("{}.onnx", outputs.len()));
        common::apply_patch(model.path(), &patch, &output);
        outputs.push(output);
    }
    common::run_python(&python, "check.py", &outputs);
}
