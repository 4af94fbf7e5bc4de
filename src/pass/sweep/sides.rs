//! Embeddings of a split by an edited tower, kept so that a sweep can go on after an interruption.
//!
//! One safetensors file each: `safe`, `not_safe` and perhaps `zero_shot` (F32, rows of length 1), and in the metadata what
//! they are and which samples are bad. Its name is a hash of all that it depends on.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use ndarray::Array2;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::onnx::{self, Outputs, sha256_of};
use crate::pass::Error;
use crate::pass::checkpoint::{Checkpoints, SIDE_KEY};
use crate::pass::evaluate::{Bad, EmbeddedSide};
use crate::pass::tensors::{open, read, write_header};
use crate::safeground::Embeddings;

/// Where embeddings are kept, if they are.
#[derive(Clone, Copy)]
pub struct Sides<'c>(pub Option<&'c Checkpoints>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// A hash of all that they depend on.
    job: String,
    quadruplets: BTreeSet<usize>,
    images: BTreeSet<usize>,
}

impl Sides<'_> {
    /// The embeddings of a job, kept or made.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if a file cannot be read or is none; those of `make`; if it cannot be written.
    pub fn get(&self, job: &Value, make: impl FnOnce() -> Result<EmbeddedSide, Error>) -> Result<EmbeddedSide, Error> {
        let Some(checkpoints) = self.0 else { return make() };
        let job = sha256_of(job.to_string().as_bytes());
        let path = checkpoints.side(&job[..32]);
        if path.try_exists().unwrap_or(true) {
            return load(&path, &job).map_err(|reason| Error::Checkpoint { path, reason });
        }
        let made = make()?;
        let mut outputs = Outputs::new(true);
        let file = outputs.create(&path)?;
        let failed = |source| onnx::Error::Write { path: path.clone(), source };
        outputs.write(file, |file| store(file, job, &made).map_err(failed))?;
        outputs.publish()?;
        Ok(made)
    }
}

fn store(file: &File, job: String, side: &EmbeddedSide) -> io::Result<()> {
    let Bad { quadruplets, images } = side.bad.clone();
    let json = serde_json::to_string(&Header { job, quadruplets, images })?;
    let parts =
        [("safe", Some(&side.safe)), ("not_safe", Some(&side.not_safe)), ("zero_shot", side.zero_shot.as_ref())];
    let parts: Vec<_> = parts.into_iter().filter_map(|(name, part)| Some((name, part?.rows()))).collect();
    let mut out = BufWriter::new(file);
    let shapes = parts.iter().map(|(name, rows)| ((*name).to_owned(), Dtype::F32, rows.shape().to_vec()));
    write_header(&mut out, HashMap::from([(SIDE_KEY.to_owned(), json)]), shapes)?;
    for value in parts.iter().flat_map(|(_, rows)| rows.iter()) {
        out.write_all(&value.to_le_bytes())?;
    }
    out.flush()
}

fn load(path: &Path, job: &str) -> Result<EmbeddedSide, String> {
    let (file, header): (_, Header) = open(path, SIDE_KEY)?;
    if header.job != job {
        return Err("it is of another job".to_owned());
    }
    let tensors = SafeTensors::deserialize(file.bytes()).map_err(|e| e.to_string())?;
    let rows = |name: &str| {
        let shape = tensors.tensor(name).map_err(|e| e.to_string())?.shape().to_vec();
        let [count, width] = shape[..] else { return Err(format!("its tensor '{name}' has shape {shape:?}")) };
        let values = read::<4>(&tensors, name, Dtype::F32, &shape)?;
        let values = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let rows = Array2::from_shape_vec((count, width), values).map_err(|e| e.to_string())?;
        Ok(Embeddings::of_unit_rows(rows))
    };
    let zero_shot =
        tensors.names().into_iter().any(|name| name == "zero_shot").then(|| rows("zero_shot")).transpose()?;
    let Header { quadruplets, images, .. } = header;
    Ok(EmbeddedSide { safe: rows("safe")?, not_safe: rows("not_safe")?, zero_shot, bad: Bad { quadruplets, images } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use serde_json::json;

    #[test]
    fn what_was_kept_is_the_same_and_another_job_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        let checkpoints = Checkpoints::open(&work).unwrap();
        let sides = Sides(Some(&checkpoints));
        let unit = |rows| Embeddings::normalise_each(rows).0;
        let side = EmbeddedSide {
            safe: unit(array![[0.3, 0.1], [0.0, 0.0]]),
            not_safe: unit(array![[1.0, 7.0], [0.2, 0.2]]),
            zero_shot: Some(unit(array![[0.1, 0.9]])),
            bad: Bad { quadruplets: BTreeSet::from([1]), images: BTreeSet::new() },
        };
        let never = || unreachable!("it is kept");
        assert_eq!(sides.get(&json!(1), || Ok(side.clone())).unwrap(), side);
        assert_eq!(sides.get(&json!(1), never).unwrap(), side);
        let other = EmbeddedSide { zero_shot: None, ..side.clone() };
        assert_eq!(sides.get(&json!(2), || Ok(other.clone())).unwrap(), other);
        assert_eq!(sides.get(&json!(2), never).unwrap(), other);
        let names = || std::fs::read_dir(&work).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        let kept = names().into_iter().find(|path| path.extension().is_some_and(|end| end == "safetensors")).unwrap();
        std::fs::write(&kept, "broken").unwrap();
        let tried = [json!(1), json!(2)].map(|job| sides.get(&job, never));
        assert_eq!(tried.iter().filter(|got| matches!(got, Err(Error::Checkpoint { .. }))).count(), 1);
        checkpoints.clear();
        // The broken one is not known to be ours.
        assert_eq!(names(), [kept]);
    }
}
