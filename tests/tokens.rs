//! Tokenisation agrees with Python's `tokenizers` (fixtures made by `tools/fixtures/make_tokens.py`).

use std::path::{Path, PathBuf};

use serde::Deserialize;
use uwm_onnx::dataset::Tokenizer;

#[derive(Deserialize)]
struct Stored {
    length: usize,
    texts: Vec<String>,
    ids: Vec<Vec<i64>>,
    mask: Vec<Vec<i64>>,
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn check(tokenizer: &str, stored: &str) {
    let bytes = std::fs::read(root("tests/fixtures/tokens").join(stored)).unwrap();
    let stored: Stored = serde_json::from_slice(&bytes).unwrap();
    let tokenizer = Tokenizer::open(&root(tokenizer), None).unwrap();
    let (ids, mask) = tokenizer.encode(&stored.texts).unwrap();
    assert_eq!(ids.dim(), (stored.texts.len(), stored.length));
    for (row, text) in stored.texts.iter().enumerate() {
        assert_eq!(ids.row(row).to_vec(), stored.ids[row], "{text}");
        assert_eq!(mask.row(row).to_vec(), stored.mask[row], "{text}");
    }
}

#[test]
fn bundled_tokenizer_agrees() {
    check("models/emoji-clip/tokenizer.json", "bundled.json");
}

#[test]
fn clip_like_tokenizer_agrees_with_length_and_padding_from_its_surroundings() {
    check("tests/fixtures/tokens/clip_like/tokenizer.json", "clip_like.json");
}

#[test]
fn what_is_no_tokenizer_is_refused() {
    let error = Tokenizer::open(&root("models/emoji-clip/config.json"), None).err().unwrap();
    assert!(error.to_string().contains("not a usable tokenizer.json"), "{error}");
    let error = Tokenizer::open(&root("no/such/tokenizer.json"), None).err().unwrap();
    assert!(error.to_string().contains("cannot read"), "{error}");
}
