//! From the rows of a form to a set: one split of it, checked.

use std::collections::HashSet;
use std::path::Path;

use super::error::Error;
use super::forms::{Folders, Form, Found};
use super::picture::Picture;
use super::set::{DataSet, Pair, Quadruplet};
use crate::few::few;

/// Missing images that are named.
const NAMED: usize = 10;

impl DataSet {
    /// Reads the rows of `split`; a row that names no split belongs to every one. What form the set has is told by what
    /// the path is.
    ///
    /// # Errors
    /// If the form is unknown, a row is wrong, an image file is missing, an id is repeated, or no row is left.
    pub fn read(path: &Path, split: &str) -> Result<Self, Error> {
        Self::read_with(path, split, &Folders::default())
    }

    /// The same, where folders of images have places of their own.
    ///
    /// # Errors
    /// Those of [`DataSet::read`].
    pub fn read_with(path: &Path, split: &str, folders: &Folders) -> Result<Self, Error> {
        let form = Form::of(path)?;
        select(path, form, form.read(path, folders, Some(split))?, Some(split))
    }

    /// Reads the rows of all splits.
    ///
    /// # Errors
    /// Those of [`DataSet::read`].
    pub fn read_all(path: &Path, folders: &Folders) -> Result<Self, Error> {
        let form = Form::of(path)?;
        select(path, form, form.read(path, folders, None)?, None)
    }
}

/// What all forms have in common: splits, unique ids, pairs, images that are there, the same parts in all rows.
fn select(path: &Path, form: Form, found: Found, split: Option<&str>) -> Result<DataSet, Error> {
    let Found { rows: all, tensors, sources, mut splits, mut notes } = found;
    let own = split.map(|split| form.own_name(split));
    let (mut rows, mut numbers, mut ids) = (Vec::<Quadruplet>::new(), vec![], HashSet::new());
    let mut missing = vec![];
    for (number, row) in all.into_iter().enumerate() {
        let wrong = |reason| form.wrong(&sources[row.source], &row.place, reason);
        if !ids.insert(row.id.clone()) {
            return Err(wrong(format!("id '{}' was used before", row.id)));
        }
        if let Some(other) = row.split.as_ref().filter(|named| own.is_some_and(|own| own != *named)) {
            splits.insert(other.clone());
            continue;
        }
        let texts = pair(row.texts, "text").map_err(wrong)?;
        let images = pair(row.images, "image").map_err(wrong)?;
        let gone = images.as_ref().and_then(|images| images.both().into_iter().find(|picture| !is_there(picture)));
        match gone {
            Some(picture) if form.leaves_out() => {
                missing.push(picture.to_string());
                continue;
            }
            Some(picture) => return Err(wrong(format!("the image {picture} does not exist"))),
            None => {}
        }
        let (concept, style, split, sensitive) = (row.concept, row.style, row.split, row.sensitive);
        let row = Quadruplet { id: row.id, texts, images, concept, style, split, sensitive };
        let parts = |row: &Quadruplet| [row.texts.is_some(), row.images.is_some()];
        if tensors.is_none() && parts(&row) == [false, false] {
            return Err(wrong("it has neither texts nor images".to_owned()));
        }
        if rows.first().is_some_and(|first| parts(first) != parts(&row)) {
            return Err(wrong("it has not the same of texts and images as the rows before it".to_owned()));
        }
        rows.push(row);
        numbers.push(number);
    }
    let left_out = (!missing.is_empty()).then(|| left_out(&missing, rows.len() + missing.len()));
    match left_out {
        Some(reason) if rows.is_empty() => {
            let help = "check the folders of the images, or name them with --coco-images and --generated-images";
            return Err(Error::Format { what: "data set", path: path.to_owned(), reason, help });
        }
        Some(reason) => notes.push(format!("{}: {reason}", path.display())),
        None if rows.is_empty() => {
            let (split, found) = (split.unwrap_or("any").to_owned(), few(&splits));
            return Err(Error::EmptySplit { path: path.to_owned(), split, found });
        }
        None => {}
    }
    if let (Some(split), Some(own)) = (split, own.filter(|own| Some(*own) != split)) {
        notes.push(format!("{}: the split '{split}' is its '{own}'", path.display()));
    }
    // Rows of tensors are told apart by their number.
    let tensors = tensors.map(|tensors| if splits.is_empty() { tensors } else { tensors.select(&numbers) });
    Ok(DataSet { path: path.to_owned(), rows, tensors, sources, notes })
}

/// Whether an image can be read, as far as that is seen without reading it.
pub(super) fn is_there(picture: &Picture) -> bool {
    match picture {
        Picture::File(path) => path.is_file(),
        // The archive's reader has seen it.
        Picture::Member { .. } => true,
    }
}

fn left_out(missing: &[String], all: usize) -> String {
    let count = missing.len();
    let named = missing[..count.min(NAMED)].join(", ");
    let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
    format!("{count} of {all} rows are left out, whose images are missing: {named}{more}")
}

fn pair<T>([safe, not_safe]: [Option<T>; 2], what: &str) -> Result<Option<Pair<T>>, String> {
    match (safe, not_safe) {
        (None, None) => Ok(None),
        (Some(safe), Some(not_safe)) => Ok(Some(Pair { safe, not_safe })),
        (Some(_), None) => Err(format!("it has safe_{what} and no unsafe_{what}")),
        (None, Some(_)) => Err(format!("it has unsafe_{what} and no safe_{what}")),
    }
}
