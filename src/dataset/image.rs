//! Image files as samples of a vision tower.

use std::ops::Range;
use std::path::{Path, PathBuf};

use image::{ImageReader, RgbImage};
use ndarray::{Array4, Axis};
use rayon::prelude::*;

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
        let read = |path: &PathBuf| {
            let pixels = self.preprocessor.pixels(&decode(path)?);
            pixels.map_err(|reason| Error::Image { path: path.clone(), reason })
        };
        let paths = &self.paths[range];
        // Collected first, so that the first error is that of the first image, whichever was read first.
        let images: Vec<Result<_, Error>> = paths.par_iter().map(read).collect();
        let images = images.into_iter().collect::<Result<Vec<_>, Error>>()?;
        let Some(first) = images.first() else { return Ok(Batch::Image { pixels: Array4::default((0, 0, 0, 0)) }) };
        let (_, height, width) = first.dim();
        if let Some((path, other)) = paths.iter().zip(&images).find(|(_, image)| image.dim() != first.dim()) {
            let (_, h, w) = other.dim();
            let reason = format!("it is {w} x {h} after preprocessing, the images before it are {width} x {height}");
            return Err(Error::Image { path: path.clone(), reason });
        }
        let views: Vec<_> = images.iter().map(|image| image.view()).collect();
        Ok(Batch::Image { pixels: ndarray::stack(Axis(0), &views).expect("all have the shape of the first") })
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
