//! Attacks by pictures: small files of many pixels, or of few pixels that take long.

use crate::common::root;
use crate::run;

fn read(name: &str) -> Vec<u8> {
    std::fs::read(root("tests/fixtures/decoding").join(name)).unwrap()
}

/// What a check of a set with this one image says, and with which code.
fn check(name: &str, bytes: &[u8]) -> crate::Said {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), bytes).unwrap();
    let row =
        serde_json::json!({"id": "a", "safe_text": "a", "unsafe_text": "b", "safe_image": name, "unsafe_image": name});
    let manifest = folder.path().join("set.jsonl");
    std::fs::write(&manifest, format!("{row}\n")).unwrap();
    run(&["data", "check", manifest.to_str().unwrap()])
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0_u32, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&name[..], data].concat();
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc32(&body).to_be_bytes()].concat()
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    // A zlib stream out of a zip archive: the same deflate between another head and foot.
    use std::io::Write;
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    archive.start_file("a", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(bytes).unwrap();
    let zip = archive.finish().unwrap().into_inner();
    let start = 31;
    let end = zip.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    let (a, b) = bytes.iter().fold((1_u32, 0_u32), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65_521;
        (a, (a + b) % 65_521)
    });
    [&[0x78, 0x9c], &zip[start..end], &((b << 16) | a).to_be_bytes()].concat()
}

fn png(width: u32, height: u32, extra: &[Vec<u8>], pixels: &[u8]) -> Vec<u8> {
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    let mut png = [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &head)].concat();
    extra.iter().for_each(|part| png.extend(part));
    png.extend(chunk(b"IDAT", pixels));
    png.extend(chunk(b"IEND", b""));
    png
}

/// Attack 25: PNG: a head that says more pixels than anybody has, texts and profiles that unpack to gigabytes, more pixels
/// than were said.
#[test]
fn png_bombs() {
    check("a.png", &png(60_000, 60_000, &[], &deflated(&[0; 100]))).is(3, "60000 x 60000");
    check("a.png", &png(u32::MAX, u32::MAX, &[], &deflated(&[0; 100]))).is(3, "a.png");
    check("a.png", &png(0, 7, &[], &deflated(&[0; 100]))).is(3, "a.png");
    let bomb = deflated(&vec![0; 256 << 20]);
    assert!(bomb.len() < 300_000);
    let text = chunk(b"zTXt", &[b"k\0\0", &bomb[..]].concat());
    let profile = chunk(b"iCCP", &[b"k\0\0", &bomb[..]].concat());
    for extra in [text, profile] {
        let said = check("a.png", &png(2, 2, &[extra], &deflated(&[0; 6])));
        assert!(matches!(said.code, Some(0 | 3)), "{:?} {}", said.code, said.text());
    }
    let said = check("a.png", &png(2, 2, &[], &bomb));
    assert!(matches!(said.code, Some(0 | 3)), "{:?} {}", said.code, said.text());
    let length_of_none = [&png(2, 2, &[], &[])[..33], &[0xff, 0xff, 0xff, 0xff], b"IDAT"].concat();
    check("a.png", &length_of_none).is(3, "a.png");
}

/// Attack 26: GIF, WebP, BMP: sizes that are lies, and frames larger than their picture.
#[test]
fn sizes_that_lie() {
    let changed = |name: &str, at: usize, by: &[u8]| {
        let mut bytes = read(name);
        bytes[at..at + by.len()].copy_from_slice(by);
        bytes
    };
    let gif = read("gif_still.gif");
    let frame = gif.windows(5).position(|window| window == [0x2c, 0, 0, 0, 0]).unwrap() + 5;
    for at in [6, frame] {
        check("a.gif", &changed("gif_still.gif", at, &[0xff; 4])).is(3, "65535");
    }
    check("a.bmp", &changed("bmp_24.bmp", 18, &[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0])).is(3, "60000 x 60000");
    check("a.bmp", &changed("bmp_24.bmp", 18, &[0xff; 8])).is(3, "a.bmp");
    check("a.bmp", &changed("bmp_24.bmp", 10, &[0xff; 4])).is(3, "a.bmp");
    // WebP: 16383 x 16383 is the most that the format knows; the extended form has 24 bits for each side.
    let mut extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0".to_vec();
    extended.extend([0xff; 6]);
    extended.extend(b"VP8L\x05\0\0\0\x2f\xff\xff\xff\x0f\0");
    let size = (extended.len() as u32 - 8).to_le_bytes();
    extended[4..8].copy_from_slice(&size);
    check("a.webp", &extended).is(3, "a.webp");
    let mut lossless = b"RIFF\x12\0\0\0WEBPVP8L\x05\0\0\0\x2f\xff\xff\xff\x0f\0".to_vec();
    lossless.extend([0; 4]);
    check("a.webp", &lossless).is(3, "a.webp");
}

/// Attack 27: JPEG of many scans: each takes as long as a picture of its own.
#[test]
fn jpeg_of_many_scans() {
    let jpeg = read("jpeg_progressive.jpg");
    let sides = jpeg.windows(2).position(|window| window == [0xff, 0xc2]).unwrap() + 5;
    let scan = jpeg.windows(2).rposition(|window| window == [0xff, 0xda]).unwrap();
    let end = jpeg.len() - 2;
    let mut many = jpeg[..end].to_vec();
    // 8000 x 8000, and the last scan ten thousand times.
    many[sides..sides + 4].copy_from_slice(&[0x1f, 0x40, 0x1f, 0x40]);
    for _ in 0..10_000 {
        many.extend(&jpeg[scan..end]);
    }
    many.extend([0xff, 0xd9]);
    check("a.jpg", &many).is(3, "a.jpg");
    let mut large = jpeg.clone();
    large[sides..sides + 4].fill(0xff);
    check("a.jpg", &large).is(3, "65535 x 65535");
}
