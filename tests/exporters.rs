//! The zoo of exports (`tests/fixtures/zoo`, made by `tools/fixtures/zoo`): towers, layers, roles and blocks are those of
//! the PyTorch modules, known again by their weights, and scores are those of PyTorch's own statistics.

mod common;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use common::reference::{Tensors, runner, runtimes, scores};
use ndarray::{Array2, Axis};
use serde_json::Value;
use uwm_onnx::config::TowerOptions;
use uwm_onnx::dataset::{self, Batch, Samples};
use uwm_onnx::onnx::{Graph, Hints, Linear, Modality, Model};
use uwm_onnx::pass::{ModelFiles, Site, inspect};

fn zoo() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(common::root("tests/fixtures/zoo")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    files.sort();
    assert!(files.len() > 50, "{}", files.len());
    files
}

fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// A linear weight of the PyTorch model, by 64 of its values.
struct Module {
    name: String,
    tower: String,
    block: Option<usize>,
    role: String,
    shape: [usize; 2],
    positions: Vec<usize>,
    weights: Vec<f64>,
    scores: Option<Vec<f64>>,
}

/// The PyTorch model's modules, and whether all tokens of its texts count.
fn expected(path: &Path) -> (Vec<Module>, bool) {
    let model = name(path).split('.').next().unwrap();
    let text = std::fs::read(path.with_file_name(format!("{model}.json"))).unwrap();
    let json: Value = serde_json::from_slice(&text).unwrap();
    let floats = |value: &Value| value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>();
    let integers = |value: &Value| floats(value).iter().map(|&v| v as usize).collect::<Vec<_>>();
    let module = |layer: &Value| Module {
        name: layer["module"].as_str().unwrap().to_owned(),
        tower: layer["tower"].as_str().unwrap().to_owned(),
        block: layer["block"].as_u64().map(|block| block as usize),
        role: layer["role"].as_str().unwrap().to_owned(),
        shape: integers(&layer["shape"]).try_into().unwrap(),
        positions: integers(&layer["positions"]),
        weights: floats(&layer["weights"]),
        scores: layer.get("scores").map(floats),
    };
    let modules = json["layers"].as_array().unwrap().iter().map(module).collect();
    (modules, json["valid"] == "all")
}

/// How far weights may be from the PyTorch model's: as a share of their largest.
fn tolerance(path: &Path) -> f64 {
    let form = name(path).split('.').nth(1).unwrap();
    match form {
        "fp16" | "optimised_fp16" => 1e-3,
        "bf16" => 8e-3,
        "dynamic_int8" | "qdq_int8" | "qop_int8" => 1e-2,
        "nbits4" => 0.15,
        _ => 1e-6,
    }
}

/// The values of a module in a file: those of its own layer, or its rows in a layer that was fused from several.
fn find<'s>(sites: &'s [Site], module: &Module) -> Option<(&'s Site<'s>, &'s Linear, usize)> {
    let site = sites.iter().find(|site| site.modality().name() == module.tower)?;
    let with = |role: &str| site.layers.iter().find(|layer| (layer.block, &*layer.role) == (module.block, role));
    let part = ["q_proj", "k_proj", "v_proj"].iter().position(|role| *role == module.role);
    match (with(&module.role), part) {
        _ if module.role == "unknown" => {
            let layer =
                site.layers.iter().find(|layer| layer.role == "unknown" && layer.weight.shape == module.shape)?;
            Some((site, layer, 0))
        }
        (Some(layer), _) => Some((site, layer, 0)),
        (None, Some(part)) => with("in_proj").map(|layer| (site, layer, part * module.shape[0])),
        (None, None) => None,
    }
}

fn at(values: &Array2<f32>, module: &Module, first_row: usize) -> Vec<f64> {
    let columns = module.shape[1];
    module.positions.iter().map(|p| f64::from(values[[first_row + p / columns, p % columns]])).collect()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

#[test]
fn layers_are_the_modules_of_the_same_role() {
    let mut wrong = vec![];
    for path in zoo() {
        let model = Model::open(&path).unwrap();
        let graph = Graph::new(&model).unwrap();
        let sites = Site::find(&graph, &Hints::default()).unwrap();
        let towers: Vec<&str> = sites.iter().map(|site| site.modality().name()).collect();
        let (modules, _) = expected(&path);
        let modules: Vec<&Module> = modules.iter().filter(|module| towers.contains(&&*module.tower)).collect();
        let mut found: BTreeMap<(Modality, &str), usize> = BTreeMap::new();
        for module in &modules {
            let Some((site, layer, row)) = find(&sites, module) else {
                // Packed weights that the graph cuts to pieces are named, and not edited.
                let listed = sites.iter().flat_map(|site| &site.opaque).any(|node| {
                    node.role == module.role && (node.weight.contains("by Split") || node.weight.contains("by Slice"))
                });
                // Queries of parameters are folded where the batch is fixed.
                let folded = module.role == "head.q_proj" && name(&path).ends_with(".sim_fixed");
                if !(listed && module.role.starts_with("head.") || folded) {
                    wrong.push(format!(
                        "{}: no {} of block {:?} ({})",
                        name(&path),
                        module.role,
                        module.block,
                        module.name
                    ));
                }
                continue;
            };
            *found.entry((site.modality(), &layer.node)).or_default() += 1;
            let values = at(&layer.weight.read(&model).unwrap(), module, row);
            let off = values.iter().zip(&module.weights).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            if row == 0 && layer.role == module.role && layer.weight.shape != module.shape {
                wrong.push(format!("{}: {} has shape {:?}", name(&path), module.name, layer.weight.shape));
            }
            if off > tolerance(&path) * largest(&module.weights) {
                wrong.push(format!("{}: {} is off by {off} at {}", name(&path), module.name, layer.node));
            }
        }
        let mut places: Vec<_> = sites
            .iter()
            .flat_map(|site| &site.layers)
            .filter(|layer| layer.role != "unknown")
            .map(|layer| (layer.modality, layer.block, &layer.role))
            .collect();
        places.sort();
        if let Some(twice) = places.windows(2).find(|two| two[0] == two[1]) {
            wrong.push(format!("{}: two are {:?}", name(&path), twice[0]));
        }
        // And nothing else.
        let layers: usize = sites.iter().map(|site| site.layers.len()).sum();
        if layers != found.len() {
            wrong.push(format!("{}: {layers} layers, {} of them modules", name(&path), found.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Pearson's.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(a - mean_a, b - mean_b)).sum::<f64>();
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

/// Stored inputs of one kind.
struct Inputs(Batch);

impl Inputs {
    fn new(side: &str, modality: Modality) -> Self {
        let tensors = Tensors::open(&common::root("tests/fixtures/zoo/inputs.safetensors"));
        Self(match modality {
            Modality::Text => Batch::Text {
                ids: tensors.matrix(&format!("{side}.input_ids"), i64::from_le_bytes),
                mask: tensors.matrix(&format!("{side}.attention_mask"), i64::from_le_bytes),
            },
            Modality::Vision => {
                let (shape, values) = tensors.bytes(&format!("{side}.pixel_values"), f32::from_le_bytes);
                let shape: [usize; 4] = shape.try_into().unwrap();
                Batch::Image { pixels: ndarray::Array4::from_shape_vec(shape, values).unwrap() }
            }
        })
    }
}

impl Samples for Inputs {
    fn len(&self) -> usize {
        6
    }

    fn batch(&self, range: Range<usize>) -> Result<Batch, dataset::Error> {
        let rows: Vec<usize> = range.collect();
        Ok(match &self.0 {
            Batch::Text { ids, mask } => {
                Batch::Text { ids: ids.select(Axis(0), &rows), mask: mask.select(Axis(0), &rows) }
            }
            Batch::Image { pixels } => Batch::Image { pixels: pixels.select(Axis(0), &rows) },
        })
    }

    fn name(&self, index: usize) -> String {
        format!("sample {index}")
    }
}

#[test]
fn scores_are_those_of_pytorch() {
    let mut wrong = vec![];
    for runtime in runtimes() {
        let backend = runtime.place().backend;
        for path in zoo() {
            let (form, model) = (name(&path).split('.').nth(1).unwrap(), Model::open(&path).unwrap());
            // Operators of com.microsoft are ONNX Runtime's own; bfloat16 is none of a CPU's.
            let own = model.graph().node.iter().any(|node| node.domain == "com.microsoft");
            if form == "bf16" || (own && backend == "tract") {
                continue;
            }
            let graph = Graph::new(&model).unwrap();
            let sites = Site::find(&graph, &Hints::default()).unwrap();
            let (modules, _) = expected(&path);
            for site in &sites {
                let scored: Vec<(&Module, &Linear, usize)> = modules
                    .iter()
                    .filter(|module| module.scores.is_some() && module.tower == site.modality().name())
                    .filter_map(|module| {
                        find(std::slice::from_ref(site), module).map(|(_, layer, row)| (module, layer, row))
                    })
                    .collect();
                assert!(scored.len() > 5, "{path:?}");
                let layers: Vec<Linear> = scored.iter().map(|(_, layer, _)| (*layer).clone()).collect();
                let (safe, not_safe) = (Inputs::new("safe", site.modality()), Inputs::new("unsafe", site.modality()));
                let recipe = TowerOptions::default().recipe(site.modality()).unwrap().unwrap();
                // tract 0.23 does not compute what XLM-R's positions come to in dynamo exports.
                if backend == "tract" && name(&path).starts_with("altclip.dynamo") && site.modality() == Modality::Text
                {
                    continue;
                }
                let scores = match scores(runner(&*runtime, 4), site, &layers, [&safe, &not_safe], &recipe) {
                    Ok(mut calibrated) => calibrated.scores.remove(0),
                    Err(error) => {
                        wrong.push(format!("{backend} {}: {error}", name(&path)));
                        continue;
                    }
                };
                let mut worst: (f64, &str) = (0.0, "");
                let (mut got_all, mut want_all) = (vec![], vec![]);
                for ((module, layer, row), scores) in scored.iter().zip(&scores) {
                    // Rows of a layer that was fused from several have the scores that they have alone.
                    assert!(layer.role == module.role || layer.role == "in_proj");
                    let (got, want) = (at(&scores.values, module, *row), module.scores.as_ref().unwrap());
                    let off = got.iter().zip(want).map(|(a, b)| (a - b).abs() / b.abs().max(1e-3 * largest(want)));
                    let off = off.fold(0.0, f64::max);
                    if off > worst.0 {
                        worst = (off, &module.name);
                    }
                    got_all.extend(got.iter().map(|score| score / largest(want)));
                    want_all.extend(want.iter().map(|score| score / largest(want)));
                }
                let alike = correlation(&got_all, &want_all);
                println!(
                    "{backend} {} {}: off by {:.1e} at {}, correlation {alike:.4}",
                    name(&path),
                    site.modality(),
                    worst.0,
                    worst.1
                );
                let fits = match form {
                    "fp16" | "optimised_fp16" => worst.0 < 2e-2,
                    // Codes of 8 and 4 bits make other activations: then alike is all that can be asked for.
                    "dynamic_int8" | "qdq_int8" | "qop_int8" | "nbits4" => alike > 0.9,
                    _ => worst.0 < 1e-4,
                };
                if !fits {
                    wrong.push(format!("{backend} {}: {} is off by {}, {alike}", name(&path), worst.1, worst.0));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn inspect_says_the_same_as_ever() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots/inspect");
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in zoo() {
            let shown = path.strip_prefix(common::root("")).unwrap();
            let file = ModelFiles::Single { path: shown.to_owned(), only: None };
            let found = inspect(&file, &Hints::default(), &uwm_onnx::config::Config::default()).unwrap().remove(0);
            insta::assert_snapshot!(name(&path), found.to_text());
        }
    });
}
