//! Single numbers in a graph, also where they are stored as codes.

use super::graph::Graph;
use super::proto::tensor_proto::DataType;
use super::storage::Stored;

/// The value of a constant with one element.
pub(super) fn scalar(graph: &Graph, value: &str) -> Option<f64> {
    let mut value = value;
    loop {
        if let Some(constant) = graph.held(value) {
            let constant = constant.ok()?;
            if constant.tensor.dims.iter().product::<i64>() != 1 {
                return None;
            }
            // The types of shapes and ids, which are no weights.
            let integer = match DataType::try_from(constant.tensor.data_type).ok()? {
                DataType::Int64 => {
                    let raw =
                        constant.tensor.raw_data.as_ref().and_then(|raw| Some(i64::from_le_bytes(*raw.first_chunk()?)));
                    Some(raw.or_else(|| constant.tensor.int64_data.first().copied())?)
                }
                DataType::Int32 => {
                    let raw =
                        constant.tensor.raw_data.as_ref().and_then(|raw| Some(i32::from_le_bytes(*raw.first_chunk()?)));
                    Some(i64::from(raw.or_else(|| constant.tensor.int32_data.first().copied())?))
                }
                _ => None,
            };
            return integer.map(|integer| integer as f64).or_else(|| {
                let stored = Stored::find(graph.model, constant).ok()?;
                Some(stored.element.get(&stored.plain(graph.model), 0))
            });
        }
        let node = graph.producer(value)?;
        let input = |k: usize| node.input.get(k).map_or("", String::as_str);
        match node.op_type.as_str() {
            "Identity" | "Cast" => value = node.input.first()?,
            "DequantizeLinear" => return code(graph, input(0), [input(1), input(2)]),
            _ => return None,
        }
    }
}

/// What a code with such a scale and zero point (which may be missing, "") stands for.
pub(super) fn code(graph: &Graph, value: &str, [scale, zero]: [&str; 2]) -> Option<f64> {
    let zero = if zero.is_empty() { 0.0 } else { scalar(graph, zero)? };
    Some((scalar(graph, value)? - zero) * scalar(graph, scale)?)
}
