//! A zero-shot classification set: labels, prompt templates, labelled images.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::Error;

/// Images to be classified by the nearest label embedding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZeroShot {
    /// Names of the classes.
    pub labels: Vec<String>,
    /// Prompts with `{}` where the label goes.
    pub templates: Vec<String>,
    /// The images.
    pub images: Vec<Labelled>,
    /// The file it is from.
    pub path: PathBuf,
}

/// An image of a class.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labelled {
    /// The file.
    pub image: PathBuf,
    /// Index of its label.
    pub label: usize,
    /// The split it belongs to; to every one if none is named.
    pub split: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    labels: Vec<String>,
    templates: Vec<String>,
    images: Vec<Labelled>,
}

impl ZeroShot {
    /// Reads `{"labels": [..], "templates": [..], "images": [{"image": path, "label": index}, ..]}`; an
    /// image may name its `split`.
    ///
    /// # Errors
    /// If the file is not such an object, an index is out of range, a template lacks `{}`, or an image is missing.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let what = "zero-shot set";
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io { what, path: path.to_owned(), source })?;
        let wrong = |reason: String| Error::Format {
            what,
            path: path.to_owned(),
            reason,
            help: "it is a JSON object with labels, templates (each with {} for the label) and images ({image, label} and perhaps split, label an index into labels)",
        };
        let file: File = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if file.labels.is_empty() || file.templates.is_empty() || file.images.is_empty() {
            return Err(wrong("labels, templates and images may not be empty".to_owned()));
        }
        if let Some(template) = file.templates.iter().find(|template| !template.contains("{}")) {
            return Err(wrong(format!("the template '{template}' has no {{}}")));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut images = vec![];
        for (index, Labelled { image, label, split }) in file.images.into_iter().enumerate() {
            if label >= file.labels.len() {
                return Err(wrong(format!("images[{index}] has label {label} of {} labels", file.labels.len())));
            }
            let image = folder.join(image);
            if !image.is_file() {
                return Err(wrong(format!("images[{index}]: {} does not exist", image.display())));
            }
            images.push(Labelled { image, label, split });
        }
        Ok(Self { labels: file.labels, templates: file.templates, images, path: path.to_owned() })
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

    /// The same with images that name no split dealt out to two, label by label: the first to the first, the second to
    /// the second, and so on.
    #[must_use]
    pub fn dealt_out(mut self, splits: [&str; 2]) -> Self {
        let mut dealt = vec![0_usize; self.labels.len()];
        for image in self.images.iter_mut().filter(|image| image.split.is_none()) {
            let turn = &mut dealt[image.label];
            image.split = Some(splits[*turn % 2].to_owned());
            *turn += 1;
        }
        self
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
        let image =
            |label, split: Option<&str>| Labelled { image: PathBuf::new(), label, split: split.map(str::to_owned) };
        let images = vec![image(0, None), image(1, None), image(0, None), image(0, Some("b")), image(0, None)];
        let labels = ["x", "y"].map(str::to_owned).to_vec();
        let set = ZeroShot { labels, templates: vec![], images, path: PathBuf::new() };
        assert_eq!(set.of("b").unwrap().images.len(), 5);
        assert_eq!(set.of("a").unwrap().images.len(), 4);
        let dealt = set.dealt_out(["a", "b"]);
        let splits: Vec<&str> = dealt.images.iter().filter_map(|image| image.split.as_deref()).collect();
        assert_eq!(splits, ["a", "a", "b", "b", "a"]);
        assert!(dealt.of("c").unwrap_err().to_string().contains("c"));
    }
}
