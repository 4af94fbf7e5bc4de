//! What models of the zoo need beside them.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Small;

/// What a model of the zoo needs beside it: a tokenizer of 99 words, a preprocessor for 16 x 16, a little data.
pub fn beside(folder: &Path) -> TempDir {
    let small = Small::new();
    for name in ["manifest.jsonl", "uwm.yaml"] {
        std::fs::copy(small.folder.path().join(name), folder.join(name)).unwrap();
    }
    let words = std::fs::read_to_string(folder.join("manifest.jsonl")).unwrap();
    let mut vocabulary = serde_json::Map::from_iter(
        [("[PAD]", 0), ("<s>", 1), ("[UNK]", 2), ("</s>", 98)].map(|(word, id)| (word.to_owned(), json!(id))),
    );
    for line in words.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        for word in row["unsafe_text"].as_str().unwrap().split_whitespace() {
            let next = vocabulary.len() - 1;
            if next < 98 && !vocabulary.contains_key(word) {
                vocabulary.insert(word.to_owned(), json!(next));
            }
        }
    }
    let special = |id: u32, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let one = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 0}});
    let token = |id: &str, number: u32| json!({"id": id, "ids": [number], "tokens": [id]});
    let tokenizer = json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 12, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [special(0, "[PAD]"), special(1, "<s>"), special(98, "</s>")],
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [one("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, one("</s>")],
            "pair": [one("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, one("</s>")],
            "special_tokens": {"<s>": token("<s>", 1), "</s>": token("</s>", 98)},
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    });
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let preprocessor = json!({
        "do_resize": true, "size": {"shortest_edge": 16}, "resample": 3,
        "do_center_crop": true, "crop_size": {"height": 16, "width": 16},
        "do_rescale": true, "rescale_factor": 1.0 / 255.0, "do_normalize": true,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    });
    std::fs::write(folder.join("preprocessor_config.json"), preprocessor.to_string()).unwrap();
    small.folder
}
