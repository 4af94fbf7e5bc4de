//! Tokenisation agrees with Python's `tokenizers` (fixtures made by `tools/fixtures/make_tokens.py`).

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};
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

#[derive(Deserialize)]
struct Cases {
    texts: Vec<String>,
    cases: Vec<Case>,
}

/// A tokenizer, what stands beside it, and what Python makes of the texts.
#[derive(Deserialize)]
struct Case {
    name: String,
    tokenizer: String,
    beside: Map<String, Value>,
    length: usize,
    ids: Vec<Vec<i64>>,
    mask: Vec<Vec<i64>>,
}

/// Opens a tokenizer in a folder with other files.
fn open(tokenizer: &str, beside: &Map<String, Value>, length: Option<usize>) -> Result<Tokenizer, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, tokenizer).unwrap();
    for (name, content) in beside {
        std::fs::write(folder.path().join(name), content.to_string()).unwrap();
    }
    Tokenizer::open(&path, length).map_err(|e| e.to_string())
}

fn fixture(name: &str) -> String {
    std::fs::read_to_string(root("tests/fixtures/tokens").join(name)).unwrap()
}

#[test]
fn every_kind_of_tokenizer_agrees_with_what_stands_beside_it() {
    let stored: Cases = serde_json::from_str(&fixture("cases.json")).unwrap();
    for case in stored.cases {
        let tokenizer = open(&fixture(&case.tokenizer), &case.beside, None).unwrap();
        let (ids, mask) = tokenizer.encode(&stored.texts).unwrap();
        assert_eq!(ids.dim(), (stored.texts.len(), case.length), "{}", case.name);
        for (row, text) in stored.texts.iter().enumerate() {
            assert_eq!(ids.row(row).to_vec(), case.ids[row], "{}: {text:?}", case.name);
            assert_eq!(mask.row(row).to_vec(), case.mask[row], "{}: {text:?}", case.name);
        }
    }
}

fn beside(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn lengths_are_taken_in_order() {
    let unknown = json!(1e30);
    let all = json!({
        "config.json": {"max_position_embeddings": 31, "text_config": {"max_position_embeddings": 21}},
        "open_clip_config.json": {"model_cfg": {"text_cfg": {"context_length": 11}}},
        "tokenizer_config.json": {"model_max_length": 9, "pad_token": "<pad>"},
    });
    let cases = [
        (all.clone(), Some(5), 5),
        (all, None, 21),
        (json!({"config.json": {"max_position_embeddings": 31, "text_config": null}}), None, 31),
        // Two of RoBERTa's 20 positions are not for tokens.
        (
            json!({"config.json": {"text_config": {"model_type": "xlm-roberta", "max_position_embeddings": 20}}}),
            None,
            18,
        ),
        (json!({"config.json": {}, "open_clip_config.json": {"model_cfg": {"text_cfg": {}}}}), None, 77),
        (json!({"tokenizer_config.json": {"model_max_length": 9}}), None, 9),
    ];
    for (files, length, expected) in cases {
        let tokenizer = open(&fixture("gemma.json"), &beside(files.clone()), length).unwrap();
        assert_eq!(tokenizer.encode(&[String::new()]).unwrap().0.dim(), (1, expected), "{files}");
    }
    let mut own: Value = serde_json::from_str(&fixture("gemma.json")).unwrap();
    let unstated = beside(json!({"tokenizer_config.json": {"model_max_length": unknown}}));
    assert!(open(&own.to_string(), &unstated, None).err().unwrap().contains("nowhere stated"));
    own["truncation"] = json!({"direction": "Right", "max_length": 13, "strategy": "LongestFirst", "stride": 3});
    assert_eq!(open(&own.to_string(), &unstated, None).unwrap().encode(&[String::new()]).unwrap().0.dim(), (1, 13));
    assert!(open(&own.to_string(), &unstated, Some(1)).err().unwrap().contains("outside 2"));
}

#[test]
fn open_clip_cleans_as_its_settings_say() {
    let open = |clean: &str| {
        let text_cfg = json!({"context_length": 12, "tokenizer_kwargs": {"clean": clean}});
        let files = json!({"open_clip_config.json": {"model_cfg": {"text_cfg": text_cfg}}});
        open(&fixture("unigram.json"), &beside(files), None).unwrap()
    };
    let encode = |clean: &str, text: &str| open(clean).encode(&[text.to_owned()]).unwrap().0;
    assert_eq!(encode("canonicalize", "A photo_of,\n a DOG!"), encode("whitespace", "a photo of a dog"));
    assert_eq!(encode("lower", "A Dog!"), encode("whitespace", "a dog!"));
    assert_ne!(encode("whitespace", "A Dog"), encode("whitespace", "a dog"));
}

#[test]
fn what_lowers_by_itself_is_left_alone() {
    let text = ["Ein Ärger, ein DOG".to_owned()];
    let files = |config: Value| beside(json!({"tokenizer_config.json": config}));
    let twice = open(&fixture("wordpiece.json"), &files(json!({"do_lower_case": true, "model_max_length": 16})), None);
    let once = open(&fixture("wordpiece.json"), &files(json!({"model_max_length": 16})), None);
    assert_eq!(twice.unwrap().encode(&text).unwrap(), once.unwrap().encode(&text).unwrap());
}

#[test]
fn broken_surroundings_are_refused() {
    let cases = [
        (json!({"tokenizer_config.json": {"padding_side": "middle"}}), "padding_side"),
        (json!({"tokenizer_config.json": {"truncation_side": 3}}), "truncation_side"),
    ];
    for (files, expected) in cases {
        let error = open(&fixture("gemma.json"), &beside(files), Some(8)).err().unwrap();
        assert!(error.contains(expected), "{error}");
    }
    let nameless = fixture("gemma.json").replace("<pad>", "<nothing>");
    let error = open(&nameless, &Map::new(), Some(8)).err().unwrap();
    assert!(error.contains("no padding token"), "{error}");
}

#[test]
fn odd_surroundings_do_not_panic() {
    let odd =
        [json!(null), json!(-1), json!(0), json!(1e300), json!([]), json!([[]]), json!({}), json!("x"), json!(true)];
    let files = ["config.json", "open_clip_config.json", "tokenizer_config.json", "special_tokens_map.json"];
    let keys = [
        "text_config",
        "max_position_embeddings",
        "model_type",
        "pad_token_id",
        "model_cfg",
        "pad_token",
        "padding_side",
        "truncation_side",
        "model_max_length",
        "do_lower_case",
        "tokenizer_class",
    ];
    for (value, file) in odd.iter().flat_map(|value| files.map(|file| (value, file))) {
        for key in keys {
            let content = json!({key: value, "model_type": "roberta", "max_position_embeddings": 1});
            if let Ok(tokenizer) = open(&fixture("wordpiece.json"), &beside(json!({ file: content })), Some(7)) {
                assert_eq!(tokenizer.encode(&["A cat".to_owned()]).unwrap().0.dim(), (1, 7));
            }
        }
        assert!(open(&fixture("wordpiece.json"), &beside(json!({ file: value })), Some(7)).is_ok(), "{file} {value}");
    }
}
