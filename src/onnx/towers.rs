//! Text and vision towers, told from what a graph takes and gives.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::graph::Graph;
use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::dimension::Value as Dim;
use super::proto::type_proto::Value as Type;
use super::proto::{TensorShapeProto, ValueInfoProto};

/// Which kind of input a tower embeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

/// One tower: what feeds it, and the embedding it gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tower {
    /// What it embeds.
    pub modality: Modality,
    /// Token ids `[B, T]` or pixels `[B, C, H, W]`.
    pub input: InputShape,
    /// The attention mask `[B, T]` of a text tower, where the graph takes one.
    pub mask: Option<InputShape>,
    /// Name of the graph output `[B, width]` that is the embedding.
    pub embedding: String,
    /// The inputs it depends on, as bits of [`Graph::dependencies`].
    pub(super) inputs: u64,
}

/// No batch, sequence or image side is larger; a file that says so would have us allocate without bounds.
const MAX_DIM: usize = 16_384;

/// Finds the towers of a graph: at most one of each modality, text first.
///
/// # Errors
/// [`Error::Towers`] if an input has no known use, or a tower's embedding output cannot be told.
pub fn find_towers(graph: &Graph) -> Result<Vec<Tower>, Error> {
    let fail = |reason| Error::Towers { path: graph.model.path().to_owned(), reason };
    let (mut ids, mut masks, mut pixels, mut strange) = (vec![], vec![], vec![], vec![]);
    for (bit, name) in graph.inputs().into_iter().enumerate() {
        let info = graph.model.graph().input.iter().find(|input| input.name == name).expect("listed as an input");
        let input = (1_u64 << bit.min(63), shape_of(info));
        match &input.1 {
            Some(InputShape { element: DataType::Int64 | DataType::Int32, dims, .. }) if dims.len() == 2 => {
                if name.contains("mask") { masks.push(input) } else { ids.push(input) }
            }
            Some(InputShape { element: DataType::Float | DataType::Float16, dims, .. }) if dims.len() == 4 => {
                pixels.push(input);
            }
            _ => strange.push(name),
        }
    }
    if !strange.is_empty() || ids.len() > 1 || masks.len() > 1 || pixels.len() > 1 || (ids.len() + pixels.len() == 0) {
        let inputs = graph.model.graph().input.iter().filter(|input| !graph.is_initializer(&input.name));
        let all: Vec<String> = inputs.map(describe).collect();
        return Err(fail(format!(
            "cannot tell text and vision towers from its inputs ({})",
            if all.is_empty() { "none".to_owned() } else { all.join(", ") }
        )));
    }
    for (_, shape) in ids.iter().chain(&masks).chain(&pixels) {
        if let Some(shape) = shape.as_ref().filter(|s| s.dims.iter().flatten().any(|&n| n > MAX_DIM)) {
            return Err(fail(format!("its input {shape} has a dimension over {MAX_DIM}")));
        }
    }
    let mut towers = vec![];
    if let Some((bit, Some(input))) = ids.pop() {
        let (mask_bit, mask) = masks.pop().map_or((0, None), |(bit, mask)| (bit, mask));
        towers.push((Modality::Text, input, mask, bit | mask_bit));
    }
    if let Some((bit, Some(input))) = pixels.pop() {
        towers.push((Modality::Vision, input, None, bit));
    }
    towers
        .into_iter()
        .map(|(modality, input, mask, inputs)| {
            let embedding = find_embedding(graph, modality, inputs).map_err(fail)?;
            Ok(Tower { modality, input, mask, embedding, inputs })
        })
        .collect()
}

/// The embedding among the outputs that depend on this tower alone.
fn find_embedding(graph: &Graph, modality: Modality, inputs: u64) -> Result<String, String> {
    let depends = graph.dependencies();
    let own: Vec<&ValueInfoProto> = graph
        .model
        .graph()
        .output
        .iter()
        .filter(|output| depends.get(output.name.as_str()).is_some_and(|set| set & !inputs == 0))
        .filter(|output| {
            shape_of(output)
                .is_none_or(|s| matches!(s.element, DataType::Float | DataType::Float16) && s.dims.len() == 2)
        })
        .collect();
    let named: Vec<&&ValueInfoProto> = own.iter().filter(|output| output.name.contains("embed")).collect();
    match (named.as_slice(), own.as_slice()) {
        ([one], _) => Ok(one.name.clone()),
        ([], [one]) => Ok(one.name.clone()),
        ([], []) => Err(format!("no [batch, width] float output depends on the {modality} input alone")),
        _ => {
            let names: Vec<&str> = own.iter().map(|output| output.name.as_str()).collect();
            Err(format!("several outputs could be the {modality} embedding: {}", names.join(", ")))
        }
    }
}

fn describe(info: &ValueInfoProto) -> String {
    shape_of(info).map_or_else(|| format!("'{}' of unknown type or rank", info.name), |shape| shape.to_string())
}

/// Type and dimensions of a value, if both are known and it is a tensor.
fn shape_of(info: &ValueInfoProto) -> Option<InputShape> {
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
