//! Image preprocessing as a model's `preprocessor_config.json` describes it.

use std::path::{Path, PathBuf};

use image::RgbImage;
use image::imageops::crop_imm;
use ndarray::Array3;
use serde::Deserialize;
use serde_json::Value;

use super::error::Error;
use super::resample::{Filter, resize};

const WHAT: &str = "preprocessor_config.json";

/// Resize, crop, rescale, normalise: Hugging Face's `CLIPImageProcessor` and its kin.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessor {
    resize: Option<(Size, Filter)>,
    crop: Option<(u32, u32)>,
    /// Per channel: `value * scale + shift`, rescaling and normalisation in one.
    scale: [f32; 3],
    shift: [f32; 3],
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Size {
    /// The shorter side gets this length, the other follows.
    Shortest(u32),
    /// Width and height.
    Exact(u32, u32),
}

/// Keys of other processors that change pixels in ways not done here.
const UNSUPPORTED: [&str; 6] =
    ["crop_pct", "do_pad", "rescale_offset", "offset", "do_pan_and_scan", "do_image_splitting"];

/// What is read of the file. Of the other keys, [`UNSUPPORTED`] may not be set.
#[derive(Deserialize)]
struct Config {
    #[serde(default = "yes")]
    do_resize: bool,
    size: Option<Value>,
    resample: Option<u64>,
    do_center_crop: Option<bool>,
    crop_size: Option<Value>,
    #[serde(default = "yes")]
    do_rescale: bool,
    #[serde(default = "per_level")]
    rescale_factor: f64,
    #[serde(default = "yes")]
    do_normalize: bool,
    image_mean: Option<[f64; 3]>,
    image_std: Option<[f64; 3]>,
}

fn yes() -> bool {
    true
}

fn per_level() -> f64 {
    1.0 / 255.0
}

impl Preprocessor {
    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be read, or asks for something this tool would do otherwise than the Python processors.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Io { what: WHAT, path: path.to_owned(), source })?;
        let wrong = |reason: String| Error::Format {
            what: WHAT,
            path: PathBuf::from(path),
            reason,
            help: "give the preprocessor_config.json of the model this was exported from (Hugging Face format)",
        };
        let value: Value = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let set = |key: &&&str| value.get(**key).is_some_and(|v| !v.is_null() && *v != Value::Bool(false));
        if let Some(key) = UNSUPPORTED.iter().find(set) {
            return Err(wrong(format!("{key} is set, which is not supported")));
        }
        let config = Config::deserialize(&value).map_err(|e| wrong(e.to_string()))?;
        Self::from_config(&config).map_err(wrong)
    }

    fn from_config(config: &Config) -> Result<Self, String> {
        let resize = match (config.do_resize, &config.size) {
            (false, _) => None,
            (true, None) => return Err("do_resize is set and size is missing".to_owned()),
            (true, Some(value)) => {
                let resample = config.resample.ok_or("do_resize is set and resample is missing")?;
                let filter = Filter::from_pillow(resample).ok_or_else(|| {
                    format!("resample {resample} is not supported (1 Lanczos, 2 bilinear, 3 bicubic are)")
                })?;
                let size = match pair(value) {
                    Some((width, height)) => Size::Exact(width, height),
                    None => Size::Shortest(
                        value.get("shortest_edge").unwrap_or(value).as_u64().and_then(small).ok_or_else(|| {
                            format!("size {value} is neither {{shortest_edge}} nor {{height, width}} of 1 to 8192")
                        })?,
                    ),
                };
                Some((size, filter))
            }
        };
        // CLIP's files always state it; processors without a crop have no crop_size.
        let crop = match (config.do_center_crop.unwrap_or(config.crop_size.is_some()), &config.crop_size) {
            (false, _) => None,
            (true, None) => return Err("do_center_crop is set and crop_size is missing".to_owned()),
            (true, Some(value)) => Some(
                pair(value)
                    .or_else(|| value.as_u64().and_then(small).map(|n| (n, n)))
                    .ok_or_else(|| format!("crop_size {value} is not {{height, width}} of 1 to 8192"))?,
            ),
        };
        let rescale = if config.do_rescale { config.rescale_factor } else { 1.0 };
        let (mut mean, mut std) = ([0.0; 3], [1.0; 3]);
        if config.do_normalize {
            mean = config.image_mean.ok_or("do_normalize is set and image_mean is missing")?;
            std = config.image_std.ok_or("do_normalize is set and image_std is missing")?;
        }
        if std.iter().chain(&mean).any(|v| !v.is_finite()) || std.contains(&0.0) || !rescale.is_finite() {
            return Err("image_mean, image_std and rescale_factor must be finite, image_std not 0".to_owned());
        }
        Ok(Self {
            resize,
            crop,
            scale: std.map(|s| (rescale / s) as f32),
            shift: [0, 1, 2].map(|c| (-mean[c] / std[c]) as f32),
        })
    }

    /// Normalised pixels `[3, H, W]` of an image.
    ///
    /// # Errors
    /// A sentence, if the image is too small to crop.
    pub fn pixels(&self, image: &RgbImage) -> Result<Array3<f32>, String> {
        let image = self.frame(image)?;
        let mut out = Array3::zeros((3, image.height() as usize, image.width() as usize));
        for (x, y, pixel) in image.enumerate_pixels() {
            for c in 0..3 {
                out[[c, y as usize, x as usize]] = f32::from(pixel.0[c]) * self.scale[c] + self.shift[c];
            }
        }
        Ok(out)
    }

    /// Resized and cropped.
    fn frame(&self, image: &RgbImage) -> Result<RgbImage, String> {
        let mut framed = match self.resize {
            None => image.clone(),
            Some((size, filter)) => {
                let (width, height) = match size {
                    Size::Exact(width, height) => (width, height),
                    Size::Shortest(side) => shortest(image.width(), image.height(), side)?,
                };
                resize(image, width, height, filter)
            }
        };
        if let Some((width, height)) = self.crop {
            if framed.width() < width || framed.height() < height {
                return Err(format!(
                    "it is {} x {} after resizing, too small to crop {width} x {height} from",
                    framed.width(),
                    framed.height()
                ));
            }
            let (left, top) = ((framed.width() - width) / 2, (framed.height() - height) / 2);
            framed = crop_imm(&framed, left, top, width, height).to_image();
        }
        Ok(framed)
    }
}

/// The longer side is truncated, as in Hugging Face's `get_resize_output_image_size`.
fn shortest(width: u32, height: u32, side: u32) -> Result<(u32, u32), String> {
    let (short, long) = (width.min(height), width.max(height));
    let long = u64::from(side) * u64::from(long) / u64::from(short.max(1));
    let long = u32::try_from(long).ok().filter(|&n| n <= 65_536).ok_or("it is too oblong to resize")?;
    Ok(if width <= height { (side, long) } else { (long, side) })
}

fn pair(value: &Value) -> Option<(u32, u32)> {
    let side = |name| value.get(name).and_then(Value::as_u64).and_then(small);
    Some((side("width")?, side("height")?))
}

fn small(n: u64) -> Option<u32> {
    u32::try_from(n).ok().filter(|n| (1..=8192).contains(n))
}
