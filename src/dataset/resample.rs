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
    /// 0; the pixel there, without antialiasing.
    Nearest,
    /// 1
    Lanczos,
    /// 2
    Bilinear,
    /// 3; Keys' cubic with a = -0.5.
    Bicubic,
    /// 4
    Box,
    /// 5
    Hamming,
}

impl Filter {
    /// The filter of `resample` in a `preprocessor_config.json`.
    pub fn from_pillow(number: u64) -> Option<Self> {
        let filters = [Self::Nearest, Self::Lanczos, Self::Bilinear, Self::Bicubic, Self::Box, Self::Hamming];
        filters.get(usize::try_from(number).ok()?).copied()
    }

    fn support(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        // Of two pixels that are equally far, box takes the one to the right.
        if matches!(self, Self::Nearest | Self::Box) {
            return if x > -0.5 && x <= 0.5 { 1.0 } else { 0.0 };
        }
        let x = x.abs();
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * std::f64::consts::PI).sin() / (x * std::f64::consts::PI) };
        match self {
            Self::Lanczos if x < 3.0 => sinc(x) * sinc(x / 3.0),
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::Hamming if x < 1.0 => sinc(x) * (0.54 + 0.46 * (x * std::f64::consts::PI).cos()),
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
    let (support, shrink) = (filter.support() * stretch, 1.0 / stretch);
    (0..to)
        .map(|out| {
            let center = (out as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5).max(0.0) as usize).min(from);
            let raw: Vec<f64> = (first..end).map(|x| filter.weight((x as f64 - center + 0.5) * shrink)).collect();
            let sum: f64 = raw.iter().sum();
            let fixed = |w: &f64| (w / sum * f64::from(1_u32 << PRECISION)).round() as i64;
            Taps { first, weights: raw.iter().map(fixed).collect() }
        })
        .collect()
}

/// For each output pixel, the input pixel it lies in. Added up as Pillow does it, which decides ties.
fn nearest(from: u32, to: u32) -> Vec<u32> {
    let scale = f64::from(from) / f64::from(to);
    let mut at = scale * 0.5;
    let mut next = || {
        let here = at as u32;
        at += scale;
        here.min(from - 1)
    };
    (0..to).map(|_| next()).collect()
}

/// Resizes to `width` x `height` as `PIL.Image.resize` does. A side that keeps its length is left alone.
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    if filter == Filter::Nearest {
        let (columns, rows) = (nearest(image.width(), width), nearest(image.height(), height));
        return RgbImage::from_fn(width, height, |x, y| *image.get_pixel(columns[x as usize], rows[y as usize]));
    }
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
