//! Which way up an image is, as `PIL.ImageOps.exif_transpose` finds it: EXIF, else XMP.

use image::metadata::Orientation;

/// What is to be done to an image, by its metadata. What cannot be read says nothing, as with Pillow.
pub fn of(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let found = exif.and_then(by_exif).or_else(|| by_xmp(xmp?));
    found.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms)
}

/// Tag 0x0112 of the first directory, in either byte order.
fn by_exif(mut exif: &[u8]) -> Option<u8> {
    while let Some(rest) = exif.strip_prefix(b"Exif\0\0") {
        exif = rest;
    }
    let big = match exif.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let number = |at: usize, length: usize| {
        let bytes = exif.get(at..at.checked_add(length)?)?;
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        Some(if big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    };
    let directory = usize::try_from(number(4, 4)?).ok()?;
    let entries = usize::try_from(number(directory, 2)?).ok()?;
    let mut found = None;
    for entry in (0..entries).map(|i| directory + 2 + 12 * i) {
        let Some(tag) = number(entry, 2) else { break };
        if tag == 0x0112 {
            let (kind, count) = (number(entry + 2, 2)?, number(entry + 4, 4)?);
            // Shorts and longs, signed or not. To Pillow another type is a value that means nothing, not a missing one.
            let length = match (kind, count) {
                (3 | 8, 1) => 2,
                (4 | 9, 1) => 4,
                _ => 0,
            };
            found = number(entry + 8, length);
        }
    }
    found.map(|value| u8::try_from(value).unwrap_or(0))
}

/// `tiff:Orientation="6"` or `<tiff:Orientation>6</..`.
fn by_xmp(xmp: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    xmp.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME).find_map(|(at, _)| {
        let value = &xmp[at + NAME.len()..];
        let value = value.strip_prefix(b"=\"").or_else(|| value.strip_prefix(b">"))?;
        value.first().filter(|digit| digit.is_ascii_digit()).map(|digit| digit - b'0')
    })
}
