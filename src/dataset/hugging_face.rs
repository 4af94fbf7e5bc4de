//! Hugging Face's `preprocessor_config.json`, as the image processors that work with Pillow take it.

use serde::Deserialize;
use serde_json::Value;

use super::framing::{Center, Crop, Framing, Size};
use super::levels::{Levels, by_channel, side};
use super::resample::Filter;

/// An image processor: what it does with what its file does not say.
struct Class {
    /// Without `ImageProcessor`.
    name: &'static str,
    size: Size,
    /// What a `size` that is one number means.
    number: Number,
    resample: Filter,
    /// The side of its crop, if it crops.
    crop: Option<u32>,
    mean: [f64; 3],
    std: [f64; 3],
}

/// What a `size` that is one number means, as old files have it.
#[derive(Clone, Copy)]
enum Number {
    Shortest,
    Square,
    /// Releases of transformers do not agree.
    Nothing,
}

const OPENAI: ([f64; 3], [f64; 3]) = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]);
const HALF: ([f64; 3], [f64; 3]) = ([0.5; 3], [0.5; 3]);

const fn cropping(name: &'static str) -> Class {
    Class {
        name,
        size: Size::Shortest(224),
        number: Number::Shortest,
        resample: Filter::Bicubic,
        crop: Some(224),
        mean: OPENAI.0,
        std: OPENAI.1,
    }
}

const fn squashing(name: &'static str, side: u32, resample: Filter, (mean, std): ([f64; 3], [f64; 3])) -> Class {
    Class { name, size: Size::Exact(side, side), number: Number::Square, resample, crop: None, mean, std }
}

const CLASSES: [Class; 7] = [
    cropping("CLIP"),
    cropping("ChineseCLIP"),
    cropping("Bit"),
    Class { number: Number::Nothing, ..squashing("Siglip", 224, Filter::Bicubic, HALF) },
    squashing("Blip", 384, Filter::Bicubic, OPENAI),
    squashing("ViT", 224, Filter::Bilinear, HALF),
    Class { crop: Some(224), ..squashing("DeiT", 256, Filter::Bicubic, HALF) },
];

/// Keys of other processors that change pixels in ways not done here.
const UNSUPPORTED: [&str; 11] = [
    "crop_pct",
    "do_align_long_axis",
    "do_color_quantize",
    "do_crop_margin",
    "do_flip_channel_order",
    "do_image_splitting",
    "do_pad",
    "do_pan_and_scan",
    "do_thumbnail",
    "offset",
    "rescale_offset",
];

/// What is read of the file. Of the other keys, [`UNSUPPORTED`] may not be set.
#[derive(Deserialize)]
struct Config {
    image_processor_type: Option<String>,
    feature_extractor_type: Option<String>,
    do_resize: Option<bool>,
    size: Option<Value>,
    resample: Option<u64>,
    do_center_crop: Option<bool>,
    crop_size: Option<Value>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<Value>,
    image_std: Option<Value>,
}

/// Reads the file.
///
/// # Errors
/// A sentence, if it asks for something that would be done otherwise than in Python.
pub fn read(value: &Value) -> Result<(Framing, Levels), String> {
    let set = |key: &&&str| value.get(**key).is_some_and(|v| !v.is_null() && *v != Value::Bool(false));
    if let Some(key) = UNSUPPORTED.iter().find(set) {
        return Err(format!("{key} is set, which is not supported"));
    }
    let config = Config::deserialize(value).map_err(|e| e.to_string())?;
    let class = config.class()?;
    Ok((Framing { resize: config.resize(class)?, crop: config.crop(class)? }, config.levels(class)?))
}

impl Config {
    /// The class that is named, if one is. The fast processors' files are the same; older ones say `FeatureExtractor`.
    fn class(&self) -> Result<Option<&'static Class>, String> {
        let Some(full) = self.image_processor_type.as_ref().or(self.feature_extractor_type.as_ref()) else {
            return Ok(None);
        };
        let name = full.strip_suffix("Fast").or_else(|| full.strip_suffix("Pil")).unwrap_or(full);
        let name = name.strip_suffix("ImageProcessor").or_else(|| name.strip_suffix("FeatureExtractor"));
        CLASSES.iter().find(|class| Some(class.name) == name).map(Some).ok_or_else(|| {
            let known: Vec<&str> = CLASSES.iter().map(|class| class.name).collect();
            format!(
                "image_processor_type {full} is not known, and may do more than resize, crop, rescale and normalise (known are {}); if it does no more, take the key out and state all settings",
                known.join(", ")
            )
        })
    }

    fn resize(&self, class: Option<&Class>) -> Result<Option<(Size, Filter)>, String> {
        if self.do_resize == Some(false) {
            return Ok(None);
        }
        let filter = match (self.resample, class) {
            (Some(number), _) => Filter::from_pillow(number)
                .ok_or_else(|| format!("resample {number} is none of Pillow's filters, which are 0 to 5"))?,
            (None, Some(class)) => class.resample,
            (None, None) => return Err("do_resize is set and resample is missing".to_owned()),
        };
        let size = match (&self.size, class) {
            (Some(value), _) => self.size(value, class)?,
            (None, Some(class)) => class.size,
            (None, None) => return Err("do_resize is set and size is missing".to_owned()),
        };
        Ok(Some((size, filter)))
    }

    fn size(&self, value: &Value, class: Option<&Class>) -> Result<Size, String> {
        if let Some((width, height)) = rectangle(value) {
            return Ok(Size::Exact(width, height));
        }
        let only =
            |key: &str| value.as_object().filter(|size| size.values().filter(|v| !v.is_null()).count() == 1)?.get(key);
        if let Some(shortest) = only("shortest_edge").and_then(side) {
            return Ok(Size::Shortest(shortest));
        }
        let Some(number) = side(value) else {
            return Err(format!(
                "size {value} is neither {{shortest_edge}} alone nor {{height, width}} nor a number, of 1 to 8192"
            ));
        };
        // Without a class, as `get_size_dict` has it: a square, unless what follows is a crop.
        let cropped = self.do_center_crop.unwrap_or(self.crop_size.is_some());
        match class.map_or(if cropped { Number::Shortest } else { Number::Square }, |class| class.number) {
            Number::Shortest => Ok(Size::Shortest(number)),
            Number::Square => Ok(Size::Exact(number, number)),
            Number::Nothing => Err(format!("size {number} means nothing to this processor; state {{height, width}}")),
        }
    }

    fn crop(&self, class: Option<&Class>) -> Result<Option<Crop>, String> {
        let own = class.map(|class| class.crop);
        let wanted = self.do_center_crop.unwrap_or(own.map_or(self.crop_size.is_some(), |crop| crop.is_some()));
        let (width, height) = match (wanted, &self.crop_size, own) {
            (false, ..) => return Ok(None),
            (true, _, Some(None)) => {
                return Err(
                    "do_center_crop is set, which this processor ignores before transformers 5 and heeds since"
                        .to_owned(),
                );
            }
            (true, None, Some(Some(own))) => (own, own),
            (true, None, None) => return Err("do_center_crop is set and crop_size is missing".to_owned()),
            (true, Some(value), _) => rectangle(value)
                .or_else(|| side(value).map(|n| (n, n)))
                .ok_or_else(|| format!("crop_size {value} is neither {{height, width}} nor a number, of 1 to 8192"))?,
        };
        Ok(Some(Crop { width, height, fill: 0, center: Center::HuggingFace }))
    }

    fn levels(&self, class: Option<&Class>) -> Result<Levels, String> {
        let factor = match self.do_rescale {
            Some(false) => None,
            _ => Some(self.rescale_factor.unwrap_or(1.0 / 255.0)),
        };
        let (mut mean, mut std) = ([0.0; 3], [1.0; 3]);
        if self.do_normalize != Some(false) {
            let stated = |value: &Option<Value>, key: &str, own: Option<[f64; 3]>| match value {
                Some(value) => by_channel(value, key),
                None => own.ok_or_else(|| format!("do_normalize is set and {key} is missing")),
            };
            mean = stated(&self.image_mean, "image_mean", class.map(|class| class.mean))?;
            std = stated(&self.image_std, "image_std", class.map(|class| class.std))?;
        }
        Levels::new(|level| factor.map_or(f32::from(level), |factor| (f64::from(level) * factor) as f32), mean, std)
    }
}

/// Width and height of `{height, width}` or `[height, width]`.
fn rectangle(value: &Value) -> Option<(u32, u32)> {
    match value {
        Value::Array(sides) => match sides.as_slice() {
            [height, width] => Some((side(width)?, side(height)?)),
            _ => None,
        },
        _ => Some((side(value.get("width")?)?, side(value.get("height")?)?)),
    }
}
