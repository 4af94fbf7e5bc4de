//! What a tower ends with: the embedding among the values that depend on it alone.

use std::collections::HashMap;

use super::{Hints, InputRole, InputShape, Modality, describe, shape_of};
use crate::few::few;
use crate::onnx::graph::{Graph, uses};
use crate::onnx::proto::ValueInfoProto;
use crate::onnx::proto::tensor_proto::DataType;

/// A value that a tower ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    pub value: String,
    /// Whether it is one row a sample.
    pub pooled: bool,
}

/// Finds what the tower of the inputs `own` ends with; `each` has the inputs of all towers.
pub(super) fn find(
    graph: &Graph,
    modality: Modality,
    own: u64,
    each: &[u64],
    hints: &Hints,
    roles: &[(&str, Option<InputRole>)],
) -> Result<Ending, String> {
    let depends = graph.dependencies();
    let alone = |value: &str| depends.get(value).is_some_and(|set| set & !own == 0);
    let rank = |info: &ValueInfoProto| shape_of(info).map(|shape| shape.dims.len());
    if let Some(named) = hints.embeddings.iter().find(|value| alone(value)) {
        let info = graph.model.graph().output.iter().find(|output| output.name == *named);
        return Ok(Ending { value: named.clone(), pooled: info.and_then(rank).is_none_or(|rank| rank == 2) });
    }
    let float = |shape: &InputShape| {
        matches!(shape.element, DataType::Float | DataType::Float16 | DataType::Bfloat16 | DataType::Double)
    };
    let outputs: Vec<&ValueInfoProto> = graph
        .model
        .graph()
        .output
        .iter()
        .filter(|output| alone(&output.name) && shape_of(output).as_ref().is_none_or(float))
        .collect();
    let of_rank = |wanted: fn(usize) -> bool| -> Vec<&str> {
        let known = outputs.iter().filter(|output| rank(output).is_none_or(wanted));
        known.map(|output| output.name.as_str()).collect()
    };
    let pooled = of_rank(|rank| rank == 2);
    let embeds = pooled.iter().filter(|name| name.contains("embed")).copied().collect::<Vec<_>>();
    let compared = compared(graph, &depends, own, each);
    let found = match (embeds.as_slice(), pooled.as_slice(), &compared) {
        ([one], ..) | ([], [one], _) => Some(Ending { value: (*one).to_owned(), pooled: true }),
        (_, [], Some(value)) => Some(Ending { value: (*value).to_owned(), pooled: true }),
        (_, [], None) => {
            let tokens = last(graph, &of_rank(|rank| rank > 2));
            (tokens.len() == 1).then(|| Ending { value: tokens[0].to_owned(), pooled: false })
        }
        _ => {
            let last = last(graph, &pooled);
            (last.len() == 1).then(|| Ending { value: last[0].to_owned(), pooled: true })
        }
    };
    found.ok_or_else(|| {
        let mut strangers = roles.iter().filter(|(_, role)| role.is_none()).map(|(name, _)| describe(graph, name)).peekable();
        match outputs.as_slice() {
            [] if strangers.peek().is_some() => format!(
                "no output depends on the {modality} input alone; what its other inputs are is not known ({}): pass --input NAME=ROLE for them",
                few(strangers)
            ),
            [] => format!("no [batch, width] or [batch, tokens, width] float output depends on the {modality} input alone"),
            several => format!(
                "several outputs could be the {modality} embedding: {}: pass --embedding NAME",
                few(several.iter().map(|output| &output.name))
            ),
        }
    })
}

/// Of some values, those that none of the others is computed from.
fn last<'v>(graph: &Graph, values: &[&'v str]) -> Vec<&'v str> {
    let values = &values[..values.len().min(64)];
    let mut behind: HashMap<&str, u64> = HashMap::new();
    let mut used = 0;
    for node in graph.sorted_nodes() {
        let set = uses(node).iter().filter_map(|value| behind.get(value)).fold(0, |a, b| a | b);
        for output in &node.output {
            let own = values.iter().position(|value| value == output);
            used |= own.map_or(0, |_| set);
            behind.insert(output, own.map_or(set, |bit| 1 << bit));
        }
    }
    values.iter().enumerate().filter(|(bit, _)| used & (1 << bit) == 0).map(|(_, value)| *value).collect()
}

/// The value of this tower that is multiplied with one of another tower, where their similarity is computed.
fn compared<'m>(graph: &Graph<'m>, depends: &HashMap<&'m str, u64>, own: u64, each: &[u64]) -> Option<&'m str> {
    let of = |value: &str, inputs: u64| depends.get(value).is_some_and(|set| set & !inputs == 0);
    for node in graph.sorted_nodes() {
        let ("MatMul" | "Gemm" | "FusedMatMul" | "Einsum", [a, b, ..]) = (&*node.op_type, node.input.as_slice()) else {
            continue;
        };
        for (this, that) in [(a, b), (b, a)] {
            if of(this, own) && each.iter().any(|&inputs| inputs != own && of(that, inputs)) {
                let mut value: &str = this;
                while let Some(node) =
                    graph.producer(value).filter(|n| matches!(&*n.op_type, "Transpose" | "Identity" | "Cast"))
                {
                    value = node.input.first()?;
                }
                return Some(value);
            }
        }
    }
    None
}
