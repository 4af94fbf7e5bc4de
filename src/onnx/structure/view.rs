//! What a node computes, however it is quantised or fused, and which of its operands it hands on.

use crate::onnx::proto::NodeProto;

/// A node as the operator it stands for, without the scales and zero points of its quantised form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View<'m> {
    /// The operator: `MatMul` for all matrix products; `com.microsoft.Attention` for that one, which holds weights.
    pub op: &'m str,
    /// The values it computes with.
    pub operands: Vec<&'m str>,
    /// Where these are codes: the scale and the zero point of each.
    pub codes: Vec<[&'m str; 2]>,
}

/// No network joins so many values at a time.
const MANY: usize = 1000;

/// What a node stands for. Operators of other domains stand for nothing that is known here.
pub(super) fn view(node: &NodeProto) -> View<'_> {
    let input = |k: usize| node.input.get(k).map_or("", String::as_str);
    let every = |first: usize, step: usize| node.input.iter().skip(first).step_by(step).map(String::as_str).collect();
    let microsoft = node.domain == "com.microsoft";
    let known = microsoft || matches!(&*node.domain, "" | "ai.onnx");
    if !known || node.input.len() > MANY {
        return View { op: "", operands: vec![], codes: vec![] };
    }
    let (op, operands) = match node.op_type.as_str() {
        "Einsum" if node.input.len() == 2 => ("MatMul", every(0, 1)),
        "MatMul"
        | "FusedMatMul"
        | "Gemm"
        | "FusedGemm"
        | "GemmFastGelu"
        | "MatMulInteger"
        | "MatMulIntegerToFloat"
        | "DynamicQuantizeMatMul"
        | "MatMulNBits" => ("MatMul", vec![input(0), input(1)]),
        "QLinearMatMul" | "QGemm" => ("MatMul", vec![input(0), input(3)]),
        "QLinearAdd" | "QLinearMul" => {
            let codes = vec![[input(1), input(2)], [input(4), input(5)]];
            return View { op: &node.op_type["QLinear".len()..], operands: vec![input(0), input(3)], codes };
        }
        "QLinearSigmoid" => ("Sigmoid", vec![input(0)]),
        "QLinearSoftmax" => ("Softmax", vec![input(0)]),
        "QLinearConcat" => ("Concat", every(2, 3)),
        "Attention" | "QAttention" if microsoft => ("com.microsoft.Attention", vec![input(0), input(1)]),
        other => (other, every(0, 1)),
    };
    View { op, operands, codes: vec![] }
}

/// Which operands a node hands on: changed in place and shape, scaled, shifted, normalised, or joined with others, but
/// not mixed by a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hands {
    First,
    FirstTwo,
    Second,
    All,
    Nothing,
}

fn hands_on(op: &str) -> Hands {
    match op {
        // Places and shapes.
        "Identity" | "Cast" | "CastLike" | "Dropout" | "Reshape" | "Transpose" | "Squeeze" | "Unsqueeze" | "Flatten"
        | "Expand" | "Tile" | "Slice" | "Split" | "Gather" | "GatherND" | "GatherElements" | "Pad" | "RotaryEmbedding"
        // One operand, element by element.
        | "Neg" | "Abs" | "Sqrt" | "Reciprocal" | "Exp" | "Log" | "Pow" | "Clip" | "Erf" | "Tanh" | "Sigmoid" | "Relu"
        | "LeakyRelu" | "Elu" | "HardSwish" | "Mish" | "Softplus" | "Gelu" | "FastGelu" | "BiasGelu" | "QuickGelu"
        | "Swish"
        // Normalisation and pooling.
        | "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceL2" | "LpNormalization" | "LayerNormalization"
        | "RMSNormalization" | "SimplifiedLayerNormalization" | "BatchNormalization" | "InstanceNormalization"
        | "GroupNormalization" | "GlobalAveragePool"
        // Codes and back.
        | "QuantizeLinear" | "DequantizeLinear" | "DynamicQuantizeLinear" => Hands::First,
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => Hands::FirstTwo,
        "Where" => Hands::Second,
        "Add" | "Sub" | "Mul" | "Div" | "Sum" | "Max" | "Min" | "Concat" => Hands::All,
        _ => Hands::Nothing,
    }
}

/// The operands whose values come out at output `output` of the node.
pub(super) fn handed<'m>(view: &View<'m>, output: usize) -> Vec<&'m str> {
    // Scales, zero points and statistics that are outputs too are not the activations.
    let whole = match view.op {
        "Split" => true,
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => matches!(output, 0 | 3),
        _ => output == 0,
    };
    let operands = &view.operands;
    let taken: &[&str] = match hands_on(view.op) {
        _ if !whole => &[],
        Hands::Nothing => &[],
        Hands::First => operands.get(..1).unwrap_or_default(),
        Hands::FirstTwo => operands.get(..2).unwrap_or_default(),
        Hands::Second => operands.get(1..).unwrap_or_default(),
        Hands::All => operands,
    };
    taken.iter().copied().filter(|value| !value.is_empty()).collect()
}
