//! MLPs: a linear layer, an activation, a linear layer.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::flow::Flow;
use super::{BOOK, Bindings, Unit, Units};
use crate::onnx::graph::uses;

/// The patterns that are activations.
const ACTIVATIONS: [&str; 13] = [
    "gelu",
    "gelu-erf",
    "gelu-tanh",
    "quick-gelu",
    "silu",
    "relu-squared",
    "relu",
    "hard-swish",
    "mish",
    "geglu",
    "swiglu",
    "reglu",
    "glu",
];

/// Names the layers of each MLP that have no name yet. One that is added to a stream is of the unit whose attention was
/// added there last, if that has none yet; else it is a unit of its own. One that is added to nothing is of the head.
pub(super) fn find(flow: &Flow<'_, '_>, units: &mut Units) {
    let nodes = flow.graph.nodes();
    let results = nodes.iter().filter_map(|node| node.output.first()).map(String::as_str);
    let activations: HashMap<&str, Bindings> =
        results.filter_map(|value| Some((value, BOOK.first(flow, value, &ACTIVATIONS)?.1))).collect();
    // Values that a unit is behind.
    let mut after: HashSet<&str> = HashSet::new();
    let mut streams: HashSet<usize> = units.list.iter().map(|unit| unit.stream).collect();
    for &second in flow.graph.order() {
        let node = &nodes[second];
        if streams.contains(&second) || uses(node).iter().any(|value| after.contains(value)) {
            after.extend(node.output.iter().map(String::as_str));
        }
        let Some(input) = flow.activations(node).filter(|_| !units.is_named(second)) else { continue };
        let first = before(flow, &activations, input);
        let Some(first) = first.filter(|first| first.iter().all(|(layer, _)| !units.is_named(*layer))) else {
            continue;
        };
        let joined = if units.pooled.contains(&second) { vec![] } else { flow.joined(node) };
        let unit = unit_of(flow, &after, units, &joined, second);
        if let Some(unit) = unit {
            units.list[unit].mlp = Some(second);
            streams.insert(second);
            after.extend(node.output.iter().map(String::as_str));
        }
        for (layer, role) in first.into_iter().chain([(second, "fc2")]) {
            units.name(layer, unit, role);
        }
    }
}

/// The unit of an MLP whose second layer is added to `streams`: the last one there that has no MLP yet; else a new one.
/// None if it is added to nothing, or to what is no block's.
fn unit_of<'m>(
    flow: &Flow<'_, 'm>,
    after: &HashSet<&str>,
    units: &mut Units,
    streams: &[&'m str],
    second: usize,
) -> Option<usize> {
    let behind: BTreeSet<usize> = streams.iter().flat_map(|stream| flow.layers_behind(stream)).collect();
    let named = behind.iter().filter_map(|&layer| Some((layer, units.names.get(&layer)?.0)));
    let of_blocks = named.clone().filter_map(|(layer, unit)| Some((flow.place(layer), unit?)));
    let open = of_blocks.clone().filter(|(_, unit)| units.list[*unit].mlp.is_none()).max();
    let begins = match behind.iter().copied().collect::<Vec<_>>().as_slice() {
        _ if streams.is_empty() => false,
        _ if of_blocks.count() > 0 => true,
        // A layer of no block that comes after blocks begins it: a projection, with a residual of its own.
        &[only] => flow.activations(&flow.graph.nodes()[only]).is_some_and(|input| !after.contains(input)),
        _ => named.count() == 0,
    };
    match open {
        Some((_, unit)) => Some(unit),
        None => begins.then(|| units.begin(Unit { mixer: None, stream: second, mlp: None })),
    }
}

/// The layers before the activation that makes the second layer's input, if there are such.
fn before<'m>(
    flow: &Flow<'_, 'm>,
    activations: &HashMap<&'m str, Bindings<'m>>,
    input: &'m str,
) -> Option<Vec<(usize, &'static str)>> {
    let met = flow.behind(input, |value| activations.contains_key(value))?;
    let activation = match (met.linear.len(), met.halted.len()) {
        (0, 1) => &activations[met.halted.first()?],
        // The activation is a part of the first layer's own node.
        (1, 0) => {
            let first = met.only()?;
            let node = &flow.graph.nodes()[first];
            let own = node.op_type == "GemmFastGelu" || node.attribute.iter().any(|a| a.name == "activation");
            return own.then(|| vec![(first, "fc1")]);
        }
        _ => return None,
    };
    let x = flow.only_behind(activation.get("x")?)?;
    match activation.get("other").map(|other| flow.only_behind(other)) {
        None => Some(vec![(x, "fc1")]),
        Some(Some(other)) if other == x => Some(vec![(x, "fc1")]),
        Some(Some(other)) => Some(vec![(x, "fc1_gate"), (other, "fc1")]),
        Some(None) => None,
    }
}
