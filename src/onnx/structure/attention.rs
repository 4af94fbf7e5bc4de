//! Attention: the projections of queries, keys and values, the projection of the result, and whether it is a block's or
//! pools what the blocks give.

use std::collections::HashSet;

use super::flow::Flow;
use super::{BOOK, Unit, Units};
use crate::onnx::graph::uses;

/// Names the layers around each attention. An attention of tokens to themselves begins a unit; one that pools, and all
/// after it, is of the head.
pub(super) fn find(flow: &Flow<'_, '_>, units: &mut Units) {
    // Values that a pooling attention is behind.
    let mut after: HashSet<&str> = HashSet::new();
    for &index in flow.graph.order() {
        let node = &flow.graph.nodes()[index];
        let mut pooled = uses(node).iter().any(|value| after.contains(value));
        if let Some(attention) = node.output.first().and_then(|result| Attention::at(flow, index, result)) {
            units.inner.extend(attention.scores.and_then(|value| flow.graph.producer_index(value)));
            pooled |= attention.pools(flow);
            let layers = attention.layers(flow);
            let out = layers.iter().find(|(_, role)| *role == "out_proj").map(|(layer, _)| *layer);
            let unit =
                (!pooled).then(|| units.begin(Unit { mixer: Some(index), stream: out.unwrap_or(index), mlp: None }));
            for (layer, role) in layers {
                units.name(layer, unit, role);
            }
        }
        if pooled {
            units.pooled.insert(index);
            after.extend(node.output.iter().map(String::as_str));
        }
    }
}

/// An attention, with the values and layers that feed it.
struct Attention<'m> {
    result: &'m str,
    /// The product of queries and keys, where it is spelt out.
    scores: Option<&'m str>,
    queries: &'m str,
    q: Option<usize>,
    k: Option<usize>,
    v: Option<usize>,
}

impl<'m> Attention<'m> {
    /// The attention whose result is the node's output, if it is one.
    fn at(flow: &Flow<'_, 'm>, node: usize, result: &'m str) -> Option<Self> {
        let (name, bound) = BOOK.first(flow, result, &["attention", "attention-packed", "attention-own"])?;
        let value = |variable: &str| bound.get(variable).copied();
        let layer = |variable: &str| value(variable).and_then(|value| flow.only_behind(value));
        let queries = value("q").or(value("qkv")).or(value("x"))?;
        let (q, k, v) = match name {
            "attention-own" => (Some(node), Some(node), Some(node)),
            "attention-packed" => (layer("qkv"), layer("qkv"), layer("qkv")),
            _ => (layer("q"), layer("k"), layer("v")),
        };
        Some(Self { result, scores: value("scores"), queries, q, k, v })
    }

    /// Whether its queries are parameters, or a mean of the tokens: then it pools. In a transformer's block they are the
    /// tokens themselves. Where that cannot be told, as behind a convolution, it is taken for a block's.
    fn pools(&self, flow: &Flow<'_, 'm>) -> bool {
        let input =
            |layer: Option<usize>| flow.activations(&flow.graph.nodes()[layer?]).map(|value| flow.settle(value));
        let (of_q, of_k) = (input(self.q), input(self.k));
        match of_q {
            // Parameters that attend to themselves, as a Q-Former's queries do first, are no tokens.
            Some(of_q) if Some(of_q) == of_k => !flow.is_content(of_q),
            // What comes only through a mean does not come at all where means are not passed.
            Some(of_q) if flow.is_content(of_q) => {
                flow.comes_from_layers(of_q, true) && !flow.comes_from_layers(of_q, false)
            }
            Some(_) => true,
            None => !flow.is_content(self.queries),
        }
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
