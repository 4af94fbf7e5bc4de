//! Image files as samples of a vision tower.

use std::ops::Range;

use ndarray::{Array4, Axis};
use rayon::prelude::*;

use super::decode::decode;
use super::error::Error;
use super::limits::ImageLimits;
use super::picture::Picture;
use super::preprocessor::Preprocessor;
use super::{Batch, Samples};

/// Image files that are decoded and preprocessed when their batch is asked for.
pub struct Images<'p> {
    preprocessor: &'p Preprocessor,
    pictures: Vec<Picture>,
}

impl<'p> Images<'p> {
    /// Images in the order of `pictures`.
    pub fn new(preprocessor: &'p Preprocessor, pictures: Vec<Picture>) -> Self {
        Self { preprocessor, pictures }
    }
}

impl Samples for Images<'_> {
    fn len(&self) -> usize {
        self.pictures.len()
    }

    fn batch(&self, range: Range<usize>) -> Result<Batch, Error> {
        let read = |picture: &Picture| {
            let wrong = |reason| Error::Image { path: picture.to_string(), reason };
            let image = decode(&picture.read()?, ImageLimits::default()).map_err(wrong)?;
            self.preprocessor.pixels(&image).map_err(wrong)
        };
        let pictures = &self.pictures[range];
        // Collected first, so that the first error is that of the first image, whichever was read first.
        let images: Vec<Result<_, Error>> = pictures.par_iter().map(read).collect();
        let images = images.into_iter().collect::<Result<Vec<_>, Error>>()?;
        let Some(first) = images.first() else { return Ok(Batch::Image { pixels: Array4::default((0, 0, 0, 0)) }) };
        let (_, height, width) = first.dim();
        if let Some((picture, other)) = pictures.iter().zip(&images).find(|(_, image)| image.dim() != first.dim()) {
            let (_, h, w) = other.dim();
            let reason = format!("it is {w} x {h} after preprocessing, the images before it are {width} x {height}");
            return Err(Error::Image { path: picture.to_string(), reason });
        }
        let views: Vec<_> = images.iter().map(|image| image.view()).collect();
        Ok(Batch::Image { pixels: ndarray::stack(Axis(0), &views).expect("all have the shape of the first") })
    }

    fn name(&self, index: usize) -> String {
        self.pictures[index].to_string()
    }
}
