//! Agreement with numbers computed by the method's PyTorch reference implementation
//! (`tests/fixtures/reference`, a tiny CLIP with random weights, exported in several ways).

mod common;

use std::collections::HashMap;

use common::reference::{Stored, Tensors, fixture, reference_name, runner, runtimes, scores};
use ndarray::Array2;
use serde_json::Value;
use uwm_onnx::config::TowerOptions;
use uwm_onnx::dataset::Batch;
use uwm_onnx::onnx::{Graph, Hints, Linear, Modality, Model, Patch, Selection, Update};
use uwm_onnx::pass::{Embedder, Error, Site};
use uwm_onnx::runtime::{Runtime, Tract};
use uwm_onnx::safeground::{Embeddings, Preference, Quadruplets, outcomes};
use uwm_onnx::uwm::{Rule, select};

const FILES: [&str; 4] = ["clip_torchscript.onnx", "clip_dynamo.onnx", "text_model.onnx", "vision_model.onnx"];
const TAUS: [f64; 3] = [0.02, 0.085, 0.2];

#[test]
fn scores_and_selections_agree() {
    let reference = Tensors::read("scores.safetensors");
    for (file, runtime) in FILES.iter().flat_map(|file| runtimes().into_iter().map(move |runtime| (file, runtime))) {
        let model = Model::open(&fixture(file)).unwrap();
        let graph = Graph::new(&model).unwrap();
        let mut seen = 0;
        for site in Site::find(&graph, &Hints::default()).unwrap() {
            let modality = site.modality();
            let named: Vec<(Linear, String)> = site
                .layers
                .iter()
                .filter_map(|layer| Some((layer.clone(), reference_name(layer, &reference)?)))
                .collect();
            let layers: Vec<Linear> = named.iter().map(|(layer, _)| layer.clone()).collect();
            let recipe = TowerOptions::default().recipe(modality).unwrap().unwrap();
            let (safe, not_safe) = (Stored::new("safe", modality), Stored::new("unsafe", modality));
            // 5 does not divide 32: the last batch is a short one.
            let scores =
                scores(runner(&*runtime, 5), &site, &layers, [&safe, &not_safe], &recipe).unwrap().scores.remove(0);
            for ((_, name), scores) in named.iter().zip(&scores) {
                let want = reference.matrix(&format!("score.{name}"), f32::from_le_bytes);
                assert_eq!(scores.values.dim(), want.dim(), "{file} {name}");
                let agree = scores.values.iter().zip(&want).all(|(g, w)| ((g - w) / w).abs() < 1e-5);
                assert!(agree, "{file} {name}: scores differ");
                for tau in TAUS {
                    let mask = reference.matrix(&format!("selected.tau={tau}.{name}"), u8::from_le_bytes);
                    let got = select(&[scores.values.view()], Rule { tau, ..recipe.rule }).unwrap().remove(0);
                    let differing = check_selection(&want, &mask, &got, tau);
                    if differing > 0 {
                        println!("{file} {name} tau {tau}: {differing} elements next to the threshold differ");
                    }
                }
                seen += 1;
            }
        }
        assert_eq!(
            seen,
            if file.starts_with("clip") {
                21
            } else if file.starts_with("text") {
                12
            } else {
                9
            },
            "{file}"
        );
    }
}

#[test]
fn a_sample_that_is_not_finite_is_named() {
    let (model, runtime) = (Model::open(&fixture("vision_model.onnx")).unwrap(), Tract::default());
    let graph = Graph::new(&model).unwrap();
    let site = Site::find(&graph, &Hints::default()).unwrap().pop().unwrap();
    let recipe = TowerOptions::default().recipe(Modality::Vision).unwrap().unwrap();
    let layers = site.select(&recipe.layers).unwrap();
    let (safe, mut not_safe) = (Stored::new("safe", Modality::Vision), Stored::new("unsafe", Modality::Vision));
    let Batch::Image { pixels } = &mut not_safe.0 else { unreachable!() };
    pixels[[13, 0, 5, 5]] = f32::NAN;
    let error = scores(runner(&runtime, 5), &site, &layers, [&safe, &not_safe], &recipe).unwrap_err();
    assert!(error.to_string().contains("not finite for stored sample 13"), "{error}");
    assert!(error.to_string().contains("layers.0/mlp/fc2"), "{error}");
    // The same for its embedding.
    let embedder = Embedder::new(runner(&runtime, 5), &site, &not_safe).unwrap();
    let error = embedder.embed("images", &not_safe).unwrap_err();
    assert!(matches!(error, Error::SafeGround { .. }) && error.to_string().contains("stored sample 13"), "{error}");

    // Left out where that is wished: the other pairs score as if it had not been there.
    let mut lenient = runner(&runtime, 5);
    lenient.limits.skip_bad_samples = true;
    let skipped = scores(lenient, &site, &layers, [&safe, &not_safe], &recipe).unwrap().scores.remove(0);
    let without = |side: &Stored| {
        let Batch::Image { pixels } = &side.0 else { unreachable!() };
        let rows: Vec<usize> = (0..32).filter(|&row| row != 13).collect();
        Stored(Batch::Image { pixels: pixels.select(ndarray::Axis(0), &rows) })
    };
    let (safe, not_safe_left) = (without(&safe), without(&not_safe));
    let left = scores(runner(&runtime, 5), &site, &layers, [&safe, &not_safe_left], &recipe).unwrap().scores.remove(0);
    for (skipped, left) in skipped.iter().zip(&left) {
        assert_eq!((skipped.undefined.not_finite, left.undefined.not_finite), (1, 0));
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * b.abs();
        assert!(skipped.values.iter().zip(&left.values).all(close));
    }
    let embedded = Embedder::new(lenient, &site, &not_safe).unwrap().embed("images", &not_safe).unwrap();
    assert_eq!(embedded.bad.into_iter().collect::<Vec<_>>(), [13]);
}

/// Every difference must lie within 1e-6 of the threshold; returns how many there are.
fn check_selection(scores: &Array2<f32>, mask: &Array2<u8>, got: &[u32], tau: f64) -> usize {
    let scores: Vec<f64> = scores.iter().map(|&s| f64::from(s)).collect();
    let total: f64 = scores.iter().sum();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut cumulative, mut sum) = (vec![0.0; scores.len()], 0.0);
    for position in order {
        sum += scores[position] / total;
        cumulative[position] = sum;
    }
    let got: std::collections::HashSet<usize> = got.iter().map(|&p| p as usize).collect();
    let differing = mask.iter().enumerate().filter(|&(p, &m)| (m == 1) != got.contains(&p));
    differing.inspect(|&(p, _)| assert!((cumulative[p] - (1.0 - tau)).abs() < 1e-6, "element {p} at tau {tau}")).count()
}

/// Embeds the stored inputs with whatever towers the files have.
fn embed(runtime: &dyn Runtime, models: &[&Model]) -> HashMap<String, Embeddings> {
    let mut out = HashMap::new();
    for model in models {
        let graph = Graph::new(model).unwrap();
        for site in Site::find(&graph, &Hints::default()).unwrap() {
            for side in ["safe", "unsafe"] {
                let samples = Stored::new(side, site.modality());
                let embedder = Embedder::new(runner(runtime, 7), &site, &samples).unwrap();
                let kind = if site.modality() == Modality::Text { "text" } else { "image" };
                out.insert(format!("{side}_{kind}"), embedder.embed("", &samples).unwrap().rows);
            }
        }
    }
    out
}

fn check_embeddings(got: &HashMap<String, Embeddings>, stored: &str) {
    assert_eq!(got.len(), 4);
    let reference = Tensors::read(stored);
    for (name, rows) in got {
        let want = reference.matrix(&format!("embed.{name}"), f32::from_le_bytes);
        let agree = rows.rows().iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-5);
        assert!(agree, "{stored} {name}: embeddings differ");
    }
}

fn check_metrics(mut got: HashMap<String, Embeddings>, key: &str) {
    let mut take = |name| got.remove(name).unwrap();
    let set = Quadruplets {
        safe_text: take("safe_text"),
        unsafe_text: take("unsafe_text"),
        safe_image: take("safe_image"),
        unsafe_image: take("unsafe_image"),
    };
    let summary: Value = serde_json::from_slice(&std::fs::read(fixture("summary.json")).unwrap()).unwrap();
    let stored = |name: &str| summary[key]["preference"].get(name).or(summary[key]["safeground"].get(name)).cloned();
    for (name, value) in Preference::of(&outcomes(&set)).entries() {
        // The last digit the reference shows.
        let shown = (value * 100.0).round_ties_even() / 100.0;
        assert_eq!(Some(shown), stored(name).and_then(|v| v.as_f64()), "{key} {name}");
    }
}

#[test]
fn embeddings_and_metrics_agree() {
    for files in [&["clip_torchscript.onnx"][..], &["clip_dynamo.onnx"], &["text_model.onnx", "vision_model.onnx"]] {
        let models: Vec<Model> = files.iter().map(|file| Model::open(&fixture(file)).unwrap()).collect();
        for runtime in runtimes() {
            let got = embed(&*runtime, &models.iter().collect::<Vec<_>>());
            check_embeddings(&got, "embeddings.safetensors");
            check_metrics(got, "metrics_original");
        }
    }
}

#[test]
fn edited_models_agree() {
    let scores = Tensors::read("scores.safetensors");
    let folder = tempfile::tempdir().unwrap();
    for files in [&["clip_torchscript.onnx"][..], &["clip_dynamo.onnx"], &["text_model.onnx", "vision_model.onnx"]] {
        let mut edited = vec![];
        for file in files {
            let model = Model::open(&fixture(file)).unwrap();
            let graph = Graph::new(&model).unwrap();
            let sites = Site::find(&graph, &Hints::default()).unwrap();
            let layers = sites.iter().flat_map(|site| {
                site.select(&TowerOptions::default().recipe(site.modality()).unwrap().unwrap().layers).unwrap()
            });
            let edits = layers.map(|layer| {
                let name = reference_name(&layer, &scores).unwrap();
                let mask = scores.matrix(&format!("selected.tau=0.02.{name}"), u8::from_le_bytes);
                let positions = mask.iter().enumerate().filter(|&(_, &m)| m == 1).map(|(p, _)| p as u32).collect();
                Selection { layer, update: Update::Multiply(-1.0), positions }
            });
            let patch = Patch::make(&model, &edits.collect::<Vec<_>>(), Value::Null).unwrap();
            edited.push(folder.path().join(file));
            common::apply_patch(model.path(), &patch, edited.last().unwrap());
        }
        let models: Vec<Model> = edited.iter().map(|path| Model::open(path).unwrap()).collect();
        for runtime in runtimes() {
            let got = embed(&*runtime, &models.iter().collect::<Vec<_>>());
            check_embeddings(&got, "embeddings_after.safetensors");
            check_metrics(got, "metrics_after_tau0.02");
        }
    }
}

/// As PyTorch exports a model in half precision: its inputs and outputs are float16 too.
#[test]
fn a_half_precision_encoder_agrees() {
    use prost::Message;
    use uwm_onnx::onnx::proto::tensor_proto::DataType;
    use uwm_onnx::onnx::proto::{ModelProto, ValueInfoProto, type_proto::Value as Type};
    let path = common::root("tests/fixtures/siblings/fp16.onnx");
    let mut proto = ModelProto::decode(std::fs::read(path).unwrap().as_slice()).unwrap();
    let graph = proto.graph.as_mut().unwrap();
    let half = |value: &mut ValueInfoProto| {
        let Some(Type::TensorType(tensor)) = value.r#type.as_mut().unwrap().value.as_mut() else { unreachable!() };
        tensor.elem_type = DataType::Float16.into();
    };
    graph.input.iter_mut().for_each(half);
    graph.output.iter_mut().for_each(half);
    // The casts at both ends, which kept them float32, cast to float16 now.
    for node in graph.node.iter_mut().filter(|node| node.op_type == "Cast" && node.output[0] == "image_embeds") {
        node.attribute[0].i = DataType::Float16 as i64;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.onnx");
    std::fs::write(&path, proto.encode_to_vec()).unwrap();
    let model = Model::open(&path).unwrap();
    let reference = Tensors::read("embeddings.safetensors");
    for (runtime, side) in runtimes().iter().flat_map(|runtime| ["safe", "unsafe"].map(|side| (runtime, side))) {
        let got = embed(&**runtime, &[&model]);
        let want = reference.matrix(&format!("embed.{side}_image"), f32::from_le_bytes);
        let got = got[&format!("{side}_image")].rows();
        let worst = got.iter().zip(&want).fold(0.0_f32, |worst, (g, w)| worst.max((g - w).abs()));
        assert!(worst < 1e-3, "{side}: {worst}");
    }
    // What flows into its layers is half precision too, whether its inputs are or not.
    for path in [path, common::root("tests/fixtures/siblings/fp16.onnx")] {
        let model = Model::open(&path).unwrap();
        let graph = Graph::new(&model).unwrap();
        let site = Site::find(&graph, &Hints::default()).unwrap().pop().unwrap();
        let recipe = TowerOptions::default().recipe(Modality::Vision).unwrap().unwrap();
        let layers = site.select(&recipe.layers).unwrap();
        let (safe, not_safe) = (Stored::new("safe", Modality::Vision), Stored::new("unsafe", Modality::Vision));
        let reference = Tensors::read("scores.safetensors");
        for runtime in runtimes() {
            let done = scores(runner(&*runtime, 8), &site, &layers, [&safe, &not_safe], &recipe).unwrap();
            for (layer, scores) in layers.iter().zip(&done.scores[0]) {
                let name = reference_name(layer, &reference).unwrap();
                let want = reference.matrix(&format!("score.{name}"), f32::from_le_bytes);
                let worst = scores.values.iter().zip(&want).fold(0.0_f32, |worst, (g, w)| worst.max((g - w).abs() / w));
                assert!(worst < 5e-3, "{} {name}: {worst}", runtime.place().backend);
            }
        }
    }
}
