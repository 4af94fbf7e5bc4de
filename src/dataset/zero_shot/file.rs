//! A zero-shot set as one JSON object.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Labelled, WHAT, ZeroShot};
use crate::dataset::error::Error;
use crate::dataset::picture::Picture;
use crate::dataset::read::text_of;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    labels: Vec<String>,
    templates: Vec<String>,
    images: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    image: PathBuf,
    label: usize,
    split: Option<String>,
}

/// Reads it.
pub fn read(path: &Path) -> Result<ZeroShot, Error> {
    let text = text_of(path, WHAT)?;
    let wrong = |reason: String| Error::Format {
        what: WHAT,
        path: path.to_owned(),
        reason,
        help: "it is a JSON object with labels, templates (each with {} for the label) and images ({image, label} and perhaps split, label an index into labels)",
    };
    let file: File = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut images = vec![];
    for (index, Entry { image, label, split }) in file.images.into_iter().enumerate() {
        if label >= file.labels.len() {
            return Err(wrong(format!("images[{index}] has label {label} of {} labels", file.labels.len())));
        }
        let image = folder.join(image);
        if !image.is_file() {
            return Err(wrong(format!("images[{index}]: {} does not exist", image.display())));
        }
        images.push(Labelled { image: Picture::File(image), label, split });
    }
    let File { labels, templates, .. } = file;
    Ok(ZeroShot { labels, templates, images, path: path.to_owned(), notes: vec![] })
}
