//! Pillow's image resampling, reproduced.
//!
//! Models were trained on images that Pillow resized; other libraries' filters differ from it by several levels.
//! Its scheme: a filter stretched by the scale when shrinking (antialiasing), coefficients in fixed point with 22
//! fractional bits, first along rows, then along columns, with an 8-bit image between. (Pillow 13 takes the columns
//! first when the height shrinks and the width does not; all earlier releases, with which models were trained, do
//! not, and neither does this.)

use image::RgbImage;

/// Fractional bits of Pillow's 8-bit coefficients: 32 bits less 8 for the pixel and 2 for overshoot.
const PRECISION: u32 = 22;

/// Resampling filters, by Pillow's numbers for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// 1
    Lanczos,
    /// 2
    Bilinear,
    /// 3; Keys' cubic with a = -0.5.
    Bicubic,
}

impl Filter {
    /// The filter of `resample` in a `preprocessor_config.json`.
    pub fn from_pillow(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Lanczos),
            2 => Some(Self::Bilinear),
            3 => Some(Self::Bicubic),
            _ => None,
        }
    }

    fn support(self) -> f64 {
        match self {
            Self::Lanczos => 3.0,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * std::f64::consts::PI).sin() / (x * std::f64::consts::PI) };
        match self {
            Self::Lanczos if x < 3.0 => sinc(x) * sinc(x / 3.0),
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            _ => 0.0,
        }
    }
}

/// For one output pixel: the first input pixel it takes, and the fixed-point weights from there on.
struct Taps {
    first: usize,
    weights: Vec<i64>,
}

fn taps(filter: Filter, from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    (0..to)
        .map(|out| {
            let center = (out as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5).max(0.0) as usize).min(from);
            let raw: Vec<f64> = (first..end).map(|x| filter.weight((x as f64 - center + 0.5) / stretch)).collect();
            let sum: f64 = raw.iter().sum();
            let fixed = |w: &f64| (w / sum * f64::from(1_u32 << PRECISION)).round() as i64;
            Taps { first, weights: raw.iter().map(fixed).collect() }
        })
        .collect()
}

/// Resizes to `width` x `height` as `PIL.Image.resize` does. A side that keeps its length is left alone.
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let mut current = image.clone();
    if width != image.width() {
        let taps = taps(filter, image.width() as usize, width as usize);
        current = RgbImage::from_fn(width, image.height(), |x, y| {
            let tap = &taps[x as usize];
            blend(&tap.weights, |k| image.get_pixel((tap.first + k) as u32, y).0)
        });
    }
    if height != image.height() {
        let taps = taps(filter, image.height() as usize, height as usize);
        let rows = current;
        current = RgbImage::from_fn(width, height, |x, y| {
            let tap = &taps[y as usize];
            blend(&tap.weights, |k| rows.get_pixel(x, (tap.first + k) as u32).0)
        });
    }
    current
}

fn blend(weights: &[i64], pixel: impl Fn(usize) -> [u8; 3]) -> image::Rgb<u8> {
    let mut sums = [1_i64 << (PRECISION - 1); 3];
    for (k, weight) in weights.iter().enumerate() {
        for (sum, value) in sums.iter_mut().zip(pixel(k)) {
            *sum += weight * i64::from(value);
        }
    }
    image::Rgb(sums.map(|sum| (sum >> PRECISION).clamp(0, 255) as u8))
}
