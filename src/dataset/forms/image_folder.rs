//! Hugging Face's `imagefolder`: images, and a `metadata.jsonl` or `metadata.csv` beside them, in one folder or in one a
//! split.

use std::path::{Path, PathBuf};

use super::columns::Naming;
use super::{Found, entries, jsonl, table};
use crate::dataset::error::Error;

const WHAT: &str = "imagefolder";
const HELP: &str = "keep one of them: metadata.jsonl or metadata.csv, at the root or in a folder for each split";

/// Reads the rows of all splits. A folder of a split gives it its name.
pub fn read(path: &Path) -> Result<Found, Error> {
    let mut found = Found::default();
    let folders = folders(path)?;
    let here = metadata(path)?;
    let there: Vec<(String, PathBuf)> = folders
        .into_iter()
        .filter_map(|(name, folder)| Some(Ok((name, metadata(&folder).transpose()?))))
        .map(|found: Result<_, Error>| found.and_then(|(name, file)| Ok((name, file?))))
        .collect::<Result<_, Error>>()?;
    if let (Some(_), Some((name, _))) = (&here, there.first()) {
        let reason = format!("there are metadata both at the root and in {name}/");
        return Err(Error::Format { what: WHAT, path: path.to_owned(), reason, help: HELP });
    }
    for (split, file) in here.map(|file| (None, file)).into_iter().chain(there.into_iter().map(|(s, f)| (Some(s), f))) {
        let split = split.as_deref();
        if file.extension().is_some_and(|extension| extension == "csv") {
            table::records(&file, "metadata", b',', Naming::ImageFolder, split, &mut found)?;
        } else {
            jsonl::lines(&file, "metadata", Naming::ImageFolder, split, &mut found)?;
        }
    }
    Ok(found)
}

/// Whether a folder is one.
pub fn is_one(path: &Path) -> Result<bool, Error> {
    let any = |folder: &Path| ["metadata.jsonl", "metadata.csv"].iter().any(|name| folder.join(name).is_file());
    Ok(any(path) || folders(path)?.iter().any(|(_, folder)| any(folder)))
}

/// The folders in a folder, by name; hidden ones left aside.
fn folders(path: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let entries = entries(path)?.into_iter().map(|name| (path.join(&name), name));
    Ok(entries.filter(|(folder, _)| folder.is_dir()).map(|(folder, name)| (name, folder)).collect())
}

fn metadata(folder: &Path) -> Result<Option<PathBuf>, Error> {
    let [lines, table] = ["metadata.jsonl", "metadata.csv"].map(|name| folder.join(name));
    match (lines.is_file(), table.is_file()) {
        (true, true) => {
            let reason = "there are both a metadata.jsonl and a metadata.csv".to_owned();
            Err(Error::Format { what: WHAT, path: folder.to_owned(), reason, help: HELP })
        }
        (true, false) => Ok(Some(lines)),
        (false, true) => Ok(Some(table)),
        (false, false) => Ok(None),
    }
}
