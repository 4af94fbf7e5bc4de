//! Layers whose inputs are flattened, sequence first, or mixed: the same scores, whatever the exporter did.

mod common;

use std::path::{Path, PathBuf};

use common::reference::{Stored, Tensors, fixture, reference_name, runner, runtimes, scores};
use prost::Message;
use uwm_onnx::config::TowerOptions;
use uwm_onnx::onnx::proto::tensor_proto::DataType;
use uwm_onnx::onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, attribute_proto};
use uwm_onnx::onnx::{Graph, Hints, Modality, Model};
use uwm_onnx::pass::{Calibrated, Error, Limits, Site};
use uwm_onnx::runtime::{Backend, Runtime, Wish, open};

/// Tokens of the vision tower.
const TOKENS: usize = 17;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    /// `[B, T, I]`
    Plain,
    /// `[B * T, I]`
    Flat,
    /// `[T, B, I]`
    SequenceFirst,
    /// `[T * B, I]`
    FlatSequenceFirst,
    /// `[B, 1, T, I]`
    Deep,
    /// `[B, I, T]`, with the weight on the left.
    Left,
    /// `[I, B * T]`, with `transA`.
    TransA,
    /// `[B * T, I]`, and each sample has a little of the others in it.
    Mixed,
}

fn node(op: &str, name: &str, inputs: &[&str], ints: Option<(&str, &[i64])>) -> NodeProto {
    let attribute = ints.map(|(name, ints)| AttributeProto {
        name: name.to_owned(),
        r#type: attribute_proto::AttributeType::Ints.into(),
        ints: ints.to_vec(),
        ..Default::default()
    });
    NodeProto {
        op_type: op.to_owned(),
        name: name.to_owned(),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![name.to_owned()],
        attribute: attribute.into_iter().collect(),
        ..Default::default()
    }
}

fn constant(graph: &mut GraphProto, name: &str, data_type: DataType, dims: &[i64], raw: Vec<u8>) -> String {
    graph.initializer.push(TensorProto {
        name: name.to_owned(),
        data_type: data_type.into(),
        dims: dims.to_vec(),
        raw_data: Some(raw.into()),
        ..Default::default()
    });
    name.to_owned()
}

fn shape(graph: &mut GraphProto, name: &str, values: &[i64]) -> String {
    let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    constant(graph, name, DataType::Int64, &[values.len() as i64], raw)
}

/// The vision tower with the products of fc2 done on inputs of another shape.
fn variant(folder: &Path, wanted: Shape) -> PathBuf {
    let mut model = ModelProto::decode(std::fs::read(fixture("vision_model.onnx")).unwrap().as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let flat = shape(graph, "flat", &[-1, 96]);
    let deep = shape(graph, "deep", &[-1, 1, TOKENS as i64, 96]);
    let back = shape(graph, "back", &[-1, TOKENS as i64, 48]);
    let back_first = shape(graph, "back_first", &[TOKENS as i64, -1, 48]);
    let little = constant(graph, "little", DataType::Float, &[], 1e-6_f32.to_le_bytes().to_vec());
    let nodes = std::mem::take(&mut graph.node);
    let mut changed = 0;
    for mut product in nodes {
        if wanted == Shape::Plain || !product.name.ends_with("fc2/MatMul") {
            graph.node.push(product);
            continue;
        }
        changed += 1;
        let name = |what: &str| format!("{what}.{changed}");
        let (input, output) = (product.input[0].clone(), product.output[0].clone());
        let turn: &[i64] = &[1, 0, 2];
        let mut add = |op: &str, what: &str, inputs: &[&str], ints| {
            graph.node.push(node(op, &name(what), inputs, ints));
            name(what)
        };
        product.input[0] = match wanted {
            Shape::Plain => input,
            Shape::Flat => add("Reshape", "in", &[&input, &flat], None),
            Shape::Deep => add("Reshape", "in", &[&input, &deep], None),
            Shape::SequenceFirst => add("Transpose", "in", &[&input], Some(("perm", turn))),
            Shape::FlatSequenceFirst => {
                let turned = add("Transpose", "turned", &[&input], Some(("perm", turn)));
                add("Reshape", "in", &[&turned, &flat], None)
            }
            Shape::Left => {
                let weight = add("Transpose", "weight", &[&product.input[1]], Some(("perm", &[1, 0])));
                product.input[1] = add("Transpose", "in", &[&input], Some(("perm", &[0, 2, 1])));
                weight
            }
            Shape::TransA => {
                product.op_type = "Gemm".to_owned();
                let trans_a = AttributeProto {
                    name: "transA".to_owned(),
                    r#type: attribute_proto::AttributeType::Int.into(),
                    i: 1,
                    ..Default::default()
                };
                product.attribute.push(trans_a);
                let rows = add("Reshape", "rows", &[&input, &flat], None);
                add("Transpose", "in", &[&rows], Some(("perm", &[1, 0])))
            }
            Shape::Mixed => {
                let mean = add("ReduceMean", "mean", &[&input], Some(("axes", &[0])));
                let mean = add("Mul", "scaled", &[&mean, &little], None);
                let mixed = add("Add", "mixed", &[&input, &mean], None);
                add("Reshape", "in", &[&mixed, &flat], None)
            }
        };
        product.output[0] = name("product");
        graph.node.push(product);
        let mut add = |op: &str, what: &str, inputs: &[&str], ints| {
            graph.node.push(node(op, &name(what), inputs, ints));
            name(what)
        };
        match wanted {
            Shape::Plain => {}
            Shape::Left => drop(add("Transpose", "out", &[&name("product")], Some(("perm", &[0, 2, 1])))),
            Shape::Flat | Shape::Mixed | Shape::Deep | Shape::TransA => {
                drop(add("Reshape", "out", &[&name("product"), &back], None))
            }
            Shape::SequenceFirst => drop(add("Transpose", "out", &[&name("product")], Some(("perm", turn)))),
            Shape::FlatSequenceFirst => {
                let rows = add("Reshape", "unflat", &[&name("product"), &back_first], None);
                add("Transpose", "out", &[&rows], Some(("perm", turn)));
            }
        }
        graph.node.last_mut().unwrap().output[0] = output;
    }
    let path = folder.join(format!("{wanted:?}.onnx"));
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    path
}

fn check_scores(path: &Path, runtime: &dyn Runtime, limits: Limits) -> Result<Calibrated, Error> {
    let model = Model::open(path).unwrap();
    let graph = Graph::new(&model).unwrap();
    let site = Site::find(&graph, &Hints::default()).unwrap().pop().unwrap();
    let recipe = TowerOptions::default().recipe(Modality::Vision).unwrap().unwrap();
    let layers = site.select(&recipe.layers).unwrap();
    let (safe, not_safe) = (Stored::new("safe", Modality::Vision), Stored::new("unsafe", Modality::Vision));
    let runner = uwm_onnx::pass::Runner { limits, ..runner(runtime, 1) };
    let done = scores(runner, &site, &layers, [&safe, &not_safe], &recipe)?;
    let reference = Tensors::read("scores.safetensors");
    assert_eq!(layers.len(), 3);
    for (layer, scores) in layers.iter().zip(&done.scores[0]) {
        let want =
            reference.matrix(&format!("score.{}", reference_name(layer, &reference).unwrap()), f32::from_le_bytes);
        let agree = scores.values.iter().zip(&want).all(|(g, w)| ((g - w) / w).abs() < 1e-5);
        assert!(agree, "{path:?} {}: scores differ", layer.node);
    }
    Ok(done)
}

#[test]
fn every_layout_gives_the_reference_scores() {
    let folder = tempfile::tempdir().unwrap();
    let shapes = [
        Shape::Plain,
        Shape::Flat,
        Shape::SequenceFirst,
        Shape::FlatSequenceFirst,
        Shape::Deep,
        Shape::Left,
        Shape::TransA,
    ];
    for wanted in shapes {
        let path = variant(folder.path(), wanted);
        for runtime in runtimes() {
            // As many samples as tokens: no shape tells which axis is which.
            for batch_size in [Some(1), Some(5), Some(TOKENS), None] {
                let limits = Limits { batch_size, ..Limits::default() };
                let done = check_scores(&path, &*runtime, limits).unwrap();
                assert!(done.notes.is_empty(), "{wanted:?} {batch_size:?} {:?}", done.notes);
            }
        }
    }
}

#[test]
fn samples_that_cannot_be_told_apart_are_run_one_at_a_time_with_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = variant(folder.path(), Shape::Mixed);
    for runtime in runtimes() {
        let done = check_scores(&path, &*runtime, Limits { batch_size: Some(4), ..Limits::default() }).unwrap();
        let note = "cannot be told apart at the input of layer /vision_model/encoder/layers.0/mlp/fc2/MatMul";
        assert!(done.notes.len() == 1 && done.notes[0].contains(note), "{:?}", done.notes);
    }
}

/// Threads never show in a score. Batches and budgets do not with ONNX Runtime; with tract the last bits differ, since its
/// matrix products take other paths for other numbers of rows (docs/runtimes.md).
#[test]
fn scores_do_not_depend_on_threads_batches_or_budgets() {
    let folder = tempfile::tempdir().unwrap();
    let path = variant(folder.path(), Shape::Plain);
    let library = common::onnx_runtime_library();
    let wishes = |threads| {
        let wish = |backend, library| Wish { backend, library, threads: Some(threads), ..Wish::default() };
        let ort = library.clone().map(|library| wish(Backend::Ort, Some(library)));
        std::iter::once(wish(Backend::Tract, None)).chain(ort).collect::<Vec<_>>()
    };
    for (k, wish) in wishes(2).into_iter().enumerate() {
        let runtime = open(&wish).unwrap();
        let first = check_scores(&path, &*runtime, Limits::default()).unwrap();
        // A budget that nearly nothing fits must not be shared out by threads.
        let tight = Limits { memory_budget: 200_000, ..Limits::default() };
        let tight_first = check_scores(&path, &*runtime, tight).unwrap();
        for threads in [1, 3, 8] {
            let other = open(&wishes(threads)[k]).unwrap();
            assert_eq!(other.place().threads, threads);
            assert_eq!(check_scores(&path, &*other, Limits::default()).unwrap().scores, first.scores);
            assert_eq!(check_scores(&path, &*other, tight).unwrap().scores, tight_first.scores);
        }
        let batches = [1, 3, 5, 17, 32, 100].map(|size| Limits { batch_size: Some(size), ..Limits::default() });
        let budgets = [1, 100_000].map(|memory_budget| Limits { memory_budget, ..Limits::default() });
        for limits in batches.into_iter().chain(budgets) {
            let other = check_scores(&path, &*runtime, limits).unwrap();
            if wish.backend == Backend::Ort {
                assert_eq!(other.scores, first.scores, "{limits:?}");
            }
            for (other, first) in other.scores[0].iter().zip(&first.scores[0]) {
                let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * b.abs();
                assert!(other.values.iter().zip(&first.values).all(close), "{limits:?}");
            }
        }
    }
}

#[test]
fn batch_sizes() {
    let path = fixture("vision_model.onnx");
    let model = Model::open(&path).unwrap();
    let graph = Graph::new(&model).unwrap();
    let site = Site::find(&graph, &Hints::default()).unwrap().pop().unwrap();
    // Even parts of a chunk of 64, and no more than there are.
    for (wished, samples, size) in
        [(8, 100, 8), (8, 5, 5), (1, 5, 1), (48, 100, 32), (64, 100, 64), (1000, 100, 64), (0, 9, 1)]
    {
        assert_eq!(site.batch_size(wished, samples), size, "{wished} of {samples}");
    }
    // One scale for all samples of a batch: no two of them in one.
    let path = common::root("tests/fixtures/siblings/dynamic_int8.onnx");
    let model = Model::open(&path).unwrap();
    let graph = Graph::new(&model).unwrap();
    let site = Site::find(&graph, &Hints::default()).unwrap().pop().unwrap();
    assert!(site.mixes_samples());
    assert_eq!(site.batch_size(8, 100), 1);
}
