//! Single numbers in a graph, also where they are stored as codes.

use super::graph::Graph;
use super::model::Constant;
use super::proto::tensor_proto::DataType;
use super::storage::Stored;

/// Nodes between a constant and its use, at most.
const FAR: usize = 16;

/// The value of a constant with one element.
pub(super) fn scalar(graph: &Graph, value: &str) -> Option<f64> {
    let mut value = value;
    for _ in 0..FAR {
        let node = graph.producer(value);
        let Some(node) = node.filter(|node| node.op_type != "Constant") else { return stored(graph, value) };
        let input = |k: usize| node.input.get(k).map_or("", String::as_str);
        match node.op_type.as_str() {
            "Identity" | "Cast" => value = node.input.first()?,
            "DequantizeLinear" => return code(graph, input(0), [input(1), input(2)]),
            _ => return None,
        }
    }
    None
}

/// What a stored code with such a scale and zero point (which may be missing, "") stands for.
pub(super) fn code(graph: &Graph, value: &str, [scale, zero]: [&str; 2]) -> Option<f64> {
    let zero = if zero.is_empty() { 0.0 } else { stored(graph, zero)? };
    Some((stored(graph, value)? - zero) * stored(graph, scale)?)
}

/// The value of an initializer or of a `Constant` node.
fn stored(graph: &Graph, value: &str) -> Option<f64> {
    if let Some(node) = graph.producer(value) {
        // ONNX operators, Constant: a number may stand in the node itself.
        let own = node.attribute.iter().find_map(|attribute| match attribute.name.as_str() {
            "value_float" => Some(f64::from(attribute.f)),
            "value_int" => Some(attribute.i as f64),
            _ => None,
        });
        if own.is_some() {
            return own;
        }
    }
    let constant = graph.constant(value)?.ok()?;
    if constant.tensor.dims.iter().any(|&dim| dim != 1) {
        return None;
    }
    integer(constant).map(|integer| integer as f64).or_else(|| {
        let stored = Stored::find(graph.model, constant).ok()?;
        Some(stored.element.get(&stored.plain(graph.model), 0))
    })
}

/// Of the types of shapes and ids, which are no weights.
fn integer(constant: Constant) -> Option<i64> {
    let tensor = constant.tensor;
    let raw = tensor.raw_data.as_deref();
    match DataType::try_from(tensor.data_type).ok()? {
        DataType::Int64 => {
            let raw = raw.and_then(|raw| raw.first_chunk().copied()).map(i64::from_le_bytes);
            raw.or_else(|| tensor.int64_data.first().copied())
        }
        DataType::Int32 => {
            let raw = raw.and_then(|raw| raw.first_chunk().copied()).map(i32::from_le_bytes);
            raw.or_else(|| tensor.int32_data.first().copied()).map(i64::from)
        }
        _ => None,
    }
}
