//! Decoding agrees with Pillow (fixtures made by `tools/fixtures/make_decoding.py`).

use std::path::{Path, PathBuf};
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

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decoding").join(name)
}

fn stored() -> Vec<(String, Vec<u8>)> {
    let files: Vec<Stored> = serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap();
    files.into_iter().map(|f| (f.file.clone(), std::fs::read(fixture(&f.file)).unwrap())).collect()
}

/// Levels that a file may differ by. Other decoders than libjpeg and libwebp round elsewhere, most of all where colour is
/// stored at half the resolution.
fn tolerance(name: &str) -> u8 {
    match name {
        _ => 0,
    }
}

#[test]
fn every_format_agrees_with_pillow() {
    let files: Vec<Stored> = serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap();
    let pixels = std::fs::read(fixture("expected.rgb")).unwrap();
    let mut wrong = vec![];
    for Stored { file, width, height, offset } in files {
        let image = match decode(&std::fs::read(fixture(&file)).unwrap(), ImageLimits::default()) {
            Ok(image) => image,
            Err(e) => {
                wrong.push(format!("{file}: {e}"));
                continue;
            }
        };
        let want = &pixels[offset..][..(width * height * 3) as usize];
        if image.dimensions() != (width, height) {
            wrong.push(format!("{file}: {:?}, not {:?}", image.dimensions(), (width, height)));
            continue;
        }
        let off: Vec<u8> = image.iter().zip(want).map(|(got, want)| got.abs_diff(*want)).collect();
        let most = off.iter().max().copied().unwrap_or(0);
        let mean = off.iter().map(|&d| f64::from(d)).sum::<f64>() / off.len() as f64;
        println!("{file:28} at most {most}, {mean:.3} on average");
        if most > tolerance(&file) {
            wrong.push(format!("{file}: {most} levels off"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
