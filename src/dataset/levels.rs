//! From the levels of an image's channels to numbers, and what a processor's file says of that.

use serde_json::Value;

/// What each of a channel's 256 levels becomes.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels(Box<[[f32; 256]; 3]>);

impl Levels {
    /// `rescale` a level, then subtract the mean and divide by the standard deviation, in single precision as the Python
    /// processors do.
    ///
    /// # Errors
    /// A sentence, if that is not finite.
    pub fn new(rescale: impl Fn(u8) -> f32, mean: [f64; 3], std: [f64; 3]) -> Result<Self, String> {
        let mut levels = Box::new([[0.0; 256]; 3]);
        for (levels, (mean, std)) in levels.iter_mut().zip(mean.into_iter().zip(std)) {
            for (out, level) in levels.iter_mut().zip(0..=255) {
                *out = (rescale(level) - mean as f32) / std as f32;
            }
        }
        match levels.as_flattened().iter().all(|level| level.is_finite()) {
            true => Ok(Self(levels)),
            false => Err("mean, standard deviation and rescale_factor must be finite, the deviation not 0".to_owned()),
        }
    }

    /// For each channel, what its levels become.
    pub fn channels(&self) -> &[[f32; 256]; 3] {
        &self.0
    }
}

/// A number for all channels, or one for each.
pub fn by_channel(value: &Value, key: &str) -> Result<[f64; 3], String> {
    let each = match value {
        Value::Number(number) => number.as_f64().map(|number| [number; 3]),
        _ => serde_json::from_value(value.clone()).ok(),
    };
    each.ok_or_else(|| format!("{key} {value} is neither a number nor three"))
}

/// A length in pixels.
pub fn side(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok().filter(|n| (1..=8192).contains(n))
}
