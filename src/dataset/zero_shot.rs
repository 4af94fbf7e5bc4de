//! A zero-shot classification set: labels, prompt templates, labelled images.

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
    /// Images and the index of their label.
    pub images: Vec<(PathBuf, usize)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    labels: Vec<String>,
    templates: Vec<String>,
    images: Vec<Labelled>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labelled {
    image: PathBuf,
    label: usize,
}

impl ZeroShot {
    /// Reads `{"labels": [..], "templates": [..], "images": [{"image": path, "label": index}, ..]}`.
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
            help: "it is a JSON object with labels, templates (each with {} for the label) and images ({image, label}, label an index into labels)",
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
        for (index, Labelled { image, label }) in file.images.into_iter().enumerate() {
            if label >= file.labels.len() {
                return Err(wrong(format!("images[{index}] has label {label} of {} labels", file.labels.len())));
            }
            let image = folder.join(image);
            if !image.is_file() {
                return Err(wrong(format!("images[{index}]: {} does not exist", image.display())));
            }
            images.push((image, label));
        }
        Ok(Self { labels: file.labels, templates: file.templates, images })
    }

    /// All prompts: for each label, each template.
    pub fn prompts(&self) -> Vec<String> {
        self.labels.iter().flat_map(|label| self.templates.iter().map(move |t| t.replace("{}", label))).collect()
    }
}
