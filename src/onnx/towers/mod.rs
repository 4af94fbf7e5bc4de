//! Text and vision towers, told from what feeds a graph and what it feeds.

mod inputs;
mod output;
mod valid;

use std::collections::BTreeMap;
use std::fmt;

use ndarray::{Array2, s};
use serde::{Deserialize, Serialize};

pub use inputs::{InputRole, input_roles};
pub use valid::Valid;

use super::error::Error;
use super::graph::Graph;
use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::dimension::Value as Dim;
use super::proto::type_proto::Value as Type;
use super::proto::{TensorShapeProto, ValueInfoProto};
use super::structure::added_rows;
use crate::few::few;

/// Which kind of input a tower embeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// Token ids.
    Text,
    /// Pixels.
    Vision,
}

impl Modality {
    /// The name used in options, files and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Vision => "vision",
        }
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A graph input: name, element type, and the dimensions that are fixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputShape {
    /// The graph input's name.
    pub name: String,
    /// Its element type.
    pub element: DataType,
    /// Its dimensions; `None` where the graph leaves one open.
    pub dims: Vec<Option<usize>>,
}

/// As messages show it: `'pixel_values' FLOAT [?, 3, 224, 224]`.
impl fmt::Display for InputShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.dims.iter().map(|dim| dim.map_or("?".to_owned(), |n| n.to_string())).collect();
        write!(f, "'{}' {} [{}]", self.name, self.element.as_str_name(), dims.join(", "))
    }
}

/// What the user says of a graph, which wins over what is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// Roles of inputs, by name.
    pub inputs: BTreeMap<String, InputRole>,
    /// Names of values that are embeddings.
    pub embeddings: Vec<String>,
}

/// One tower: what feeds it, and what it gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tower {
    /// What it embeds.
    pub modality: Modality,
    /// Token ids `[B, T]` or pixels `[B, C, H, W]`.
    pub input: InputShape,
    /// The attention mask `[B, T]` of a text tower, where the graph takes one.
    pub mask: Option<InputShape>,
    /// Inputs `[B, T]` that are the same for all texts: token types (0) and positions (counted from 0).
    pub constant: Vec<(InputShape, InputRole)>,
    /// Which tokens of a text count.
    pub valid: Valid,
    /// Rows that it puts before and after those of the tokens, as a class token; they count.
    pub added: [usize; 2],
    /// Name of the value that the tower ends with.
    pub embedding: String,
    /// Whether that is one embedding a sample, `[B, width]`; else it is one a token, `[B, T, width]`.
    pub pooled: bool,
    /// The inputs it depends on, as bits of [`Graph::dependencies`].
    pub(super) inputs: u64,
}

impl Tower {
    /// Which rows of a text count, `[B, T + added]`, from ids and the tokenizer's own mask, `[B, T]` each.
    pub fn rows_that_count(&self, ids: &Array2<i64>, tokenizers: Array2<i64>) -> Array2<i64> {
        let mask = self.valid.mask(ids, tokenizers);
        let [before, after] = self.added;
        if before + after == 0 {
            return mask;
        }
        let mut rows = Array2::ones((mask.nrows(), before + mask.ncols() + after));
        rows.slice_mut(s![.., before..before + mask.ncols()]).assign(&mask);
        rows
    }
}

/// No batch, sequence or image side is larger; a file that says so would have us allocate without bounds.
const MAX_DIM: usize = 16_384;

/// Finds the towers of a graph: at most one of each modality, text first.
///
/// # Errors
/// [`Error::Towers`] if there are none, or what belongs to one cannot be told.
pub fn find_towers(graph: &Graph, hints: &Hints) -> Result<Vec<Tower>, Error> {
    let fail = |reason| Error::Towers { path: graph.model.path().to_owned(), reason };
    let roles = input_roles(graph, hints).map_err(fail)?;
    let with = |wanted: InputRole| -> Result<Option<(u64, InputShape)>, Error> {
        let found: Vec<(usize, &str)> = roles
            .iter()
            .enumerate()
            .filter(|(_, (_, role))| *role == Some(wanted))
            .map(|(bit, (name, _))| (bit.min(63), *name))
            .collect();
        match found.as_slice() {
            [] => Ok(None),
            [(bit, name)] => {
                let info = graph.model.graph().input.iter().find(|input| input.name == *name);
                let shape = info.and_then(shape_of).ok_or_else(|| fail(format!("its input '{name}' has no shape")))?;
                if shape.dims.iter().flatten().any(|&n| n > MAX_DIM) {
                    return Err(fail(format!("its input {shape} has a dimension over {MAX_DIM}")));
                }
                Ok(Some((1 << *bit, shape)))
            }
            several => {
                let names = few(several.iter().map(|(_, name)| *name));
                Err(fail(format!("{names} could each be {wanted}: pass --input NAME={wanted} for the right one")))
            }
        }
    };
    let mut towers = vec![];
    if let Some((bit, input)) = with(InputRole::InputIds)? {
        let mask = with(InputRole::AttentionMask)?;
        let types = with(InputRole::TokenTypeIds)?.map(|(bit, shape)| (bit, shape, InputRole::TokenTypeIds));
        let positions = with(InputRole::PositionIds)?.map(|(bit, shape)| (bit, shape, InputRole::PositionIds));
        let others: Vec<_> = types.into_iter().chain(positions).collect();
        towers.push(Tower {
            modality: Modality::Text,
            added: added_rows(graph, &input.name),
            valid: if mask.is_some() { Valid::Mask } else { Valid::of_ids(graph, &input.name) },
            inputs: others.iter().fold(bit | mask.as_ref().map_or(0, |(bit, _)| *bit), |all, (bit, ..)| all | bit),
            constant: others.into_iter().map(|(_, shape, role)| (shape, role)).collect(),
            mask: mask.map(|(_, shape)| shape),
            input,
            embedding: String::new(),
            pooled: true,
        });
    }
    if let Some((bit, input)) = with(InputRole::PixelValues)? {
        towers.push(Tower {
            modality: Modality::Vision,
            input,
            mask: None,
            constant: vec![],
            valid: Valid::All,
            added: [0, 0],
            inputs: bit,
            embedding: String::new(),
            pooled: true,
        });
    }
    if towers.is_empty() {
        let all = few(roles.iter().map(|(name, _)| describe(graph, name)));
        return Err(fail(format!("none of its inputs is known for token ids or pixels ({all})")));
    }
    let each: Vec<u64> = towers.iter().map(|tower| tower.inputs).collect();
    for tower in &mut towers {
        let found = output::find(graph, tower.modality, tower.inputs, &each, hints, &roles).map_err(fail)?;
        tower.embedding = found.value;
        tower.pooled = found.pooled;
    }
    Ok(towers)
}

/// A graph input for a message: name, type and shape, as far as they are known.
pub(super) fn describe(graph: &Graph, name: &str) -> String {
    let info = graph.model.graph().input.iter().find(|input| input.name == name);
    info.and_then(shape_of).map_or_else(|| format!("'{name}' of unknown type or rank"), |shape| shape.to_string())
}

/// Element type and dimensions of a graph input or output, as far as the file says: `FLOAT [batch, 3, 224, 224]`.
pub fn value_type(info: &ValueInfoProto) -> String {
    let Some(Type::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return "no tensor, or of unknown type".to_owned();
    };
    let element = DataType::try_from(tensor.elem_type).map_or("of unknown type", |element| element.as_str_name());
    let Some(shape) = &tensor.shape else { return format!("{element} of unknown rank") };
    let dims = shape.dim.iter().map(|dim| match &dim.value {
        Some(Dim::DimValue(n)) => n.to_string(),
        Some(Dim::DimParam(name)) if !name.is_empty() => name.clone(),
        _ => "?".to_owned(),
    });
    format!("{element} [{}]", dims.collect::<Vec<_>>().join(", "))
}

/// Type and dimensions of a value, if both are known and it is a tensor.
pub(super) fn shape_of(info: &ValueInfoProto) -> Option<InputShape> {
    let Some(Type::TensorType(tensor)) = &info.r#type.as_ref()?.value else { return None };
    let element = DataType::try_from(tensor.elem_type).ok()?;
    Some(InputShape { name: info.name.clone(), element, dims: dims(tensor.shape.as_ref()?) })
}

fn dims(shape: &TensorShapeProto) -> Vec<Option<usize>> {
    shape
        .dim
        .iter()
        .map(|dim| match dim.value {
            Some(Dim::DimValue(n)) => usize::try_from(n).ok().filter(|&n| n > 0),
            _ => None,
        })
        .collect()
}
