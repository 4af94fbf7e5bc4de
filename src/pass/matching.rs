//! A patch for the same weights in another file: other precision, other exporter, other names.

use super::Error;
use super::site::Site;
use crate::onnx::{self, Graph, Hints, Linear, Modality, Patch, PatchLayer, Selection, Update, sample_positions};

/// How a patch's layers were found again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matched {
    /// Of each layer, the correlation of its weights with those the patch was made from.
    pub correlations: Vec<f64>,
    /// What was left out.
    pub notes: Vec<String>,
}

/// Below this correlation weights are not the same. Rounding to 4 bits keeps about 0.99; other layers of a trained
/// model have about 0.
const SAME: f64 = 0.9;

/// How far the scale of weights may be off that are to be given other values.
pub const SAME_SCALE: f64 = 0.02;

/// The patch that makes the same edit in the model of `graph`: layers are known again by their weights, and where
/// block and role are known on both sides, these must agree.
///
/// # Errors
/// [`onnx::Error::Patch`] if a layer of a tower that the model has is not found, or not for sure.
pub fn for_sibling(graph: &Graph, hints: &Hints, patch: &Patch) -> Result<(Patch, Matched), Error> {
    let model = graph.model;
    let of = |tower| patch.layers.iter().any(|layer| layer.tower == tower);
    let only = only(of);
    hints.check(std::slice::from_ref(graph))?;
    let sites = Site::find(graph, &Hints { only, ..hints.clone() })?;
    let mismatch = |reason: String| onnx::Error::Patch { path: model.path().to_owned(), reason };
    let mut matched = Matched::default();
    let mut selections = vec![];
    for modality in [Modality::Text, Modality::Vision] {
        let layers: Vec<&PatchLayer> = patch.layers.iter().filter(|layer| layer.tower == modality).collect();
        let Some(site) = sites.iter().find(|site| site.modality() == modality) else {
            if !layers.is_empty() {
                matched.notes.push(format!(
                    "{} {modality} layers of the patch are left out: the model has no {modality} tower",
                    layers.len()
                ));
            }
            continue;
        };
        let mut candidates = Candidates::new(site);
        for wanted in layers {
            let (found, correlation) = candidates.find(Sought::of(wanted))?.map_err(mismatch)?;
            if matches!(wanted.update, Update::RankOne(_)) {
                let own = found.weight.sample(model, &sample_positions(wanted.shape))?;
                let scale = scale(&own, &wanted.sample);
                // What is taken off is in the units of the weight it was made for.
                if (scale - 1.0).abs() > SAME_SCALE || scale.is_nan() {
                    return Err(mismatch(format!(
                        "the weights of {} layer '{}' are {scale:.3} times those the patch was made from, and it gives other values",
                        wanted.tower, found.node
                    ))
                    .into());
                }
            }
            site.check_editable(found)?;
            matched.correlations.push(correlation);
            selections.push(Selection {
                layer: Linear { role: wanted.role.clone(), block: wanted.block.or(found.block), ..found.clone() },
                update: wanted.update.clone(),
                positions: wanted.positions.clone(),
            });
        }
    }
    if selections.is_empty() {
        return Err(mismatch("the model has none of the towers that the patch edits".to_owned()).into());
    }
    let mut tensors: Vec<&str> = selections.iter().map(|s| s.layer.weight.initializer.as_str()).collect();
    tensors.sort_unstable();
    if let Some(twice) = tensors.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(mismatch(format!("two layers of the patch both match tensor '{}'", twice[0])).into());
    }
    // The order of the patch, not of the towers, is what it was.
    Ok((Patch::make(model, &selections, patch.options.clone())?, matched))
}

/// The one tower that is edited, if it is one.
pub fn only(edited: impl Fn(Modality) -> bool) -> Option<Modality> {
    match [Modality::Text, Modality::Vision].map(edited) {
        [true, false] => Some(Modality::Text),
        [false, true] => Some(Modality::Vision),
        _ => None,
    }
}

/// A layer that is looked for in another file.
#[derive(Clone, Copy)]
pub struct Sought<'a> {
    /// Its tower.
    pub tower: Modality,
    /// Its transformer block, where known.
    pub block: Option<usize>,
    /// Its role in the block.
    pub role: &'a str,
    /// Its node, for messages.
    pub node: &'a str,
    /// `[O, I]`
    pub shape: [usize; 2],
    /// Its weights at [`sample_positions`]; several times where they may be one thing or another.
    pub samples: &'a [Vec<f32>],
}

impl<'a> Sought<'a> {
    /// A layer of a patch.
    pub fn of(layer: &'a PatchLayer) -> Self {
        let PatchLayer { tower, block, role, node, shape, sample, .. } = layer;
        let samples = std::slice::from_ref(sample);
        Self { tower: *tower, block: *block, role, node, shape: *shape, samples }
    }
}

/// A tower in which layers are looked for. Its weights are sampled once.
pub struct Candidates<'s, 'm> {
    site: &'s Site<'m>,
    samples: Vec<Option<Vec<f32>>>,
}

impl<'s, 'm> Candidates<'s, 'm> {
    /// All layers of a tower.
    pub fn new(site: &'s Site<'m>) -> Self {
        Self { site, samples: vec![None; site.layers.len()] }
    }

    /// The layer whose weights are the sought ones, and their correlation; or why there is none.
    ///
    /// # Errors
    /// If weights cannot be read.
    pub fn find(&mut self, sought: Sought) -> Result<Result<(&'s Linear, f64), String>, onnx::Error> {
        let (site, model) = (self.site, self.site.graph.model);
        let name = format!("{} layer '{}' ({}, {:?})", sought.tower, sought.node, sought.role, sought.shape);
        let (mut found, mut unreadable) = (Vec::<(f64, &Linear)>::new(), vec![]);
        for (layer, sample) in site.layers.iter().zip(&mut self.samples) {
            if layer.weight.shape != sought.shape {
                continue;
            }
            if let Err(error) = layer.weight.open(model) {
                unreadable.push(error.to_string());
                continue;
            }
            let values = match sample {
                Some(values) => values,
                None => sample.insert(layer.weight.sample(model, &sample_positions(sought.shape))?),
            };
            // The same tensor used twice is one candidate.
            if !found.iter().any(|(_, known)| known.weight.initializer == layer.weight.initializer) {
                found.push((most_alike(values, sought.samples).1, layer));
            }
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        let out_of_reach = site.opaque.iter().filter(|opaque| opaque.role == sought.role);
        unreadable.extend(out_of_reach.map(|opaque| format!("'{}': its weight is {}", opaque.node, opaque.weight)));
        let unread = unreadable.iter().map(|reason| format!("; not compared: {reason}")).collect::<String>();
        Ok(match found.as_slice() {
            [] => Err(format!("no layer has the shape of {name}{unread}")),
            // NaN, of weights that do not vary, is no match either.
            [(first, _), ..] if *first < SAME || first.is_nan() => {
                Err(format!("no layer has the weights of {name}: the most alike one correlates by {first:.3}{unread}"))
            }
            [(_, one), (second, other), ..] if *second >= SAME => {
                Err(format!("both '{}' and '{}' have the weights of {name}", one.node, other.node))
            }
            [(correlation, layer), ..] => {
                let differ = |a: Option<usize>, b: Option<usize>| matches!((a, b), (Some(a), Some(b)) if a != b);
                let roles = layer.role != sought.role && layer.role != "unknown" && sought.role != "unknown";
                if roles || differ(layer.block, sought.block) {
                    Err(format!(
                        "the weights of {name}, block {:?}, are in '{}', which is {} of block {:?}",
                        sought.block, layer.node, layer.role, layer.block
                    ))
                } else {
                    Ok((layer, *correlation))
                }
            }
        })
    }
}

/// The sample that correlates best with `values`, by number, and how well it does; NaN if none does at all.
pub fn most_alike(values: &[f32], samples: &[Vec<f32>]) -> (usize, f64) {
    let each = samples.iter().map(|sample| correlation(values, sample)).enumerate();
    each.reduce(|best, other| if other.1 > best.1 || best.1.is_nan() { other } else { best }).unwrap_or((0, f64::NAN))
}

/// Pearson's; NaN where one side does not vary.
fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |values: &[f32]| values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a) - mean_a, f64::from(b) - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    if a.len() == b.len() { ab / (aa * bb).sqrt() } else { f64::NAN }
}

/// How many times `b` `a` is, by least squares.
pub fn scale(a: &[f32], b: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    product(a, b) / product(b, b)
}
