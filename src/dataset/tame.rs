//! What a `tokenizer.json` may ask for. The tokenizers of models are far below these bounds; one that was made to take all
//! time or memory is above them, whatever is left of a text after it was cut.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokenizers::models::ModelWrapper;

/// Letters of a word that WordPiece takes apart: its time grows with their third power. BERT's are 100.
const MOST_LETTERS: usize = 256;
/// Letters that may come of one, all steps of a normaliser taken together. Unicode's longest ligature is 18.
const MOST_GROWTH: usize = 64;

/// Checks that tokens are made in about the time and memory that the text takes.
///
/// # Errors
/// A sentence on what would not be.
pub fn check(tokenizer: &tokenizers::Tokenizer) -> Result<(), String> {
    if let ModelWrapper::WordPiece(model) = tokenizer.get_model()
        && model.max_input_chars_per_word > MOST_LETTERS
    {
        let letters = model.max_input_chars_per_word;
        return Err(format!(
            "its model takes words of {letters} letters apart, and more than {MOST_LETTERS} take too long"
        ));
    }
    let normalizer = tokenizer.get_normalizer().map(serde_json::to_value).transpose().map_err(|e| e.to_string())?;
    match normalizer.map_or(1, |normalizer| growth(&normalizer)) {
        growth if growth > MOST_GROWTH => {
            Err(format!("its normaliser may make {growth} letters of one, and {MOST_GROWTH} are the most"))
        }
        _ => Ok(()),
    }
}

/// Letters that may come of one.
fn growth(normalizer: &Value) -> usize {
    let put_in = ["content", "prepend"].into_iter().filter_map(|key| normalizer[key].as_str());
    let put_in = put_in.map(|text| text.chars().count());
    let mapped = normalizer["precompiled_charsmap"].as_str().map(longest);
    let steps = normalizer["normalizers"].as_array().into_iter().flatten().map(growth);
    put_in.chain(mapped).chain(steps).fold(1, |all, own| all.saturating_mul(own.max(1)))
}

/// The longest text that SentencePiece's table has for a letter: after the trie, all of them, each ended by a zero.
fn longest(charsmap: &str) -> usize {
    let table = STANDARD.decode(charsmap).unwrap_or_default();
    let texts = table.split_first_chunk().and_then(|(trie, rest)| rest.get(u32::from_le_bytes(*trie) as usize..));
    let texts = texts.unwrap_or_default().split(|byte| *byte == 0);
    texts.map(|text| String::from_utf8_lossy(text).chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn growth_is_the_product_of_all_steps() {
        let replace = |content: &str| json!({"type": "Replace", "pattern": {"String": "a"}, "content": content});
        assert_eq!(growth(&json!({"type": "Lowercase"})), 1);
        assert_eq!(growth(&replace("")), 1);
        assert_eq!(growth(&replace("▁")), 1);
        let steps = [replace("aa"), replace("aaa"), json!({"type": "Prepend", "prepend": "▁"}), replace("")];
        let inner = json!({"type": "Sequence", "normalizers": steps});
        assert_eq!(growth(&json!({"type": "Sequence", "normalizers": [inner, replace("aaaa")]})), 24);
        let many = json!({"type": "Sequence", "normalizers": vec![replace("aa"); 1000]});
        assert_eq!(growth(&many), usize::MAX);
        let table = [&8_u32.to_le_bytes()[..], &[1; 8], "a\0ⅷabc\0b".as_bytes()].concat();
        assert_eq!(growth(&json!({"type": "Precompiled", "precompiled_charsmap": STANDARD.encode(table)})), 4);
        for table in [&b""[..], b"\xff", &[0xff; 9]] {
            assert_eq!(growth(&json!({"precompiled_charsmap": STANDARD.encode(table)})), 1);
        }
    }
}
