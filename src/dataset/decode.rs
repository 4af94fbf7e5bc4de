//! Encoded images to RGB, as `PIL.Image.open(file).convert("RGB")` makes it after `ImageOps.exif_transpose`: what Hugging
//! Face's `load_image` does. `docs/preprocessing.md` says how closely.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::limits::ImageLimits;
use super::{jpeg, orientation};
use crate::guard::guard;

/// Decodes to RGB. The first bytes tell the format; an alpha channel is dropped, not composited.
///
/// # Errors
/// A sentence, if the bytes are no whole image of a format that is read, or it is too large.
pub fn decode(bytes: &[u8], limits: ImageLimits) -> Result<RgbImage, String> {
    // Decoders are other people's, and images anybody's.
    guard(|| {
        let format = image::guess_format(bytes).map_err(|_| "its first bytes are of no format that is read")?;
        let (image, orientation) = match format {
            ImageFormat::Bmp | ImageFormat::Png | ImageFormat::WebP => raster(bytes, format, limits)?,
            ImageFormat::Gif => (first_frame(bytes, limits)?, Orientation::NoTransforms),
            ImageFormat::Jpeg => jpeg::decode(bytes, limits)?,
            _ => return Err(format!("{format:?} is not read")),
        };
        let mut image = DynamicImage::ImageRgb8(image);
        image.apply_orientation(orientation);
        Ok(image.into_rgb8())
    })
}

fn raster(bytes: &[u8], format: ImageFormat, limits: ImageLimits) -> Result<(RgbImage, Orientation), String> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.no_limits();
    let mut decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    limits.check(decoder.dimensions())?;
    let mut bounds = Limits::default();
    (bounds.max_image_width, bounds.max_image_height, bounds.max_alloc) = (None, None, Some(limits.bytes()));
    decoder.set_limits(bounds).map_err(|e| e.to_string())?;
    let exif = match format {
        ImageFormat::Png => png_exif(bytes).map(<[u8]>::to_vec),
        _ => decoder.exif_metadata().ok().flatten(),
    };
    let xmp = decoder.xmp_metadata().ok().flatten();
    // Depth and colour type of a PNG's header; the decoder itself no longer tells grey with a transparent level apart.
    let grey16 = format == ImageFormat::Png && bytes.get(24..26) == Some(&[16, 0]);
    let image = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    Ok((rgb(image, grey16), orientation::of(exif.as_deref(), xmp.as_deref())))
}

/// A PNG's `eXIf` chunk, which may also follow the pixels.
fn png_exif(mut bytes: &[u8]) -> Option<&[u8]> {
    bytes = bytes.get(8..)?;
    loop {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_first_chunk::<4>()?;
        let (data, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        if name == b"eXIf" {
            return Some(data);
        }
        bytes = rest.get(4..)?;
    }
}

/// Pillow takes the upper byte of 16 bits, except where there is nothing but grey: that it clips to 255.
fn rgb(image: DynamicImage, grey16: bool) -> RgbImage {
    let grey = |v: u16| if grey16 { v.min(255) as u8 } else { (v >> 8) as u8 };
    let (width, height) = (image.width(), image.height());
    match image {
        DynamicImage::ImageLuma16(image) => {
            RgbImage::from_fn(width, height, |x, y| image::Rgb([grey(image.get_pixel(x, y).0[0]); 3]))
        }
        DynamicImage::ImageLumaA16(image) => {
            RgbImage::from_fn(width, height, |x, y| image::Rgb([grey(image.get_pixel(x, y).0[0]); 3]))
        }
        DynamicImage::ImageRgb16(_) | DynamicImage::ImageRgba16(_) => {
            let image = image.into_rgb16();
            RgbImage::from_fn(width, height, |x, y| image::Rgb(image.get_pixel(x, y).0.map(|v| (v >> 8) as u8)))
        }
        image => image.into_rgb8(),
    }
}

/// A GIF's first frame. Its transparent pixels have the colour of their index; so has what the frame leaves uncovered, the
/// transparent index or 0.
fn first_frame(bytes: &[u8], limits: ImageLimits) -> Result<RgbImage, String> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    options.set_memory_limit(gif::MemoryLimit::Bytes(limits.bytes().try_into().unwrap_or(std::num::NonZeroU64::MIN)));
    let mut decoder = options.read_info(bytes).map_err(|e| e.to_string())?;
    let screen = (u32::from(decoder.width()), u32::from(decoder.height()));
    limits.check(screen)?;
    let whole = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.next_frame_info().map_err(|e| e.to_string())?.ok_or("it has no frame")?.clone();
    let [left, top, wide, high] = [frame.left, frame.top, frame.width, frame.height].map(u32::from);
    let size @ (width, height) = (screen.0.max(left + wide), screen.1.max(top + high));
    limits.check(size)?;
    let mut indices = vec![0; wide as usize * high as usize];
    decoder.read_into_buffer(&mut indices).map_err(|e| e.to_string())?;
    let palette = frame.palette.or(whole).unwrap_or_default();
    // A palette that counts up, or none, is grey to Pillow, whatever its length; past the end of another is black.
    let grey = palette.chunks(3).enumerate().all(|(i, color)| color.iter().all(|&v| usize::from(v) == i));
    let color = |index: u8| match palette.chunks_exact(3).nth(usize::from(index)) {
        _ if grey => [index; 3],
        Some(color) => [color[0], color[1], color[2]],
        None => [0; 3],
    };
    let colors: Vec<_> = (0..=255).map(|index| image::Rgb(color(index))).collect();
    let around = frame.transparent.unwrap_or(0);
    Ok(RgbImage::from_fn(width, height, |x, y| {
        let inside = (left..left + wide).contains(&x) && (top..top + high).contains(&y);
        let index = if inside { indices[((y - top) * wide + x - left) as usize] } else { around };
        colors[usize::from(index)]
    }))
}
