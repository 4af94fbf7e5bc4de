//! Image preprocessing as a model's own file describes it.

use std::path::{Path, PathBuf};

use image::RgbImage;
use ndarray::Array3;
use serde_json::Value;

use super::error::Error;
use super::framing::Framing;
use super::levels::Levels;
use super::read::text_of;
use super::{hugging_face, open_clip};

/// Resize, crop, rescale, normalise: Hugging Face's `CLIPImageProcessor` and its kin, or open_clip's transforms.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessor {
    framing: Framing,
    levels: Levels,
}

impl Preprocessor {
    /// Reads a `preprocessor_config.json` (or `processor_config.json`) of Hugging Face's, or an `open_clip_config.json`,
    /// told apart by what is in it.
    ///
    /// # Errors
    /// If it cannot be read, or asks for something this tool would do otherwise than the Python processors.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let named = path.file_name().is_some_and(|name| name == "open_clip_config.json");
        let what = if named { "open_clip_config.json" } else { "preprocessor_config.json" };
        let text = text_of(path, what)?;
        let wrong = |reason: String| Error::Format {
            what,
            path: PathBuf::from(path),
            reason,
            help: "give the preprocessor_config.json (Hugging Face) or open_clip_config.json of the model this was exported from; docs/preprocessing.md says what is read of them",
        };
        let value: Value = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let (framing, levels) = match value.get("preprocess_cfg") {
            Some(preprocess) => open_clip::read(preprocess, value.get("model_cfg")),
            None => hugging_face::read(value.get("image_processor").unwrap_or(&value)),
        }
        .map_err(wrong)?;
        Ok(Self { framing, levels })
    }

    /// Normalised pixels `[3, H, W]` of an image.
    ///
    /// # Errors
    /// A sentence, if the image is too oblong to resize.
    pub fn pixels(&self, image: &RgbImage) -> Result<Array3<f32>, String> {
        let image = self.framing.apply(image)?;
        let mut out = Array3::zeros((3, image.height() as usize, image.width() as usize));
        for (x, y, pixel) in image.enumerate_pixels() {
            for (channel, (levels, value)) in self.levels.channels().iter().zip(pixel.0).enumerate() {
                out[[channel, y as usize, x as usize]] = levels[usize::from(value)];
            }
        }
        Ok(out)
    }
}
