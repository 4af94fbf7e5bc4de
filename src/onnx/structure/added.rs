//! Rows that a text tower puts before or after those of its tokens, as CoCa's class token.

use std::collections::{HashSet, VecDeque};

use super::flow::Flow;
use crate::onnx::graph::Graph;

/// How many values are joined before and after the embeddings of the token ids, before any linear layer. Each is taken
/// for one row; a row count that does not fit is an error when the layer is run.
pub(in crate::onnx) fn added_rows(graph: &Graph, ids: &str) -> [usize; 2] {
    let flow = Flow::new(graph);
    let lookups = graph.nodes().iter().filter(|node| {
        node.op_type == "Gather" && node.input.get(1).is_some_and(|indices| flow.settle(indices) == ids)
    });
    let mut open: VecDeque<&str> = lookups.filter_map(|node| node.output.first()).map(String::as_str).collect();
    let mut seen: HashSet<&str> = open.iter().copied().collect();
    while let Some(value) = open.pop_front().filter(|_| seen.len() < 1000) {
        for &index in graph.consumers(value).iter().take(1000) {
            let node = &graph.nodes()[index];
            if node.op_type == "Concat" {
                let place = node.input.iter().position(|operand| operand == value).unwrap_or(0);
                let parameters = node.input.iter().filter(|operand| !flow.is_content(operand)).count();
                if parameters + 1 == node.input.len() && parameters > 0 {
                    return [place, node.input.len() - 1 - place];
                }
            }
            if !flow.is_linear(node) {
                open.extend(flow.after(node, value).into_iter().filter(|next| seen.insert(next)));
            }
        }
    }
    [0, 0]
}
