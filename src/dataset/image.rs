//! Image files as samples of a vision tower.

use std::ops::Range;
use std::path::{Path, PathBuf};

use image::{ImageReader, RgbImage};
use ndarray::{Array4, Axis};

use super::error::Error;
use super::preprocessor::Preprocessor;
use super::{Batch, Samples};

/// Image files that are decoded and preprocessed when their batch is asked for.
pub struct Images<'p> {
    preprocessor: &'p Preprocessor,
    paths: Vec<PathBuf>,
}

impl<'p> Images<'p> {
    /// Images in the order of `paths`.
    pub fn new(preprocessor: &'p Preprocessor, paths: Vec<PathBuf>) -> Self {
        Self { preprocessor, paths }
    }
}

impl Samples for Images<'_> {
    fn len(&self) -> usize {
        self.paths.len()
    }

    fn batch(&self, range: Range<usize>) -> Result<Batch, Error> {
        let mut batch: Option<Array4<f32>> = None;
        for (row, path) in self.paths[range.clone()].iter().enumerate() {
            let broken = |reason: String| Error::Image { path: path.clone(), reason };
            let pixels = self.preprocessor.pixels(&decode(path)?).map_err(broken)?;
            let (c, h, w) = pixels.dim();
            let batch = batch.get_or_insert_with(|| Array4::zeros((range.len(), c, h, w)));
            let mut place = batch.index_axis_mut(Axis(0), row);
            if place.dim() != pixels.dim() {
                let (_, height, width) = place.dim();
                return Err(broken(format!(
                    "it is {w} x {h} after preprocessing, the images before it are {width} x {height}"
                )));
            }
            place.assign(&pixels);
        }
        Ok(Batch::Image { pixels: batch.unwrap_or_default() })
    }

    fn name(&self, index: usize) -> String {
        self.paths[index].display().to_string()
    }
}

/// Decodes to RGB. An alpha channel is dropped, as Pillow's `convert("RGB")` does.
fn decode(path: &Path) -> Result<RgbImage, Error> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(|source| Error::Io {
        what: "image",
        path: path.to_owned(),
        source,
    })?;
    let image = reader.decode().map_err(|e| Error::Image { path: path.to_owned(), reason: e.to_string() })?;
    Ok(image.into_rgb8())
}
