//! Data sets looked through and dealt out, without a model.

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Error, Observer};
use crate::dataset::{CheckOptions, Checkup, DataSet, Divide, Folders, Item, Pair, Picture, Quadruplet, divide};
use crate::onnx::{self, Outputs, Source, check_output, folder_of};
use crate::report::{DataCheck, DataSplit, FileId, Part};

/// Sets to look through.
#[derive(Debug, Clone)]
pub struct DataCheckJob {
    /// Where they are.
    pub sets: Vec<PathBuf>,
    /// Where ViSU's images are.
    pub folders: Folders,
    /// What is looked for.
    pub options: CheckOptions,
}

/// Looks through sets: what is there, and what is wrong.
///
/// # Errors
/// If one cannot be read at all, or the observer says to stop.
pub fn check_data(job: &DataCheckJob, observer: &dyn Observer) -> Result<DataCheck, Error> {
    let checkup = Checkup::open(&job.sets, &job.folders, job.options.clone())?;
    observer.begin("images", checkup.pictures());
    let tick = || {
        observer.advance(1);
        !observer.cancelled()
    };
    let checked = checkup.run(&tick);
    observer.end();
    Ok(DataCheck { checked: checked.ok_or(Error::Interrupted)? })
}

/// A set to deal out.
#[derive(Debug, Clone)]
pub struct SplitJob {
    /// Where it is.
    pub set: PathBuf,
    /// Where ViSU's images are.
    pub folders: Folders,
    /// The manifest to write.
    pub output: PathBuf,
    /// How.
    pub how: Divide,
    /// Whether to replace an output that exists.
    pub force: bool,
}

/// A line of the manifest.
#[derive(Serialize)]
struct Line<'r> {
    id: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    safe_text: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsafe_text: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safe_image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsafe_image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concept: Option<&'r str>,
    split: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    style: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sensitive: Option<bool>,
}

/// Writes a manifest of the set in which each row has a split. Rows that share an image or a safe text have the same.
///
/// # Errors
/// If shares make no sense, the set cannot be read or written as a manifest, or the output may not be written.
pub fn split_data(job: &SplitJob, observer: &dyn Observer) -> Result<DataSplit, Error> {
    let help = "as calibration=0.5,validation=0.2,evaluation=0.3";
    job.how.check().map_err(|reason| Error::Conflict { reason, help })?;
    let set = DataSet::read_all(&job.set, &job.folders)?;
    check_paths(&set)?;
    let mut outputs = prepare(job, &set)?;
    let items = items(&set, observer)?;
    let divided = divide(&items, &job.how);
    let rows = |part: usize| divided.parts.iter().filter(|own| **own == part).count();
    let part = |(number, (name, share)): (usize, &(String, f64))| Part {
        split: name.clone(),
        share: *share,
        rows: rows(number),
    };
    let parts: Vec<Part> = job.how.parts.iter().enumerate().map(part).collect();
    if let Some(empty) = parts.iter().find(|part| part.rows == 0) {
        let (groups, rows) = (divided.groups, set.rows.len());
        return Err(Error::Conflict {
            reason: format!("nothing is left for '{}': {rows} rows in {groups} groups that share nothing", empty.split),
            help: "give fewer parts or larger shares, or a larger set; rows that share an image or a safe text stay together",
        });
    }
    let file = outputs.create(&job.output)?;
    let failed = |source| onnx::Error::Write { path: job.output.clone(), source };
    let folder = folder_of(&job.output).canonicalize().map_err(failed)?;
    let mut folders = HashMap::new();
    let mut out = BufWriter::new(outputs.file(file));
    for (row, &part) in set.rows.iter().zip(&divided.parts) {
        let line = line(row, &parts[part].split, &folder, &mut folders)?;
        serde_json::to_writer(&mut out, &line).map_err(std::io::Error::from).map_err(failed)?;
        out.write_all(b"\n").map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    drop(out);
    let sha256 = Source::open(outputs.path(file)).map_err(failed)?.sha256().to_owned();
    outputs.publish()?;
    let mut notes = set.notes;
    let named = set.rows.iter().filter(|row| row.split.is_some()).count();
    if named > 0 {
        notes.push(format!("the splits that {named} rows had before are gone"));
    }
    Ok(DataSplit {
        output: FileId { path: job.output.clone(), sha256 },
        parts,
        groups: divided.groups,
        largest_group: divided.largest,
        seed: job.how.seed,
        notes,
    })
}

/// Checks that the set can be written as a manifest, which names files.
fn check_paths(set: &DataSet) -> Result<(), Error> {
    let help = "unpack the images into a folder, and give a set that names them";
    if set.tensors.is_some() {
        let reason = format!("{} holds graph inputs, and a manifest has texts and images", set.path.display());
        return Err(Error::Conflict { reason, help: "divide the arrays where they are made" });
    }
    let mut pictures = set.rows.iter().flat_map(|row| row.images.iter().flat_map(Pair::both));
    match pictures.find(|picture| matches!(picture, Picture::Member { .. })) {
        None => Ok(()),
        Some(picture) => {
            Err(Error::Conflict { reason: format!("{picture} is in an archive, and a manifest names files"), help })
        }
    }
}

/// Checks that the output may be written: not in place of what is read.
fn prepare(job: &SplitJob, set: &DataSet) -> Result<Outputs, Error> {
    let name = job.output.file_name();
    let pictures = set.rows.iter().flat_map(|row| row.images.iter().flat_map(Pair::both)).map(Picture::path);
    let inputs: Vec<&Path> =
        set.sources.iter().map(PathBuf::as_path).chain(pictures.filter(|path| path.file_name() == name)).collect();
    check_output(&inputs, &job.output, job.force)?;
    let mut outputs = Outputs::new(job.force);
    outputs.prepare(&job.output)?;
    Ok(outputs)
}

/// What rows must not share across splits.
fn items(set: &DataSet, observer: &dyn Observer) -> Result<Vec<Item>, Error> {
    observer.begin("images", set.rows.len());
    let item = |row: &Quadruplet| -> Result<Item, Error> {
        if observer.cancelled() {
            return Err(Error::Interrupted);
        }
        let mut contents = vec![];
        for picture in row.images.iter().flat_map(Pair::both) {
            contents.push([&b"image"[..], &Sha256::digest(picture.read()?)].concat());
        }
        // Nothing is shared by saying nothing.
        let texts = row.texts.iter().map(|texts| &texts.safe).filter(|text| !text.trim().is_empty());
        contents.extend(texts.map(|text| [b"text", text.as_bytes()].concat()));
        observer.advance(1);
        Ok(Item { concept: row.concept.clone(), contents })
    };
    let items: Vec<Result<Item, Error>> = set.rows.par_iter().map(item).collect();
    observer.end();
    items.into_iter().collect()
}

fn line<'r>(
    row: &'r Quadruplet,
    split: &'r str,
    folder: &Path,
    folders: &mut HashMap<PathBuf, PathBuf>,
) -> Result<Line<'r>, Error> {
    let mut image = |side: fn(&Pair<Picture>) -> &Picture| {
        row.images.as_ref().map(|images| relative(side(images).path(), folder, folders)).transpose()
    };
    Ok(Line {
        id: &row.id,
        safe_text: row.texts.as_ref().map(|texts| texts.safe.as_str()),
        unsafe_text: row.texts.as_ref().map(|texts| texts.not_safe.as_str()),
        safe_image: image(|images| &images.safe)?,
        unsafe_image: image(|images| &images.not_safe)?,
        concept: row.concept.as_deref(),
        split,
        style: row.style.as_deref(),
        sensitive: row.sensitive,
    })
}

/// The way from a folder to an image, whose own name may be a link's.
fn relative(image: &Path, from: &Path, folders: &mut HashMap<PathBuf, PathBuf>) -> Result<String, Error> {
    let failed = |source| onnx::Error::Io { action: "read", path: image.to_owned(), source };
    let parent = folder_of(image);
    let parent = match folders.get(parent) {
        Some(known) => known,
        None => {
            let real = parent.canonicalize().map_err(failed)?;
            folders.entry(parent.to_owned()).or_insert(real)
        }
    };
    let shared = parent.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.components().count() - shared).map(PathBuf::from);
    let way: PathBuf = if shared == 0 { parent.clone() } else { up.collect() };
    let rest: PathBuf = if shared == 0 { PathBuf::new() } else { parent.components().skip(shared).collect() };
    let path = way.join(rest).join(image.file_name().unwrap_or_default());
    let text = path.to_str().map(|text| text.replace(std::path::MAIN_SEPARATOR, "/"));
    text.ok_or_else(|| Error::Conflict {
        reason: format!("the name of {} is not UTF-8, and a manifest is", image.display()),
        help: "rename the file",
    })
}
