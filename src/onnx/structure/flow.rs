//! How activations flow through a graph: what depends on what, and walks from value to value.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::view::{View, handed, view};
use crate::onnx::graph::{Graph, uses};
use crate::onnx::proto::NodeProto;

/// What a walk met first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Met<'m> {
    /// Linear layers, as node indices.
    pub linear: BTreeSet<usize>,
    /// Values where the walk was told to halt.
    pub halted: BTreeSet<&'m str>,
}

impl Met<'_> {
    /// The linear layer, if it is one and nothing else was met.
    pub fn only(&self) -> Option<usize> {
        match (self.linear.len(), self.halted.len()) {
            (1, 0) => self.linear.first().copied(),
            _ => None,
        }
    }
}

/// A graph with what depends on its inputs.
pub(super) struct Flow<'g, 'm> {
    pub graph: &'g Graph<'m>,
    computed: HashMap<&'m str, u64>,
    /// What depends on the inputs' values, and not just on their shapes.
    content: HashSet<&'m str>,
    /// Of values that nodes give which change the type only, the value before these.
    settled: HashMap<&'m str, &'m str>,
    /// Of each node, its place in the order of the graph.
    place: Vec<usize>,
}

/// Values by what they are before their type was changed.
fn settled<'m>(graph: &Graph<'m>) -> HashMap<&'m str, &'m str> {
    let mut settled: HashMap<&str, &str> = HashMap::new();
    for node in graph.sorted_nodes() {
        if let (
            "Identity" | "Cast" | "CastLike" | "Dropout" | "QuantizeLinear" | "DequantizeLinear",
            Some(before),
            Some(after),
        ) = (node.op_type.as_str(), node.input.first(), node.output.first())
        {
            let before = settled.get(before.as_str()).copied().unwrap_or(before);
            settled.insert(after, before);
        }
    }
    settled
}

/// Values that depend on what the inputs hold. Parameters that are repeated or cut by sizes computed from an input's
/// shape do not.
fn content<'m>(graph: &Graph<'m>) -> HashSet<&'m str> {
    let mut content: HashSet<&str> = graph.inputs().into_iter().collect();
    for node in graph.sorted_nodes() {
        let depends = match node.op_type.as_str() {
            "Shape" | "Size" | "ConstantOfShape" => false,
            "Reshape" | "Expand" | "Tile" | "Slice" | "Split" | "Squeeze" | "Unsqueeze" | "Pad" => {
                node.input.first().is_some_and(|data| content.contains(data.as_str()))
            }
            _ => uses(node).iter().any(|value| content.contains(value)),
        };
        if depends {
            content.extend(node.output.iter().map(String::as_str).filter(|output| !output.is_empty()));
        }
    }
    content
}

/// A walk that sees more values (or users or operands of one), or meets more layers, settles nothing.
const SEEN: usize = 1000;
const MET: usize = 8;

impl<'g, 'm> Flow<'g, 'm> {
    pub fn new(graph: &'g Graph<'m>) -> Self {
        let mut place = vec![0; graph.nodes().len()];
        graph.order().iter().enumerate().for_each(|(at, &node)| place[node] = at);
        Self { graph, computed: graph.dependencies(), content: content(graph), settled: settled(graph), place }
    }

    /// Whether the value depends on an input of the graph.
    pub fn is_computed(&self, value: &str) -> bool {
        self.computed.contains_key(value)
    }

    /// The inputs that the value depends on, as bits of [`Graph::dependencies`].
    pub fn inputs_of(&self, value: &str) -> u64 {
        self.computed.get(value).copied().unwrap_or(0)
    }

    /// Whether the value depends on what the inputs hold, and not just on their shapes.
    pub fn is_content(&self, value: &str) -> bool {
        self.content.contains(value)
    }

    /// Whether a node multiplies two values that depend on what the inputs hold.
    pub fn is_between_activations(&self, node: &NodeProto) -> bool {
        let View { op, operands, .. } = view(node);
        op == "MatMul" && operands.iter().all(|operand| self.content.contains(operand))
    }

    /// Whether a node multiplies activations by a constant weight.
    pub fn is_linear(&self, node: &NodeProto) -> bool {
        self.activations(node).is_some()
    }

    /// Of a node that multiplies activations by a constant weight, the activations.
    pub fn activations(&self, node: &'m NodeProto) -> Option<&'m str> {
        self.activations_of(&view(node))
    }

    /// Of a node that multiplies activations by a constant weight, the name of the tensor behind that.
    pub fn weight(&self, node: &'m NodeProto) -> Option<&'m str> {
        let view = view(node);
        let activations = self.activations_of(&view)?;
        let weight = view.operands.iter().find(|operand| **operand != activations)?;
        Some(self.graph.behind_casts(weight)?.ok()?.name)
    }

    fn activations_of(&self, view: &View<'m>) -> Option<&'m str> {
        let (&[a, b], "MatMul" | "com.microsoft.Attention") = (view.operands.as_slice(), view.op) else { return None };
        let degree = |value| u8::from(self.is_computed(value)) + u8::from(self.content.contains(value));
        match (degree(a), degree(b)) {
            _ if a.is_empty() || b.is_empty() => None,
            (0, 0) | (2, 2) => None,
            // Two parameters, one at least repeated or cut to an input's shape: queries of a pooling head.
            (of_a, of_b) if of_a >= of_b => Some(a),
            _ => Some(b),
        }
    }

    /// The value before nodes that change its type only.
    pub fn settle(&self, value: &'m str) -> &'m str {
        self.settled.get(value).copied().unwrap_or(value)
    }

    /// What comes to `value` from behind: the linear layers and the values of `halt` that are met first. `None` if
    /// these are too many to settle anything.
    pub fn behind(&self, value: &'m str, halt: impl Fn(&str) -> bool) -> Option<Met<'m>> {
        let (mut met, mut seen, mut open) = (Met::default(), HashSet::new(), vec![value]);
        while let Some(value) = open.pop() {
            if !self.is_computed(value) || !seen.insert(value) {
                continue;
            }
            if halt(value) {
                met.halted.insert(value);
            } else if let Some(index) = self.graph.producer_index(value) {
                let node = &self.graph.nodes()[index];
                if self.is_linear(node) {
                    met.linear.insert(index);
                } else {
                    open.extend(self.before(node, value));
                }
            }
            if seen.len() > SEEN || met.linear.len() + met.halted.len() > MET {
                return None;
            }
        }
        Some(met)
    }

    /// The one linear layer that is behind `value`.
    pub fn only_behind(&self, value: &'m str) -> Option<usize> {
        self.behind(value, |_| false)?.only()
    }

    /// The linear layers that `value` comes to first.
    pub fn ahead(&self, value: &'m str) -> Option<Met<'m>> {
        let (mut met, mut seen, mut open) = (Met::default(), HashSet::new(), vec![value]);
        while let Some(value) = open.pop() {
            if !seen.insert(value) {
                continue;
            }
            let consumers = self.graph.consumers(value);
            if consumers.len() > SEEN {
                return None;
            }
            for &index in consumers {
                let node = &self.graph.nodes()[index];
                if self.activations(node) == Some(value) {
                    met.linear.insert(index);
                } else {
                    open.extend(self.after(node, value));
                }
            }
            if seen.len() > SEEN || met.linear.len() > MET {
                return None;
            }
        }
        Some(met)
    }

    /// Where a node is in the order of the graph. Of the layers on a residual stream, the last one was added last, since
    /// it needs all those before.
    pub fn place(&self, node: usize) -> usize {
        self.place[node]
    }

    /// The linear layers behind `value`, as many as are near.
    pub fn layers_behind(&self, value: &'m str) -> BTreeSet<usize> {
        let (mut met, mut open, mut seen) = (BTreeSet::new(), VecDeque::from([value]), HashSet::new());
        while let Some(value) = open.pop_front().filter(|_| seen.len() < SEEN) {
            let Some(index) = self.graph.producer_index(value).filter(|_| seen.insert(value)) else { continue };
            let node = &self.graph.nodes()[index];
            match self.is_linear(node) {
                true => drop(met.insert(index)),
                false => open.extend(self.before(node, value)),
            }
        }
        met
    }

    /// Whether a linear layer is behind `value`; with `means` false, not counting those that are behind a mean over
    /// tokens.
    pub fn comes_from_layers(&self, value: &'m str, means: bool) -> bool {
        let (mut open, mut seen) = (vec![value], HashSet::new());
        while let Some(value) = open.pop().filter(|_| seen.len() < SEEN) {
            let Some(index) = self.graph.producer_index(value).filter(|_| seen.insert(value)) else { continue };
            let node = &self.graph.nodes()[index];
            if self.is_linear(node) {
                return true;
            }
            if means || !matches!(&*node.op_type, "ReduceMean" | "ReduceMax" | "GlobalAveragePool") {
                open.extend(self.before(node, value));
            }
        }
        false
    }

    /// The activations that what a linear layer gives is added to, as on a residual stream, before another layer takes
    /// it. Empty if it is added to none. Where the sum serves nothing but another sum (attention and MLP side by side),
    /// what is added there too.
    pub fn joined(&self, node: &'m NodeProto) -> Vec<&'m str> {
        let own = node.output.first().and_then(|output| self.graph.producer_index(output));
        let of_own = |value: &'m str| own.is_some_and(|own| self.layers_behind(value).contains(&own));
        let mut open: Vec<&str> = node.output.first().map(String::as_str).into_iter().collect();
        let (mut seen, mut met): (HashSet<&str>, usize) = (open.iter().copied().collect(), 0);
        while let Some(value) = open.pop() {
            let consumers = self.graph.consumers(value);
            if consumers.len() + seen.len() > SEEN {
                break;
            }
            for &index in consumers {
                let user = &self.graph.nodes()[index];
                let others = self.met_in(
                    user,
                    value,
                    &["Add", "Sum", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization"],
                );
                let factors = self.met_in(user, value, &["Mul", "Div"]);
                met += others.len() + factors.len();
                if met > MET {
                    return vec![];
                }
                // What comes from the same layer is a part of an activation or of a normalisation.
                let others: Vec<&str> = others.into_iter().filter(|other| !of_own(other)).collect();
                if !others.is_empty() {
                    return others.into_iter().chain(self.added_next(user)).collect();
                }
                // What multiplies other layers' activations is their gate, and is added to nothing. (The scale of
                // quantised ones has no layer behind.)
                if factors.iter().all(|factor| of_own(factor) || self.layers_behind(factor).is_empty()) {
                    open.extend(self.after(user, value).into_iter().filter(|next| seen.insert(next)));
                }
            }
        }
        vec![]
    }

    /// Activations that a node of one of these operators joins with `value`.
    fn met_in(&self, node: &'m NodeProto, value: &str, ops: &[&str]) -> Vec<&'m str> {
        let View { op, operands, .. } = view(node);
        let (true, true) = (ops.contains(&op), self.is_content(value)) else { return vec![] };
        let operands = operands.into_iter().take(MET);
        operands.filter(|&operand| operand != value && self.is_content(operand)).collect()
    }

    /// What is added to a sum that serves nothing else.
    fn added_next(&self, node: &'m NodeProto) -> Vec<&'m str> {
        let [sum] = node.output.as_slice() else { return vec![] };
        let [only] = self.graph.consumers(sum) else { return vec![] };
        self.met_in(&self.graph.nodes()[*only], sum, &["Add", "Sum"])
    }

    /// The operands that a node hands on to its output `value`.
    pub fn before(&self, node: &'m NodeProto, value: &str) -> Vec<&'m str> {
        if node.output.len() > SEEN {
            return vec![];
        }
        let output = node.output.iter().position(|output| output == value).unwrap_or(0);
        handed(&view(node), output)
    }

    /// The outputs to which a node hands on its operand `value`.
    pub fn after(&self, node: &'m NodeProto, value: &str) -> Vec<&'m str> {
        if node.output.len() > SEEN {
            return vec![];
        }
        let view = view(node);
        let outputs = node.output.iter().enumerate().filter(|(_, output)| !output.is_empty());
        let taking = outputs.filter(|(index, _)| handed(&view, *index).contains(&value));
        taking.map(|(_, output)| output.as_str()).collect()
    }
}
