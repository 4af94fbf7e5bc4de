//! JPEG files, with the pixels that libjpeg-turbo makes of them, which is what Pillow decodes with.

use image::RgbImage;
use image::metadata::Orientation;
use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat};

use super::limits::ImageLimits;
use super::orientation;

/// A progressive image may have so many scans; real ones have about ten, and each takes as long as a whole image.
const MOST_SCANS: usize = 200;

/// Pixels, and which way up they are.
pub fn decode(bytes: &[u8], limits: ImageLimits) -> Result<(RgbImage, Orientation), String> {
    let segments = Segments::read(bytes).ok_or("it is truncated")?;
    let bounds = DecodeLimits { max_pixels: u64::MAX, max_scans: MOST_SCANS, ..DecodeLimits::default() };
    let mut decoder = Decoder::new_with_limits(bytes, bounds).map_err(|e| e.to_string())?;
    let header = decoder.header();
    let size @ (width, height) = (u32::from(header.width), u32::from(header.height));
    limits.check(size)?;
    decoder.set_max_memory(usize::try_from(limits.bytes()).unwrap_or(usize::MAX));
    // What libjpeg warns of, Pillow says nothing of.
    decoder.set_lenient(true);
    decoder.set_output_format(PixelFormat::Rgb);
    let pixels = decoder.decode_image().map_err(|e| e.to_string())?.data;
    let image = RgbImage::from_raw(width, height, pixels).ok_or("it has fewer pixels than its header says")?;
    Ok((image, orientation::of(segments.exif.as_deref(), segments.xmp)))
}

/// Width, height, and how pixels are stored.
pub fn head(bytes: &[u8]) -> Result<((u32, u32), String), String> {
    let decoder = Decoder::new(bytes).map_err(|e| e.to_string())?;
    let header = decoder.header();
    let color = match header.components.len() {
        1 => "L8",
        3 => "Rgb8",
        4 => "Cmyk8",
        _ => "unknown",
    };
    Ok(((u32::from(header.width), u32::from(header.height)), color.to_owned()))
}

/// What stands before the pixels.
struct Segments<'b> {
    exif: Option<Vec<u8>>,
    xmp: Option<&'b [u8]>,
}

impl<'b> Segments<'b> {
    /// Walks over the whole file; `None` if it does not go on to its end marker. A decoder would fill up with grey what is
    /// not there.
    fn read(bytes: &'b [u8]) -> Option<Self> {
        let mut found = Self { exif: None, xmp: None };
        let mut scanning = false;
        let mut rest = bytes.get(2..)?;
        loop {
            // Also over the data of a scan: to the next marker that is no fill, stuffing or restart.
            let is_marker = |w: &[u8]| w[0] == 0xff && !matches!(w[1], 0 | 0xff | 0xd0..=0xd7);
            let at = rest.windows(2).position(is_marker)?;
            let (marker, after) = (rest[at + 1], &rest[at + 2..]);
            if marker == 0xd9 {
                return Some(found);
            }
            let (length, _) = after.split_first_chunk()?;
            let segment = after.get(2..usize::from(u16::from_be_bytes(*length)).max(2))?;
            rest = &after[2 + segment.len()..];
            scanning |= marker == 0xda;
            if marker == 0xe1 && !scanning {
                found.application(segment);
            }
        }
    }

    /// As in Pillow, EXIF that is spread over several segments is put together, and the last XMP holds.
    fn application(&mut self, segment: &'b [u8]) {
        if let Some(exif) = segment.strip_prefix(b"Exif\0\0") {
            self.exif.get_or_insert_default().extend(exif);
        } else if let Some(xmp) = segment.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
            self.xmp = Some(xmp);
        }
    }
}
