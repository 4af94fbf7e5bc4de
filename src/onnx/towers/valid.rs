//! Which tokens of a text count: those that can reach its embedding.

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
            Self::NotToken(id) => write!(f, "all but id {id}, which the graph takes for padding"),
        }
    }
}

impl Valid {
    /// What a graph without a mask does with its token ids.
    pub(super) fn of_ids(graph: &Graph, ids: &str) -> Self {
        let (mut open, mut seen) = (vec![ids], 0);
        let mut padding = None;
        while let Some(value) = open.pop().filter(|_| seen < 200) {
            seen += 1;
            for &index in graph.consumers(value) {
                let node = &graph.nodes()[index];
                let Some(output) = node.output.first() else { continue };
                match node.op_type.as_str() {
                    "Cast" | "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" => open.push(output),
                    "ArgMax" => return Self::UntilLargest,
                    "Equal" => {
                        let other = node.input.iter().find(|operand| *operand != value);
                        let Some(id) = other.and_then(|other| scalar(graph, other)) else { continue };
                        match compared(graph, output) {
                            Use::Pooling => return Self::UntilToken(id as i64),
                            Use::Mask => padding = padding.or(Some(id as i64)),
                            Use::Counting => {}
                        }
                    }
                    _ => {}
                }
            }
        }
        padding.map_or(Self::All, Self::NotToken)
    }

    /// The mask `[B, T]` of the tokens that count, from ids and the tokenizer's own mask.
    pub fn mask(self, ids: &Array2<i64>, tokenizers: Array2<i64>) -> Array2<i64> {
        match self {
            Self::All => Array2::ones(ids.dim()),
            Self::Mask => tokenizers,
            Self::UntilLargest => until(ids, |row| (0..row.len()).max_by_key(|&k| (row[k], std::cmp::Reverse(k)))),
            Self::UntilToken(id) => until(ids, |row| row.iter().position(|&token| token == id)),
            Self::NotToken(id) => ids.mapv(|token| i64::from(token != id)),
        }
    }
}

/// 1 up to the token that `last` finds in each row; all 1 where it finds none.
fn until(ids: &Array2<i64>, last: impl Fn(&[i64]) -> Option<usize>) -> Array2<i64> {
    let mut mask = Array2::ones(ids.dim());
    for (row, mut mask) in ids.rows().into_iter().zip(mask.rows_mut()) {
        if let Some(last) = last(&row.to_vec()) {
            mask.iter_mut().skip(last + 1).for_each(|m| *m = 0);
        }
    }
    mask
}

/// What a comparison of token ids serves.
enum Use {
    Pooling,
    Mask,
    Counting,
}

fn compared(graph: &Graph, value: &str) -> Use {
    let (mut open, mut seen, mut counting) = (vec![value], 0, false);
    while let Some(value) = open.pop().filter(|_| seen < 50) {
        seen += 1;
        for &index in graph.consumers(value) {
            let node = &graph.nodes()[index];
            match node.op_type.as_str() {
                "ArgMax" => return Use::Pooling,
                // Positions that leave padding out.
                "CumSum" => counting = true,
                "Cast" | "Identity" | "Not" | "Reshape" => open.extend(node.output.first().map(String::as_str)),
                _ => {}
            }
        }
    }
    if counting { Use::Counting } else { Use::Mask }
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
        assert_eq!(mask(Valid::NotToken(0)), array![[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]]);
    }
}
