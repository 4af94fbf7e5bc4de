//! MLPs: a linear layer, an activation, a linear layer.

use std::collections::HashMap;

use super::flow::Flow;
use super::{BOOK, Bindings, Unit, Units};

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
    for &second in flow.graph.order() {
        let node = &nodes[second];
        let Some(input) = flow.activations(node).filter(|_| !units.is_named(second)) else { continue };
        let first = before(flow, &activations, input);
        let Some(first) = first.filter(|first| first.iter().all(|(layer, _)| !units.is_named(*layer))) else {
            continue;
        };
        let streams = if units.pooled.contains(&second) { vec![] } else { flow.joined(node) };
        // What was added to the stream before: another layer than those of blocks there makes it no block's stream.
        let before = streams.iter().rev().find_map(|stream| flow.last_behind(stream));
        let unit = match before.map(|layer| units.names.get(&layer).map(|(unit, _)| *unit)) {
            _ if streams.is_empty() => None,
            Some(Some(Some(unit))) if units.list[unit].mlp.is_none() => Some(unit),
            Some(Some(Some(_))) | None => Some(units.begin(Unit { mixer: None, stream: second, mlp: None })),
            Some(None | Some(None)) => None,
        };
        if let Some(unit) = unit {
            units.list[unit].mlp = Some(second);
        }
        for (layer, role) in first.into_iter().chain([(second, "fc2")]) {
            units.name(layer, unit, role);
        }
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
