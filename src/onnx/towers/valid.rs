//! Which tokens of a text count: those that can reach its embedding.

use std::collections::HashSet;
use std::fmt;

use ndarray::Array2;

use crate::onnx::graph::Graph;
use crate::onnx::proto::NodeProto;
use crate::onnx::proto::tensor_proto::DataType;
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
    pub fn of_ids(graph: &Graph, ids: &str) -> Self {
        let (mut pooled, mut masked) = (None, None);
        walk(graph, ids, |node, value| match node.op_type.as_str() {
            // Ids as bools: all but 0.
            "Cast" if node.attribute.iter().any(|a| a.name == "to" && a.i == i64::from(DataType::Bool as i32)) => {
                if masks(graph, node.output.first().map_or("", String::as_str)) {
                    masked = masked.or(Some(Self::NotToken(0)));
                }
                false
            }
            "Greater" if node.input.get(1).and_then(|other| scalar(graph, other)) == Some(0.0) => {
                if masks(graph, node.output.first().map_or("", String::as_str)) {
                    masked = masked.or(Some(Self::NotToken(0)));
                }
                false
            }
            "Slice" | "Clip" => node.input.first().is_some_and(|input| input == value),
            "Cast" | "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" => true,
            "ArgMax" => {
                pooled = pooled.or(Some(Self::UntilLargest));
                false
            }
            "Equal" => {
                let other = node.input.iter().find(|operand| *operand != value);
                let output = node.output.first().map_or("", String::as_str);
                if let Some(id) = other.and_then(|other| scalar(graph, other)).map(|id| id as i64) {
                    if masks(graph, output) {
                        masked = masked.or(Some(Self::NotToken(id)));
                    }
                    pooled = pooled.or(pools(graph, output).map(|before| match before {
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

/// Goes from a value to what is made of it: `on` is told a node and the value it takes, and says whether to go on with
/// its first output.
fn walk<'m>(graph: &Graph<'m>, from: &str, mut on: impl FnMut(&'m NodeProto, &str) -> bool) {
    let (mut open, mut seen): (Vec<String>, HashSet<&str>) = (vec![from.to_owned()], HashSet::new());
    while let Some(value) = open.pop() {
        for &index in graph.consumers(&value).iter().take(SEEN) {
            let node = &graph.nodes()[index];
            let Some(output) = node.output.first().filter(|output| seen.len() < SEEN && seen.insert(output)) else {
                continue;
            };
            if on(node, &value) {
                open.push(output.clone());
            }
        }
    }
}

/// Whether a comparison ends up in an attention, or its hits are summed (for a mean, or the place of the last token).
/// Where they number positions or look something up, it is no mask.
fn masks(graph: &Graph, value: &str) -> bool {
    let mut found = false;
    walk(graph, value, |node, value| {
        let first = node.input.first().is_some_and(|input| input == value);
        match node.op_type.as_str() {
            "Softmax" | "ReduceSum" => {
                found = true;
                false
            }
            // Queries, keys and values come first.
            "Attention" | "MultiHeadAttention" | "GroupQueryAttention" => {
                found |= node.input.iter().skip(3).any(|input| input == value);
                false
            }
            norm if norm.ends_with("LayerNormalization") || norm.ends_with("RMSNormalization") => false,
            "Gather" | "GatherND" | "Slice" | "Reshape" | "Expand" | "Tile" => first,
            // What has weights is no mask any more.
            "CumSum" | "ArgMax" | "NonZero" | "MatMul" | "Gemm" | "Shape" => false,
            _ => !found,
        }
    });
    found
}

/// Whether the place of a comparison's first hit is looked for, and if so, whether the one before it is meant.
fn pools(graph: &Graph, value: &str) -> Option<bool> {
    let (mut found, mut before) = (false, false);
    walk(graph, value, |node, _| match node.op_type.as_str() {
        "ArgMax" => {
            found = true;
            walk(graph, node.output.first().map_or("", String::as_str), |node, value| {
                let other = node.input.iter().find(|input| *input != value);
                let number = other.and_then(|other| scalar(graph, other));
                before |= matches!((node.op_type.as_str(), number), ("Sub", Some(1.0)) | ("Add", Some(-1.0)));
                matches!(node.op_type.as_str(), "Cast" | "Identity")
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

    /// What is made of the ids where nothing but them is given.
    fn of(expression: &str) -> Valid {
        crate::onnx::structure::written::look(expression, |graph, _| Valid::of_ids(graph, "ids"))
    }

    #[test]
    fn graphs_say_which_tokens_count() {
        let attention = |mask: &str| format!("(MatMul (Softmax (Add (MatMul x y) {mask})) z)");
        for (expression, valid) in [
            ("(Gather W ids)".to_owned(), Valid::All),
            ("(GatherND (Gather W ids) (ArgMax (Cast ids)))".to_owned(), Valid::UntilLargest),
            ("(GatherND (Gather W ids) (ArgMax (Cast (Equal ids 98))))".to_owned(), Valid::UntilToken(98)),
            ("(GatherND (Gather W ids) (Sub (ArgMax (Cast (Equal ids 5))) 1))".to_owned(), Valid::BeforeToken(5)),
            (attention("(Where (Unsqueeze (Not (Equal ids 1))) 0 -10000)"), Valid::NotToken(1)),
            // Positions that leave padding out are no mask, and may share their comparison with one.
            ("(Gather W (Mul (CumSum (Cast (Not (Equal ids 1)))) (Cast (Not (Equal ids 1)))))".to_owned(), Valid::All),
            (
                format!(
                    "(Concat {} (Gather W (CumSum (Cast (Not (Equal ids 1))))))",
                    attention("(Gather (Where (Not (Equal ids 1)) 0 -10000) 0)")
                ),
                Valid::NotToken(1),
            ),
            ("(Div (ReduceSum (Mul x (Cast (Not (Equal ids 3))))) y)".to_owned(), Valid::NotToken(3)),
            ("(GatherND (Gather W ids) (Sub (ReduceSum (Cast (Not (Equal ids 3)))) 1))".to_owned(), Valid::NotToken(3)),
            (attention("(Where (Unsqueeze (Greater ids 0)) 0 -10000)"), Valid::NotToken(0)),
            (attention("(Where (Equal (Slice ids 0) 4) -10000 0)"), Valid::NotToken(4)),
            // A mask of the last token's place is none of the attention.
            ("(GatherND (Gather W ids) (NonZero (Equal ids 2)))".to_owned(), Valid::All),
        ] {
            assert_eq!(of(&expression), valid, "{expression}");
        }
    }
}
