//! The JSONL manifest: one quadruplet a line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::Error;

/// Safe text, unsafe text, safe image, unsafe image (`method.md` section 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quadruplet {
    /// Its name.
    pub id: String,
    /// A harmless caption.
    pub safe_text: String,
    /// Its unsafe partner.
    pub unsafe_text: String,
    /// An image of the harmless caption.
    pub safe_image: PathBuf,
    /// An image of the unsafe caption.
    pub unsafe_image: PathBuf,
    /// What makes the partner unsafe.
    pub concept: Option<String>,
    /// A tag by which an evaluation can tell kinds of scenes apart.
    pub style: Option<String>,
}

/// The quadruplets of one split of a manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Where it was read from.
    pub path: PathBuf,
    /// In the order of the file.
    pub rows: Vec<Quadruplet>,
}

#[derive(Deserialize)]
struct Row {
    id: serde_json::Value,
    safe_text: String,
    unsafe_text: String,
    safe_image: PathBuf,
    unsafe_image: PathBuf,
    concept: Option<String>,
    split: Option<String>,
    style: Option<String>,
}

impl Manifest {
    /// Reads the rows of `split`; a row that names no split belongs to every one.
    ///
    /// # Errors
    /// If a line is wrong, an image file is missing, an id is repeated, or no row is left.
    pub fn read(path: &Path, split: &str) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
            what: "manifest",
            path: path.to_owned(),
            source,
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let (mut rows, mut ids, mut splits) = (vec![], BTreeSet::new(), BTreeSet::new());
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |reason| Error::Line { path: path.to_owned(), line: number + 1, reason };
            let row: Row = serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?;
            let id = match row.id {
                serde_json::Value::String(text) => text,
                serde_json::Value::Number(number) => number.to_string(),
                other => return Err(wrong(format!("id is {other}, neither text nor number"))),
            };
            if !ids.insert(id.clone()) {
                return Err(wrong(format!("id '{id}' was used before")));
            }
            if let Some(other) = row.split.filter(|own| own != split) {
                splits.insert(other);
                continue;
            }
            let found = |image: PathBuf| {
                let image = folder.join(image);
                let missing = || wrong(format!("the image {} does not exist", image.display()));
                if image.is_file() { Ok(image) } else { Err(missing()) }
            };
            rows.push(Quadruplet {
                id,
                safe_text: row.safe_text,
                unsafe_text: row.unsafe_text,
                safe_image: found(row.safe_image)?,
                unsafe_image: found(row.unsafe_image)?,
                concept: row.concept,
                style: row.style,
            });
        }
        if rows.is_empty() {
            let found: Vec<String> = splits.into_iter().collect();
            return Err(Error::EmptySplit {
                path: path.to_owned(),
                split: split.to_owned(),
                found: if found.is_empty() { "none".to_owned() } else { found.join(", ") },
            });
        }
        Ok(Self { path: path.to_owned(), rows })
    }
}
