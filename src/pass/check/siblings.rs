//! Files beside an edited model that hold the same weights, and whether they have its edit too.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::onnx::{
    self, Element, Graph, Hints, Linear, Modality, Model, find_layers, find_towers, same_file, sample_positions,
};
use crate::pass::folder::{is_sibling, others};
use crate::pass::matching::{Candidates, SAME_SCALE, Sought, most_alike, only, scale};
use crate::pass::{Error, Site};
use crate::report::checked::{Sibling, SiblingState};

/// Elements of a layer that are looked at, if more were changed.
const MOST: usize = 4096;

/// This share of the changed elements and more is nearly all.
const NEARLY_ALL: f64 = 0.9;

/// A change of codes that is as many times their noise shows in each: an error of rounding, evenly spread, is up to 1.73
/// times that, and half the change must be more.
const NOISES: f64 = 4.0;

/// The standard error up to which a share is certain.
const CERTAIN: f64 = 0.03;

/// What was done to a model, as a value that other files can be held against.
pub struct Edit<'a> {
    original: &'a Model,
    edited: &'a Model,
    hints: &'a Hints,
    changes: Vec<Change<'a>>,
    /// Layers that cannot be held against anything, and why.
    unread: Vec<String>,
}

/// What was done to a layer.
struct Change<'a> {
    layer: &'a Linear,
    /// Its weights before and after at [`sample_positions`], by which it is known again.
    samples: [Vec<f32>; 2],
    /// Elements that were changed.
    changed: usize,
    /// Some of them, evenly taken, as logical positions.
    positions: Vec<u32>,
    /// Their values before and after.
    values: [Vec<f32>; 2],
}

impl<'a> Edit<'a> {
    /// The edit of these layers of `original` that `edited` has.
    pub fn between(
        original: &'a Model,
        edited: &'a Model,
        layers: impl Iterator<Item = &'a Linear>,
        hints: &'a Hints,
    ) -> Self {
        let layers: Vec<&Linear> = layers.collect();
        let changes: Vec<_> = layers.into_par_iter().map(|layer| Change::of(layer, [original, edited])).collect();
        let (mut read, mut unread) = (vec![], vec![]);
        for change in changes {
            match change {
                Ok(change) => read.push(change),
                Err(error) => unread.push(error.to_string()),
            }
        }
        Self { original, edited, hints, changes: read, unread }
    }

    /// The files beside the edited one that hold its weights by their names, or by what is in them; none of the `given`
    /// ones, and no copy of the original under a name of its own.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn siblings(&self, given: &[PathBuf]) -> Result<Vec<Sibling>, Error> {
        let path = self.edited.path();
        let listed = others(path).map_err(|source| {
            let path = onnx::folder_of(path).to_owned();
            onnx::Error::Io { action: "list", path, source }
        })?;
        // One that is called a sibling is shipped as one, were it the original itself.
        let left_out = |other: &PathBuf| !is_sibling(path, other) && given.iter().any(|given| same_file(given, other));
        let beside = listed.into_iter().filter(|other| !left_out(other));
        Ok(beside.filter_map(|path| Some(Sibling { state: self.state_of(&path)?, path })).collect())
    }

    /// The state of another file; `None` if it is no sibling.
    fn state_of(&self, path: &Path) -> Option<SiblingState> {
        let named = is_sibling(self.edited.path(), path);
        let found = Model::open(path).map_err(|error| error.to_string()).and_then(|model| {
            if !named && same_bytes(&model, self.original) {
                return Err("it is the original".to_owned());
            }
            match same_bytes(&model, self.edited) {
                true => Ok(SiblingState::Edited),
                false => self.look(&model),
            }
        });
        match found {
            Ok(state) => Some(state),
            Err(reason) => named.then_some(SiblingState::Unknown(reason)),
        }
    }

    /// Whether a model has the edit; or why it seems to have none of its weights.
    fn look(&self, model: &Model) -> Result<SiblingState, String> {
        if self.changes.is_empty() {
            let reason = "what was changed is in no linear layer that is known";
            return Err(self.unread.first().cloned().unwrap_or(reason.to_owned()));
        }
        let graph = Graph::new(model).map_err(|error| error.to_string())?;
        let of = |tower| self.changes.iter().filter(move |change| change.layer.modality == tower);
        let hints = hints_for(&graph, self.hints);
        let hints = Hints { only: only(|tower| of(tower).next().is_some()), ..hints };
        let towers = find_towers(&graph, &hints).map_err(|error| error.to_string())?;
        let layers = find_layers(&graph, &towers.found);
        let (mut told, mut found, mut lost) = (vec![], 0, self.unread.clone());
        for tower in [Modality::Text, Modality::Vision] {
            let Some(its) = towers.found.iter().find(|found| found.modality == tower) else {
                let failed = towers.failed.iter().find(|(failed, _)| *failed == tower);
                lost.extend(failed.filter(|_| of(tower).next().is_some()).map(|(_, reason)| reason.clone()));
                continue;
            };
            let site = Site::new(&graph, its.clone(), &layers);
            let mut candidates = Candidates::new(&site);
            for change in of(tower) {
                let layer = candidates.find(change.sought()).unwrap_or_else(|error| Err(error.to_string()));
                match layer.and_then(|(layer, _)| change.share(model, layer).map_err(|error| error.to_string())) {
                    Ok(share) => {
                        found += 1;
                        told.extend(share.map(|share| (change.changed as f64, share)));
                    }
                    Err(reason) => lost.push(reason),
                }
            }
        }
        let lost = lost.into_iter().next();
        match found {
            0 => Err(lost.unwrap_or("it has none of the towers that were changed".to_owned())),
            _ => Ok(judge(&told, lost)),
        }
    }
}

/// What comes of the layers, given as changed elements and the share of them that are as the model has them. `lost` is
/// why a layer could not be looked at.
fn judge(layers: &[(f64, f64)], lost: Option<String>) -> SiblingState {
    let all: f64 = layers.iter().map(|(changed, _)| changed).sum();
    let share = layers.iter().map(|(changed, share)| changed * share).sum::<f64>() / all;
    let each = |holds: fn(f64) -> bool| layers.iter().all(|(_, share)| holds(*share));
    match lost {
        _ if layers.is_empty() => {
            let reason = "what was changed is too little to show at its precision";
            SiblingState::Unknown(lost.unwrap_or(reason.to_owned()))
        }
        // Beside many changed elements in one layer, few in another would not count.
        _ if share <= 1.0 - NEARLY_ALL && each(|share| share <= 0.5) => SiblingState::Stale,
        _ if share < NEARLY_ALL || !each(|share| share >= 0.5) => SiblingState::Other(100.0 * share),
        Some(reason) => SiblingState::Unknown(reason),
        None => SiblingState::Edited,
    }
}

impl<'a> Change<'a> {
    fn of(layer: &'a Linear, [original, edited]: [&Model; 2]) -> Result<Self, onnx::Error> {
        let weight = &layer.weight;
        let everywhere: Vec<u32> = (0..(weight.shape[0] * weight.shape[1]) as u32).collect();
        let (before, after) = (weight.sample(original, &everywhere)?, weight.sample(edited, &everywhere)?);
        let at = |positions: &[u32]| {
            [&before, &after].map(|values| positions.iter().map(|&position| values[position as usize]).collect())
        };
        let differs = |position: &u32| before[*position as usize].to_bits() != after[*position as usize].to_bits();
        let all: Vec<u32> = everywhere.iter().copied().filter(differs).collect();
        let taken = all.len().min(MOST);
        let positions: Vec<u32> = (0..taken).map(|k| all[k * all.len() / taken]).collect();
        Ok(Self {
            layer,
            samples: at(&sample_positions(weight.shape)),
            changed: all.len(),
            values: at(&positions),
            positions,
        })
    }

    fn sought(&self) -> Sought<'_> {
        let Linear { modality, block, role, node, weight, .. } = self.layer;
        Sought { tower: *modality, block: *block, role, node, shape: weight.shape, samples: &self.samples }
    }

    /// The share of the changed elements that are nearer to what they are in the edited model than to what they were;
    /// `None` if none tells. Elements whose change is finer than the precision of the weights say nothing, nor do those
    /// that are as near to one as to the other: codes that stand for 0, of a negation. Where none says anything by
    /// itself, it is how far all of them together are on the way, if that is certain enough.
    fn share(&self, model: &Model, layer: &Linear) -> Result<Option<f64>, onnx::Error> {
        let own = layer.weight.sample(model, &sample_positions(layer.weight.shape))?;
        let factor = self.scale(&own);
        if !factor.is_finite() || factor <= 0.0 {
            return Ok(None);
        }
        let relative = relative_precision(layer.weight.open(model)?.element);
        let noise = self.noise(&own, factor);
        let own = layer.weight.sample(model, &self.positions)?;
        let (mut told, mut edited) = (0_usize, 0_usize);
        let (mut moved, mut whole) = (0.0, 0.0);
        for ((own, before), after) in own.iter().zip(&self.values[0]).zip(&self.values[1]) {
            let (own, before, after) = (f64::from(*own) / factor, f64::from(*before), f64::from(*after));
            let (change, far, near) = (after - before, (own - before).abs(), (own - after).abs());
            if !(change + far + near).is_finite() {
                continue;
            }
            moved += change * (own - before);
            whole += change * change;
            let finest = relative.map_or(NOISES * noise, |share| share * before.abs().max(after.abs()));
            if change.abs() > finest && near != far {
                told += 1;
                edited += usize::from(near < far);
            }
        }
        let certain = relative.is_none() && noise <= CERTAIN * whole.sqrt();
        Ok(match told {
            0 => (certain && whole > 0.0).then(|| (moved / whole).clamp(0.0, 1.0)),
            _ => Some(edited as f64 / told as f64),
        })
    }

    /// How many times the model's weights a sibling's are.
    fn scale(&self, own: &[f32]) -> f64 {
        // An edit that makes all of a layer larger would else pass for another scale of it.
        let same = |factor: f64| (factor - 1.0).abs() < SAME_SCALE;
        if self.samples.iter().any(|sample| same(scale(own, sample))) {
            return 1.0;
        }
        let (like, _) = most_alike(own, &self.samples);
        let first = scale(own, &self.samples[like]);
        // Once more, with each element as it is there.
        let nearest: Vec<f32> = own.iter().zip(self.pairs()).map(|(own, pair)| nearest(*own, first, pair)).collect();
        let factor = scale(own, &nearest);
        if same(factor) { 1.0 } else { factor }
    }

    /// By how much a sibling's weights differ from what they are made of: the root of the mean square.
    fn noise(&self, own: &[f32], factor: f64) -> f64 {
        let square =
            |(own, pair): (&f32, [f32; 2])| (f64::from(*own) / factor - f64::from(nearest(*own, factor, pair))).powi(2);
        (own.iter().zip(self.pairs()).map(square).sum::<f64>() / own.len() as f64).sqrt()
    }

    /// The sampled weights before and after.
    fn pairs(&self) -> impl Iterator<Item = [f32; 2]> {
        self.samples[0].iter().zip(&self.samples[1]).map(|(before, after)| [*before, *after])
    }
}

/// Whichever of two values is nearer to `own`, which is `factor` times as large.
fn nearest(own: f32, factor: f64, [before, after]: [f32; 2]) -> f32 {
    let off = |value: f32| (f64::from(own) / factor - f64::from(value)).abs();
    if off(after) < off(before) { after } else { before }
}

/// From one float to the next, as a share of it (of those read here: in no more than float32); `None` for codes, whose
/// step is not the same everywhere.
fn relative_precision(element: Element) -> Option<f64> {
    match element {
        Element::F32 | Element::F64 => Some(2.0_f64.powi(-22)),
        Element::F16 => Some(2.0_f64.powi(-10)),
        Element::BF16 => Some(2.0_f64.powi(-7)),
        Element::I8 | Element::U8 | Element::I4 | Element::U4 => None,
    }
}

/// What the user says, without what is said of another file.
pub fn hints_for(graph: &Graph, hints: &Hints) -> Hints {
    let mut hints = hints.clone();
    hints.embeddings.retain(|name| graph.producer(name).is_some());
    hints
}

/// Whether two models are one, with their data files.
fn same_bytes(a: &Model, b: &Model) -> bool {
    let (a, b) = (a.sources(), b.sources());
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.bytes() == b.bytes())
}
