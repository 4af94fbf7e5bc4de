//! Encoded images.

use uwm_onnx::dataset::{ImageLimits, decode, probe};

/// Pixels at most: few, so that the fuzzer is not kept by what is merely large.
const MOST: u64 = 1 << 14;

/// The bytes of an image, of whatever format.
pub fn image(bytes: &[u8]) {
    let decoded = decode(bytes, ImageLimits { max_pixels: MOST });
    let probed = probe(bytes, MOST);
    if let Ok(image) = &decoded {
        let pixels = u64::from(image.width()) * u64::from(image.height());
        assert!((1..=MOST).contains(&pixels), "{} x {}", image.width(), image.height());
    }
    assert!(decoded.is_ok() || probed.is_err(), "what cannot be decoded is no image");
}
