//! `preprocess_cfg` of an `open_clip_config.json`: open_clip's `image_transform` for inference.

use serde::Deserialize;
use serde_json::Value;

use super::framing::{Center, Crop, Framing, Size};
use super::levels::{Levels, by_channel, side};
use super::resample::Filter;

/// open_clip's `PreprocessCfg`.
#[derive(Deserialize)]
struct Config {
    size: Option<Value>,
    mode: Option<String>,
    mean: Option<Value>,
    std: Option<Value>,
    interpolation: Option<String>,
    resize_mode: Option<String>,
    fill_color: Option<u8>,
}

/// Reads `preprocess_cfg`; the size is that of the model, if it is stated there.
///
/// # Errors
/// A sentence, if it asks for something that would be done otherwise than in Python.
pub fn read(value: &Value, model: Option<&Value>) -> Result<(Framing, Levels), String> {
    let config = Config::deserialize(value).map_err(|e| format!("preprocess_cfg: {e}"))?;
    if let Some(mode) = config.mode.filter(|mode| mode != "RGB") {
        return Err(format!("mode {mode} is not RGB"));
    }
    let of_model = model.and_then(|model| model.get("vision_cfg")?.get("image_size")).filter(|size| !size.is_null());
    let size = of_model.or(config.size.as_ref());
    let (width, height) = size.map_or(Ok((224, 224)), |value| {
        rectangle(value).ok_or_else(|| format!("size {value} is neither a number nor two of 1 to 8192"))
    })?;
    let filter = match config.interpolation.as_deref() {
        // open_clip takes "random" for training only.
        None | Some("bicubic" | "random") => Filter::Bicubic,
        Some("bilinear") => Filter::Bilinear,
        Some(other) => return Err(format!("interpolation {other} is none of open_clip's")),
    };
    let crop = |fill| Some(Crop { width, height, fill, center: Center::Torchvision });
    let (size, filter, crop) = match config.resize_mode.as_deref() {
        None | Some("shortest") if width == height => (Size::Shortest(width), filter, crop(0)),
        // Here open_clip does not pass on the interpolation.
        None | Some("shortest") => (Size::Cover(width, height), Filter::Bicubic, crop(0)),
        Some("longest") => (Size::Inside(width, height), filter, crop(config.fill_color.unwrap_or(0))),
        Some("squash") => (Size::Exact(width, height), filter, None),
        Some(other) => return Err(format!("resize_mode {other} is none of open_clip's")),
    };
    let stated = |value: &Option<Value>, key, own| value.as_ref().map_or(Ok(own), |value| by_channel(value, key));
    let mean = stated(&config.mean, "mean", [0.48145466, 0.4578275, 0.40821073])?;
    let std = stated(&config.std, "std", [0.26862954, 0.26130258, 0.27577711])?;
    let levels = Levels::new(|level| f32::from(level) / 255.0, mean, std)?;
    Ok((Framing { resize: Some((size, filter)), crop }, levels))
}

/// Width and height of a number or `[height, width]`.
fn rectangle(value: &Value) -> Option<(u32, u32)> {
    match value.as_array().map(Vec::as_slice) {
        None => side(value).map(|n| (n, n)),
        Some([height, width]) => Some((side(width)?, side(height)?)),
        Some(_) => None,
    }
}
