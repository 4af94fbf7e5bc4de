//! The sums of a calibration, kept so that it can go on after an interruption.
//!
//! One safetensors file a tower: for product `p` of layer `k` the tensors `k.p.values` (F32 `[O, I]`), `k.p.counts` (U32
//! `[I]`) and `k.p.rows` (F64 `[R, I]`), and in the metadata what they are sums of. They are written whole, under a
//! temporary name first.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ndarray::Array2;
use safetensors::{Dtype, SafeTensors};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::Error;
use super::tensors::{open, read, write_header};
use crate::onnx::{self, Linear, Modality, Outputs};
use crate::uwm::{CHUNK, Product, Sum, Sums, Undefined};

const KEY: &str = "uwm.checkpoint";
/// The metadata entry of kept embeddings.
pub const SIDE_KEY: &str = "uwm.embeddings";

/// How often the sums are written down; that costs about as long as copying them.
const EVERY: Duration = Duration::from_secs(60);

/// The folder of a job's checkpoints.
pub struct Checkpoints {
    folder: PathBuf,
    /// Whether it goes away again when nothing is in it: this job made it.
    made: bool,
    /// Whether a job that was interrupted left files there, and so made it.
    resumed: bool,
    /// The files that this job read or wrote.
    used: Mutex<BTreeSet<PathBuf>>,
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
        let resumed = any_kept(folder)?;
        Ok(Self { folder: folder.to_owned(), made, resumed, used: Mutex::default() })
    }

    /// Where a tower's sums are, of all pairs or of those that begin with a row.
    pub fn of(&self, tower: Modality, first: Option<usize>) -> PathBuf {
        let name = first.map_or(format!("{tower}.safetensors"), |first| format!("{tower}.{first}.safetensors"));
        self.used(self.folder.join(name))
    }

    /// Where embeddings are, by a hash of what they are made of.
    pub fn side(&self, hash: &str) -> PathBuf {
        self.used(self.folder.join(format!("side.{hash}.safetensors")))
    }

    fn used(&self, path: PathBuf) -> PathBuf {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        path
    }

    /// Removes this job's checkpoints: it is done. What cannot be removed stays, harmless, and so does what is none or
    /// another job's.
    pub fn clear(mut self) {
        let is_one = |path: &PathBuf| [KEY, SIDE_KEY].iter().any(|key| open::<IgnoredAny>(path, key).is_ok());
        let used = std::mem::take(self.used.get_mut().unwrap_or_else(PoisonError::into_inner));
        for path in used.into_iter().filter(is_one) {
            let _ = std::fs::remove_file(path);
        }
        self.made |= self.resumed;
    }
}

/// Whether there are files in a folder that are named as checkpoints are.
fn any_kept(folder: &Path) -> Result<bool, Error> {
    let io = |source| onnx::Error::Io { action: "read", path: folder.to_owned(), source };
    let own = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".safetensors"));
        let parts = name.map(|name| name.split_once('.').map_or((name, ""), |(what, rest)| (what, rest)));
        parts.is_some_and(|(what, rest)| match what {
            "text" | "vision" => rest.bytes().all(|byte| byte.is_ascii_digit()),
            "side" => rest.bytes().all(|byte| byte.is_ascii_hexdigit()),
            _ => false,
        })
    };
    let mut paths = std::fs::read_dir(folder).map_err(io)?.filter_map(Result::ok).map(|entry| entry.path());
    Ok(paths.any(|path| own(&path)))
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
    /// Of each layer's products.
    undefined: Vec<Vec<Undefined>>,
}

impl Checkpoint {
    /// The sums of that job in a file. Two jobs whose sums differ need names of their own.
    pub fn new(path: PathBuf, job: String) -> Self {
        Self { path, job, written: Instant::now() }
    }

    /// The sums of these products in these layers over some of `samples` pairs, if any were kept.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the file cannot be read or is of another job.
    pub fn read(
        &self,
        layers: &[Linear],
        products: &[Product],
        concepts: usize,
        samples: usize,
    ) -> Result<Option<Vec<Sums>>, Error> {
        let wrong = |reason: String| Error::Checkpoint { path: self.path.clone(), reason };
        if !self.path.try_exists().map_err(|e| wrong(e.to_string()))? {
            return Ok(None);
        }
        let (file, header): (_, Header) = open(&self.path, KEY).map_err(wrong)?;
        if header.job != self.job {
            return Err(wrong(
                "it was written by another job: model, layers, scores, data, runtime or batch size differ".to_owned(),
            ));
        }
        let tensors = SafeTensors::deserialize(file.bytes()).map_err(|e| wrong(e.to_string()))?;
        if header.undefined.len() != layers.len() {
            return Err(wrong(format!("it has {} layers, not {}", header.undefined.len(), layers.len())));
        }
        if header.pairs == 0 || header.pairs > samples || !header.pairs.is_multiple_of(CHUNK) {
            return Err(wrong(format!("it has seen {} of {samples} pairs, which cannot be", header.pairs)));
        }
        let sums = layers.iter().zip(&header.undefined).enumerate().map(|(k, (layer, undefined))| {
            if undefined.len() != products.len() {
                return Err(format!("its layer {k} has {} sums, not {}", undefined.len(), products.len()));
            }
            let read = |(p, (&product, &undefined))| {
                let shapes = Sum::shapes(product, layer.weight.shape, concepts);
                read_sum(&tensors, &format!("{k}.{p}"), shapes, undefined, header.pairs)
            };
            let products = products.iter().zip(undefined).enumerate().map(read).collect::<Result<_, String>>()?;
            Ok(Sums { products, pairs: header.pairs })
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
    let undefined = sums.iter().map(|sums| sums.products.iter().map(|sum| sum.undefined).collect()).collect();
    let json = serde_json::to_string(&Header { job: job.to_owned(), pairs, undefined })?;
    let all =
        || sums.iter().enumerate().flat_map(|(k, sums)| sums.products.iter().zip(0..).map(move |(sum, p)| (k, p, sum)));
    let infos = all().flat_map(|(k, p, sum)| {
        [
            (format!("{k}.{p}.values"), Dtype::F32, sum.values.shape().to_vec()),
            (format!("{k}.{p}.counts"), Dtype::U32, vec![sum.counts.len()]),
            (format!("{k}.{p}.rows"), Dtype::F64, sum.rows.shape().to_vec()),
        ]
    });
    let mut out = BufWriter::new(file);
    write_header(&mut out, HashMap::from([(KEY.to_owned(), json)]), infos)?;
    for (_, _, sum) in all() {
        sum.values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))?;
        sum.counts.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))?;
        sum.rows.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))?;
    }
    out.flush()
}

/// One sum, checked to be one over some of `pairs` pairs.
fn read_sum(
    tensors: &SafeTensors,
    name: &str,
    (values, counts, rows): ([usize; 2], usize, [usize; 2]),
    undefined: Undefined,
    pairs: usize,
) -> Result<Sum, String> {
    let of = |part: &str| format!("{name}.{part}");
    let values_read = read::<4>(tensors, &of("values"), Dtype::F32, &values)?;
    let counts = read::<4>(tensors, &of("counts"), Dtype::U32, &[counts])?;
    let rows_read = read::<8>(tensors, &of("rows"), Dtype::F64, &rows)?;
    let values_read: Vec<f32> = values_read.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let counts: Vec<u32> = counts.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    let rows_read: Vec<f64> = rows_read.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    let left_out = undefined.short_pairs.saturating_add(undefined.not_finite);
    if left_out > pairs || counts.iter().any(|&count| count as usize > pairs) {
        return Err(format!("its sum {name} counts more pairs than it has seen"));
    }
    if values_read.iter().any(|value| !value.is_finite()) || rows_read.iter().any(|value| !value.is_finite()) {
        return Err(format!("its sum {name} is not finite"));
    }
    let shaped = |e: ndarray::ShapeError| e.to_string();
    Ok(Sum {
        values: Array2::from_shape_vec(values, values_read).map_err(shaped)?,
        counts,
        rows: Array2::from_shape_vec(rows, rows_read).map_err(shaped)?,
        undefined,
    })
}
