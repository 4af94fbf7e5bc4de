//! Statistics of some of the calibration pairs in a file, to be merged with those of the others: calibration on several
//! machines. The sums of a whole run depend on the order of their terms; statistics do not, so that merged shards give
//! the very bytes of one run.
//!
//! One safetensors file, its header the metadata entry `uwm.statistics`. For each tower, group, chunk of up to 64 pairs
//! and tap, in that order, `<tower>.<group>.<chunk>.<tap>` (F32 `[2, 3, B, I]`: safe and unsafe; norm, deviation, mean),
//! with `.tokens` (U64 `[2, B]`, the highest bit set where a sample is not finite).

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::Error;
use super::calibrate::BothSides;
use super::kept::{KeptTower, check_version};
use super::tensors::{open, read, write_header};
use crate::onnx::{self, Source};
use crate::uwm::{CHUNK, Statistics};

const KEY: &str = "uwm.statistics";
/// Marks the token count of a sample that is not finite.
const NOT_FINITE: u64 = 1 << 63;

/// More tokens than any sample has.
const MOST_TOKENS: u64 = 1 << 32;

/// Shard `index` of `count`, from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parts {
            Some((index, count)) if 1 <= index && index <= count => Ok(Self { index, count }),
            _ => Err("it is i/n with i from 1 to n, as 2/8".to_owned()),
        }
    }
}

impl Shard {
    /// Its chunks of a group of that many pairs.
    pub fn chunks(self, pairs: usize) -> Range<usize> {
        let all = pairs.div_ceil(CHUNK);
        let edge = |index: usize| all * index / self.count;
        edge(self.index - 1)..edge(self.index)
    }
}

/// The pairs of a chunk.
pub fn rows(chunk: usize, pairs: usize) -> Range<usize> {
    chunk * CHUNK..pairs.min((chunk + 1) * CHUNK)
}

/// What a shard says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardHeader {
    /// Version of this tool that made it.
    pub tool: String,
    /// Which shard.
    pub shard: Shard,
    /// One entry a tower.
    pub towers: Vec<ShardTower>,
}

/// A tower in a shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardTower {
    /// What the scores are to be.
    pub scores: KeptTower,
    /// Inputs of each tap.
    pub widths: Vec<usize>,
    /// The taps of each layer.
    pub of_layer: Vec<Vec<usize>>,
    /// Samples a run, if that was said.
    pub batch_size: Option<usize>,
    /// What the activations could take: with it the samples a run follow, if they were not said.
    pub memory_budget: usize,
    /// For each group, the number of each pair's concept.
    pub concepts: Vec<Vec<usize>>,
}

/// Writes a shard, a chunk at a time.
pub struct ShardWriter<'f> {
    out: BufWriter<&'f File>,
    path: PathBuf,
}

impl<'f> ShardWriter<'f> {
    /// Begins the file that is to become `path`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(file: &'f File, path: &Path, header: &ShardHeader) -> Result<Self, Error> {
        let mut writer = Self { out: BufWriter::new(file), path: path.to_owned() };
        let tensors = header.towers.iter().flat_map(|tower| {
            names(tower, header.shard).flat_map(move |(name, tap, pairs)| {
                let tokens = format!("{name}.tokens");
                [(name, Dtype::F32, vec![2, 3, pairs, tower.widths[tap]]), (tokens, Dtype::U64, vec![2, pairs])]
            })
        });
        let json = serde_json::to_string(header).map_err(io::Error::from);
        let entry = |json| HashMap::from([(KEY.to_owned(), json)]);
        let written = json.and_then(|json| write_header(&mut writer.out, entry(json), tensors));
        written.map_err(|source| writer.failed(source)).map(|()| writer)
    }

    /// Writes the statistics of the next chunk, batch by batch, taps in order.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn chunk(&mut self, batches: &[BothSides]) -> Result<(), Error> {
        let taps = batches.first().map_or(0, |[safe, _]| safe.len());
        (0..taps).try_for_each(|tap| self.tap(batches, tap)).map_err(|source| self.failed(source))
    }

    fn tap(&mut self, batches: &[BothSides], tap: usize) -> io::Result<()> {
        for side in 0..2 {
            for kind in [|s: &Statistics| &s.norm, |s| &s.std, |s| &s.mean] as [fn(&Statistics) -> &Array2<f32>; 3] {
                for value in batches.iter().flat_map(|batch| kind(&batch[side][tap])) {
                    self.out.write_all(&value.to_le_bytes())?;
                }
            }
        }
        for side in 0..2 {
            for statistics in batches.iter().map(|batch| &batch[side][tap]) {
                for (&tokens, finite) in statistics.tokens.iter().zip(&statistics.finite) {
                    let mark = if *finite { 0 } else { NOT_FINITE };
                    self.out.write_all(&(tokens as u64 | mark).to_le_bytes())?;
                }
            }
        }
        Ok(())
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

/// Names of a tower's tensors in the order of the file, with tap and number of pairs.
fn names(tower: &ShardTower, shard: Shard) -> impl Iterator<Item = (String, usize, usize)> {
    let taps = tower.widths.len();
    tower.scores.groups.iter().enumerate().flat_map(move |(group, of)| {
        shard.chunks(of.pairs).flat_map(move |chunk| {
            let pairs = rows(chunk, of.pairs).len();
            (0..taps).map(move |tap| (format!("{}.{group}.{chunk}.{tap}", tower.scores.tower), tap, pairs))
        })
    })
}

/// A shard's file.
pub struct ShardFile {
    path: PathBuf,
    file: Source,
    /// What it says of itself.
    pub header: ShardHeader,
}

impl ShardFile {
    /// Maps the file.
    ///
    /// # Errors
    /// [`Error::Scores`] if it cannot be read or is no shard.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Scores { path: path.to_owned(), reason };
        let (file, header): (_, ShardHeader) = open(path, KEY).map_err(wrong)?;
        let Shard { index, count } = header.shard;
        if index == 0 || index > count {
            return Err(wrong(format!("it says that it is shard {index}/{count}")));
        }
        check_version(&header.tool).map_err(wrong)?;
        let modalities: BTreeSet<_> = header.towers.iter().map(|tower| tower.scores.tower).collect();
        if modalities.is_empty() || modalities.len() < header.towers.len() {
            return Err(wrong("it has no tower, or one twice".to_owned()));
        }
        for tower in &header.towers {
            let all: usize = tower.concepts.iter().map(Vec::len).sum();
            if tower.concepts.iter().flatten().any(|&concept| concept >= all) {
                return Err(wrong("it has more concepts than pairs".to_owned()));
            }
            let taps = tower.widths.len();
            let pairs = tower.concepts.iter().map(Vec::len).eq(tower.scores.groups.iter().map(|group| group.pairs));
            let layers = tower.of_layer.len() == tower.scores.layers.len();
            let fit = |(of, layer): (&Vec<usize>, &super::kept::KeptLayer)| {
                !of.is_empty() && of.iter().all(|&tap| tap < taps && tower.widths[tap] == layer.shape[1])
            };
            if !pairs || !layers || !tower.of_layer.iter().zip(&tower.scores.layers).all(fit) {
                return Err(wrong("its header contradicts itself".to_owned()));
            }
        }
        Ok(Self { path: path.to_owned(), file, header })
    }

    /// The statistics of a chunk, a tap each.
    ///
    /// # Errors
    /// [`Error::Scores`] if they are not there.
    pub fn chunk(&self, tower: &ShardTower, group: usize, chunk: usize) -> Result<BothSides, Error> {
        let wrong = |reason: String| Error::Scores { path: self.path.clone(), reason };
        let tensors = SafeTensors::deserialize(self.file.bytes()).map_err(|e| wrong(e.to_string()))?;
        let pairs = rows(chunk, tower.scores.groups[group].pairs).len();
        let mut sides: BothSides = [vec![], vec![]];
        for (tap, &width) in tower.widths.iter().enumerate() {
            let name = format!("{}.{group}.{chunk}.{tap}", tower.scores.tower);
            let values = read::<4>(&tensors, &name, Dtype::F32, &[2, 3, pairs, width]).map_err(wrong)?;
            let tokens = read::<8>(&tensors, &format!("{name}.tokens"), Dtype::U64, &[2, pairs]).map_err(wrong)?;
            for (side, statistics) in sides.iter_mut().enumerate() {
                let array = |kind: usize| {
                    let start = (side * 3 + kind) * pairs * width;
                    let values = values[start..start + pairs * width].iter().map(|bytes| f32::from_le_bytes(*bytes));
                    Array2::from_shape_vec((pairs, width), values.collect()).map_err(|e| wrong(e.to_string()))
                };
                let counts: Vec<u64> =
                    tokens[side * pairs..(side + 1) * pairs].iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
                if counts.iter().any(|count| count & !NOT_FINITE > MOST_TOKENS) {
                    return Err(wrong(format!("tensor '{name}.tokens' has counts that cannot be")));
                }
                statistics.push(Statistics {
                    norm: array(0)?,
                    std: array(1)?,
                    mean: array(2)?,
                    tokens: counts.iter().map(|count| (count & !NOT_FINITE) as usize).collect(),
                    finite: counts.iter().map(|count| count & NOT_FINITE == 0).collect(),
                });
            }
        }
        Ok(sides)
    }

    /// An error about this shard.
    pub fn wrong(&self, reason: String) -> Error {
        Error::Scores { path: self.path.clone(), reason }
    }
}
