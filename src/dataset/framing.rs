//! What of an image a model sees: resized, then cropped or padded about the centre.

use image::RgbImage;

use super::resample::{Filter, resize};

/// Resizing and cropping, in that order.
#[derive(Debug, Clone, PartialEq)]
pub struct Framing {
    /// Where to, and how.
    pub resize: Option<(Size, Filter)>,
    /// What is cut out.
    pub crop: Option<Crop>,
}

/// The size an image gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Size {
    /// The shorter side gets this length, the other follows, cut down to a whole number. So do Hugging Face's
    /// `get_resize_output_image_size` and torchvision's `Resize`.
    Shortest(u32),
    /// Width and height, whatever the proportions.
    Exact(u32, u32),
    /// As large as fits into width and height, rounded: open_clip's `ResizeKeepRatio(longest=1)`.
    Inside(u32, u32),
    /// As small as covers width and height, rounded: open_clip's `ResizeKeepRatio(longest=0)`.
    Cover(u32, u32),
}

/// A rectangle about the centre. Where the image ends before it does, it is filled up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crop {
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
    /// What it is filled up with.
    pub fill: u8,
    /// Where the centre is if what is left over is odd.
    pub center: Center,
}

/// Which way an odd pixel goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Center {
    /// Hugging Face's `center_crop`: a crop begins at the smaller number, padding has its odd pixel before the image.
    HuggingFace,
    /// torchvision's `center_crop`: a crop begins at the half rounded to even, padding has its odd pixel after the image.
    Torchvision,
}

impl Center {
    /// Where in a side of length `from` a crop of length `to` begins; negative for padding.
    fn offset(self, from: u32, to: u32) -> i64 {
        let left_over = i64::from(from) - i64::from(to);
        match self {
            Self::HuggingFace => left_over.div_euclid(2),
            Self::Torchvision if left_over < 0 => left_over / 2,
            Self::Torchvision => (left_over as f64 / 2.0).round_ties_even() as i64,
        }
    }
}

/// Pixels that a side may have after resizing.
const LONGEST: u32 = 65_536;

/// Pixels that an image may have after resizing or cropping. As floats they take 200 MB; models take far fewer.
const MOST: u64 = 1 << 24;

fn check_size((width, height): (u32, u32)) -> Result<(), String> {
    match u64::from(width) * u64::from(height) {
        0..=MOST => Ok(()),
        _ => Err(format!("it would become {width} x {height} pixels, and more than {MOST} are not made")),
    }
}

impl Size {
    fn of(self, width: u32, height: u32) -> Result<(u32, u32), String> {
        let (wide, high) = match self {
            Self::Exact(to_width, to_height) => (to_width, to_height),
            Self::Shortest(side) => {
                let (short, long) = (u64::from(width.min(height)), u64::from(width.max(height)));
                let long = u32::try_from(u64::from(side) * long / short.max(1)).unwrap_or(u32::MAX);
                if width <= height { (side, long) } else { (long, side) }
            }
            Self::Inside(to_width, to_height) | Self::Cover(to_width, to_height) => {
                let ratios = [f64::from(height) / f64::from(to_height), f64::from(width) / f64::from(to_width)];
                let inside = matches!(self, Self::Inside(..));
                let ratio = if inside { ratios[0].max(ratios[1]) } else { ratios[0].min(ratios[1]) };
                let scaled = |side: u32| (f64::from(side) / ratio).round_ties_even() as u32;
                (scaled(width), scaled(height))
            }
        };
        if wide == 0 || high == 0 || wide > LONGEST || high > LONGEST {
            return Err(format!("it is too oblong to resize: {width} x {height} would become {wide} x {high}"));
        }
        Ok((wide, high))
    }
}

impl Framing {
    /// Resized and cropped.
    ///
    /// # Errors
    /// A sentence, if there would be no pixel left, or far too many.
    pub fn apply(&self, image: &RgbImage) -> Result<RgbImage, String> {
        let framed = match self.resize {
            None => image.clone(),
            Some((size, filter)) => {
                let (width, height) = size.of(image.width(), image.height())?;
                check_size((width, height))?;
                resize(image, width, height, filter)
            }
        };
        Ok(match self.crop {
            Some(crop) => {
                check_size((crop.width, crop.height))?;
                crop.apply(&framed)
            }
            None => framed,
        })
    }
}

impl Crop {
    fn apply(&self, image: &RgbImage) -> RgbImage {
        let left = self.center.offset(image.width(), self.width);
        let top = self.center.offset(image.height(), self.height);
        let inside = |at: i64, side: u32| u32::try_from(at).ok().filter(|&at| at < side);
        RgbImage::from_fn(self.width, self.height, |x, y| {
            let (x, y) = (inside(i64::from(x) + left, image.width()), inside(i64::from(y) + top, image.height()));
            x.zip(y).map_or(image::Rgb([self.fill; 3]), |(x, y)| *image.get_pixel(x, y))
        })
    }
}
