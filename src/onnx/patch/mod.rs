//! An edit of a model as a value: what was selected, in which layers, of which files.

mod format;
mod names;
mod plan;
mod provenance;
mod sink;
mod write;

use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;

pub use names::Names;
pub use plan::Plan;
pub use provenance::{edits_of, is_edited, key as provenance_key};
pub use write::{Difference, compare, stage};

use super::edit::{LayerEdit, Originals, RankOne, Update};
use super::error::Error;
use super::graph::Graph;
use super::layers::{Linear, weights};
use super::model::Model;
use super::tensor::Weight;
use super::towers::Modality;
use super::wire::{Overlong, overlong};
use crate::plain;

/// The longest patch that is read, in bytes.
const LONGEST: u64 = 1 << 32;

/// What happens to listed positions of listed weights of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// Version of this tool that made it.
    pub tool: String,
    /// The model it was made for.
    pub source: Vec<SourceFile>,
    /// What was asked for: recipe and data.
    pub options: Value,
    /// One entry a weight.
    pub layers: Vec<PatchLayer>,
    /// Lengths in the model file that are not written as short as they could be.
    pub(super) overlong: Vec<Overlong>,
}

/// A file of the model: the model file itself, then one for each spelling of a data file's location.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// Location as in the model; empty for the model file.
    pub location: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// The selected elements of one weight, and how to find that weight again.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchLayer {
    /// Its tower.
    pub tower: Modality,
    /// Its block, where known.
    pub block: Option<usize>,
    /// Its role in the block.
    pub role: String,
    /// The node that uses it.
    pub node: String,
    /// The tensor that holds it.
    pub tensor: String,
    /// `[O, I]`
    pub shape: [usize; 2],
    /// The type of its elements, by ONNX's name.
    pub element: String,
    /// What becomes of them.
    pub update: Update,
    /// Logical positions `o * I + i`, ascending.
    pub positions: Vec<u32>,
    /// What the edit alone cannot give back.
    pub originals: Originals,
    /// Original spellings of varints that no common writer makes: storage unit, bytes.
    pub spellings: Vec<(usize, Vec<u8>)>,
    /// The weight's values at [`sample_positions`], by which it is known again in another file.
    pub sample: Vec<f32>,
}

/// One layer's selection: what [`Patch::make`] is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The layer.
    pub layer: Linear,
    /// What becomes of them.
    pub update: Update,
    /// Logical positions, ascending.
    pub positions: Vec<u32>,
}

impl Patch {
    /// The patch that makes these changes to this model.
    ///
    /// # Errors
    /// If a tensor is not editable, or positions do not fit it.
    pub fn make(model: &Model, selections: &[Selection], options: Value) -> Result<Self, Error> {
        let layer = |Selection { layer, update, positions }: &Selection| {
            let edit = LayerEdit { weight: layer.weight.clone(), update: update.clone(), positions: positions.clone() };
            edit.check().map_err(|reason| Error::Patch { path: model.path().to_owned(), reason })?;
            let opened = layer.weight.open(model)?;
            // A float's sign turns back by itself: nothing to keep, and no need to look at the tensor.
            let originals = match edit.keeps_nothing(opened.element.is_float()) {
                true => Originals::default(),
                false => edit.apply(model, &mut opened.stored.plain(model).into_owned())?,
            };
            let units = edit.units(|index| opened.stored.unit_of(opened.element, index));
            Ok(PatchLayer {
                tower: layer.modality,
                block: layer.block,
                role: layer.role.clone(),
                node: layer.node.clone(),
                tensor: layer.weight.initializer.clone(),
                shape: layer.weight.shape,
                element: opened.element.name().to_owned(),
                update: edit.update,
                positions: edit.positions,
                originals,
                spellings: opened.stored.odd_spellings(model, units.into_iter()),
                sample: layer.weight.sample(model, &sample_positions(layer.weight.shape))?,
            })
        };
        let layers = selections.iter().map(layer).collect::<Result<_, Error>>()?;
        let overlong = overlong(model.bytes()).map_err(|e| Error::NotOnnx {
            path: model.path().to_owned(),
            size: model.bytes().len() as u64,
            reason: format!("byte {}: not a protobuf field", e.at),
        })?;
        let source = source_files(model);
        Ok(Self { tool: env!("CARGO_PKG_VERSION").to_owned(), source, options, layers, overlong })
    }

    /// Reads a patch file, and gives its bytes too, by whose hash a model names it.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::PatchFile`].
    pub fn read(path: &Path) -> Result<(Self, Vec<u8>), Error> {
        let bytes = plain::read(path, LONGEST).map_err(|source| match source.kind() {
            ErrorKind::InvalidData => Error::PatchFile { path: path.to_owned(), reason: source.to_string() },
            _ => Error::Io { action: "read", path: path.to_owned(), source },
        })?;
        let patch = Self::from_bytes(&bytes).map_err(|reason| Error::PatchFile { path: path.to_owned(), reason })?;
        Ok((patch, bytes))
    }

    /// Elements it changes.
    pub fn selected(&self) -> usize {
        self.layers.iter().map(|layer| layer.positions.len()).sum()
    }

    /// Codes that had to stop at the end of their range.
    pub fn saturated(&self) -> usize {
        self.layers.iter().map(|layer| layer.originals.saturated).sum()
    }

    /// Checks that it was made for this model.
    ///
    /// # Errors
    /// [`Error::Patch`] naming the file that differs.
    pub fn check_source(&self, model: &Model) -> Result<(), Error> {
        let mismatch = |reason: String| Err(Error::Patch { path: model.path().to_owned(), reason });
        let own = source_files(model);
        for (own, wanted) in own.iter().zip(&self.source) {
            if own != wanted {
                let file = if own.location.is_empty() { "the model file" } else { own.location.as_str() };
                return mismatch(format!(
                    "{file} has SHA-256 {} and {} bytes, and the patch was made for one with {} and {} bytes",
                    own.sha256, own.size, wanted.sha256, wanted.size
                ));
            }
        }
        match own.len() == self.source.len() {
            true => Ok(()),
            false => mismatch(format!(
                "the model has {} data files, and the patch was made for one with {}",
                own.len() - 1,
                self.source.len().saturating_sub(1)
            )),
        }
    }

    /// The edits, with each weight found in `graph` by its tensor.
    ///
    /// # Errors
    /// [`Error::Patch`] if a layer is not there, or is of another shape or type.
    pub fn edits(&self, graph: &Graph) -> Result<Vec<LayerEdit>, Error> {
        let found = weights(graph);
        let edit = |layer: &PatchLayer| -> Result<LayerEdit, String> {
            let weight: &Weight =
                found.get(&layer.tensor).ok_or_else(|| match graph.model.constant(&layer.tensor) {
                    Ok(_) => format!("tensor '{}' is not the weight of a linear layer", layer.tensor),
                    Err(reason) => format!("tensor '{}': {reason}", layer.tensor),
                })?;
            if weight.shape != layer.shape {
                return Err(format!("tensor '{}' is {:?}, not {:?}", layer.tensor, weight.shape, layer.shape));
            }
            let element = weight.open(graph.model).map_err(|error| error.to_string())?.element;
            if element.name() != layer.element {
                return Err(format!("tensor '{}' is {}, not {}", layer.tensor, element.name(), layer.element));
            }
            if layer.originals.bytes.len() != layer.originals.positions.len() * element.raw_size() {
                return Err(format!("the originals of tensor '{}' are incomplete", layer.tensor));
            }
            let edit =
                LayerEdit { weight: weight.clone(), update: layer.update.clone(), positions: layer.positions.clone() };
            edit.check()?;
            Ok(edit)
        };
        let edits = self.layers.iter().map(edit).collect::<Result<Vec<_>, _>>();
        edits.map_err(|reason| Error::Patch { path: graph.model.path().to_owned(), reason })
    }
}

/// The files of a model as a patch names them.
pub(super) fn source_files(model: &Model) -> Vec<SourceFile> {
    use rayon::prelude::*;
    // Several files are hashed at a time.
    model.sources().par_iter().for_each(|source| {
        source.sha256();
    });
    let file = |location: &str, index: usize| {
        let source = &model.sources()[index];
        let (size, sha256) = (source.bytes().len() as u64, source.sha256().to_owned());
        SourceFile { location: location.to_owned(), size, sha256 }
    };
    let data = model.locations().iter().map(|(location, index)| file(location, *index));
    std::iter::once(file("", 0)).chain(data).collect()
}

/// Where a weight of that shape is sampled: up to 256 positions, scattered by a fixed hash so that neither rows nor
/// columns are favoured (SplitMix64, Steele et al. 2014).
pub fn sample_positions(shape: [usize; 2]) -> Vec<u32> {
    let elements = (shape[0] * shape[1]) as u64;
    let hash = |k: u64| {
        let mut z = k.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut positions: Vec<u32> = match elements {
        0..=256 => (0..elements as u32).collect(),
        _ => (1..=256).map(|k| (hash(k) % elements) as u32).collect(),
    };
    positions.sort_unstable();
    positions.dedup();
    positions
}
