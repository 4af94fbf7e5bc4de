//! The weight operand of a matrix product: the tensor behind it, through the nodes that exporters and quantisers
//! put in between, and the value it is multiplied with.

use super::codes::{Codes, Grid};
use super::element::Element;
use super::graph::Graph;
use super::model::Constant;
use super::proto::{NodeProto, attribute_proto::AttributeType};
use super::tensor::{Layout, Weight};
use crate::few::cut;

/// A product of a value and a constant weight.
pub(super) struct Product<'m> {
    /// The value.
    pub input: &'m str,
    /// Whether the weight's inputs run along the value's last axis but one, and not along its last.
    pub across: bool,
    /// If the value is codes: their scale and zero point.
    pub codes: Option<[&'m str; 2]>,
    /// The weight.
    pub weight: Weight,
}

/// Operators that multiply by a weight, in `ai.onnx` and `com.microsoft`.
pub(super) fn is_product(node: &NodeProto) -> bool {
    matches!(
        node.op_type.as_str(),
        "MatMul"
            | "Gemm"
            | "FusedMatMul"
            | "FusedGemm"
            | "GemmFastGelu"
            | "MatMulInteger"
            | "QLinearMatMul"
            | "QGemm"
            | "MatMulNBits"
            | "MatMulBnb4"
            | "DynamicQuantizeMatMul"
            | "MatMulIntegerToFloat"
    ) && matches!(node.domain.as_str(), "" | "ai.onnx" | "com.microsoft")
        || holds_weights(node)
        || (node.op_type == "Einsum" && node.input.len() == 2)
}

/// The attention that multiplies by the weights of queries, keys and values itself.
fn holds_weights(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "Attention" | "QAttention" | "PackedAttention") && node.domain == "com.microsoft"
}

/// Nodes between a tensor and its product, at most.
const FAR: usize = 32;

/// Takes a matrix product apart.
///
/// # Errors
/// What stands where a constant 2-D weight should be, or what else is beyond this tool.
pub(super) fn product<'m>(graph: &Graph<'m>, node: &'m NodeProto) -> Result<Product<'m>, String> {
    let flag = |name: &str| integer(node, name).unwrap_or(0) != 0;
    let operand = |index: usize| node.input.get(index).map(String::as_str).filter(|name| !name.is_empty());
    let named = |index: usize| operand(index).ok_or_else(|| format!("missing (operand {index})"));
    let constant = |index: usize| constant_name(graph, operand(index));
    match node.op_type.as_str() {
        _ if flag("transBatchA") || flag("transBatchB") => Err("multiplied across batches".to_owned()),
        // A factor (alpha, beta) is the same for all elements: ratios and selections are what they are without.
        "MatMul" | "Gemm" | "FusedMatMul" | "FusedGemm" | "GemmFastGelu" | "Attention" => {
            let (a, b, trans_a, trans_b) = (named(0)?, named(1)?, flag("transA"), flag("transB"));
            // On the right it is [I, O], on the left [O, I], if it is not transposed.
            let right =
                plain(graph, b, !trans_b).map(|weight| Product { input: a, across: trans_a, codes: None, weight });
            match right {
                Err(reason) if !holds_weights(node) => plain(graph, a, trans_a)
                    .map(|weight| Product { input: b, across: !trans_b, codes: None, weight })
                    .map_err(|_| reason),
                right => right,
            }
        }
        "QAttention" => {
            let scale = constant(4)?.into_iter().collect();
            quantised(graph, floats(graph, named(0)?)?, named(1)?, scale, constant(7)?, false)
        }
        "MatMulInteger" => {
            let scale = scales_after(graph, node);
            quantised(graph, floats(graph, named(0)?)?, named(1)?, scale, constant(3)?, false)
        }
        "DynamicQuantizeMatMul" => {
            quantised(graph, named(0)?, named(1)?, constant(2)?.into_iter().collect(), constant(3)?, false)
        }
        "MatMulIntegerToFloat" => {
            let scale = constant(3)?.into_iter().collect();
            quantised(graph, floats(graph, named(0)?)?, named(1)?, scale, constant(5)?, false)
        }
        "QLinearMatMul" | "QGemm" => {
            if flag("transA") {
                return Err("multiplied by a transposed input".to_owned());
            }
            let scale = constant(4)?.into_iter().collect();
            let zero = constant(5)?;
            match floats(graph, named(0)?) {
                Ok(input) => quantised(graph, input, named(3)?, scale, zero, flag("transB")),
                // Codes that another node gives: this one says what they stand for.
                Err(_) => {
                    let product = quantised(graph, named(0)?, named(3)?, scale, zero, flag("transB"))?;
                    Ok(Product { codes: Some([named(1)?, operand(2).unwrap_or("")]), ..product })
                }
            }
        }
        "MatMulNBits" => blocks(graph, node),
        other => Err(format!("in an operator this tool does not edit, {other}")),
    }
}

/// An integer attribute.
fn integer(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|a| a.name == name && a.r#type() != AttributeType::Float).map(|a| a.i)
}

/// A weight in floats, which may itself be made from codes; `transposed` if the operand is `[I, O]`.
fn plain(graph: &Graph, value: &str, transposed: bool) -> Result<Weight, String> {
    let (mut value, mut transposed, mut codes, mut steps) = (value, transposed, None, 0);
    let constant = loop {
        if let Some(constant) = graph.held(value) {
            break constant?;
        }
        let node = graph.producer(value).ok_or_else(|| nothing_makes(graph, value))?;
        let made = || format!("'{}', made by {}", cut(value), node.op_type);
        steps += 1;
        if steps > FAR {
            return Err(format!("behind more than {FAR} nodes"));
        }
        let first = node.input.first().ok_or_else(made)?;
        match node.op_type.as_str() {
            "Identity" | "Cast" => {}
            "Transpose" if swaps(node) => transposed = !transposed,
            "DequantizeLinear" if codes.is_none() => codes = Some((node, transposed)),
            _ => return Err(made()),
        }
        value = first;
    };
    let stored = stored_shape(&constant)?;
    // Axes are those of what is dequantised, which may be the tensor transposed.
    let codes = codes.map(|(node, before)| dequantised(graph, node, stored, before != transposed)).transpose()?;
    Ok(weight(&constant, stored, transposed, codes))
}

/// What a value is that is no constant and comes from no node.
fn nothing_makes(graph: &Graph, value: &str) -> String {
    let sparse = &graph.model.graph().sparse_initializer;
    let name = cut(value);
    match sparse.iter().any(|tensor| tensor.values.as_ref().is_some_and(|values| values.name == value)) {
        true => format!("'{name}', a sparse initializer, which cannot be edited"),
        false => format!("'{name}', a graph input"),
    }
}

fn weight(constant: &Constant, stored: [usize; 2], transposed: bool, codes: Option<Codes>) -> Weight {
    let [rows, columns] = stored;
    Weight {
        initializer: constant.name.to_owned(),
        shape: if transposed { [columns, rows] } else { stored },
        layout: Layout { transposed, pitch: columns },
        codes,
    }
}

/// Whether a Transpose swaps two axes: by `perm`, or by default.
fn swaps(node: &NodeProto) -> bool {
    node.attribute.iter().find(|a| a.name == "perm").is_none_or(|a| a.ints == [1, 0])
}

fn stored_shape(constant: &Constant) -> Result<[usize; 2], String> {
    let dims = &constant.tensor.dims;
    let [rows, columns] = dims.as_slice() else {
        return Err(format!("'{}' with {} dimensions", cut(constant.name), dims.len()));
    };
    match (usize::try_from(*rows), usize::try_from(*columns)) {
        (Ok(rows), Ok(columns)) => sized(constant.name, [rows, columns]),
        _ => Err(format!("'{}' with dimensions {dims:?}", cut(constant.name))),
    }
}

fn sized(name: &str, shape: [usize; 2]) -> Result<[usize; 2], String> {
    match shape[0].checked_mul(shape[1]) {
        Some(count) if count > 0 && u32::try_from(count).is_ok() => Ok(shape),
        _ => Err(format!("'{}' of shape {shape:?}, which has no elements or more than 2^32", cut(name))),
    }
}

/// `DequantizeLinear`: per tensor, per axis, or blocked (ONNX operators, DequantizeLinear).
fn dequantised(graph: &Graph, node: &NodeProto, shape: [usize; 2], turned: bool) -> Result<Codes, String> {
    let scale = constant_name(graph, node.input.get(1).map(String::as_str))?.ok_or("codes without a scale")?;
    let dims = &graph.held(&scale).ok_or("codes with a computed scale")??.tensor.dims;
    let axis = integer(node, "axis").unwrap_or(1);
    let axis = usize::try_from(if axis < 0 { axis + 2 } else { axis }).ok().filter(|&axis| axis < 2);
    let axis = axis.ok_or("codes with an axis out of range")?;
    let axis = if turned { 1 - axis } else { axis };
    let block = integer(node, "block_size").unwrap_or(0);
    let grid = match (dims.len(), usize::try_from(block)) {
        (2, _) if turned => return Err("codes in blocks, transposed before they are dequantised".to_owned()),
        (2, Ok(block)) if block > 0 => Grid::blocks(axis, block),
        (1, _) if dims[0] != 1 => Grid::along(axis, shape),
        (0 | 1, _) => Grid::whole(shape),
        _ => return Err(format!("codes with a scale of dimensions {dims:?}")),
    };
    let zero_point = constant_name(graph, node.input.get(2).map(String::as_str).filter(|name| !name.is_empty()))?;
    Ok(Codes { element: None, scale: vec![scale], zero_point, default_zero: 0, grid, packed_zero: false })
}

/// The weight of a product of codes: scale and zero point are for all, or one a column of the output.
fn quantised<'m>(
    graph: &Graph<'m>,
    input: &'m str,
    value: &str,
    scale: Vec<String>,
    zero_point: Option<String>,
    trans_b: bool,
) -> Result<Product<'m>, String> {
    let constant = graph.constant(value).ok_or_else(|| match graph.producer(value) {
        Some(node) => format!("'{}', made by {}", cut(value), node.op_type),
        None => nothing_makes(graph, value),
    })??;
    let stored = stored_shape(&constant)?;
    let several = scale
        .iter()
        .chain(&zero_point)
        .any(|name| graph.held(name).is_some_and(|c| c.is_ok_and(|c| c.tensor.dims.iter().any(|&dim| dim != 1))));
    let out = usize::from(!trans_b);
    let grid = if several { Grid::along(out, stored) } else { Grid::whole(stored) };
    let codes = Codes { element: None, scale, zero_point, default_zero: 0, grid, packed_zero: false };
    Ok(Product { input, across: false, codes: None, weight: weight(&constant, stored, !trans_b, Some(codes)) })
}

/// `com.microsoft.MatMulNBits`: `B` is `[N, blocks, bytes]`, each row of `K` filled up to whole blocks.
fn blocks<'m>(graph: &Graph<'m>, node: &'m NodeProto) -> Result<Product<'m>, String> {
    let positive = |name: &str| {
        let value = integer(node, name).and_then(|value| usize::try_from(value).ok()).filter(|&value| value > 0);
        value.ok_or_else(|| format!("blocks whose {name} is not given"))
    };
    let operand = |index: usize| node.input.get(index).map(String::as_str).filter(|name| !name.is_empty());
    let (inputs, out, block) = (positive("K")?, positive("N")?, positive("block_size")?);
    let (element, default_zero) = match integer(node, "bits").unwrap_or(4) {
        4 => (Element::U4, 8),
        8 => (Element::U8, 128),
        bits => return Err(format!("blocks of {bits}-bit codes")),
    };
    if operand(4).is_some() {
        return Err("blocks whose order is given by g_idx".to_owned());
    }
    let value = operand(1).ok_or("nothing")?;
    let constant = graph.constant(value).ok_or_else(|| format!("'{}', which is computed", cut(value)))??;
    let scale = constant_name(graph, operand(2))?.ok_or("blocks without a scale")?;
    let codes = Codes {
        element: Some(element),
        scale: vec![scale],
        zero_point: constant_name(graph, operand(3))?,
        default_zero,
        grid: Grid::blocks(1, block),
        packed_zero: true,
    };
    let pitch = inputs.div_ceil(block).checked_mul(block).ok_or("blocks beyond any size")?;
    let weight = Weight {
        initializer: constant.name.to_owned(),
        shape: sized(constant.name, [out, inputs])?,
        layout: Layout { transposed: false, pitch },
        codes: Some(codes),
    };
    Ok(Product { input: operand(0).ok_or("nothing to multiply with")?, across: false, codes: None, weight })
}

/// The name of the constant behind a parameter; none if there is no parameter.
fn constant_name(graph: &Graph, value: Option<&str>) -> Result<Option<String>, String> {
    let Some(value) = value else { return Ok(None) };
    let constant =
        graph.constant(value).ok_or_else(|| format!("codes whose parameter '{}' is computed", cut(value)))??;
    Ok(Some(constant.name.to_owned()))
}

/// The floats that a `DynamicQuantizeLinear` or `QuantizeLinear` made codes of.
fn floats<'m>(graph: &Graph<'m>, value: &str) -> Result<&'m str, String> {
    let node =
        graph.producer(value).filter(|node| matches!(&*node.op_type, "DynamicQuantizeLinear" | "QuantizeLinear"));
    let input = node.and_then(|node| node.input.first()).map(String::as_str);
    input.ok_or_else(|| format!("multiplied by codes '{}' that are not quantised just before", cut(value)))
}

/// The constant factors of what becomes of a `MatMulInteger`: `Cast`, then `Mul` by `input scale * weight scale`, in
/// whatever order the quantiser multiplied them. Empty if they cannot be told.
fn scales_after(graph: &Graph, node: &NodeProto) -> Vec<String> {
    let Some(mut value) = node.output.first() else { return vec![] };
    loop {
        let [only] = graph.consumers(value) else { return vec![] };
        let user = &graph.nodes()[*only];
        match user.op_type.as_str() {
            "Cast" => match user.output.first() {
                Some(next) => value = next,
                None => return vec![],
            },
            "Mul" => {
                let mut names = vec![];
                let mut pending: Vec<&str> = user.input.iter().map(String::as_str).filter(|i| i != value).collect();
                while let Some(factor) = pending.pop() {
                    match (graph.constant(factor), graph.producer(factor)) {
                        (Some(Ok(constant)), _) => names.push(constant.name.to_owned()),
                        (None, Some(node)) if node.op_type == "Mul" => {
                            pending.extend(node.input.iter().map(String::as_str));
                        }
                        _ => {}
                    }
                }
                return names;
            }
            _ => return vec![],
        }
    }
}
