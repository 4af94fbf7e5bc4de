//! What each input of a graph is.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use super::{Hints, InputShape, shape_of};
use crate::onnx::graph::Graph;
use crate::onnx::proto::ValueInfoProto;
use crate::onnx::proto::tensor_proto::DataType;

/// What an input is, by the names that Hugging Face's processors use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InputRole {
    /// Token ids `[B, T]`.
    InputIds,
    /// 1 for tokens, 0 for padding, `[B, T]`.
    AttentionMask,
    /// Numbers of segments `[B, T]`; 0 here.
    TokenTypeIds,
    /// Numbers of positions `[B, T]`; counted from 0 here.
    PositionIds,
    /// Pixels `[B, C, H, W]`.
    PixelValues,
}

const ROLES: [(InputRole, &str); 5] = [
    (InputRole::InputIds, "input_ids"),
    (InputRole::AttentionMask, "attention_mask"),
    (InputRole::TokenTypeIds, "token_type_ids"),
    (InputRole::PositionIds, "position_ids"),
    (InputRole::PixelValues, "pixel_values"),
];

impl InputRole {
    /// The name used in options and messages.
    pub fn name(self) -> &'static str {
        ROLES.iter().find(|(role, _)| *role == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for InputRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for InputRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known: Vec<&str> = ROLES.iter().map(|(_, name)| *name).collect();
        let found = ROLES.iter().find(|(_, name)| *name == text).map(|(role, _)| *role);
        found.ok_or_else(|| format!("'{text}' is no role of an input; there are {}", known.join(", ")))
    }
}

/// The inputs of a graph, in order, each with its role where that is known.
pub fn input_roles<'m>(graph: &Graph<'m>, hints: &Hints) -> Vec<(&'m str, Option<InputRole>)> {
    let names = graph.inputs();
    let lookups: Vec<Option<usize>> = names.iter().map(|name| rows_looked_up(graph, name)).collect();
    let most = lookups.iter().flatten().copied().max();
    let infos: HashMap<&str, &ValueInfoProto> =
        graph.model.graph().input.iter().map(|info| (info.name.as_str(), info)).collect();
    let role = |(&name, &rows): (&&'m str, &Option<usize>)| {
        (name, infos.get(name).and_then(|info| shape_of(info)).and_then(|shape| role_of(&shape, rows, most)))
    };
    let mut roles: Vec<(&str, Option<InputRole>)> = names.iter().zip(&lookups).map(role).collect();
    // What is said wins: nothing else has that role then.
    for (_, role) in hints.inputs.iter().filter(|(name, _)| names.contains(&name.as_str())) {
        roles.iter_mut().filter(|(_, own)| *own == Some(*role)).for_each(|(_, own)| *own = None);
    }
    for (name, role) in &mut roles {
        *role = hints.inputs.get(*name).copied().or(*role);
    }
    roles
}

/// No tower has more segments than that.
const MAX_SEGMENTS: usize = 16;

fn role_of(shape: &InputShape, rows: Option<usize>, most: Option<usize>) -> Option<InputRole> {
    let named = |parts: &[&str]| parts.iter().any(|part| shape.name.to_lowercase().contains(part));
    match (shape.element, shape.dims.as_slice()) {
        (DataType::Int64 | DataType::Int32, [_, _]) => match rows {
            // The largest table is that of the words.
            Some(rows) if Some(rows) == most && !named(&["type", "segment", "position"]) => Some(InputRole::InputIds),
            Some(_) if named(&["position"]) => Some(InputRole::PositionIds),
            Some(_) if named(&["type", "segment"]) => Some(InputRole::TokenTypeIds),
            Some(rows) if rows <= MAX_SEGMENTS => Some(InputRole::TokenTypeIds),
            Some(_) => Some(InputRole::PositionIds),
            None if named(&["mask"]) => (!named(&["pixel", "image"])).then_some(InputRole::AttentionMask),
            None if named(&["position"]) => Some(InputRole::PositionIds),
            None if named(&["type", "segment"]) => Some(InputRole::TokenTypeIds),
            // Another input looks words up.
            None if most.is_some() => None,
            None => Some(InputRole::InputIds),
        },
        (DataType::Bool | DataType::Float | DataType::Float16, [_, _]) if named(&["mask"]) => {
            (!named(&["pixel", "image"])).then_some(InputRole::AttentionMask)
        }
        (DataType::Float | DataType::Float16 | DataType::Bfloat16, [_, None | Some(1 | 3), _, last]) => {
            // Channels last are none that the preprocessing here makes.
            (*last != Some(3) || shape.dims[1] == Some(3)).then_some(InputRole::PixelValues)
        }
        _ => None,
    }
}

/// How many rows the table has in which an input is looked up, if it is.
fn rows_looked_up(graph: &Graph, input: &str) -> Option<usize> {
    let (mut open, mut rows, mut seen) = (vec![input], None, 0);
    while let Some(value) = open.pop().filter(|_| seen < 200) {
        seen += 1;
        for &index in graph.consumers(value) {
            let node = &graph.nodes()[index];
            let at = |k: usize| node.input.get(k).is_some_and(|operand| operand == value);
            let table = match node.op_type.as_str() {
                "Gather" if at(1) => node.input.first(),
                // com.microsoft: ids, segments, then the tables of words, positions and segments.
                "EmbedLayerNormalization" if at(0) => node.input.get(2),
                "EmbedLayerNormalization" if at(1) => node.input.get(4),
                "Cast" | "Identity" | "Reshape" | "Unsqueeze" | "Squeeze" | "Slice" | "Clip" if at(0) => {
                    open.extend(node.output.first().map(String::as_str));
                    None
                }
                _ => None,
            };
            let held = table.and_then(|table| table_rows(graph, table));
            rows = rows.max(held);
        }
    }
    rows
}

/// Rows of a constant table with two dimensions, also behind casts and codes.
fn table_rows(graph: &Graph, value: &str) -> Option<usize> {
    let [rows, _] = graph.behind_casts(value)?.ok()?.tensor.dims.as_slice() else { return None };
    usize::try_from(*rows).ok()
}
