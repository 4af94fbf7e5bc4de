//! MLPs: a linear layer, an activation, a linear layer.

use std::collections::{BTreeMap, HashMap};

use super::flow::Flow;
use super::{BOOK, Behind, Bindings, Part};

/// Activations; those with a gate first, since they contain the others.
const ACTIVATIONS: [&str; 13] = [
    "geglu",
    "swiglu",
    "reglu",
    "gelu",
    "gelu-erf",
    "gelu-tanh",
    "quick-gelu",
    "silu",
    "relu-squared",
    "relu",
    "hard-swish",
    "mish",
    "glu",
];

/// Names the layers of each MLP that have no name yet.
pub(super) fn find<'m>(flow: &Flow<'_, 'm>, behind: &HashMap<&'m str, Behind>, parts: &mut BTreeMap<usize, Part>) {
    let nodes = flow.graph.nodes();
    let results = nodes.iter().filter_map(|node| node.output.first()).map(String::as_str);
    let activations: HashMap<&str, Bindings> =
        results.filter_map(|value| Some((value, BOOK.first(flow, value, &ACTIVATIONS)?.1))).collect();
    // Blocks without attention are counted as they come.
    let mut without = 0;
    for &second in flow.graph.order() {
        let node = &nodes[second];
        let Some(input) = flow.activations(node).filter(|_| !parts.contains_key(&second)) else { continue };
        let first = before(flow, &activations, input);
        let Some(first) = first.filter(|first| first.iter().all(|(layer, _)| !parts.contains_key(layer))) else {
            continue;
        };
        let (blocks, heads) = behind.get(input).copied().unwrap_or_default();
        let block = match (blocks, heads, flow.joins(node)) {
            (0, 0, true) => {
                without += 1;
                Some(without - 1)
            }
            (1.., 0, true) => Some(blocks - 1),
            _ => None,
        };
        let prefix = if block.is_some() { "" } else { "head." };
        for (layer, role) in first.into_iter().chain([(second, "fc2")]) {
            parts.insert(layer, Part { block, role: format!("{prefix}{role}") });
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
