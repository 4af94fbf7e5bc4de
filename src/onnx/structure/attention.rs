//! Attention: the projections of queries, keys and values, the projection of the result, and which block it is.

use std::collections::{BTreeMap, HashMap};

use super::flow::{Flow, Met};
use super::{BOOK, Behind, Part};
use crate::onnx::graph::uses;

/// Names the layers around each attention, and counts for every value how many are behind it.
pub(super) fn find<'m>(flow: &Flow<'_, 'm>, parts: &mut BTreeMap<usize, Part>) -> HashMap<&'m str, Behind> {
    let mut behind: HashMap<&str, Behind> = HashMap::new();
    for &index in flow.graph.order() {
        let node = &flow.graph.nodes()[index];
        let most = |a: Behind, b: Behind| (a.0.max(b.0), a.1.max(b.1));
        let (blocks, heads) = uses(node).iter().filter_map(|value| behind.get(value)).copied().fold((0, 0), most);
        let mut after = (blocks, heads);
        if let Some(attention) = node.output.first().and_then(|result| Attention::at(flow, index, result)) {
            let head = !attention.is_of_itself(flow) || heads > 0;
            after = if head { (blocks, heads + 1) } else { (blocks + 1, heads) };
            for (layer, role) in attention.layers(flow) {
                let part = match head {
                    true => Part { block: None, role: format!("head.{role}") },
                    false => Part { block: Some(blocks), role: role.to_owned() },
                };
                parts.entry(layer).or_insert(part);
            }
        }
        if after != (0, 0) {
            behind.extend(node.output.iter().map(|output| (output.as_str(), after)));
        }
    }
    behind
}

/// An attention, with the layers that feed it.
struct Attention<'m> {
    result: &'m str,
    q: Option<usize>,
    k: Option<usize>,
    v: Option<usize>,
}

impl<'m> Attention<'m> {
    /// The attention whose result is the node's output, if it is one.
    fn at(flow: &Flow<'_, 'm>, node: usize, result: &'m str) -> Option<Self> {
        let (name, bound) = BOOK.first(flow, result, &["attention", "attention-packed", "attention-own"])?;
        let layer = |variable: &str| bound.get(variable).and_then(|value| flow.only_behind(value));
        Some(match name {
            "attention-own" => Self { result, q: Some(node), k: Some(node), v: Some(node) },
            "attention-packed" => {
                let packed = layer("qkv");
                Self { result, q: packed, k: packed, v: packed }
            }
            _ => Self { result, q: layer("q"), k: layer("k"), v: layer("v") },
        })
    }

    /// Whether its queries are the same tokens as its keys, as in a transformer's block; a pooling head's queries are
    /// parameters, or one pooled token.
    fn is_of_itself(&self, flow: &Flow<'_, 'm>) -> bool {
        let (Some(q), Some(k)) = (self.q, self.k) else { return false };
        let input = |layer: usize| flow.activations(&flow.graph.nodes()[layer]).map(|value| flow.settle(value));
        let (Some(of_q), Some(of_k)) = (input(q), input(k)) else { return false };
        let layers = |value| flow.behind(value, |_| false).map(|Met { linear, .. }| linear);
        of_q == of_k || layers(of_q).zip(layers(of_k)).is_some_and(|(a, b)| !a.is_empty() && a == b)
    }

    /// Its layers and their roles.
    fn layers(&self, flow: &Flow<'_, 'm>) -> Vec<(usize, &'static str)> {
        let mut layers = match (self.q, self.k, self.v) {
            (Some(q), k, v) if k == Some(q) && v == k => vec![(q, "in_proj")],
            (q, Some(k), v) if v == Some(k) => q.map(|q| (q, "q_proj")).into_iter().chain([(k, "kv_proj")]).collect(),
            (Some(q), k, v) if k == Some(q) => {
                std::iter::once((q, "qk_proj")).chain(v.map(|v| (v, "v_proj"))).collect()
            }
            (q, k, v) => {
                let named = [(q, "q_proj"), (k, "k_proj"), (v, "v_proj")];
                named.into_iter().filter_map(|(layer, role)| Some((layer?, role))).collect()
            }
        };
        layers.extend(flow.ahead(self.result).and_then(|met| met.only()).map(|layer| (layer, "out_proj")));
        layers
    }
}
