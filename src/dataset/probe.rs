//! What an encoded image is, and whether it can be decoded: refused before anything is decoded if it is too large.

use std::io::Cursor;
use std::sync::Mutex;

use image::{ExtendedColorType, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::decode::decode;
use super::jpeg;
use super::limits::ImageLimits;
use crate::guard::guard;

/// Images of more pixels are decoded one at a time.
const LARGE: u64 = 1 << 24;
static ONE_LARGE: Mutex<()> = Mutex::new(());

/// What an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// How its pixels are stored.
    pub color: String,
    /// How it is encoded.
    pub format: String,
}

impl Probe {
    /// Whether its pixels are stored as red, green and blue.
    pub fn is_rgb(&self) -> bool {
        self.color.starts_with("Rgb") && !self.color.starts_with("Rgba")
    }
}

/// Why an image cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// What the decoder said.
    Broken(String),
    /// It says that it has more pixels than are decoded.
    TooLarge {
        /// Pixels a row.
        width: u32,
        /// Rows.
        height: u32,
    },
}

/// Decodes an image of at most that many pixels, and says what it is.
///
/// # Errors
/// If it is broken, or too large.
pub fn probe(bytes: &[u8], most_pixels: u64) -> Result<Probe, Refused> {
    let limits = ImageLimits { max_pixels: most_pixels };
    let head = guard(|| head(bytes, limits)).map_err(Refused::Broken)?;
    let pixels = u64::from(head.width) * u64::from(head.height);
    if pixels > most_pixels {
        return Err(Refused::TooLarge { width: head.width, height: head.height });
    }
    let _one = (pixels > LARGE).then(|| ONE_LARGE.lock());
    decode(bytes, limits).map_err(Refused::Broken)?;
    Ok(head)
}

/// What its first bytes say; each format by the decoder that decodes it.
fn head(bytes: &[u8], limits: ImageLimits) -> Result<Probe, String> {
    let format = image::guess_format(bytes).map_err(|_| "its first bytes are of no format that is read")?;
    let ((width, height), color) = match format {
        ImageFormat::Jpeg => jpeg::head(bytes)?,
        ImageFormat::Gif => {
            let decoder = gif::DecodeOptions::new().read_info(bytes).map_err(|e| e.to_string())?;
            ((u32::from(decoder.width()), u32::from(decoder.height())), "Indexed".to_owned())
        }
        _ => {
            let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
            let mut bounds = Limits::no_limits();
            bounds.max_alloc = Some(limits.bytes());
            reader.limits(bounds);
            let decoder = reader.into_decoder().map_err(|e| e.to_string())?;
            // Its decoder tells a palette by what it expands to; the header says it in so many words.
            let palette = format == ImageFormat::Png && bytes.get(25) == Some(&3);
            let color = if palette { "Indexed".to_owned() } else { name(decoder.original_color_type()) };
            (decoder.dimensions(), color)
        }
    };
    Ok(Probe { width, height, color, format: format!("{format:?}") })
}

fn name(color: ExtendedColorType) -> String {
    match color {
        ExtendedColorType::Unknown(bits) => format!("{bits} bits a pixel"),
        known => format!("{known:?}"),
    }
}

#[cfg(test)]
mod tests {
    use image::DynamicImage;

    use super::*;
    use crate::dataset::MOST_PIXELS;

    fn png(image: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(vec![]);
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn images_are_told_apart() {
        let rgb = probe(&png(&DynamicImage::new_rgb8(3, 2)), MOST_PIXELS).unwrap();
        assert_eq!((rgb.width, rgb.height, rgb.color.as_str(), rgb.format.as_str()), (3, 2, "Rgb8", "Png"));
        assert!(rgb.is_rgb());
        let grey = probe(&png(&DynamicImage::new_luma8(3, 2)), MOST_PIXELS).unwrap();
        assert!(!grey.is_rgb() && grey.color == "L8");
        assert!(!probe(&png(&DynamicImage::new_rgba8(3, 2)), MOST_PIXELS).unwrap().is_rgb());
    }

    #[test]
    fn palettes_are_no_rgb() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decoding");
        let color = |name: &str| probe(&std::fs::read(folder.join(name)).unwrap(), MOST_PIXELS).unwrap().color;
        assert_eq!(["png_palette.png", "png_rgb.png", "gif_still.gif"].map(color), ["Indexed", "Rgb8", "Indexed"]);
    }

    #[test]
    fn every_format_that_is_decoded_is_probed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decoding");
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending != "json" && ending != "rgb") {
                let probe = probe(&std::fs::read(&path).unwrap(), MOST_PIXELS).unwrap();
                let decoded = decode(&std::fs::read(&path).unwrap(), ImageLimits::default()).unwrap();
                let turned = [(probe.width, probe.height), (probe.height, probe.width)];
                assert!(turned.contains(&decoded.dimensions()), "{}: {probe:?}", path.display());
                *seen.entry(probe.format).or_default() += 1;
            }
        }
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["Bmp", "Gif", "Jpeg", "Png", "WebP"]);
    }

    #[test]
    fn what_is_none_or_too_large_is_refused() {
        let bytes = png(&DynamicImage::new_rgb8(30, 20));
        assert_eq!(probe(&bytes, 599), Err(Refused::TooLarge { width: 30, height: 20 }));
        assert!(probe(&bytes, 600).is_ok());
        assert!(matches!(probe(&bytes[..60], 600), Err(Refused::Broken(_))));
        assert!(matches!(probe(b"hello", 600), Err(Refused::Broken(_))));
    }
}
