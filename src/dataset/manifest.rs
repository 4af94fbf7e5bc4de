//! The JSONL manifest: one quadruplet a line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::Error;
use super::picture::Picture;
use super::set::{DataSet, Pair, Quadruplet};

#[derive(Deserialize)]
struct Row {
    id: serde_json::Value,
    safe_text: Option<String>,
    unsafe_text: Option<String>,
    safe_image: Option<PathBuf>,
    unsafe_image: Option<PathBuf>,
    concept: Option<String>,
    split: Option<String>,
    style: Option<String>,
}

impl DataSet {
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
        let (mut rows, mut ids, mut splits) = (Vec::<Quadruplet>::new(), BTreeSet::new(), BTreeSet::new());
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
            if let Some(other) = row.split.as_ref().filter(|own| *own != split) {
                splits.insert(other.clone());
                continue;
            }
            let found = |image: PathBuf| {
                let image = folder.join(image);
                let missing = || wrong(format!("the image {} does not exist", image.display()));
                if image.is_file() { Ok(Picture::File(image)) } else { Err(missing()) }
            };
            let texts = pair(row.safe_text, row.unsafe_text, "text").map_err(wrong)?;
            let images = pair(row.safe_image, row.unsafe_image, "image").map_err(wrong)?;
            let images =
                images.map(|Pair { safe, not_safe }| Ok(Pair { safe: found(safe)?, not_safe: found(not_safe)? }));
            let row = Quadruplet {
                id,
                texts,
                images: images.transpose()?,
                concept: row.concept,
                style: row.style,
                split: row.split,
            };
            let parts = |row: &Quadruplet| [row.texts.is_some(), row.images.is_some()];
            if parts(&row) == [false, false] {
                return Err(wrong("it has neither texts nor images".to_owned()));
            }
            if rows.first().is_some_and(|first| parts(first) != parts(&row)) {
                return Err(wrong("it has not the same of texts and images as the rows before it".to_owned()));
            }
            rows.push(row);
        }
        if rows.is_empty() {
            let found: Vec<String> = splits.into_iter().collect();
            return Err(Error::EmptySplit {
                path: path.to_owned(),
                split: split.to_owned(),
                found: if found.is_empty() { "none".to_owned() } else { found.join(", ") },
            });
        }
        Ok(Self { path: path.to_owned(), rows, tensors: None, sources: vec![path.to_owned()], notes: vec![] })
    }
}

fn pair<T>(safe: Option<T>, not_safe: Option<T>, what: &str) -> Result<Option<Pair<T>>, String> {
    match (safe, not_safe) {
        (None, None) => Ok(None),
        (Some(safe), Some(not_safe)) => Ok(Some(Pair { safe, not_safe })),
        (Some(_), None) => Err(format!("it has safe_{what} and no unsafe_{what}")),
        (None, Some(_)) => Err(format!("it has unsafe_{what} and no safe_{what}")),
    }
}
