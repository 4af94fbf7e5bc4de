//! Embeddings of calibration pairs as a tower makes them, before it divides them by their length.

use ndarray::Array2;

use crate::onnx::{Graph, Modality, Replaced};
use crate::pass::Error;
use crate::pass::batches::Runner;
use crate::pass::data::Data;
use crate::pass::embed::Embedder;
use crate::pass::site::Site;
use crate::safeground::{self, Embeddings};

/// The tower as it ends before it divides embeddings by their length, if it does.
fn unnormalised<'m>(site: &Site<'m>) -> Site<'m> {
    let graph = site.graph;
    let mut value = site.tower.embedding.as_str();
    while let Some(node) = graph.producer(value) {
        let first = node.input.first().map_or("", String::as_str);
        match node.op_type.as_str() {
            "Identity" => value = first,
            "LpNormalization" => value = first,
            // A length is made from what it divides.
            "Div" if node.input.get(1).is_some_and(|divisor| made_from(graph, divisor, first)) => value = first,
            _ => break,
        }
    }
    let mut tower = site.tower.clone();
    tower.embedding = value.to_owned();
    Site { graph, tower, layers: vec![], opaque: vec![] }
}

/// Whether a few nodes lead from one value to another.
fn made_from(graph: &Graph, value: &str, source: &str) -> bool {
    let (mut pending, mut seen) = (vec![value], 0);
    while let Some(value) = pending.pop() {
        if value == source {
            return true;
        }
        seen += 1;
        if seen > NEAR {
            return false;
        }
        pending.extend(graph.producer(value).into_iter().flat_map(|node| node.input.iter().map(String::as_str)));
    }
    false
}

/// Values that are looked at between an embedding and its length.
const NEAR: usize = 32;

/// Embeddings of some calibration pairs by a tower, with other weights where such are given: of the safe samples, and of their
/// partners.
///
/// # Errors
/// If data or runtime fail, or an embedding is zero or not finite and bad samples are not to be skipped.
pub fn raw(
    runner: Runner,
    data: &Data,
    site: &Site,
    rows: &[usize],
    weights: Option<&Replaced>,
) -> Result<[Array2<f32>; 2], Error> {
    let site = &unnormalised(site);
    data.with_pairs(site, rows, |pairs| {
        let embedder = Embedder::with(runner, site, weights, pairs.safe)?;
        let tower = site.modality();
        let sides = [("safe", pairs.safe), ("unsafe", pairs.not_safe)];
        let mut embedded = vec![];
        for (side, samples) in sides {
            let stage = format!("embedding {tower}, {side}");
            let rows = embedder.raw(&stage, samples)?;
            let (_, bad) = Embeddings::normalise_each(rows.clone());
            if let Some((&row, &what)) = bad.iter().next()
                && !runner.limits.skip_bad_samples
                && weights.is_none()
            {
                let what_of = format!("{stage}, {}", samples.name(row));
                return Err(Error::SafeGround { what: what_of, source: safeground::Error::Undefined { row, what } });
            }
            embedded.push(rows);
        }
        let not_safe = embedded.pop().expect("two sides were embedded");
        Ok([embedded.pop().expect("two sides were embedded"), not_safe])
    })?
}

/// Embeddings of all calibration pairs by the tower of that modality, if it is there.
///
/// # Errors
/// If data or runtime fail.
pub fn embedded(
    runner: Runner,
    data: &Data,
    sites: &[(usize, Site)],
    tower: Modality,
) -> Result<Option<[Array2<f32>; 2]>, Error> {
    let Some((_, site)) = sites.iter().find(|(_, site)| site.modality() == tower) else { return Ok(None) };
    if !site.tower.pooled {
        return Ok(None);
    }
    let all: Vec<usize> = (0..data.calibration.rows.len()).collect();
    raw(runner, data, site, &all, None).map(Some)
}
