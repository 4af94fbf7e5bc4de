//! A model file.

use std::path::Path;

use uwm_onnx::config::Config;
use uwm_onnx::onnx::{
    Graph, Hints, Linear, Model, Names, Patch, Plan, Selection, Skeleton, Update, compare, find_layers, find_towers,
    sample_positions, stage,
};
use uwm_onnx::pass::{ModelFiles, inspect};
use uwm_onnx::report::inspections_json;

use super::folder::Folder;

thread_local! {
    /// With a data file, so that graphs can be small and yet have weights.
    static FOLDER: Folder = Folder::with(|folder| _ = folder.write("w.bin", &[1; 1 << 18]));
}

/// Layers of a graph that are looked at closely.
const LAYERS: usize = 8;

/// Bytes of an ONNX file: decoded, understood, inspected, edited and turned back.
pub fn model(bytes: &[u8]) {
    FOLDER.with(|folder| all_of(&folder.write("model.onnx", bytes)));
}

/// Everything that is done with a model before it runs.
pub fn all_of(path: &Path) {
    let files = ModelFiles::Single { path: path.to_owned(), only: None };
    if let Ok(found) = inspect(&files, &Hints::default(), &Config::default()) {
        found.iter().for_each(|found| _ = found.to_text());
        inspections_json(&found, &[], &[]);
    }
    let Ok(model) = Model::open(path) else { return };
    let Ok(graph) = Graph::new(&model) else { return };
    let Ok(towers) = find_towers(&graph, &Hints::default()) else { return };
    let layers = find_layers(&graph, &towers.found).linear;
    let ends: Vec<&str> = towers.found.iter().map(|tower| tower.embedding.as_str()).collect();
    _ = Skeleton::extract(&graph, &ends);
    let some: Vec<&Linear> = layers.iter().take(LAYERS).collect();
    for layer in &some {
        _ = layer.weight.sample(&model, &sample_positions(layer.weight.shape));
    }
    there_and_back(&graph, &some);
}

/// An edit that is taken back gives the file as it was.
fn there_and_back(graph: &Graph, layers: &[&Linear]) {
    let model = graph.model;
    let selection = |layer: &&Linear| {
        let [outputs, inputs] = layer.weight.shape;
        let last = u32::try_from(outputs.saturating_mul(inputs).saturating_sub(1)).unwrap_or(u32::MAX);
        let mut positions = vec![0, last];
        positions.dedup();
        Selection { layer: (*layer).clone(), update: Update::Multiply(-1.0), positions }
    };
    let selections: Vec<Selection> = layers.iter().map(selection).collect();
    let Ok(patch) = Patch::make(model, &selections, serde_json::Value::Null) else { return };
    let bytes = patch.to_bytes();
    assert_eq!(Patch::from_bytes(&bytes).expect("a patch that was written is read").to_bytes(), bytes);
    let Ok(plan) = Plan::apply(graph, &patch, &Names::of_model(model), Some(&bytes)) else { return };
    // Data files become others beside it; of those this is not the test.
    if model.sources().len() > 1 {
        (0..model.sources().len()).for_each(|file| _ = compare(&plan, file, &model.sources()[file]));
        return;
    }
    let path = model.path().with_file_name("edited.onnx");
    // A new file: the one before may still be mapped.
    _ = std::fs::remove_file(&path);
    let file = std::fs::File::create(&path).expect("the folder can be written");
    stage(&plan, 0, &file, &path, &|| false).expect("what was planned can be written");
    let edited = Model::open(&path).expect("an edited model is a model");
    let graph = Graph::new(&edited).expect("with the graph that it had");
    let back = Plan::revert(&graph, &patch, &bytes).expect("its patch can be taken back");
    assert_eq!(compare(&back, 0, &model.sources()[0]).expect("as planned"), None, "it is not what it was");
}
