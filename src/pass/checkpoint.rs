//! The sums of a calibration, kept so that it can go on after an interruption.
//!
//! One safetensors file a tower: for layer `k` the tensors `k.scores` (F32 `[O, I]`) and `k.counts` (U32 `[I]`), and
//! in the metadata what they are sums of. They are written whole, under a temporary name first.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ndarray::Array2;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::onnx::{self, Linear, Modality, Outputs, Source};
use crate::uwm::{CHUNK, Sums, Undefined};

const KEY: &str = "uwm.checkpoint";

/// How often the sums are written down; that costs about as long as copying them.
const EVERY: Duration = Duration::from_secs(60);

/// The folder of a job's checkpoints.
pub struct Checkpoints {
    folder: PathBuf,
    /// Whether it goes away again when nothing is in it: this job made it.
    made: bool,
    /// Whether a job that was interrupted left sums there, and so made it.
    resumed: bool,
}

impl Checkpoints {
    /// Uses a folder, which is made if it is missing.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let made = !folder.exists();
        std::fs::create_dir_all(folder)
            .map_err(|source| Error::Onnx(onnx::Error::Write { path: folder.to_owned(), source }))?;
        let mut opened = Self { folder: folder.to_owned(), made, resumed: false };
        opened.resumed = [Modality::Text, Modality::Vision].iter().any(|&tower| opened.of(tower).exists());
        Ok(opened)
    }

    /// Where a tower's sums are.
    pub fn of(&self, tower: Modality) -> PathBuf {
        self.folder.join(format!("{tower}.safetensors"))
    }

    /// Removes the checkpoints of these towers: the job is done. What cannot be removed stays, harmless.
    pub fn clear(mut self, towers: impl Iterator<Item = Modality>) {
        for tower in towers {
            let _ = std::fs::remove_file(self.of(tower));
        }
        self.made |= self.resumed;
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        if self.made {
            // Fails, as it should, when the folder holds something.
            let _ = std::fs::remove_dir(&self.folder);
        }
    }
}

/// Where one tower's sums are kept.
pub struct Checkpoint {
    path: PathBuf,
    job: String,
    written: Instant,
}

/// The metadata entry.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// A hash of all that the sums depend on.
    job: String,
    pairs: usize,
    undefined: Vec<Undefined>,
}

impl Checkpoint {
    /// The sums of that job in a file. Two jobs whose sums differ need names of their own.
    pub fn new(path: PathBuf, job: String) -> Self {
        Self { path, job, written: Instant::now() }
    }

    /// The sums for these layers over some of `samples` pairs, if any were kept.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the file cannot be read or is of another job.
    pub fn read(&self, layers: &[Linear], samples: usize) -> Result<Option<Vec<Sums>>, Error> {
        let wrong = |reason: String| Error::Checkpoint { path: self.path.clone(), reason };
        let file = match Source::open(&self.path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|e| wrong(e.to_string()))?,
        };
        let bytes = file.bytes();
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| wrong(e.to_string()))?;
        let json = metadata.metadata().as_ref().and_then(|entries| entries.get(KEY));
        let json = json.ok_or_else(|| wrong(format!("it has no metadata entry '{KEY}'")))?;
        let header: Header = serde_json::from_str(json).map_err(|e| wrong(e.to_string()))?;
        if header.job != self.job {
            return Err(wrong(
                "it was written by another job: model, layers, data, runtime or batch size differ".to_owned(),
            ));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| wrong(e.to_string()))?;
        if header.undefined.len() != layers.len() {
            return Err(wrong(format!("it has {} layers, not {}", header.undefined.len(), layers.len())));
        }
        if header.pairs == 0 || header.pairs > samples || !header.pairs.is_multiple_of(CHUNK) {
            return Err(wrong(format!("it has seen {} of {samples} pairs, which cannot be", header.pairs)));
        }
        let sums = layers.iter().zip(&header.undefined).enumerate().map(|(k, (layer, undefined))| {
            let [outputs, inputs] = layer.weight.shape;
            let scores = read::<4>(&tensors, &format!("{k}.scores"), Dtype::F32, &[outputs, inputs])?;
            let counts = read::<4>(&tensors, &format!("{k}.counts"), Dtype::U32, &[inputs])?;
            let scores: Vec<f32> = scores.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            let counts: Vec<u32> = counts.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
            let left_out = undefined.short_pairs.max(undefined.not_finite);
            if left_out > header.pairs || counts.iter().any(|&count| count as usize > header.pairs) {
                return Err(format!("its layer {k} counts more pairs than it has seen"));
            }
            if scores.iter().any(|score| !score.is_finite() || *score < 0.0) {
                return Err(format!("its layer {k} has a sum that is no score"));
            }
            let scores = Array2::from_shape_vec((outputs, inputs), scores).map_err(|e| e.to_string())?;
            Ok(Sums { scores, counts, undefined: *undefined, pairs: header.pairs })
        });
        sums.collect::<Result<_, String>>().map(Some).map_err(wrong)
    }

    /// Writes the sums if it is time to.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_now_and_then<'s>(&mut self, sums: impl Iterator<Item = &'s Sums>) -> Result<(), Error> {
        if self.written.elapsed() < EVERY { Ok(()) } else { self.write(sums) }
    }

    /// Writes the sums; all have seen the same pairs.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write<'s>(&mut self, sums: impl Iterator<Item = &'s Sums>) -> Result<(), Error> {
        let sums: Vec<&Sums> = sums.collect();
        let pairs = sums.first().map_or(0, |sums| sums.pairs);
        self.written = Instant::now();
        if pairs == 0 {
            return Ok(());
        }
        // Replaces what this job wrote before; another's was refused when it was read.
        let mut outputs = Outputs::new(true);
        let file = outputs.create(&self.path)?;
        let failed = |source| onnx::Error::Write { path: self.path.clone(), source };
        outputs.write(file, |file| write_sums(file, &self.job, pairs, &sums).map_err(failed))?;
        Ok(outputs.publish()?)
    }
}

/// Writes a safetensors file, an array at a time: the sums of large models are not held twice.
fn write_sums(file: &File, job: &str, pairs: usize, sums: &[&Sums]) -> io::Result<()> {
    let undefined = sums.iter().map(|sums| sums.undefined).collect();
    let json = serde_json::to_string(&Header { job: job.to_owned(), pairs, undefined })?;
    let mut end = 0;
    let mut info = |name: String, dtype: Dtype, shape: &[usize]| {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        (name, TensorInfo { dtype, shape: shape.to_vec(), data_offsets: (start, end) })
    };
    let infos = sums.iter().enumerate().flat_map(|(k, sums)| {
        let shape = sums.scores.shape();
        [info(format!("{k}.scores"), Dtype::F32, shape), info(format!("{k}.counts"), Dtype::U32, &shape[1..])]
    });
    let metadata = HashMap::from([(KEY.to_owned(), json)]);
    let metadata = Metadata::new(Some(metadata), infos.collect()).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut out = BufWriter::new(file);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for sums in sums {
        sums.scores.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))?;
        sums.counts.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))?;
    }
    out.flush()
}

/// The elements of a tensor, `N` bytes each.
fn read<'a, const N: usize>(
    tensors: &'a SafeTensors,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<&'a [[u8; N]], String> {
    let tensor = tensors.tensor(name).map_err(|e| e.to_string())?;
    if tensor.dtype() != dtype || tensor.shape() != shape {
        return Err(format!("its tensor '{name}' is {:?} {:?}", tensor.dtype(), tensor.shape()));
    }
    Ok(tensor.data().as_chunks().0)
}
