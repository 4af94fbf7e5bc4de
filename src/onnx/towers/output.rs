//! What a tower ends with: the embedding among the values that depend on it alone.

use std::collections::{HashMap, HashSet};

use super::{Hints, InputShape, Modality, shape_of};
use crate::few::few_of;
use crate::onnx::graph::{Graph, uses};
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{NodeProto, ValueInfoProto};

/// A value that a tower ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ending {
    pub value: String,
    /// Whether it is one row a sample.
    pub pooled: bool,
    /// How many samples it is of, where the graph says.
    pub batch: Option<usize>,
}

/// Finds what the tower of the inputs `own` ends with; `each` has the inputs of all towers.
pub(super) fn find(
    graph: &Graph,
    depends: &HashMap<&str, u64>,
    modality: Modality,
    own: u64,
    each: &[u64],
    hints: &Hints,
    strangers: &[String],
) -> Result<Ending, String> {
    let alone = |value: &str| depends.get(value).is_some_and(|set| set & !own == 0);
    let rank = |info: &ValueInfoProto| shape_of(info).map(|shape| shape.dims.len());
    if let Some(named) = hints.embeddings.iter().find(|value| alone(value)) {
        let info = graph.model.graph().output.iter().find(|output| output.name == *named);
        return Ok(ending(graph, named, info.and_then(rank).is_none_or(|rank| rank == 2)));
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
        // One number a sample is a norm or a score.
        let wide = |shape: InputShape| shape.dims.last() != Some(&Some(1));
        known.filter(|output| shape_of(output).is_none_or(wide)).map(|output| output.name.as_str()).collect()
    };
    let pooled = of_rank(|rank| rank == 2);
    let embeds = pooled.iter().filter(|name| name.contains("embed")).copied().collect::<Vec<_>>();
    let compared = compared(graph, depends, own, each);
    let found = match (embeds.as_slice(), pooled.as_slice(), &compared) {
        ([one], ..) | ([], [one], _) => Some(ending(graph, one, true)),
        (_, [], Some(value)) => Some(ending(graph, value, true)),
        (_, [], None) => {
            let tokens = last(graph, &of_rank(|rank| rank > 2));
            (tokens.len() == 1).then(|| ending(graph, tokens[0], false))
        }
        _ => {
            let last = last(graph, &pooled);
            (last.len() == 1).then(|| ending(graph, last[0], true))
        }
    };
    found.ok_or_else(|| match outputs.as_slice() {
        [] if !strangers.is_empty() => format!(
            "no output depends on the {modality} input alone; what its other inputs are is not known ({}): pass --input NAME=ROLE for them",
            few_of(strangers, String::clone)
        ),
        [] => format!("no [batch, width] or [batch, tokens, width] float output depends on the {modality} input alone"),
        several => format!(
            "several outputs could be the {modality} embedding: {}: pass --embedding NAME",
            few_of(several, |output| output.name.clone())
        ),
    })
}

fn ending(graph: &Graph, value: &str, pooled: bool) -> Ending {
    let info = graph.model.graph().output.iter().find(|output| output.name == value);
    let batch = info.and_then(shape_of).and_then(|shape| shape.dims.first().copied().flatten());
    Ending { value: value.to_owned(), pooled, batch }
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

/// The value of this tower that is multiplied with one of another tower, where their similarity is computed: the last
/// such product, and one that leaves the graph if there is. Products before are cross attention.
fn compared<'m>(graph: &Graph<'m>, depends: &HashMap<&str, u64>, own: u64, each: &[u64]) -> Option<&'m str> {
    let of = |value: &str, inputs: u64| depends.get(value).is_some_and(|set| set & !inputs == 0);
    let outputs: HashSet<&str> = graph.model.graph().output.iter().map(|output| output.name.as_str()).collect();
    let mut found: Option<(bool, &str)> = None;
    for node in graph.sorted_nodes() {
        let ("MatMul" | "Gemm" | "FusedMatMul" | "Einsum", [a, b, ..]) = (&*node.op_type, node.input.as_slice()) else {
            continue;
        };
        for (this, that) in [(a, b), (b, a)] {
            if of(this, own) && each.iter().any(|&inputs| inputs != own && of(that, inputs)) {
                let leaves = node.output.first().is_some_and(|product| leaves(graph, &outputs, product));
                if leaves || found.is_none_or(|(before, _)| !before) {
                    found = Some((leaves, this));
                }
            }
        }
    }
    let mut value = found?.1;
    let passes = |node: &&NodeProto| matches!(&*node.op_type, "Transpose" | "Identity" | "Cast");
    while let Some(node) = graph.producer(value).filter(passes) {
        value = node.input.first()?;
    }
    Some(value)
}

/// Whether a value is an output of the graph, but for scale, bias and places.
fn leaves(graph: &Graph, outputs: &HashSet<&str>, value: &str) -> bool {
    let mut value = value;
    for _ in 0..8 {
        if outputs.contains(value) {
            return true;
        }
        let next = graph.consumers(value).iter().take(8).map(|&index| &graph.nodes()[index]);
        let mut next = next.filter(|node| matches!(&*node.op_type, "Mul" | "Add" | "Transpose" | "Identity" | "Cast"));
        match next.next().and_then(|node| node.output.first()) {
            Some(output) => value = output,
            None => return false,
        }
    }
    false
}
