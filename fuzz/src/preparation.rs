//! The files that say how a model's samples are prepared.

use ::image::RgbImage;
use uwm_onnx::dataset::{Preprocessor, Tokenizer};

use super::folder::Folder;
use super::parts;

thread_local! {
    static FOLDER: Folder = Folder::with(|_| ());
}

/// What stands beside a tokenizer, in the order of the parts.
const BESIDE: [&str; 4] = ["tokenizer_config.json", "config.json", "special_tokens_map.json", "open_clip_config.json"];

/// `0`, a text, a `tokenizer.json` and what stands beside it; `1` and a `preprocessor_config.json`; or `2` and an
/// `open_clip_config.json`.
pub fn preparation(bytes: &[u8]) {
    let Some((form, parts)) = parts(bytes) else { return };
    FOLDER.with(|folder| match form {
        b'0' => texts(folder, &parts),
        b'1' => images(&folder.write("preprocessor_config.json", parts[0])),
        _ => images(&folder.write("images/open_clip_config.json", parts[0])),
    });
}

fn texts(folder: &Folder, parts: &[&[u8]]) {
    let text = String::from_utf8_lossy(parts[0]).into_owned();
    let tokenizer = folder.put("tokenizer.json", parts.get(1).copied());
    for (k, name) in BESIDE.iter().enumerate() {
        folder.put(name, parts.get(k + 2).copied().filter(|part| !part.is_empty()));
    }
    for length in [None, Some(8)] {
        let Ok(tokenizer) = Tokenizer::open(&tokenizer, length) else { continue };
        let Ok((ids, mask)) = tokenizer.encode(&[text.clone(), String::new()]) else { continue };
        assert_eq!(ids.dim(), mask.dim());
    }
}

fn images(path: &std::path::Path) {
    let Ok(preprocessor) = Preprocessor::read(path) else { return };
    for (width, height) in [(5, 3), (1, 7)] {
        let image = RgbImage::from_fn(width, height, |x, y| ::image::Rgb([x as u8, y as u8, 200]));
        _ = preprocessor.pixels(&image);
    }
}
