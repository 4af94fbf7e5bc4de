//! A zero-shot set as a folder of images for each class, and names and templates in the layout of `CLIP_benchmark`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Labelled, WHAT, ZeroShot};
use crate::dataset::error::Error;
use crate::dataset::forms::{IMAGES, entries};
use crate::dataset::picture::Picture;
use crate::dataset::read::text_of;
use crate::few::few;

const HELP: &str = "it is a folder with a folder of images for each class, classnames.json ([\"cat\", ..] or {\"SET\": [\"cat\", ..]}) and templates.json ([\"a photo of a {c}\", ..] or {\"SET\": [..]}); class folders are taken in the order of their names, or by name where they are called as the classes";

/// Reads it.
pub fn read(path: &Path) -> Result<ZeroShot, Error> {
    let wrong = |reason| Error::Format { what: WHAT, path: path.to_owned(), reason, help: HELP };
    let list = |names: &[&str]| {
        let file = names.iter().map(|name| path.join(name)).find(|file| file.is_file());
        let file = file.ok_or_else(|| wrong(format!("it has no {}", names[0])))?;
        list(path, &file)
    };
    let labels = list(&["classnames.json", "en_classnames.json"])?;
    let templates = list(&[
        "templates.json",
        "zeroshot_classification_templates.json",
        "en_zeroshot_classification_templates.json",
    ])?;
    let folders: Vec<String> = entries(path)?.into_iter().filter(|name| path.join(name).is_dir()).collect();
    let numbers = numbers(&folders, &labels).map_err(wrong)?;
    let (mut images, mut others) = (vec![], 0);
    for (folder, label) in folders.iter().zip(numbers) {
        let folder = path.join(folder);
        let before = images.len();
        for name in entries(&folder)? {
            let file: PathBuf = folder.join(&name);
            let ending = name.rsplit_once('.').map_or(String::new(), |(_, ending)| ending.to_lowercase());
            if file.is_file() && IMAGES.contains(&ending.as_str()) {
                images.push(Labelled { image: Picture::File(file), label, split: None });
            } else {
                others += 1;
            }
        }
        if images.len() == before {
            return Err(wrong(format!("the class folder {} has no images", folder.display())));
        }
    }
    let said = format!("{}: {others} entries of class folders are no images and left out", path.display());
    let notes = if others > 0 { vec![said] } else { vec![] };
    Ok(ZeroShot { labels, templates, images, path: path.to_owned(), notes })
}

/// Names, or templates.
#[derive(Deserialize)]
#[serde(untagged)]
enum List {
    Plain(Vec<String>),
    Of(BTreeMap<String, serde_json::Value>),
}

/// A list, or that of the folder's name in a file of several.
fn list(folder: &Path, file: &Path) -> Result<Vec<String>, Error> {
    let wrong = |reason| Error::Format { what: WHAT, path: file.to_owned(), reason, help: HELP };
    let parsed: List = serde_json::from_str(&text_of(file, WHAT)?).map_err(|e| wrong(e.to_string()))?;
    let mut lists = match parsed {
        List::Plain(list) => return Ok(list),
        List::Of(lists) => lists,
    };
    let own = folder.canonicalize().ok().and_then(|real| real.file_name()?.to_str().map(str::to_owned));
    let key = match lists.len() {
        1 => lists.keys().next().cloned(),
        _ => own.filter(|own| lists.contains_key(own)),
    };
    let known = || few(lists.keys());
    let key = key.ok_or_else(|| {
        wrong(format!("it is of several sets ({}), and the folder is called like none of them", known()))
    })?;
    let list = lists.remove(&key).unwrap_or_default();
    serde_json::from_value(list).map_err(|e| wrong(format!("'{key}' is no list of texts: {e}")))
}

/// The label of each class folder, which come in the order of their names.
fn numbers(folders: &[String], labels: &[String]) -> Result<Vec<usize>, String> {
    if folders.len() != labels.len() {
        let (folders, labels) = (folders.len(), labels.len());
        return Err(format!("it has {folders} class folders and {labels} class names"));
    }
    let plain = |name: &String| name.to_lowercase().replace(['_', '-'], " ");
    let labels: Vec<String> = labels.iter().map(plain).collect();
    let folders: Vec<String> = folders.iter().map(plain).collect();
    let same: Vec<Option<usize>> =
        folders.iter().map(|folder| labels.iter().position(|label| label == folder)).collect();
    let distinct: BTreeSet<usize> = same.iter().flatten().copied().collect();
    if distinct.len() == labels.len() {
        return Ok(same.into_iter().flatten().collect());
    }
    // Where some names agree, both orders would be a guess.
    if let Some((folder, _)) = same.iter().enumerate().find(|(at, same)| same.is_some_and(|label| label != *at)) {
        return Err(format!(
            "the class folder '{}' is called like another class than its order makes it, and others like none",
            folders[folder]
        ));
    }
    Ok((0..labels.len()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(folders: &[&str], labels: &[&str]) -> Result<Vec<usize>, String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        numbers(&owned(folders), &owned(labels))
    }

    #[test]
    fn class_folders_go_by_name_or_by_order() {
        assert_eq!(of(&["n01", "n02"], &["tench", "goldfish"]), Ok(vec![0, 1]));
        assert_eq!(of(&["gold_fish", "tench"], &["tench", "Gold fish"]), Ok(vec![1, 0]));
        assert!(of(&["n01"], &["tench", "goldfish"]).unwrap_err().contains("1 class folders and 2"));
        assert!(of(&["a", "tench"], &["tench", "goldfish"]).unwrap_err().contains("'tench' is called like another"));
    }
}
