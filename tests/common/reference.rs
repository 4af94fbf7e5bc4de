//! The reference fixture: a tiny CLIP, inputs, and the numbers that the method's PyTorch implementation computes.

use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::{Array2, Array4};
use serde_json::Value;
use uwm_onnx::config::Recipe;
use uwm_onnx::dataset::{self, Batch, Samples};
use uwm_onnx::onnx::{Linear, Modality};
use uwm_onnx::pass::{Calibrated, Calibration, Error, Limits, Pairs, Runner, Site, Unobserved, calibrate};
use uwm_onnx::runtime::{Runtime, Tract};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference").join(name)
}

/// A safetensors file: the length of a JSON header, the header, the data.
pub struct Tensors {
    header: Value,
    data: Vec<u8>,
}

impl Tensors {
    pub fn read(name: &str) -> Self {
        Self::open(&fixture(name))
    }

    pub fn open(path: &Path) -> Self {
        let mut bytes = std::fs::read(path).unwrap();
        let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        let data = bytes.split_off(8 + length);
        Self { header: serde_json::from_slice(&bytes[8..]).unwrap(), data }
    }

    pub fn bytes<const N: usize, T>(&self, name: &str, parse: fn([u8; N]) -> T) -> (Vec<usize>, Vec<T>) {
        let numbers = |key: &str| -> Vec<usize> {
            self.header[name][key].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
        };
        let place = numbers("data_offsets");
        let (chunks, rest) = self.data[place[0]..place[1]].as_chunks::<N>();
        assert!(rest.is_empty());
        (numbers("shape"), chunks.iter().map(|chunk| parse(*chunk)).collect())
    }

    pub fn matrix<const N: usize, T>(&self, name: &str, parse: fn([u8; N]) -> T) -> Array2<T> {
        let (shape, values) = self.bytes(name, parse);
        Array2::from_shape_vec((shape[0], shape[1]), values).unwrap()
    }

    pub fn has(&self, name: &str) -> bool {
        self.header.get(name).is_some()
    }
}

/// Stored inputs of one kind, as samples.
pub struct Stored(pub Batch);

impl Stored {
    pub fn new(side: &str, modality: Modality) -> Self {
        let inputs = Tensors::read("inputs.safetensors");
        Self(match modality {
            Modality::Text => Batch::Text {
                ids: inputs.matrix(&format!("{side}_text.input_ids"), i64::from_le_bytes),
                mask: inputs.matrix(&format!("{side}_text.attention_mask"), i64::from_le_bytes),
            },
            Modality::Vision => {
                let (s, values) = inputs.bytes(&format!("{side}_image.pixel_values"), f32::from_le_bytes);
                Batch::Image { pixels: Array4::from_shape_vec((s[0], s[1], s[2], s[3]), values).unwrap() }
            }
        })
    }
}

impl Samples for Stored {
    fn len(&self) -> usize {
        match &self.0 {
            Batch::Text { ids, .. } => ids.nrows(),
            Batch::Image { pixels } => pixels.dim().0,
        }
    }

    fn batch(&self, range: Range<usize>) -> Result<Batch, dataset::Error> {
        let rows: Vec<usize> = range.collect();
        let axis = ndarray::Axis(0);
        Ok(match &self.0 {
            Batch::Text { ids, mask } => Batch::Text { ids: ids.select(axis, &rows), mask: mask.select(axis, &rows) },
            Batch::Image { pixels } => Batch::Image { pixels: pixels.select(axis, &rows) },
        })
    }

    fn name(&self, index: usize) -> String {
        format!("stored sample {index}")
    }
}

/// The module name the reference gives a layer, if it has a score for it.
pub fn reference_name(layer: &Linear, scores: &Tensors) -> Option<String> {
    let part = if layer.role.starts_with("fc") { "mlp" } else { "self_attn" };
    let name = format!("{}_model.encoder.layers.{}.{part}.{}", layer.modality, layer.block?, layer.role);
    scores.has(&format!("score.{name}")).then_some(name)
}

pub fn runner(runtime: &dyn Runtime, batch_size: usize) -> Runner<'_> {
    let limits = Limits { batch_size: Some(batch_size), ..Limits::default() };
    Runner { runtime, observer: &Unobserved, limits }
}

/// Both runtimes.
pub fn runtimes() -> Vec<Box<dyn Runtime>> {
    let built_in: Box<dyn Runtime> = Box::new(Tract::default());
    std::iter::once(built_in).chain(super::onnx_runtime()).collect()
}

/// A calibration that makes the recipe's scores, with the weight prior it asks for.
pub fn scores(
    runner: Runner,
    site: &Site,
    layers: &[Linear],
    [safe, not_safe]: [&dyn Samples; 2],
    recipe: &Recipe,
) -> Result<Calibrated, Error> {
    let concepts = vec![0; safe.len()];
    let pairs = Pairs { safe, not_safe, concepts: &concepts };
    let scorings = [recipe.scoring];
    let calibration = Calibration { site, layers, pairs, scorings: &scorings, epsilon: recipe.epsilon };
    let mut done = calibrate(runner, calibration, None)?;
    if recipe.weight_prior {
        for (scores, layer) in done.scores[0].iter_mut().zip(layers) {
            scores.weigh(&layer.weight.read(site.graph.model)?);
        }
    }
    Ok(done)
}
