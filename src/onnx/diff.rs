//! What differs between two models: the graph, or only values of tensors.

use rayon::prelude::*;
use serde::Serialize;

use super::element::Element;
use super::error::Error;
use super::graph::Graph;
use super::layers::weights;
use super::model::Model;
use super::outline::{differences, outline};
use super::tensor::{Opened, Weight};
use super::values::{Named, plain, tensors};

/// What differs between a model `a` and a model `b`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// What else than values of tensors differs; empty if the graphs are the same.
    pub graph: Vec<String>,
    /// Metadata entries of this tool that only one of them has or that differ: said, and not counted as a difference.
    pub provenance: Vec<String>,
    /// Data files by the location in `a` and in `b`, where it is another: said, and not counted.
    pub renamed: Vec<(String, String)>,
    /// Tensors whose values differ.
    pub tensors: Vec<TensorDiff>,
    /// Tensors that were compared.
    pub compared: usize,
}

/// How the values of a tensor differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorDiff {
    /// Its name, or that of its node.
    pub tensor: String,
    /// Its type, by ONNX's name.
    pub element: &'static str,
    /// Its dimensions.
    pub dims: Vec<i64>,
    /// Whether it is an attribute of a node, and no initializer.
    pub of_node: bool,
    /// Its elements.
    pub elements: usize,
    /// Elements that differ.
    pub changed: usize,
    /// Of these, floats whose sign differs and nothing else, and codes mirrored about their zero point (or as far as
    /// their range goes).
    pub negated: usize,
    /// Of these, the rest.
    pub other: usize,
    /// The largest absolute difference, as values where the scale of codes is known; `None` where it is not a number.
    pub largest: Option<f64>,
}

impl Diff {
    /// Whether nothing but values of tensors differs.
    pub fn only_values(&self) -> bool {
        self.graph.is_empty()
    }

    /// Elements that differ.
    pub fn changed(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.changed).sum()
    }
}

/// Compares two models.
///
/// # Errors
/// If the values of a tensor cannot be read.
pub fn diff(a: &Model, b: &Model) -> Result<Diff, Error> {
    let mut graph = vec![];
    if outline(a.bytes()) != outline(b.bytes()) {
        graph = differences(a.proto(), b.proto());
    }
    let (of_a, of_b) = (tensors(a.proto()), tensors(b.proto()));
    let pairs = pair(&of_a, &of_b, &mut graph);
    graph.extend(pairs.iter().filter_map(|(a, b)| otherwise_stored(a, b)));
    // A graph that is not valid has no weights that are known; its tensors can be compared all the same.
    let known = Graph::new(a).map(|graph| weights(&graph)).unwrap_or_default();
    let compare = |(left, right): &(&Named, &Named)| compare(a, b, left, right, known.get(&left.name));
    let compared = pairs.len();
    let found = pairs.par_iter().map(compare).collect::<Result<Vec<_>, Error>>()?;
    let names = a.locations().iter().zip(b.locations()).map(|((a, _), (b, _))| (a.clone(), b.clone()));
    Ok(Diff {
        graph,
        provenance: provenance(a, b),
        renamed: names.filter(|(a, b)| a != b).collect(),
        tensors: found.into_iter().flatten().collect(),
        compared,
    })
}

/// Tensors of both models that belong together: all, in order, if their names agree; else those whose name occurs
/// once on either side. The rest is a difference.
fn pair<'a>(a: &'a [Named<'a>], b: &'a [Named<'a>], graph: &mut Vec<String>) -> Vec<(&'a Named<'a>, &'a Named<'a>)> {
    let alike = |a: &Named, b: &Named| {
        (&a.name, &a.tensor.dims, a.tensor.data_type) == (&b.name, &b.tensor.dims, b.tensor.data_type)
    };
    if a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)) {
        return a.iter().zip(b).collect();
    }
    let mut by_name = std::collections::BTreeMap::<&str, [Vec<&Named>; 2]>::new();
    a.iter().for_each(|named| by_name.entry(&named.name).or_default()[0].push(named));
    b.iter().for_each(|named| by_name.entry(&named.name).or_default()[1].push(named));
    let mut pairs = vec![];
    for (name, sides) in by_name {
        match [sides[0].as_slice(), sides[1].as_slice()] {
            [[a], [b]] if alike(a, b) => pairs.push((*a, *b)),
            [[a], [b]] => graph.push(format!(
                "tensor '{name}' has dimensions {:?} and type {} on one side, {:?} and {} on the other",
                a.tensor.dims, a.tensor.data_type, b.tensor.dims, b.tensor.data_type
            )),
            [[], _] => graph.push(format!("tensor '{name}' is in the second model only")),
            [_, []] => graph.push(format!("tensor '{name}' is in the first model only")),
            _ => graph.push(format!("several tensors are named '{name}', which cannot be told apart")),
        }
    }
    pairs
}

fn otherwise_stored(a: &Named, b: &Named) -> Option<String> {
    let storage = |named: &Named| {
        let tensor = named.tensor;
        match (tensor.data_location == 1, &tensor.raw_data) {
            (true, _) => "in a data file",
            (_, Some(_)) => "in raw_data",
            _ => "in a typed field",
        }
    };
    let (left, right) = (storage(a), storage(b));
    (left != right)
        .then(|| format!("the values of tensor '{}' are {left} on one side and {right} on the other", a.name))
}

fn provenance(a: &Model, b: &Model) -> Vec<String> {
    let entries = |model: &Model| {
        let own = model.proto().metadata_props.iter().filter(|entry| entry.key.starts_with("uwm."));
        own.map(|entry| format!("{} = {}", entry.key, entry.value)).collect::<Vec<_>>()
    };
    let (left, right) = (entries(a), entries(b));
    let only = |these: &[String], those: &[String], side: &str| {
        these.iter().filter(|entry| !those.contains(entry)).map(|entry| format!("{side}: {entry}")).collect::<Vec<_>>()
    };
    [only(&left, &right, "first"), only(&right, &left, "second")].concat()
}

fn compare(
    model_a: &Model,
    model_b: &Model,
    a: &Named,
    b: &Named,
    weight: Option<&Weight>,
) -> Result<Option<TensorDiff>, Error> {
    let left = plain(model_a, a.tensor).map_err(|reason| model_a.unusable(&a.name, reason))?;
    let right = plain(model_b, b.tensor).map_err(|reason| model_b.unusable(&b.name, reason))?;
    if left == right {
        return Ok(None);
    }
    // Codes need the weight that they are of: its packing, its zero points, its scale.
    let opened = weight.and_then(|weight| Some((weight, weight.open(model_a).ok()?)));
    let element = match &opened {
        Some((_, opened)) => Some(opened.element),
        None => Element::of(a.tensor.data_type).ok(),
    };
    let mut found = TensorDiff {
        tensor: a.name.clone(),
        element: element.map_or("other", Element::name),
        dims: a.tensor.dims.clone(),
        of_node: a.of_node,
        elements: a.tensor.dims.iter().product::<i64>().max(0) as usize,
        changed: 0,
        negated: 0,
        other: 0,
        largest: Some(0.0),
    };
    match element.filter(|_| left.len() == right.len()) {
        Some(element) => {
            found.elements = left.len() * 8 / element.bits();
            count(&mut found, element, opened.as_ref(), &left, &right);
        }
        None => {
            // Of other types (shapes, masks, strings) it is enough to know that they differ.
            found.changed = 1;
            found.other = 1;
            found.largest = None;
        }
    }
    Ok(Some(found))
}

/// Elements a block: those whose bytes are equal are passed over at the speed of memory.
const BLOCK: usize = 2048;

fn count(found: &mut TensorDiff, element: Element, opened: Option<&(&Weight, Opened)>, left: &[u8], right: &[u8]) {
    let size = BLOCK * element.bits() / 8;
    for (block, (one, two)) in left.chunks(size).zip(right.chunks(size)).enumerate() {
        if one == two {
            continue;
        }
        for index in 0..one.len() * 8 / element.bits() {
            if element.same(one, two, index) {
                continue;
            }
            found.changed += 1;
            let position = opened.map(|(weight, _)| {
                let index = block * BLOCK + index;
                [index / weight.layout.pitch, index % weight.layout.pitch]
            });
            let mut mirrored = element.raw(one, index);
            if element.is_float() {
                element.scale(&mut mirrored, 0, -1.0);
            } else if let (Some((_, opened)), Some(position)) = (opened, position) {
                element.move_code(&mut mirrored, 0, opened.zero(position), -1.0);
            }
            if mirrored == element.raw(two, index) {
                found.negated += 1
            } else {
                found.other += 1
            }
            let value = |bytes: &[u8]| {
                let element = element.get(bytes, index);
                let parameters = opened.and_then(|(_, opened)| opened.parameters.as_ref());
                parameters.zip(position).map_or(element, |(parameters, at)| parameters.value(element, at))
            };
            let change = (value(one) - value(two)).abs();
            found.largest = found.largest.filter(|_| !change.is_nan()).map(|largest| largest.max(change));
        }
    }
    found.largest = found.largest.filter(|largest| largest.is_finite());
}
