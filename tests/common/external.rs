//! A vision encoder whose tensors are in a file beside it, referred to in whatever way a test wants.

use prost::Message;
use uwm_onnx::onnx::proto::tensor_proto::DataLocation;
use uwm_onnx::onnx::proto::{ModelProto, StringStringEntryProto};
use uwm_onnx::onnx::{Graph, Hints, Linear, Model, Patch, RankOne, Selection, Update};
use uwm_onnx::pass::Site;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::root;

/// The model file, and what belongs into the file that it refers to.
pub struct External {
    pub model: Vec<u8>,
    pub data: Vec<u8>,
}

impl External {
    /// Each tensor's entries are what `entries` makes of its offset and length.
    pub fn new(entries: impl Fn(usize, usize) -> Vec<(&'static str, String)>) -> Self {
        let bytes = std::fs::read(root("tests/fixtures/reference/vision_model.onnx")).unwrap();
        let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
        let mut data = vec![];
        for tensor in &mut model.graph.as_mut().unwrap().initializer {
            let Some(values) = tensor.raw_data.take_if(|values| values.len() >= 64) else { continue };
            let entry = |(key, value): (&str, String)| StringStringEntryProto { key: key.to_owned(), value };
            tensor.external_data = entries(data.len(), values.len()).into_iter().map(entry).collect();
            tensor.data_location = DataLocation::External.into();
            data.extend_from_slice(&values);
        }
        Self { model: model.encode_to_vec(), data }
    }

    /// All in one file at that location.
    pub fn at(location: &'static str) -> Self {
        Self::new(|offset, length| place(location, offset, length))
    }

    /// Writes the model and its data, and returns the model's path.
    pub fn write(&self, folder: &Path, location: &str) -> PathBuf {
        let data = folder.join(location);
        std::fs::create_dir_all(data.parent().unwrap()).unwrap();
        std::fs::write(data, &self.data).unwrap();
        self.write_model(folder)
    }

    /// Writes the model alone.
    pub fn write_model(&self, folder: &Path) -> PathBuf {
        let path = folder.join("model.onnx");
        std::fs::write(&path, &self.model).unwrap();
        path
    }
}

/// Location, offset and length.
pub fn place(location: &str, offset: usize, length: usize) -> Vec<(&'static str, String)> {
    vec![("location", location.to_owned()), ("offset", offset.to_string()), ("length", length.to_string())]
}

/// A patch that negates a few elements of every fc2 layer.
pub fn patch_for(path: &Path) -> Patch {
    patch_of(path, |_| Update::Multiply(-1.0))
}

/// A patch that gives the same elements other values.
pub fn steering_patch_for(path: &Path) -> Patch {
    patch_of(path, |[out, inputs]| {
        let left = (0..out).map(|o| 0.01 * o as f64).collect();
        Update::RankOne(Arc::new(RankOne { left, right: vec![0.25; inputs] }))
    })
}

fn patch_of(path: &Path, update: impl Fn([usize; 2]) -> Update) -> Patch {
    let model = Model::open(path).unwrap();
    let graph = Graph::new(&model).unwrap();
    let layers =
        Site::find(&graph, &Hints::default()).unwrap().into_iter().flat_map(|site| site.select("fc2").unwrap());
    let select = |layer: Linear| {
        let [outputs, inputs] = layer.weight.shape;
        let positions = [0, 95, 96, 1000].into_iter().filter(|&position| (position as usize) < outputs * inputs);
        Selection { update: update(layer.weight.shape), positions: positions.collect(), layer }
    };
    Patch::make(&model, &layers.map(select).collect::<Vec<_>>(), serde_json::Value::Null).unwrap()
}
