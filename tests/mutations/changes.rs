//! Changes without a plan: bytes anywhere, and graphs whose parts stand in for one another.

use std::path::Path;

use proptest::prelude::*;
use prost::Message;
use uwm_onnx::config::Config;
use uwm_onnx::onnx::Hints;
use uwm_onnx::onnx::proto::{GraphProto, ModelProto};
use uwm_onnx::pass::{ModelFiles, inspect};

use crate::understand;

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

/// One change of a graph: what is changed, and two numbers to choose where and into what.
type Change = (u8, prop::sample::Index, prop::sample::Index);

fn change(graph: &mut GraphProto, (what, a, b): &Change) {
    let values: Vec<String> = graph.node.iter().flat_map(|node| &node.output).cloned().collect();
    if graph.node.is_empty() || values.is_empty() {
        return;
    }
    let at = a.index(graph.node.len());
    let other = graph.node[b.index(graph.node.len())].clone();
    let value = values[b.index(values.len())].clone();
    let node = &mut graph.node[at];
    match what % 9 {
        0 => node.op_type = other.op_type,
        1 if !node.input.is_empty() => {
            let operand = b.index(node.input.len());
            node.input[operand] = value;
        }
        2 => node.input = other.input,
        3 => drop(node.input.pop()),
        4 => node.attribute = other.attribute,
        5 => node.domain = if node.domain.is_empty() { "com.microsoft".to_owned() } else { String::new() },
        6 => drop(graph.node.remove(at)),
        7 if !graph.initializer.is_empty() => {
            let tensor = a.index(graph.initializer.len());
            graph.initializer[tensor].dims = vec![b.index(50) as i64 - 3; what.leading_zeros() as usize % 4];
        }
        _ => {
            let output = graph.output.len();
            graph.output[a.index(output)].name = value;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Graphs that are whole ONNX files, and nonsense.
    #[test]
    fn changed_graphs_are_described_or_refused(
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<u8>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..10),
    ) {
        let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/zoo");
        let mut files: Vec<_> = std::fs::read_dir(zoo).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
        files.sort();
        let mut model = ModelProto::decode(std::fs::read(file.get(&files)).unwrap().as_slice()).unwrap();
        let graph = model.graph.as_mut().unwrap();
        changes.iter().for_each(|one| change(graph, one));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        let files = ModelFiles::Single { path, only: None };
        if let Ok(found) = inspect(&files, &Hints::default(), &Config::default()) {
            prop_assert!(!found[0].to_text().is_empty());
        }
    }
}
