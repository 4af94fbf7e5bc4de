//! A zero-shot set as `CLIP_benchmark` exports it: names and templates in text files, images and labels in tar archives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Labelled, WHAT, ZeroShot};
use crate::dataset::error::Error;
use crate::dataset::forms::{IMAGES, Member, entries, members};
use crate::dataset::picture::Picture;
use crate::dataset::read::text_of;
use crate::few::{cut, few};

const HELP: &str = "it is a folder with classnames.txt, zeroshot_classification_templates.txt and test/*.tar, whose samples are KEY.jpg (or .webp, .png) and KEY.cls, the number of the class from 0";

/// Reads it.
pub fn read(path: &Path) -> Result<ZeroShot, Error> {
    let wrong = |reason| Error::Format { what: WHAT, path: path.to_owned(), reason, help: HELP };
    let lines = |name: &str| -> Result<Vec<String>, Error> {
        let text = text_of(&path.join(name), WHAT)?;
        Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    };
    let labels = lines("classnames.txt")?;
    let templates = lines("zeroshot_classification_templates.txt")?;
    let folder = path.join("test");
    if !folder.is_dir() {
        return Err(wrong("it has no folder test".to_owned()));
    }
    let mut notes = vec![];
    let others = entries(path)?.into_iter().filter(|name| name != "test" && path.join(name).is_dir());
    let others: Vec<String> = others.collect();
    if !others.is_empty() {
        notes.push(format!("{}: only test is read, not {}", path.display(), few(others)));
    }
    let mut images = vec![];
    let tars = entries(&folder)?.into_iter().filter(|name| name.ends_with(".tar"));
    for archive in tars.map(|name| folder.join(name)).collect::<Vec<PathBuf>>() {
        let mut samples = BTreeMap::<String, (Option<Picture>, Option<String>)>::new();
        for Member { key, ending, picture, text } in members(&archive, |ending| ending == "cls", &mut notes)? {
            let sample = samples.entry(key).or_default();
            match ending.as_str() {
                "cls" => sample.1 = text,
                ending if IMAGES.contains(&ending) => sample.0 = Some(picture),
                _ => {}
            }
        }
        for (key, sample) in samples {
            let of = |reason: String| wrong(format!("{}, sample '{}': {reason}", archive.display(), cut(&key)));
            let (Some(image), Some(label)) = sample else {
                return Err(of("it has not both an image and a .cls".to_owned()));
            };
            let known = label.trim().parse().ok().filter(|label| *label < labels.len());
            let label = known.ok_or_else(|| of(format!("its class is '{}' of {}", cut(label.trim()), labels.len())))?;
            images.push(Labelled { image, label, split: None });
        }
    }
    Ok(ZeroShot { labels, templates, images, path: path.to_owned(), notes })
}
