//! Scores in a file: written by a calibration, used instead of one (`docs/scores-format.md`).
//!
//! One safetensors file. For each tower, group of pairs, scoring and layer, in that order, the tensors
//! `<tower>.<group>.<scoring>.<layer>` (F32 `[O, I]`, without weight prior) and the same with `.undefined` (U64 `[4]`);
//! numbers index the lists of the header, which is the metadata entry `uwm.scores`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ndarray::Array2;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::Error;
use super::calibrate::Wanted;
use super::data::Group;
use super::tensors::{open, read, write_header};
use crate::few::few;
use crate::onnx::{self, Linear, Modality, Source};
use crate::uwm::{self, Scores, Scoring, Undefined};

const KEY: &str = "uwm.scores";

/// What a file of scores says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Version of this tool that made it.
    pub tool: String,
    /// One entry a tower.
    pub towers: Vec<KeptTower>,
}

/// The scores of one tower.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptTower {
    /// Which.
    pub tower: Modality,
    /// SHA-256 of the model's files.
    pub model: Vec<String>,
    /// SHA-256 of the calibration pairs as this tower sees them, and of what they are prepared with.
    pub data: String,
    /// What ran: name, version, provider, device.
    pub runtime: [String; 4],
    /// Added to standard deviations.
    pub epsilon: f32,
    /// The layers.
    pub layers: Vec<KeptLayer>,
    /// The scores.
    pub scorings: Vec<Scoring>,
    /// Whose pairs, and how many.
    pub groups: Vec<KeptGroup>,
}

/// A scored layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptLayer {
    /// Its node.
    pub node: String,
    /// Its weight.
    pub tensor: String,
    /// `[O, I]`
    pub shape: [usize; 2],
}

/// A group of pairs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptGroup {
    /// Their concept, if they were put together by it.
    pub concept: Option<String>,
    /// How many.
    pub pairs: usize,
}

impl KeptLayer {
    /// A layer as it is known in the file.
    pub fn of(layer: &Linear) -> Self {
        Self { node: layer.node.clone(), tensor: layer.weight.initializer.clone(), shape: layer.weight.shape }
    }
}

impl KeptGroup {
    /// A group as it is known in the file.
    pub fn of(group: &Group) -> Self {
        Self { concept: group.concept.clone(), pairs: group.rows.len() }
    }
}

/// Writes a file of scores, a group of pairs at a time.
pub struct Writer<'f> {
    out: BufWriter<&'f File>,
    path: PathBuf,
}

impl<'f> Writer<'f> {
    /// Begins the file that is to become `path`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(file: &'f File, path: &Path, header: &Header) -> Result<Self, Error> {
        let mut writer = Self { out: BufWriter::new(file), path: path.to_owned() };
        let tensors = header.towers.iter().flat_map(|kept| {
            names(kept).flat_map(|(name, layer)| {
                let undefined = format!("{name}.undefined");
                [(name, Dtype::F32, kept.layers[layer].shape.to_vec()), (undefined, Dtype::U64, vec![4])]
            })
        });
        let json = serde_json::to_string(header).map_err(io::Error::from);
        let written =
            json.and_then(|json| write_header(&mut writer.out, HashMap::from([(KEY.to_owned(), json)]), tensors));
        written.map_err(|source| writer.failed(source)).map(|()| writer)
    }

    /// Writes the scores of the next group: for each scoring, a layer each. Of a group that cannot be scored there are
    /// zeros, and all its pairs are undefined.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn group(&mut self, wanted: Wanted, group: &Group, scores: Option<&[Vec<Scores>]>) -> Result<(), Error> {
        let undefined = Undefined { short_pairs: group.rows.len(), ..Undefined::default() };
        let written = match scores {
            Some(scores) => scores
                .iter()
                .flatten()
                .try_for_each(|scores| self.values(scores.values.iter().copied(), scores.undefined)),
            None => wanted.scorings.iter().flat_map(|_| wanted.layers).try_for_each(|layer| {
                let [outputs, inputs] = layer.weight.shape;
                self.values(std::iter::repeat_n(0.0, outputs * inputs), undefined)
            }),
        };
        written.map_err(|source| self.failed(source))
    }

    fn values(&mut self, mut values: impl Iterator<Item = f32>, undefined: Undefined) -> io::Result<()> {
        values.try_for_each(|value| self.out.write_all(&value.to_le_bytes()))?;
        let Undefined { short_pairs, not_finite, features, outputs } = undefined;
        let counts = [short_pairs, not_finite, features, outputs];
        counts.into_iter().try_for_each(|count| self.out.write_all(&(count as u64).to_le_bytes()))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> Result<(), Error> {
        self.out.flush().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Error {
        onnx::Error::Write { path: self.path.clone(), source }.into()
    }
}

/// Names of a tower's tensors in the order of the file, with the index of the layer.
fn names(kept: &KeptTower) -> impl Iterator<Item = (String, usize)> {
    let (tower, layers, scorings) = (kept.tower, kept.layers.len(), kept.scorings.len());
    (0..kept.groups.len()).flat_map(move |group| {
        (0..scorings).flat_map(move |scoring| {
            (0..layers).map(move |layer| (format!("{tower}.{group}.{scoring}.{layer}"), layer))
        })
    })
}

/// A file of scores.
pub struct Kept {
    path: PathBuf,
    file: Source,
    /// What it says of itself.
    pub header: Header,
}

impl Kept {
    /// Maps the file.
    ///
    /// # Errors
    /// [`Error::Scores`] if it cannot be read or is none.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Scores { path: path.to_owned(), reason };
        let (file, header): (_, Header) = open(path, KEY).map_err(wrong)?;
        check_version(&header.tool).map_err(wrong)?;
        Ok(Self { path: path.to_owned(), file, header })
    }

    /// The scores of a group, checked to be of this model and these data: for each scoring, a layer each.
    ///
    /// # Errors
    /// [`Error::Scores`] if something is not in the file or was made from another; [`Error::Score`] if the group could
    /// not be scored.
    pub fn read(&self, wanted: Wanted, group: &Group, data: &str) -> Result<Vec<Vec<Scores>>, Error> {
        let wrong = |reason: String| Error::Scores { path: self.path.clone(), reason };
        let tower = wanted.site.modality();
        let kept = self.header.towers.iter().find(|kept| kept.tower == tower);
        let kept = kept.ok_or_else(|| wrong(format!("it has no scores of the {tower} tower")))?;
        let model: Vec<&str> = wanted.site.graph.model.sources().iter().map(Source::sha256).collect();
        if kept.model != model {
            return Err(wrong(format!("its scores of the {tower} tower are of another model, by SHA-256")));
        }
        if kept.data != data {
            return Err(wrong(format!("its scores of the {tower} tower are from other calibration data, by SHA-256")));
        }
        if kept.epsilon != wanted.epsilon {
            return Err(wrong(format!("its scores of the {tower} tower have an epsilon of {}", kept.epsilon)));
        }
        let of_group = KeptGroup::of(group);
        let group_index = kept.groups.iter().position(|own| *own == of_group).ok_or_else(|| {
            let name = |concept: &Option<String>| match concept {
                Some(concept) => format!("the concept '{concept}'"),
                None => "all pairs".to_owned(),
            };
            let found = few(kept.groups.iter().map(|group| name(&group.concept)));
            wrong(format!("it has no scores of {} for the {tower} tower; it has {found}", name(&group.concept)))
        })?;
        let tensors = SafeTensors::deserialize(self.file.bytes()).map_err(|e| wrong(e.to_string()))?;
        let scoring = |scoring: &Scoring| {
            let index = kept.scorings.iter().position(|own| own == scoring).ok_or_else(|| {
                let found = few(kept.scorings.iter());
                wrong(format!("it has no score '{scoring}' of the {tower} tower; it has {found}"))
            })?;
            let layer = |layer: &Linear| {
                let (of_layer, node) = (KeptLayer::of(layer), &layer.node);
                let place = kept.layers.iter().position(|own| *own == of_layer);
                let place = place.ok_or_else(|| wrong(format!("it has no scores of layer '{node}'")))?;
                let name = format!("{tower}.{group_index}.{index}.{place}");
                let scores = scores(&tensors, &name, layer.weight.shape).map_err(wrong)?;
                let pairs = of_group.pairs;
                match scores.undefined.short_pairs.saturating_add(scores.undefined.not_finite) >= pairs {
                    false => Ok(scores),
                    true => Err(Error::Score { layer: node.clone(), source: uwm::Error::NoPairs { pairs } }),
                }
            };
            wanted.layers.iter().map(layer).collect()
        };
        wanted.scorings.iter().map(scoring).collect()
    }

    /// Whether it has that score of a tower.
    pub fn has(&self, tower: Modality, scoring: &Scoring) -> bool {
        self.header.towers.iter().any(|kept| kept.tower == tower && kept.scorings.contains(scoring))
    }
}

/// What a score means may change with the version.
///
/// # Errors
/// If it is another than this one.
pub fn check_version(tool: &str) -> Result<(), String> {
    let own = env!("CARGO_PKG_VERSION");
    if tool == own { Ok(()) } else { Err(format!("it was made by version {tool}, and this is {own}")) }
}

fn scores(tensors: &SafeTensors, name: &str, [outputs, inputs]: [usize; 2]) -> Result<Scores, String> {
    let values = read::<4>(tensors, name, Dtype::F32, &[outputs, inputs])?;
    let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let counts = read::<8>(tensors, &format!("{name}.undefined"), Dtype::U64, &[4])?;
    let count = |index: usize| usize::try_from(u64::from_le_bytes(counts[index])).map_err(|e| e.to_string());
    let undefined =
        Undefined { short_pairs: count(0)?, not_finite: count(1)?, features: count(2)?, outputs: count(3)? };
    let values = Array2::from_shape_vec((outputs, inputs), values).map_err(|e| e.to_string())?;
    Ok(Scores { values, undefined })
}
