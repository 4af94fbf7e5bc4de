//! Rows of a text tower that are none of its tokens, and tokens that are none of its rows.

use std::collections::{HashSet, VecDeque};

use super::flow::Flow;
use crate::onnx::graph::Graph;
use crate::onnx::proto::NodeProto;
use crate::onnx::scalar::scalar;

/// How the rows of a text tower differ from its tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rows {
    /// Tokens that the graph cuts off before and after (old open_clip CoCa takes all but the last).
    pub cut: [usize; 2],
    /// Rows that it puts before and after, as a class token.
    pub added: [usize; 2],
}

/// What is cut from the token ids, and how many values are joined before and after their embeddings, before any linear
/// layer. Each is taken for one row; a row count that does not fit is an error when the layer is run.
pub(in crate::onnx) fn rows(graph: &Graph, ids: &str) -> Rows {
    let flow = Flow::new(graph);
    let mut rows = Rows::default();
    let mut open: VecDeque<&str> = VecDeque::new();
    for node in graph.nodes().iter().filter(|node| node.op_type == "Gather") {
        let (Some(indices), Some(output)) = (node.input.get(1), node.output.first()) else { continue };
        let indices = flow.settle(indices);
        let cut = graph.producer(indices).filter(|node| node.op_type == "Slice").and_then(|slice| {
            let from_ids = slice.input.first().is_some_and(|data| flow.settle(data) == ids);
            from_ids.then(|| cut_by(graph, slice)).flatten()
        });
        if let Some(cut) = cut {
            rows.cut = cut;
        }
        if indices == ids || cut.is_some() {
            open.push_back(output);
        }
    }
    let mut seen: HashSet<&str> = open.iter().copied().collect();
    while let Some(value) = open.pop_front().filter(|_| seen.len() < 1000) {
        for &index in graph.consumers(value).iter().take(1000) {
            let node = &graph.nodes()[index];
            if node.op_type == "Concat" {
                let place = node.input.iter().position(|operand| operand == value).unwrap_or(0);
                let parameters = node.input.iter().filter(|operand| !flow.is_content(operand)).count();
                if parameters + 1 == node.input.len() && parameters > 0 {
                    return Rows { added: [place, node.input.len() - 1 - place], ..rows };
                }
            }
            if !flow.is_linear(node) {
                open.extend(flow.after(node, value).into_iter().filter(|next| seen.insert(next)));
            }
        }
    }
    rows
}

/// How many tokens a `Slice` of `[B, T]` cuts off before and after, if it does nothing else.
fn cut_by(graph: &Graph, slice: &NodeProto) -> Option<[usize; 2]> {
    let number = |k: usize| scalar(graph, slice.input.get(k)?).map(|number| number as i64);
    let (start, end, axis) = (number(1)?, number(2)?, number(3)?);
    let step = if slice.input.get(4).is_some_and(|step| !step.is_empty()) { number(4)? } else { 1 };
    let after = if end < 0 { usize::try_from(-end).ok()? } else { (end > 1_000_000).then_some(0)? };
    (matches!(axis, 1 | -1) && step == 1).then_some([usize::try_from(start).ok()?, after])
}
