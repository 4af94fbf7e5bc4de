//! What the data files of an edited model are called.

use std::path::{Path, PathBuf};

use crate::onnx::error::Error;
use crate::onnx::external::normal;
use crate::onnx::model::Model;
use crate::onnx::output::folder_of;

/// New locations for a model's data files, in the order of [`Model::locations`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// In another folder the names are kept. In the model's own folder the data files follow the output's name:
    /// `model.onnx_data` of `model.onnx` becomes `safe.onnx_data` for `safe.onnx`, and `weights.bin` becomes
    /// `safe.weights.bin`.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder cannot be resolved.
    pub fn for_output(model: &Model, output: &Path) -> Result<Self, Error> {
        let locations = model.locations().iter().map(|(location, _)| location);
        let real = |path: &Path| {
            let io = |source| Error::Io { action: "resolve", path: path.to_owned(), source };
            folder_of(path).canonicalize().map_err(io)
        };
        if model.locations().is_empty() || real(model.path())? != real(output)? {
            return Ok(Self(locations.cloned().collect()));
        }
        let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (old, new) = (stem(model.path()), stem(output));
        let renamed = |location: &String| {
            let (folder, name) = location.rsplit_once('/').map_or(("", location.as_str()), |(f, n)| (f, n));
            let name = match name.strip_prefix(&old) {
                Some(rest) if !old.is_empty() => format!("{new}{rest}"),
                _ => format!("{new}.{name}"),
            };
            if folder.is_empty() && !location.starts_with('/') { name } else { format!("{folder}/{name}") }
        };
        Ok(Self(locations.map(renamed).collect()))
    }

    /// The names that a patch's source has.
    pub fn of_source(patch: &super::Patch) -> Self {
        Self(patch.source.iter().skip(1).map(|file| file.location.clone()).collect())
    }

    /// The names that a model has.
    pub fn of_model(model: &Model) -> Self {
        Self(model.locations().iter().map(|(location, _)| location.clone()).collect())
    }

    /// The locations.
    pub fn locations(&self) -> &[String] {
        &self.0
    }

    /// Path of the `index`-th location for a model at `output`.
    pub fn path(&self, index: usize, output: &Path) -> PathBuf {
        let normal = normal(&self.0[index]);
        match output.parent() {
            Some(folder) => folder.join(normal),
            None => normal,
        }
    }
}
