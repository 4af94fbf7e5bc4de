//! A zero-shot classification set: labels, prompt templates, labelled images.

mod archives;
mod classes;
mod file;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::picture::Picture;
use crate::few::cut;

/// What such a set is called in messages.
const WHAT: &str = "zero-shot set";

/// Images to be classified by the nearest label embedding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZeroShot {
    /// Names of the classes.
    pub labels: Vec<String>,
    /// Prompts with `{}` where the label goes.
    pub templates: Vec<String>,
    /// The images.
    pub images: Vec<Labelled>,
    /// The file or folder it is from.
    pub path: PathBuf,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// An image of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// Where it is.
    pub image: Picture,
    /// Index of its label.
    pub label: usize,
    /// The split it belongs to; to every one if none is named.
    pub split: Option<String>,
}

impl ZeroShot {
    /// Reads a set: `{"labels": [..], "templates": [..], "images": [{"image": path, "label": index}, ..]}`, where an image
    /// may name its `split`; a folder with a folder of images for each class and `classnames.json` and `templates.json`; or
    /// a folder with `classnames.txt`, `zeroshot_classification_templates.txt` and `test/*.tar`, as `CLIP_benchmark` has it.
    ///
    /// # Errors
    /// If it is none of these, labels or templates are none, or an image is missing.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let set = match path.is_dir() {
            false => file::read(path)?,
            true if path.join("classnames.txt").is_file() => archives::read(path)?,
            true => classes::read(path)?,
        };
        let wrong = |reason: String| Error::Format {
            what: WHAT,
            path: path.to_owned(),
            reason,
            help: "labels, templates (each with {} or {c} for the label) and images are needed",
        };
        if set.labels.is_empty() || set.templates.is_empty() || set.images.is_empty() {
            return Err(wrong("labels, templates and images may not be empty".to_owned()));
        }
        let templates = set.templates.iter().map(|template| template.replace("{c}", "{}")).collect::<Vec<_>>();
        if let Some(template) = templates.iter().find(|template| !template.contains("{}")) {
            return Err(wrong(format!("the template '{}' has no {{}}", cut(template))));
        }
        Ok(Self { templates, ..set })
    }

    /// The images of a split, with those that name none.
    ///
    /// # Errors
    /// If there are none.
    pub fn of(&self, split: &str) -> Result<Self, Error> {
        let own = |image: &&Labelled| image.split.as_deref().is_none_or(|named| named == split);
        let images: Vec<Labelled> = self.images.iter().filter(own).cloned().collect();
        if images.is_empty() {
            let found: BTreeSet<&str> = self.images.iter().filter_map(|image| image.split.as_deref()).collect();
            let found = found.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Error::EmptySplit { path: self.path.clone(), split: split.to_owned(), found });
        }
        Ok(Self { images, ..self.clone() })
    }

    /// Two sets that share no image: of what names one of the two splits, that; of the rest that names none, label by label,
    /// the first, third, ... to the first set and the second, fourth, ... to the second.
    ///
    /// # Errors
    /// If an image would be in both, or a set is empty.
    pub fn divided(&self, splits: [&str; 2]) -> Result<[Self; 2], Error> {
        let wrong = |reason: String| Error::Format {
            what: WHAT,
            path: self.path.clone(),
            reason,
            help: "name the `split` of each image, two different ones for what is chosen by and what is reported; or give at least two images a label",
        };
        let mut parts: [Vec<Labelled>; 2] = [vec![], vec![]];
        let mut dealt = vec![0_usize; self.labels.len()];
        for image in &self.images {
            match image.split.as_deref() {
                None => {
                    parts[dealt[image.label] % 2].push(image.clone());
                    dealt[image.label] += 1;
                }
                Some(split) if splits == [split; 2] => {
                    return Err(wrong(format!("images of the split '{split}' would be both chosen by and reported")));
                }
                Some(split) => {
                    let part = splits.iter().position(|own| *own == split);
                    part.into_iter().for_each(|part| parts[part].push(image.clone()));
                }
            }
        }
        let real = |image: &Labelled| image.image.real();
        let first: BTreeSet<Picture> = parts[0].iter().map(real).collect();
        if let Some(twice) = parts[1].iter().find(|image| first.contains(&real(image))) {
            return Err(wrong(format!("{} would be both chosen by and reported", twice.image)));
        }
        if let Some(empty) = parts.iter().position(Vec::is_empty) {
            return Err(wrong(format!("no image is left for the split '{}'", splits[empty])));
        }
        Ok(parts.map(|images| Self { images, ..self.clone() }))
    }

    /// All prompts: for each label, each template.
    pub fn prompts(&self) -> Vec<String> {
        self.labels.iter().flat_map(|label| self.templates.iter().map(move |t| t.replace("{}", label))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_dealt_out_label_by_label() {
        let image = |name: &str, label, split: Option<&str>| Labelled {
            image: Picture::File(PathBuf::from(name)),
            label,
            split: split.map(str::to_owned),
        };
        let images = vec![
            image("1", 0, None),
            image("2", 1, None),
            image("3", 0, None),
            image("4", 0, Some("b")),
            image("5", 0, None),
        ];
        let labels = ["x", "y"].map(str::to_owned).to_vec();
        let set = ZeroShot { labels, templates: vec![], images, path: PathBuf::new(), notes: vec![] };
        assert_eq!(set.of("b").unwrap().images.len(), 5);
        assert_eq!(set.of("a").unwrap().images.len(), 4);
        let names = |set: &ZeroShot| set.images.iter().map(|i| i.image.to_string()).collect::<String>();
        let parts = set.divided(["a", "b"]).unwrap();
        assert_eq!(parts.each_ref().map(names), ["125", "34"]);
        // One name for both: only what names none can be dealt out.
        assert!(set.divided(["b", "b"]).unwrap_err().to_string().contains("'b' would be both"));
        assert_eq!(set.divided(["c", "c"]).unwrap().each_ref().map(names), ["125", "3"]);
        let mut twice = set.clone();
        twice.images.push(image("1", 0, Some("b")));
        assert!(twice.divided(["a", "b"]).unwrap_err().to_string().contains("1 would be both"));
        let mut few = set;
        few.images.truncate(2);
        assert!(few.divided(["a", "b"]).unwrap_err().to_string().contains("no image is left for the split 'b'"));
    }
}
