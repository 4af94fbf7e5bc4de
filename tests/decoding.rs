//! Decoding agrees with Pillow (fixtures made by `tools/fixtures/make_decoding.py`).

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use uwm_onnx::dataset::{ImageLimits, decode};

#[derive(Deserialize)]
struct Stored {
    file: String,
    width: u32,
    height: u32,
    offset: usize,
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decoding").join(name)).unwrap()
}

fn stored() -> Vec<Stored> {
    serde_json::from_slice(&read("expected.json")).unwrap()
}

/// Levels that the pixels of a file may differ by. Colours of 5 and 6 bits are rounded up to 8, where Pillow cuts down.
fn tolerance(name: &str) -> u8 {
    u8::from(matches!(name, "bmp_555.bmp" | "bmp_565.bmp"))
}

#[test]
fn every_format_agrees_with_pillow() {
    let pixels = read("expected.rgb");
    for Stored { file, width, height, offset } in stored() {
        let image = decode(&read(&file), ImageLimits::default()).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(image.dimensions(), (width, height), "{file}");
        let want = &pixels[offset..][..(width * height * 3) as usize];
        let off = image.iter().zip(want).map(|(got, want)| got.abs_diff(*want)).max().unwrap();
        assert!(off <= tolerance(&file), "{file} is {off} levels off");
    }
}

#[test]
fn each_orientation_is_a_different_picture() {
    let pixels = read("expected.rgb");
    let all = stored();
    let turned = all.iter().filter(|s| (1..=8).any(|n| s.file == format!("exif_{n}.jpg")));
    let turned: Vec<_> = turned.map(|s| (s.width, &pixels[s.offset..][..(s.width * s.height * 3) as usize])).collect();
    assert_eq!(turned.len(), 8);
    assert!((0..8).all(|i| (0..i).all(|j| turned[i] != turned[j])), "the fixtures would not notice a wrong turn");
}

/// A PNG of so many pixels, of which it has none.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = b"IHDR".to_vec();
    header.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
    header.extend([8, 2, 0, 0, 0]);
    for chunk in [header, b"IDAT".to_vec()] {
        png.extend((chunk.len() as u32 - 4).to_be_bytes());
        png.extend(&chunk);
        png.extend(crc32(&chunk).to_be_bytes());
    }
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0_u32, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

#[test]
fn bombs_are_refused_before_they_are_decoded() {
    let mut gif = read("gif_still.gif");
    gif[6..10].copy_from_slice(&[0x60, 0xea, 0x60, 0xea]);
    let mut framed = read("gif_still.gif");
    let frame = framed.windows(5).position(|w| w == [0x2c, 0, 0, 0, 0]).unwrap() + 5;
    framed[frame..frame + 4].copy_from_slice(&[0x60, 0xea, 0x60, 0xea]);
    let mut jpeg = read("jpeg_progressive.jpg");
    let size = jpeg.windows(2).position(|w| w == [0xff, 0xc2]).unwrap() + 5;
    jpeg[size..size + 4].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    let mut bmp = read("bmp_24.bmp");
    bmp[18..26].copy_from_slice(&[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0]);
    for (name, bytes) in
        [("PNG", png_header(60_000, 60_000)), ("GIF", gif), ("frame", framed), ("JPEG", jpeg), ("BMP", bmp)]
    {
        let start = Instant::now();
        let error = decode(&bytes, ImageLimits::default()).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(1), "{name} took {:?}", start.elapsed());
        assert!(error.contains("60000 x 60000") && error.contains("more than 178956970"), "{name}: {error}");
    }
}

#[test]
fn the_limit_is_what_it_is_set_to() {
    for Stored { file, width, height, .. } in stored() {
        let pixels = u64::from(width * height);
        assert!(decode(&read(&file), ImageLimits { max_pixels: pixels }).is_ok(), "{file}");
        let error = decode(&read(&file), ImageLimits { max_pixels: pixels - 1 }).unwrap_err();
        assert!(error.contains(&format!("more than {} are not decoded", pixels - 1)), "{file}: {error}");
    }
}

#[test]
fn what_is_cut_short_is_an_error() {
    for Stored { file, .. } in stored() {
        let bytes = read(&file);
        // What comes after the first frame, or after the pixels, is not looked at, and neither does Pillow.
        let animated = file.contains("animated");
        for part in [1, 2, 3] {
            let short = &bytes[..bytes.len() * part / if animated { 10 } else { 4 }];
            assert!(decode(short, ImageLimits::default()).is_err(), "{part}/4 of {file} is decoded");
        }
    }
    for garbage in [&b""[..], b"GIF", b"\xff\xd8\xff", b"not an image", &[0; 100]] {
        assert!(decode(garbage, ImageLimits::default()).is_err(), "{garbage:?}");
    }
}

#[test]
fn no_mutation_panics() {
    let mut random = fastrand::Rng::with_seed(11);
    let limits = ImageLimits { max_pixels: 1 << 20 };
    for Stored { file, .. } in stored() {
        let original = read(&file);
        for _ in 0..200 {
            let mut bytes = original.clone();
            for _ in 0..random.usize(1..6) {
                // Headers more often than pixels.
                let end = if random.bool() { bytes.len() } else { bytes.len().min(100) };
                let at = random.usize(..end);
                bytes[at] = if random.bool() { random.u8(..) } else { bytes[at] ^ (1 << random.u8(..8)) };
            }
            if random.u8(..8) == 0 {
                bytes.truncate(random.usize(..bytes.len()));
            }
            if let Ok(image) = decode(&bytes, limits) {
                assert!(u64::from(image.width()) * u64::from(image.height()) <= limits.max_pixels, "{file}");
            }
        }
    }
}
