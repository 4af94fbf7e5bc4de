//! Image preprocessing agrees with Pillow (fixtures made by `tools/fixtures/make_preprocessing.py`).

use std::path::{Path, PathBuf};

use image::RgbImage;
use uwm_onnx::dataset::{Batch, Filter, Images, Picture, Preprocessor, Samples, resize};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/preprocessing").join(name)
}

fn open(name: &str) -> RgbImage {
    image::open(fixture(name)).unwrap().into_rgb8()
}

#[test]
fn resizing_equals_pillow() {
    let photo = open("photo.png");
    let cases = [
        ("bicubic_down.png", Filter::Bicubic),
        ("bicubic_mixed.png", Filter::Bicubic),
        ("bicubic_up.png", Filter::Bicubic),
        ("bilinear_down.png", Filter::Bilinear),
        ("lanczos_down.png", Filter::Lanczos),
    ];
    for (name, filter) in cases {
        let want = open(name);
        let got = resize(&photo, want.width(), want.height(), filter);
        assert!(got == want, "{name} differs from Pillow's pixels");
    }
}

#[test]
fn clip_preprocessing_agrees() {
    let preprocessor = Preprocessor::read(&fixture("preprocessor_config.json")).unwrap();
    let images = Images::new(&preprocessor, vec![Picture::File(fixture("photo.png"))]);
    let Batch::Image { pixels } = images.batch(0..1).unwrap() else { panic!("images give images") };
    assert_eq!(pixels.dim(), (1, 3, 48, 48));
    let bytes = std::fs::read(fixture("clip_48.f32")).unwrap();
    let want: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    assert_eq!(pixels.len(), want.len());
    // One level of 255 is 0.0142 after normalisation; agreement is exact but for float32 rounding.
    assert!(pixels.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-5));
}

#[test]
fn unknown_settings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("preprocessor_config.json");
    let cases = [
        (r#"{"size": {"shortest_edge": 48}, "resample": 0}"#, "resample 0"),
        (r#"{"do_resize": true}"#, "size is missing"),
        (r#"{"size": 48}"#, "resample is missing"),
        (r#"{"size": {"shortest_edge": 0}, "resample": 3}"#, "neither"),
        (r#"{"size": 48, "resample": 3, "do_center_crop": true}"#, "crop_size is missing"),
        (r#"{"size": 48, "resample": 3, "image_mean": [0, 0, 0], "image_std": [1, 0, 1]}"#, "not 0"),
        (r#"{"size": 48, "resample": 3}"#, "image_mean is missing"),
        (r#"{"size": 48, "resample": 3, "crop_pct": 0.9}"#, "crop_pct is set"),
        ("[]", "invalid length"),
    ];
    for (text, expected) in cases {
        std::fs::write(&path, text).unwrap();
        let error = Preprocessor::read(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
