//! Text and vision towers, told from what feeds a graph and what it feeds.

mod inputs;
mod output;
mod valid;

use std::collections::{BTreeMap, HashMap};
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
pub use super::structure::Rows;
use super::structure::rows;
use crate::few::{cut, few_of};

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

/// What the user says of graphs, which wins over what is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// Roles of inputs, by name.
    pub inputs: BTreeMap<String, InputRole>,
    /// Names of values that are embeddings.
    pub embeddings: Vec<String>,
    /// The tower that the file was given for: others need not be understood.
    pub only: Option<Modality>,
}

impl Hints {
    /// Whether a tower is asked for.
    pub fn wants(&self, modality: Modality) -> bool {
        self.only.is_none_or(|only| only == modality)
    }

    /// Checks that each is of one of the graphs.
    ///
    /// # Errors
    /// [`Error::Towers`] if one is of none.
    pub fn check(&self, graphs: &[Graph]) -> Result<(), Error> {
        let Some(first) = graphs.first() else { return Ok(()) };
        let fail = |reason| Err(Error::Towers { path: first.model.path().to_owned(), reason });
        let inputs: Vec<&str> = graphs.iter().flat_map(Graph::inputs).collect();
        if let Some(missing) = self.inputs.keys().find(|name| !inputs.contains(&name.as_str())) {
            let all = few_of(&inputs, |name| (*name).to_owned());
            return fail(format!("there is no input '{missing}', which --input names; there are {all}"));
        }
        let made = |name: &String| graphs.iter().any(|graph| graph.producer(name).is_some());
        if let Some(missing) = self.embeddings.iter().find(|name| !made(name)) {
            let outputs: Vec<&String> =
                graphs.iter().flat_map(|graph| &graph.model.graph().output).map(|output| &output.name).collect();
            let all = few_of(&outputs, |name| (*name).clone());
            return fail(format!("nothing makes '{missing}', which --embedding names; the outputs are {all}"));
        }
        Ok(())
    }
}

impl Hints {
    /// Checks that each embedding is the end of one of the towers.
    ///
    /// # Errors
    /// [`Error::Hint`] if one is of several towers, or one tower has two.
    pub fn check_used(&self, towers: &[&Tower]) -> Result<(), Error> {
        match self.embeddings.iter().find(|name| !towers.iter().any(|tower| tower.embedding == **name)) {
            Some(name) => Err(Error::Hint {
                reason: format!("'{}', which --embedding names, is no value of one tower alone", cut(name)),
            }),
            None => Ok(()),
        }
    }
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
    /// How its rows differ from the tokens; those that it adds count.
    pub rows: Rows,
    /// Name of the value that the tower ends with.
    pub embedding: String,
    /// Whether that is one embedding a sample, `[B, width]`; else it is one a token, `[B, T, width]`.
    pub pooled: bool,
    /// The inputs it depends on, as bits of [`Graph::dependencies`].
    pub(super) inputs: u64,
}

impl Tower {
    /// Which rows of a text count, `[B, T - cut + added]`, from ids and the tokenizer's own mask, `[B, T]` each.
    pub fn rows_that_count(&self, ids: &Array2<i64>, tokenizers: Array2<i64>) -> Array2<i64> {
        let mask = self.valid.mask(ids, tokenizers);
        let Rows { cut: [cut_before, cut_after], added: [before, after] } = self.rows;
        let end = mask.ncols().saturating_sub(cut_after);
        let kept = mask.slice(s![.., cut_before.min(end)..end]);
        let mut rows = Array2::ones((mask.nrows(), before + kept.ncols() + after));
        rows.slice_mut(s![.., before..before + kept.ncols()]).assign(&kept);
        rows
    }

    /// Leaves out inputs that do not reach the embedding: exporters keep some, and they say nothing of tokens then.
    fn leave_out_unused(&mut self, graph: &Graph, depends: &HashMap<&str, u64>, embedding: &str) {
        let used = depends.get(embedding).copied().unwrap_or(0);
        let inputs = graph.inputs();
        let is_used = |shape: &InputShape| {
            let bit = inputs.iter().position(|name| *name == shape.name);
            bit.is_some_and(|bit| used & (1 << bit.min(63)) != 0)
        };
        self.constant.retain(|(shape, _)| is_used(shape));
        if self.mask.take_if(|mask| !is_used(mask)).is_some() {
            self.valid = Valid::of_ids(graph, &self.input.name);
        }
    }
}

/// No batch, sequence or image side is larger; a file that says so would have us allocate without bounds.
const MAX_DIM: usize = 16_384;

/// The towers of a graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Towers {
    /// Those that are understood, text first.
    pub found: Vec<Tower>,
    /// Those that are there and not understood, with the reason.
    pub failed: Vec<(Modality, String)>,
    /// Inputs that belong to none, as messages name them.
    pub strangers: Vec<String>,
}

impl Towers {
    /// A word on inputs that belong to no tower, and on towers that nobody asked for and that are not understood.
    pub fn left_out(&self, wanted: Option<Modality>) -> Vec<String> {
        let failed = self.failed.iter().filter(|(tower, _)| wanted.is_some_and(|wanted| wanted != *tower));
        let failed = failed.map(|(tower, reason)| format!("the {tower} tower is left out: {reason}"));
        let strangers = few_of(&self.strangers, String::clone);
        let strange =
            format!("inputs that belong to no tower that is understood: {strangers} (--input says what one is)");
        failed.chain((!self.strangers.is_empty()).then_some(strange)).collect()
    }
}

/// Finds the towers of a graph: at most one of each modality.
///
/// # Errors
/// [`Error::Towers`] if no input is one of a tower.
pub fn find_towers(graph: &Graph, hints: &Hints) -> Result<Towers, Error> {
    let roles = input_roles(graph, hints);
    let mut towers = Towers::default();
    for modality in [Modality::Text, Modality::Vision] {
        match begin(graph, modality, &roles) {
            Ok(None) => {}
            Ok(Some(tower)) => towers.found.push(tower),
            Err(reason) => towers.failed.push((modality, reason)),
        }
    }
    towers.strangers =
        roles.iter().filter(|(_, role)| role.is_none()).map(|(name, _)| describe(graph, name)).take(10).collect();
    if towers.found.is_empty() && towers.failed.is_empty() {
        let all = few_of(&roles, |(name, _)| describe(graph, name));
        let reason = format!("none of its inputs is known for token ids or pixels ({all})");
        return Err(Error::Towers { path: graph.model.path().to_owned(), reason });
    }
    let each: Vec<u64> = towers.found.iter().map(|tower| tower.inputs).collect();
    let depends = graph.dependencies();
    for mut tower in std::mem::take(&mut towers.found) {
        match output::find(graph, &depends, tower.modality, tower.inputs, &each, hints, &towers.strangers) {
            Ok(found) if tower.input.dims[0].zip(found.batch).is_some_and(|(fed, given)| fed != given) => {
                let reason = format!(
                    "its input {} and its embedding '{}' differ in the first dimension, which should be the batch",
                    tower.input, found.value
                );
                towers.failed.push((tower.modality, reason));
            }
            Ok(found) => {
                tower.leave_out_unused(graph, &depends, &found.value);
                tower.embedding = found.value;
                tower.pooled = found.pooled;
                towers.found.push(tower);
            }
            Err(reason) => towers.failed.push((tower.modality, reason)),
        }
    }
    Ok(towers)
}

/// The tower of a modality, by its inputs alone; `None` if the graph has no such input.
fn begin(graph: &Graph, modality: Modality, roles: &[(&str, Option<InputRole>)]) -> Result<Option<Tower>, String> {
    let with = |wanted: InputRole| -> Result<Option<(u64, InputShape)>, String> {
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
                let shape = info.and_then(shape_of).ok_or_else(|| format!("its input '{name}' has no shape"))?;
                check(wanted, &shape)?;
                Ok(Some((1 << *bit, shape)))
            }
            several => {
                let names = few_of(several, |(_, name)| (*name).to_owned());
                Err(format!("{names} could each be {wanted}: pass --input NAME={wanted} for the right one"))
            }
        }
    };
    let tower = |input: InputShape, bit| Tower {
        modality,
        input,
        mask: None,
        constant: vec![],
        valid: Valid::All,
        rows: Rows::default(),
        embedding: String::new(),
        pooled: true,
        inputs: bit,
    };
    let role = if modality == Modality::Text { InputRole::InputIds } else { InputRole::PixelValues };
    let Some((bit, input)) = with(role)? else { return Ok(None) };
    let mut tower = tower(input, bit);
    if modality == Modality::Text {
        if let Some((bit, mask)) = with(InputRole::AttentionMask)? {
            tower.inputs |= bit;
            tower.mask = Some(mask);
        }
        for role in [InputRole::TokenTypeIds, InputRole::PositionIds] {
            if let Some((bit, shape)) = with(role)? {
                tower.inputs |= bit;
                tower.constant.push((shape, role));
            }
        }
        tower.rows = rows(graph, &tower.input.name);
        tower.valid = if tower.mask.is_some() { Valid::Mask } else { Valid::of_ids(graph, &tower.input.name) };
    }
    Ok(Some(tower))
}

/// What an input of a role must be like to be fed.
fn check(role: InputRole, shape: &InputShape) -> Result<(), String> {
    if shape.dims.iter().flatten().any(|&n| n > MAX_DIM) {
        return Err(format!("its input {shape} has a dimension over {MAX_DIM}"));
    }
    let fits = match (role, shape.dims.as_slice()) {
        (InputRole::PixelValues, [_, channels, ..]) => {
            let float = matches!(shape.element, DataType::Float | DataType::Float16 | DataType::Bfloat16);
            float && shape.dims.len() == 4 && matches!(channels, None | Some(1 | 3))
        }
        (_, [_, _]) => true,
        _ => false,
    };
    let wanted = match role {
        InputRole::PixelValues => {
            "float [batch, channels, height, width]; bytes, channels last, patches and videos are not supported"
        }
        _ => "[batch, tokens]",
    };
    if fits { Ok(()) } else { Err(format!("its input {shape} cannot be fed: {role} are {wanted}")) }
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
