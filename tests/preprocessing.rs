//! Image preprocessing agrees with Pillow (fixtures made by `tools/fixtures/make_preprocessing.py`).

use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::Deserialize;
use serde_json::Value;
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

/// What the Python processors made of images.
#[derive(Deserialize)]
struct Stored {
    configs: serde_json::Map<String, Value>,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    config: String,
    image: String,
    shape: (usize, usize, usize),
    offset: usize,
}

fn floats(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(fixture(name)).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn preprocessor(config: &str) -> Result<Preprocessor, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("preprocessor_config.json");
    std::fs::write(&path, config).unwrap();
    Preprocessor::read(&path).map_err(|e| e.to_string())
}

#[test]
fn every_processor_agrees_with_its_python_original() {
    let stored: Stored = serde_json::from_slice(&std::fs::read(fixture("processors.json")).unwrap()).unwrap();
    let values = floats("processors.f32");
    for Output { config, image, shape, offset } in stored.outputs {
        let preprocessor = preprocessor(&stored.configs[&config].to_string()).unwrap();
        let images = Images::new(&preprocessor, vec![Picture::File(fixture(&image))]);
        let Batch::Image { pixels } = images.batch(0..1).unwrap() else { panic!("images give images") };
        assert_eq!(pixels.dim(), (1, shape.0, shape.1, shape.2), "{config} of {image}");
        let want = &values[offset..][..shape.0 * shape.1 * shape.2];
        // To the last bit: neither pixels nor rounding differ.
        let same = pixels.iter().zip(want).filter(|(got, want)| got == want).count();
        assert_eq!(same, want.len(), "{config} of {image}: values that are equal");
    }
}

#[test]
fn classes_say_what_their_files_do_not() {
    let same = [
        (
            r#"{"image_processor_type": "CLIPImageProcessor"}"#,
            r#"{"size": {"shortest_edge": 224}, "resample": 3, "crop_size": 224,
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}"#,
        ),
        (
            r#"{"image_processor_type": "SiglipImageProcessorFast"}"#,
            r#"{"size": {"height": 224, "width": 224}, "resample": 3, "image_mean": 0.5, "image_std": 0.5}"#,
        ),
        (
            r#"{"image_processor_type": "BlipImageProcessor", "size": 40}"#,
            r#"{"size": {"height": 40, "width": 40}, "resample": 3,
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}"#,
        ),
        (
            r#"{"feature_extractor_type": "ViTFeatureExtractor", "size": 40}"#,
            r#"{"size": [40, 40], "resample": 2, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#,
        ),
        // Without a class: a square, unless a crop follows.
        (
            r#"{"size": 40, "resample": 2, "do_normalize": false}"#,
            r#"{"size": {"height": 40, "width": 40}, "resample": 2, "do_normalize": false}"#,
        ),
        (
            r#"{"size": 40, "crop_size": 30, "resample": 2, "do_normalize": false}"#,
            r#"{"size": {"shortest_edge": 40}, "crop_size": [30, 30], "resample": 2, "do_normalize": false}"#,
        ),
        (
            r#"{"processor_class": "CLIPProcessor", "image_processor": {"image_processor_type": "CLIPImageProcessor"}}"#,
            r#"{"image_processor_type": "CLIPImageProcessor"}"#,
        ),
        (
            r#"{"preprocess_cfg": {"size": 20}, "model_cfg": {"vision_cfg": {"image_size": 32}}}"#,
            r#"{"preprocess_cfg": {"size": [32, 32], "resize_mode": "shortest", "interpolation": "bicubic"}}"#,
        ),
    ];
    for (short, long) in same {
        assert!(preprocessor(short).unwrap() == preprocessor(long).unwrap(), "{short} is not {long}");
    }
}

#[test]
fn unknown_settings_are_refused() {
    let cases = [
        (r#"{"size": {"shortest_edge": 48}, "resample": 6}"#, "resample 6"),
        (r#"{"do_resize": true, "resample": 3}"#, "size is missing"),
        (r#"{"size": 48}"#, "resample is missing"),
        (r#"{"size": {"shortest_edge": 0}, "resample": 3}"#, "neither"),
        (r#"{"size": {"longest_edge": 48}, "resample": 3}"#, "neither"),
        (r#"{"size": {"shortest_edge": 48, "longest_edge": 90}, "resample": 3}"#, "neither"),
        (r#"{"size": {"height": 48, "width": 9999999}, "resample": 3}"#, "neither"),
        (r#"{"size": 48, "resample": 3, "do_center_crop": true}"#, "crop_size is missing"),
        (r#"{"size": 48, "resample": 3, "image_mean": [0, 0, 0], "image_std": [1, 0, 1]}"#, "not 0"),
        (r#"{"size": 48, "resample": 3, "image_mean": [0, 0], "image_std": [1, 1, 1]}"#, "image_mean [0,0]"),
        (r#"{"size": 48, "resample": 3}"#, "image_mean is missing"),
        (r#"{"size": 48, "resample": 3, "crop_pct": 0.9}"#, "crop_pct is set"),
        (r#"{"image_processor_type": "EfficientNetImageProcessor"}"#, "may do more"),
        (r#"{"image_processor_type": "Siglip2ImageProcessor"}"#, "may do more"),
        (r#"{"image_processor_type": "SiglipImageProcessor", "size": 48}"#, "means nothing"),
        (r#"{"image_processor_type": "ViTImageProcessor", "do_center_crop": true}"#, "ignores"),
        (r#"{"preprocess_cfg": {"resize_mode": "crop"}}"#, "resize_mode crop"),
        (r#"{"preprocess_cfg": {"interpolation": "nearest"}}"#, "interpolation nearest"),
        (r#"{"preprocess_cfg": {"mode": "L"}}"#, "mode L"),
        (r#"{"preprocess_cfg": {"size": [1, 2, 3]}}"#, "size [1,2,3]"),
        ("[]", "invalid length"),
        ("7", "invalid type"),
        ("", "EOF"),
    ];
    for (text, expected) in cases {
        let error = preprocessor(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn what_is_too_oblong_is_refused() {
    let thread = RgbImage::new(1, 70_000);
    let config = r#"{"image_processor_type": "CLIPImageProcessor"}"#;
    assert!(preprocessor(config).unwrap().pixels(&thread).unwrap_err().contains("too oblong"));
    let config = r#"{"preprocess_cfg": {"size": 20, "resize_mode": "longest"}}"#;
    assert!(preprocessor(config).unwrap().pixels(&thread).unwrap_err().contains("too oblong"));
}

#[test]
fn what_would_become_too_large_is_refused() {
    let image = RgbImage::new(2, 2);
    for config in [
        r#"{"image_processor_type": "SiglipImageProcessor", "size": {"height": 8192, "width": 4096}}"#,
        r#"{"image_processor_type": "CLIPImageProcessor", "do_resize": false, "crop_size": 8192}"#,
    ] {
        let refused = preprocessor(config).unwrap().pixels(&image).unwrap_err();
        assert!(refused.contains("are not made"), "{refused}");
    }
}

#[test]
fn odd_settings_do_not_panic() {
    let odd = [
        "null",
        "-1",
        "0",
        "7",
        "1e300",
        "[]",
        "[1, 2]",
        "{}",
        "\"x\"",
        "true",
        "false",
        "{\"height\": 0, \"width\": 1}",
    ];
    let keys = [
        "image_processor_type",
        "do_resize",
        "size",
        "resample",
        "do_center_crop",
        "crop_size",
        "do_rescale",
        "rescale_factor",
        "do_normalize",
        "image_mean",
        "image_std",
        "mean",
        "std",
        "interpolation",
        "resize_mode",
        "fill_color",
        "image_size",
        "preprocess_cfg",
        "model_cfg",
        "image_processor",
    ];
    let image = RgbImage::from_pixel(3, 2, image::Rgb([9, 90, 190]));
    for (value, key) in odd.iter().flat_map(|value| keys.map(|key| (value, key))) {
        let own = format!(r#"{{"size": 4, "resample": 2, "image_mean": 0, "image_std": 1, "{key}": {value}}}"#);
        let class = format!(
            r#"{{"size": {{"shortest_edge": 4}}, "image_processor_type": "CLIPImageProcessor", "{key}": {value}}}"#
        );
        let open_clip =
            format!(r#"{{"preprocess_cfg": {{"size": 4, "{key}": {value}}}, "model_cfg": {{"vision_cfg": {value}}}}}"#);
        for config in [own, class, open_clip] {
            if let Ok(preprocessor) = preprocessor(&config) {
                let pixels = preprocessor.pixels(&image).unwrap();
                assert!(pixels.iter().all(|value| value.is_finite()), "{config}");
            }
        }
    }
}
