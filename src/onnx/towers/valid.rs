//! Which tokens of a text count: those that can reach its embedding.

use std::collections::HashSet;
use std::fmt;

use ndarray::Array2;

use crate::onnx::graph::Graph;
use crate::onnx::scalar::scalar;

/// Which tokens of a text count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Valid {
    /// All, padding too: nothing in the graph tells them apart.
    All,
    /// Those of the attention mask, which is an input.
    Mask,
    /// Up to the first token with the largest id, where the embedding is taken (CLIP's end of text).
    UntilLargest,
    /// Up to the first token of that id, where the embedding is taken.
    UntilToken(i64),
    /// Before the first token of that id, the embedding being taken at the last of them.
    BeforeToken(i64),
    /// All but those of that id, which the graph masks itself.
    NotToken(i64),
}

impl fmt::Display for Valid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all tokens, padding too"),
            Self::Mask => f.write_str("where the attention mask is 1"),
            Self::UntilLargest => f.write_str("up to the largest id, where the text ends"),
            Self::UntilToken(id) => write!(f, "up to the first id {id}, where the text ends"),
            Self::BeforeToken(id) => write!(f, "those before the first id {id}"),
            Self::NotToken(id) => write!(f, "all but id {id}, which the graph takes for padding"),
        }
    }
}

/// Nodes that a walk from the ids looks at.
const SEEN: usize = 300;

impl Valid {
    /// What a graph without a mask does with its token ids: it may mask some, and may pool at one.
    pub(super) fn of_ids(graph: &Graph, ids: &str) -> Self {
        let (mut pooled, mut masked) = (None, None);
        walk(graph, ids, |op, value, node_output| match op {
            "Cast" | "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" => true,
            "ArgMax" => {
                pooled = pooled.or(Some(Self::UntilLargest));
                false
            }
            "Equal" => {
                let node = graph.producer(node_output).expect("it makes its output");
                let other = node.input.iter().find(|operand| *operand != value);
                if let Some(id) = other.and_then(|other| scalar(graph, other)).map(|id| id as i64) {
                    if masks(graph, node_output) {
                        masked = masked.or(Some(Self::NotToken(id)));
                    }
                    pooled = pooled.or(pools(graph, node_output).map(|before| match before {
                        true => Self::BeforeToken(id),
                        false => Self::UntilToken(id),
                    }));
                }
                false
            }
            _ => false,
        });
        masked.or(pooled).unwrap_or(Self::All)
    }

    /// The mask `[B, T]` of the tokens that count, from ids and the tokenizer's own mask.
    pub fn mask(self, ids: &Array2<i64>, tokenizers: Array2<i64>) -> Array2<i64> {
        match self {
            Self::All => Array2::ones(ids.dim()),
            Self::Mask => tokenizers,
            Self::UntilLargest => {
                let largest = |row: &[i64]| (0..row.len()).max_by_key(|&k| (row[k], std::cmp::Reverse(k)));
                first(ids, |row| largest(row).map(|last| last + 1))
            }
            Self::UntilToken(id) => first(ids, |row| row.iter().position(|&token| token == id).map(|last| last + 1)),
            Self::BeforeToken(id) => first(ids, |row| row.iter().position(|&token| token == id)),
            Self::NotToken(id) => ids.mapv(|token| i64::from(token != id)),
        }
    }
}

/// 1 for as many tokens of each row as `count` says; for all where it says nothing.
fn first(ids: &Array2<i64>, count: impl Fn(&[i64]) -> Option<usize>) -> Array2<i64> {
    let mut mask = Array2::ones(ids.dim());
    for (row, mut mask) in ids.rows().into_iter().zip(mask.rows_mut()) {
        if let Some(count) = count(&row.to_vec()) {
            mask.iter_mut().skip(count).for_each(|m| *m = 0);
        }
    }
    mask
}

/// Goes from a value to what is made of it: `on` is told operator, value and result, and says whether to go on there.
fn walk<'m>(graph: &Graph<'m>, from: &str, mut on: impl FnMut(&'m str, &str, &'m str) -> bool) {
    let (mut open, mut seen): (Vec<String>, HashSet<&str>) = (vec![from.to_owned()], HashSet::new());
    while let Some(value) = open.pop() {
        for &index in graph.consumers(&value).iter().take(SEEN) {
            let node = &graph.nodes()[index];
            let Some(output) = node.output.first().filter(|output| seen.len() < SEEN && seen.insert(output)) else {
                continue;
            };
            if on(&node.op_type, &value, output) {
                open.push(output.clone());
            }
        }
    }
}

/// Whether a comparison ends up in an attention: where it is counted or looked up, it does not.
fn masks(graph: &Graph, value: &str) -> bool {
    let mut found = false;
    walk(graph, value, |op, _, _| {
        found |= matches!(op, "Softmax" | "Attention" | "MultiHeadAttention" | "GroupQueryAttention");
        // What has weights is no mask any more.
        !found
            && !matches!(
                op,
                "CumSum"
                    | "ArgMax"
                    | "NonZero"
                    | "MatMul"
                    | "Gemm"
                    | "Gather"
                    | "GatherND"
                    | "LayerNormalization"
                    | "Shape"
            )
    });
    found
}

/// Whether the place of a comparison's first hit is looked for, and if so, whether the one before it is meant.
fn pools(graph: &Graph, value: &str) -> Option<bool> {
    let (mut found, mut before) = (false, false);
    walk(graph, value, |op, _, output| match op {
        "ArgMax" => {
            found = true;
            walk(graph, output, |op, value, output| {
                let other = graph.producer(output).and_then(|node| node.input.iter().find(|input| *input != value));
                let number = other.and_then(|other| scalar(graph, other));
                before |= matches!((op, number), ("Sub", Some(1.0)) | ("Add", Some(-1.0)));
                matches!(op, "Cast" | "Identity")
            });
            false
        }
        "Cast" | "Identity" | "Not" | "Reshape" => true,
        _ => false,
    });
    found.then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn masks_are_made_from_ids() {
        let ids = array![[1, 5, 98, 0, 0], [1, 98, 98, 98, 98], [1, 7, 6, 5, 4]];
        let own = array![[1, 1, 0, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]];
        let mask = |valid: Valid| valid.mask(&ids, own.clone());
        assert_eq!(mask(Valid::All), Array2::<i64>::ones((3, 5)));
        assert_eq!(mask(Valid::Mask), own);
        assert_eq!(mask(Valid::UntilLargest), array![[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0]]);
        assert_eq!(mask(Valid::UntilToken(98)), array![[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]);
        assert_eq!(mask(Valid::BeforeToken(98)), array![[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]]);
        assert_eq!(mask(Valid::NotToken(0)), array![[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]]);
    }
}
