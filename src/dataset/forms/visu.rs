//! ViSU as it is published: lists of captions in `ViSU-Text_{train,validation,test}.json`, a folder of COCO images and a
//! folder of generated ones.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Folders, Found, Place, Row, entries};
use crate::dataset::error::Error;
use crate::dataset::picture::Picture;
use crate::dataset::read::text_of;
use crate::few::few;

const WHAT: &str = "ViSU set";
const HELP: &str = "put a folder (or link) `coco` with the COCO images, or `train2017` and `val2017`, and a folder `unsafe` with the generated images beside the JSON files, or name them with --coco-images and --generated-images";

#[derive(Deserialize)]
struct Entry {
    incremental_id: u64,
    safe: Option<String>,
    nsfw: Option<String>,
    coco_id: u64,
    tag: Option<String>,
}

/// The split that a file name tells.
pub fn split_of(path: &Path) -> Option<&'static str> {
    let split = path.file_name()?.to_str()?.strip_prefix("ViSU-Text_")?.strip_suffix(".json")?;
    ["train", "validation", "test"].into_iter().find(|known| *known == split)
}

/// Its own name for a split, by which ours can be asked for too.
pub fn own_name(split: &str) -> &str {
    match split {
        "calibration" => "train",
        "evaluation" => "test",
        other => other,
    }
}

/// Reads a file, or those of a folder that hold `wanted`.
pub fn read(path: &Path, folders: &Folders, wanted: Option<&str>) -> Result<Found, Error> {
    let mut found = Found::default();
    let whole = path.is_dir();
    let files: Vec<PathBuf> = match whole {
        true => entries(path)?.into_iter().map(|name| path.join(name)).collect(),
        false => vec![path.to_owned()],
    };
    let beside = if whole { path } else { path.parent().unwrap_or(Path::new("")) };
    let images = Images::find(path, beside, folders, &mut found.notes)?;
    for (file, split) in files.iter().filter_map(|file| Some((file, split_of(file)?))) {
        if wanted.is_some_and(|wanted| own_name(wanted) != split) {
            found.splits.insert(split.to_owned());
            continue;
        }
        let text = text_of(file, WHAT)?;
        let entries: Vec<Entry> = serde_json::from_str(&text).map_err(|e| Error::Format {
            what: WHAT,
            path: file.clone(),
            reason: e.to_string(),
            help: "it is a list of objects with incremental_id, safe, nsfw, coco_id and tag, as published",
        })?;
        let source = found.source(file);
        let mut empty = vec![];
        for entry in entries {
            let Entry { incremental_id, safe, nsfw, coco_id, tag } = entry;
            let texts = [safe, nsfw].map(|text| text.filter(|text| !text.trim().is_empty()));
            if texts.contains(&None) {
                empty.push(incremental_id);
                continue;
            }
            found.rows.push(Row {
                source,
                place: Place::Named(format!("incremental_id {incremental_id}")),
                id: if whole { format!("{split}/{incremental_id}") } else { incremental_id.to_string() },
                texts,
                images: images.of(coco_id, incremental_id),
                concept: tag,
                style: None,
                split: Some(split.to_owned()),
                sensitive: Some(true),
            });
        }
        if !empty.is_empty() {
            let (file, all) = (file.display(), empty.len());
            let rows = if all == 1 { "row is" } else { "rows are" };
            found.notes.push(format!("{file}: {all} {rows} left out for an empty caption: {}", few(empty)));
        }
    }
    Ok(found)
}

/// Where the images are, if there are any.
struct Images {
    /// Folders that may hold a COCO image.
    coco: Vec<PathBuf>,
    generated: PathBuf,
    there: bool,
}

impl Images {
    fn find(set: &Path, beside: &Path, given: &Folders, notes: &mut Vec<String>) -> Result<Self, Error> {
        let wrong = |reason| Error::Format { what: WHAT, path: set.to_owned(), reason, help: HELP };
        for folder in [&given.coco, &given.generated].into_iter().flatten() {
            if !folder.is_dir() {
                return Err(wrong(format!("the folder {} does not exist", folder.display())));
            }
        }
        let here = |names: &[&str]| names.iter().map(|name| beside.join(name)).filter(|f| f.is_dir()).collect();
        // COCO itself is published in folders for its own splits.
        let coco = match &given.coco {
            Some(folder) => with_parts(folder),
            None if beside.join("coco").is_dir() => with_parts(&beside.join("coco")),
            None => here(&["train2017", "val2017"]),
        };
        let generated: Vec<PathBuf> = match &given.generated {
            Some(folder) => vec![folder.clone()],
            None => here(&["unsafe", "visu", "nsfw", "generated"]),
        };
        match (coco.is_empty(), generated.as_slice()) {
            (true, []) => {
                notes.push(format!(
                    "{}: no folders of images are beside it (coco and unsafe) and none are named: texts only",
                    set.display()
                ));
                Ok(Self { coco, generated: PathBuf::new(), there: false })
            }
            (false, [one]) => Ok(Self { coco, generated: one.clone(), there: true }),
            (true, [_, ..]) => Err(wrong("the folder of the COCO images is not there".to_owned())),
            (false, []) => Err(wrong("the folder of the generated images is not there".to_owned())),
            (false, several) => {
                let several = few(several.iter().map(|folder| folder.display()));
                Err(wrong(format!("which folder holds the generated images cannot be told: {several}")))
            }
        }
    }

    /// The pictures of an entry; of a missing one, where it was looked for first.
    fn of(&self, coco_id: u64, incremental_id: u64) -> [Option<Picture>; 2] {
        if !self.there {
            return [None, None];
        }
        let name = format!("{coco_id:012}.jpg");
        let places = || self.coco.iter().map(|folder| folder.join(&name));
        let coco = match self.coco.len() {
            1 => places().next(),
            _ => places().find(|path| path.is_file()).or_else(|| places().next()),
        };
        let generated = self.generated.join(incremental_id.to_string()).join("0.jpg");
        [coco.map(Picture::File), Some(Picture::File(generated))]
    }
}

/// A folder, or the parts of COCO that are in it.
fn with_parts(folder: &Path) -> Vec<PathBuf> {
    let parts: Vec<PathBuf> =
        ["train2017", "val2017"].iter().map(|part| folder.join(part)).filter(|part| part.is_dir()).collect();
    if parts.is_empty() { vec![folder.to_owned()] } else { parts }
}
