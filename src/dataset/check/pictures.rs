//! All images decoded, side by side.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::dataset::picture::Picture;
use crate::dataset::probe::{Probe, Refused, probe};
use crate::dataset::select::is_there;

/// An image that can be decoded.
pub struct Image {
    /// What it is.
    pub probe: Probe,
    /// Of its bytes.
    pub sha256: [u8; 32],
}

/// Why one cannot be used.
pub enum Trouble {
    /// It is not there.
    Missing,
    /// It cannot be read or decoded.
    Broken(String),
    /// It has that width and height.
    TooLarge(u32, u32),
}

/// What came of an image.
pub type Looked = Result<Image, Trouble>;

/// Looks at all; `None` if `tick` said to stop.
pub fn look(pictures: &[Picture], most_pixels: u64, tick: &(dyn Fn() -> bool + Sync)) -> Option<Vec<Looked>> {
    let look = |picture: &Picture| tick().then(|| look_at(picture, most_pixels));
    pictures.par_iter().map(look).collect()
}

fn look_at(picture: &Picture, most_pixels: u64) -> Looked {
    if !is_there(picture) {
        return Err(Trouble::Missing);
    }
    let bytes = picture.read().map_err(|e| Trouble::Broken(e.to_string()))?;
    match probe(&bytes, most_pixels) {
        Ok(probe) => Ok(Image { probe, sha256: Sha256::digest(&bytes).into() }),
        Err(Refused::Broken(reason)) => Err(Trouble::Broken(reason)),
        Err(Refused::TooLarge { width, height }) => Err(Trouble::TooLarge(width, height)),
    }
}
