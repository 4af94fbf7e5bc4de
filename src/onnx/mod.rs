//! The ONNX file and the graph in it: reading, understanding, cutting out, editing.
//!
//! A model is mapped, never copied ([`Model`]); its linear layers are found with tower, block and role
//! ([`find_layers`]); a part of the graph can be cut out without its weights ([`Skeleton`]); an edit is a value
//! ([`Patch`]) that is applied to the file's bytes. This room knows nothing of calibration, scores or metrics.

mod error;
mod graph;
mod layers;
mod map;
mod model;
mod patch;
mod skeleton;
mod tensor;
mod towers;

/// The ONNX messages, generated from `proto/onnx.proto`.
#[allow(missing_docs, clippy::doc_markdown)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

pub use error::Error;
pub use graph::Graph;
pub use layers::{Linear, Opaque, find_layers};
pub use model::Model;
pub use patch::{LayerEdit, Patch, Staged, check_output};
pub use skeleton::Skeleton;
pub use tensor::Weight;
pub use towers::{InputShape, Modality, Tower, find_towers};
