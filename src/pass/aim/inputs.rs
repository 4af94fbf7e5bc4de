//! What flows into the layer that is aimed at, sample by sample, and the embeddings that come of it.

use ndarray::{Array2, Axis, concatenate};

use super::AimedPlan;
use super::change::Change;
use crate::onnx::{Graph, Modality, Replaced, Selection};
use crate::pass::Error;
use crate::pass::batches::Runner;
use crate::pass::calibrate::Measuring;
use crate::pass::data::Data;
use crate::pass::embed::Embedder;
use crate::pass::site::Site;
use crate::uwm::aim::Ahead;

/// The layer of a tower, with what the calibration pairs bring to it.
pub struct Inputs {
    /// `[N, I]`: of the safe samples, and of their partners.
    pub rows: [Array2<f32>; 2],
    /// Which pairs are finite on both sides.
    pub finite: Vec<bool>,
    /// The weight `[O, I]`.
    pub weight: Array2<f64>,
    /// What a negation makes of it.
    pub negated: Array2<f64>,
    /// What the user should know of how it ran.
    pub notes: Vec<String>,
}

impl Inputs {
    /// Runs the calibration pairs through a tower.
    ///
    /// # Errors
    /// If data or runtime fail, or a sample has more than one row there.
    pub fn gather(runner: Runner, data: &Data, plan: &AimedPlan) -> Result<Self, Error> {
        let AimedPlan { site, layer, .. } = plan;
        let all: Vec<usize> = (0..data.calibration.rows.len()).collect();
        let (mut rows, mut finite) = ([vec![], vec![]], vec![]);
        let notes = data.with_pairs(site.modality(), &all, |pairs| {
            let measuring = Measuring::new(runner, site, std::slice::from_ref(layer), pairs)?;
            let tap = *measuring.taps.of_layer[0].first().expect("a layer has an input");
            let mut most = 1;
            measuring.over(0..all.len(), |_, sides| {
                let [safe, not_safe] = sides.each_ref().map(|statistics| &statistics[tap]);
                most = safe.tokens.iter().chain(&not_safe.tokens).copied().fold(most, usize::max);
                finite.extend(safe.finite.iter().zip(&not_safe.finite).map(|(a, b)| a & b));
                for (rows, side) in rows.iter_mut().zip([safe, not_safe]) {
                    rows.push(side.mean.clone());
                }
                Ok(())
            })?;
            match most {
                1 => Ok(measuring.prepared.notes),
                rows => Err(Error::Conflict {
                    reason: format!(
                        "layer {} of the {} tower is given up to {rows} rows a sample, and aimed negation needs one",
                        layer.node,
                        site.modality()
                    ),
                    help: "choose the layer after the pooling with --layers, or another --preset",
                }),
            }
        })?;
        let joined = |parts: Vec<Array2<f32>>| {
            let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
            concatenate(Axis(0), &views).expect("all have the layer's width")
        };
        let model = site.graph.model;
        Ok(Self {
            rows: rows.map(joined),
            finite,
            weight: layer.weight.read(model)?.mapv(f64::from),
            negated: layer.weight.negated(model)?.mapv(f64::from),
            notes,
        })
    }

    /// The embeddings of both sides `[N, O]`, up to the length of each, for which a change of the layer's outputs is as
    /// large a change of theirs; `None` if what follows the layer does not let through such changes as they are.
    ///
    /// # Errors
    /// If data or runtime fail.
    pub fn embeddings(&self, runner: Runner, data: &Data, plan: &AimedPlan) -> Result<Option<[Array2<f32>; 2]>, Error> {
        let site = plan.site;
        let probe = self.probe();
        if probe.is_empty() {
            return Ok(None);
        }
        let weight = self.weight.mapv(|value| value as f32);
        let outputs = |side: &Array2<f32>| side.dot(&weight.t());
        let seen = raw(runner, data, site, &probe, None)?;
        let both = |parts: [Array2<f32>; 2]| {
            concatenate(Axis(0), &[parts[0].view(), parts[1].view()]).map(|rows| rows.mapv(f64::from)).ok()
        };
        let made = self.rows.each_ref().map(|side| outputs(&side.select(Axis(0), &probe)));
        let ahead = both(made).zip(both(seen)).and_then(|(made, seen)| Ahead::find(&made, &seen));
        Ok(match ahead {
            None => None,
            Some(Ahead::Plus(bias)) => {
                let bias = bias.mapv(|value| value as f32);
                Some(self.rows.each_ref().map(|side| outputs(side) + &bias))
            }
            Some(Ahead::Each) => Some(raw(runner, data, site, &(0..self.finite.len()).collect::<Vec<_>>(), None)?),
        })
    }

    /// How alike the embeddings of a few samples by the changed tower are to those that follow from `embeddings`, those of
    /// the tower as it is: the smallest cosine; `None` where one is not defined or the change cannot be tried.
    ///
    /// # Errors
    /// If data or runtime fail.
    pub fn foretold(
        &self,
        runner: Runner,
        data: &Data,
        plan: &AimedPlan,
        embeddings: &[Array2<f32>; 2],
        change: &Change,
    ) -> Result<Option<f64>, Error> {
        let probe = self.probe();
        let Change { update, positions } = change.clone();
        let selection = Selection { layer: plan.layer.clone(), update, positions };
        let Some(weights) = Replaced::new(plan.site.graph.model, &[selection])? else { return Ok(None) };
        let seen = raw(runner, data, plan.site, &probe, Some(&weights))?;
        let difference = change.difference(self);
        let mut least = f64::INFINITY;
        for ((inputs, before), seen) in self.rows.iter().zip(embeddings).zip(&seen) {
            let foretold = before.select(Axis(0), &probe) + inputs.select(Axis(0), &probe).dot(&difference.t());
            for (a, b) in foretold.rows().into_iter().zip(seen.rows()) {
                let cosine = f64::from(a.dot(&b)) / (f64::from(a.dot(&a)).sqrt() * f64::from(b.dot(&b)).sqrt());
                if !cosine.is_finite() {
                    return Ok(None);
                }
                least = least.min(cosine);
            }
        }
        Ok(Some(least))
    }

    /// A few pairs.
    fn probe(&self) -> Vec<usize> {
        (0..self.finite.len()).filter(|&row| self.finite[row]).take(PROBE).collect()
    }
}

/// Samples of each side that are embedded to see what follows a layer.
const PROBE: usize = 16;

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

/// Embeddings of some calibration pairs as the graph gives them, before it normalises them.
fn raw(
    runner: Runner,
    data: &Data,
    site: &Site,
    rows: &[usize],
    weights: Option<&Replaced>,
) -> Result<[Array2<f32>; 2], Error> {
    let site = &unnormalised(site);
    data.with_pairs(site.modality(), rows, |pairs| {
        let embedder = Embedder::with(runner, site, weights, pairs.safe)?;
        let tower = site.modality();
        let safe = embedder.raw(&format!("embedding {tower}, safe"), pairs.safe)?;
        Ok([safe, embedder.raw(&format!("embedding {tower}, unsafe"), pairs.not_safe)?])
    })
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
