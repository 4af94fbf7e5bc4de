//! Who makes and who uses each value of the main graph.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

use super::error::Error;
use super::model::{Constant, Model};
use super::proto::{GraphProto, NodeProto};

/// An index over a model's main graph. Values are named by strings, as in the file.
pub struct Graph<'m> {
    /// The model it indexes.
    pub model: &'m Model,
    producers: HashMap<&'m str, usize>,
    consumers: HashMap<&'m str, Vec<usize>>,
    initializers: HashSet<&'m str>,
    /// Node indices so that each comes after those it needs.
    order: Vec<usize>,
}

impl<'m> Graph<'m> {
    /// Indexes the graph and checks what everything else relies on: a value is made once, and none needs itself. Nodes
    /// should stand in topological order (ONNX IR specification, "Graphs"); some converters leave them otherwise, and
    /// runtimes sort them, as is done here.
    ///
    /// # Errors
    /// [`Error::InvalidGraph`] if a rule is broken.
    pub fn new(model: &'m Model) -> Result<Self, Error> {
        let graph = model.graph();
        let invalid = |reason| Error::InvalidGraph { path: model.path().to_owned(), reason };
        // Names should be unique; files where they are not exist and run. Who asks for such a constant is told.
        let initializers: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        let mut known: BTreeSet<&str> = initializers.iter().copied().collect();
        known.extend(graph.input.iter().map(|input| input.name.as_str()));
        known.extend(graph.sparse_initializer.iter().filter_map(|s| Some(s.values.as_ref()?.name.as_str())));
        let mut producers = HashMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            for value in node.output.iter().filter(|name| !name.is_empty()) {
                if !known.insert(value) {
                    return Err(invalid(format!("node {} makes '{value}' a second time", label(node, index))));
                }
                producers.insert(value.as_str(), index);
            }
        }
        let mut consumers = HashMap::<&str, Vec<usize>>::new();
        for (index, node) in graph.node.iter().enumerate() {
            for value in uses(node) {
                if !known.contains(value) {
                    return Err(invalid(format!("node {} uses '{value}', which nothing makes", label(node, index))));
                }
                consumers.entry(value).or_default().push(index);
            }
        }
        if let Some(output) = graph.output.iter().find(|output| !known.contains(output.name.as_str())) {
            return Err(invalid(format!("nothing makes the output '{}'", output.name)));
        }
        let order = sorted(&graph.node, &producers, &consumers)
            .map_err(|index| invalid(format!("node {} needs its own result", label(&graph.node[index], index))))?;
        Ok(Self { model, producers, consumers, initializers, order })
    }

    /// The nodes, as they stand in the file.
    pub fn nodes(&self) -> &'m [NodeProto] {
        &self.model.graph().node
    }

    /// The nodes, each after those it needs.
    pub fn sorted_nodes(&self) -> impl DoubleEndedIterator<Item = &'m NodeProto> + '_ {
        self.order.iter().map(|&index| &self.nodes()[index])
    }

    /// Node indices so that each comes after those it needs.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The value of that name, as the file holds it; `None` if no node makes it and it is no graph input.
    pub fn value(&self, name: &str) -> Option<&'m str> {
        let made = self.producer(name).and_then(|node| node.output.iter().find(|output| *output == name));
        let given = || self.model.graph().input.iter().map(|input| &input.name).find(|input| *input == name);
        made.or_else(given).map(String::as_str)
    }

    /// The index of the node that makes `value`.
    pub fn producer_index(&self, value: &str) -> Option<usize> {
        self.producers.get(value).copied()
    }

    /// The node that makes `value`.
    pub fn producer(&self, value: &str) -> Option<&'m NodeProto> {
        self.producers.get(value).map(|&index| &self.nodes()[index])
    }

    /// Indices of the nodes that use `value`.
    pub fn consumers(&self, value: &str) -> &[usize] {
        self.consumers.get(value).map_or(&[], Vec::as_slice)
    }

    /// Whether an initializer has that name.
    pub fn is_initializer(&self, name: &str) -> bool {
        self.initializers.contains(name)
    }

    /// The constant that `value` is: an initializer, or the value of a `Constant` node. `None` if it is computed; an
    /// error if it is a constant that cannot be told from another.
    pub fn held(&self, value: &str) -> Option<Result<Constant<'m>, String>> {
        let node = self.producer(value).is_some_and(|node| node.op_type == "Constant");
        (node || self.is_initializer(value))
            .then(|| self.model.constant(value).map_err(|reason| format!("'{value}', where {reason}")))
    }

    /// The constant behind `value`, seen through `Identity` nodes (the TorchScript exporter ties equal weights with
    /// them).
    pub fn constant(&self, value: &str) -> Option<Result<Constant<'m>, String>> {
        let mut value = value;
        loop {
            if let Some(constant) = self.held(value) {
                return Some(constant);
            }
            let node = self.producer(value).filter(|node| node.op_type == "Identity")?;
            // No value needs itself, so the chain ends.
            value = node.input.first()?;
        }
    }

    /// The constant behind `value`, seen also through `Cast` and `DequantizeLinear`, a few of them.
    pub fn behind_casts(&self, value: &str) -> Option<Result<Constant<'m>, String>> {
        let mut value = value;
        for _ in 0..16 {
            if let Some(constant) = self.held(value) {
                return Some(constant);
            }
            let passes = |node: &&NodeProto| matches!(&*node.op_type, "Identity" | "Cast" | "DequantizeLinear");
            value = self.producer(value).filter(passes)?.input.first()?;
        }
        None
    }

    /// For every value, which of the graph's true inputs it depends on: bit `i` of the set is input `i` of
    /// [`Graph::inputs`]; bit 63 stands for all from the 64th on. Constants are absent.
    pub fn dependencies(&self) -> HashMap<&'m str, u64> {
        let mut sets: HashMap<&str, u64> = HashMap::new();
        for (bit, name) in self.inputs().iter().enumerate() {
            sets.insert(name, 1 << bit.min(63));
        }
        for node in self.sorted_nodes() {
            let set = uses(node).iter().filter_map(|value| sets.get(value)).fold(0, |a, b| a | b);
            if set != 0 {
                sets.extend(node.output.iter().filter(|o| !o.is_empty()).map(|o| (o.as_str(), set)));
            }
        }
        sets
    }

    /// Names of the graph inputs that are not initializers (IR versions below 4 list those as inputs too).
    pub fn inputs(&self) -> Vec<&'m str> {
        let graph: &GraphProto = self.model.graph();
        graph.input.iter().map(|i| i.name.as_str()).filter(|name| !self.initializers.contains(name)).collect()
    }
}

/// Node indices in topological order, as in the file where that allows; the index of a node that needs itself if there
/// is one.
fn sorted(
    nodes: &[NodeProto],
    producers: &HashMap<&str, usize>,
    consumers: &HashMap<&str, Vec<usize>>,
) -> Result<Vec<usize>, usize> {
    let needs = |node: &NodeProto| uses(node).into_iter().filter(|value| producers.contains_key(value)).count();
    let mut open: Vec<usize> = nodes.iter().map(needs).collect();
    let mut ready: BinaryHeap<Reverse<usize>> = (0..nodes.len()).filter(|&k| open[k] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        // An output may be named once only, so that each use is counted down once.
        for &user in nodes[index].output.iter().filter_map(|value| consumers.get(value.as_str())).flatten() {
            open[user] -= 1;
            if open[user] == 0 {
                ready.push(Reverse(user));
            }
        }
    }
    match open.iter().position(|&left| left > 0) {
        Some(index) => Err(index),
        None => Ok(order),
    }
}

/// All values a node uses: its inputs, and what the graphs in its attributes take from around them.
pub(super) fn uses(node: &NodeProto) -> BTreeSet<&str> {
    let mut used: BTreeSet<&str> = node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for attribute in &node.attribute {
        for body in attribute.g.iter().chain(&attribute.graphs) {
            captures(body, &mut used);
        }
    }
    used
}

/// Names that `body` uses and does not define. The depth is bounded by the protobuf decoder's recursion limit.
fn captures<'g>(body: &'g GraphProto, out: &mut BTreeSet<&'g str>) {
    let mut inner = BTreeSet::new();
    for node in &body.node {
        inner.append(&mut uses(node));
    }
    inner.extend(body.output.iter().map(|output| output.name.as_str()));
    for own in body.input.iter().map(|i| &i.name).chain(body.initializer.iter().map(|t| &t.name)) {
        inner.remove(own.as_str());
    }
    for own in body.node.iter().flat_map(|node| &node.output) {
        inner.remove(own.as_str());
    }
    inner.remove("");
    out.append(&mut inner);
}

/// How messages name a node: its name, or its operator and place where it has none.
pub(super) fn label(node: &NodeProto, index: usize) -> String {
    if node.name.is_empty() { format!("#{index} ({})", node.op_type) } else { format!("'{}'", node.name) }
}
