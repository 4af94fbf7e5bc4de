//! The ONNX file and the graph in it: reading, understanding, cutting out, editing.
//!
//! A model is mapped, never copied ([`Model`]); its linear layers are found with tower, block and role
//! ([`find_layers`]); a part of the graph can be cut out without its weights ([`Skeleton`]); an edit is a value
//! ([`Patch`]) that is applied to the file's bytes. This room knows nothing of calibration, scores or metrics.

mod codes;
mod diff;
mod edit;
mod element;
mod error;
mod external;
mod graph;
mod layers;
mod map;
mod model;
mod names;
mod operand;
mod outline;
mod output;
mod patch;
mod replaced;
mod scalar;
mod scratch;
mod skeleton;
mod source;
mod spans;
mod storage;
mod structure;
mod tensor;
mod towers;
mod values;
mod wire;

/// The ONNX messages, generated from `proto/onnx.proto`.
#[allow(missing_docs, clippy::doc_markdown)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

pub use diff::{Diff, TensorDiff, diff};
pub use edit::{LayerEdit, Originals, RankOne, Update, negated};
pub use element::Element;
pub use error::Error;
pub use external::check_location;
pub use graph::Graph;
pub use layers::{Evidence, Layers, Linear, Opaque, Use, find_layers};
pub use model::{Constant, Model};
pub use output::{Outputs, check_output, folder_of, same_file};
pub use patch::{
    Difference, Names, Patch, PatchLayer, Plan, Selection, SourceFile, compare, edits_of, is_edited, provenance_key,
    sample_positions, stage,
};
pub use replaced::Replaced;
pub use skeleton::{Cut, Skeleton};
pub(crate) use source::hex;
pub use source::{Source, sha256_of};
pub use tensor::{Layout, Weight};
pub use towers::{
    Hints, InputRole, InputShape, Modality, Rows, Tower, Towers, Valid, find_towers, input_roles, value_type,
};
