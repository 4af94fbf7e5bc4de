//! Attacks by `tokenizer.json`: patterns that backtrack, parts that nest, numbers that nobody has.

use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use uwm_onnx::dataset::Tokenizer;

use crate::common::root;

/// Encodes texts with the bundled tokenizer after a change.
fn encoded(change: impl FnOnce(&mut Value), texts: &[String]) -> Result<Vec<i64>, String> {
    let mut tokenizer: Value =
        serde_json::from_slice(&std::fs::read(root("models/emoji-clip/tokenizer.json")).unwrap()).unwrap();
    change(&mut tokenizer);
    tokenized(tokenizer.to_string(), texts)
}

/// Opens a tokenizer and encodes texts with it; on a thread with the usual stack. What takes minutes hangs.
fn tokenized(tokenizer: String, texts: &[String]) -> Result<Vec<i64>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, tokenizer).unwrap();
    let (said, heard) = mpsc::channel();
    let texts = texts.to_vec();
    std::thread::spawn(move || {
        let done = Tokenizer::open(&path, Some(12)).and_then(|tokenizer| tokenizer.encode(&texts));
        let _ = said.send(done.map(|(ids, _)| ids.into_iter().collect()).map_err(|error| error.to_string()));
    });
    heard.recv_timeout(Duration::from_secs(120)).expect("it hangs, or panics")
}

fn split(pattern: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
}

/// Attack 28: Patterns that take a time which doubles with each letter. The library that matches them stops after a million
/// steps and says nothing of it: what is left of the text stays one piece. That is wrong, and the same every time.
#[test]
fn patterns_that_backtrack() {
    let texts = ["x".repeat(5000), "x y ".repeat(500), "a red heart".to_owned()];
    // Without anything that needs backtracking, with it, and with it at every place.
    for pattern in [
        "(x+x+)+y",
        "(x+x+)+(?=y)",
        "(?:x|x)*(?=y)",
        "(?=(x+)+$y)x",
        r"(x+)+\1y",
        "(?:.*.*.*)(?=y)",
        r"(?<=x)(x?){40}x{40}(?!x)",
    ] {
        let first = encoded(|tokenizer| tokenizer["pre_tokenizer"] = split(pattern), &texts);
        assert!(first.is_ok(), "{pattern}: {first:?}");
        assert_eq!(first, encoded(|tokenizer| tokenizer["pre_tokenizer"] = split(pattern), &texts), "{pattern}");
        let replace = json!({"type": "Replace", "pattern": {"Regex": pattern}, "content": "y"});
        let replaced = encoded(|tokenizer| tokenizer["normalizer"] = replace, &texts);
        assert!(replaced.is_ok(), "{pattern}: {replaced:?}");
    }
}

/// Attack 29: Patterns that are large, or nest: refused when they are read, or harmless.
#[test]
fn patterns_that_grow() {
    let nested = |open: &str| format!("{}a{}", open.repeat(50_000), ")".repeat(50_000));
    for pattern in [
        nested("("),
        nested("(?:"),
        nested("(?="),
        nested("(?<!"),
        "[".repeat(50_000),
        "a{4294967295}".to_owned(),
        "(?:(?:(?:a{1000}){1000}){1000}){1000}".to_owned(),
        "(?=(?:(?:(?:a{1000}){1000}){1000}){1000})a".to_owned(),
        r"(?:\p{L}{1000}){1000}(?!x)".to_owned(),
        "a|".repeat(200_000),
    ] {
        let said = encoded(|tokenizer| tokenizer["pre_tokenizer"] = split(&pattern), &["a red heart".to_owned()]);
        if let Err(reason) = said {
            assert!(reason.contains("not a usable tokenizer.json"), "{reason:.500}");
        }
    }
}

/// Attack 30: Parts in parts, each of which is read again for every kind that it could be of.
#[test]
fn parts_that_nest() {
    let parts = [
        ("normalizer", "normalizers"),
        ("pre_tokenizer", "pretokenizers"),
        ("post_processor", "processors"),
        ("decoder", "decoders"),
    ];
    let mut tokenizer: Value =
        serde_json::from_slice(&std::fs::read(root("models/emoji-clip/tokenizer.json")).unwrap()).unwrap();
    for (part, list) in parts {
        let own = tokenizer[part].take();
        tokenizer[part] = "HERE".into();
        for kind in ["\"type\":\"Sequence\",", ""] {
            for depth in [10, 30, 50, 100, 10_000] {
                let nested = format!("{{{kind}\"{list}\":[").repeat(depth) + &"]}".repeat(depth);
                let said = tokenized(tokenizer.to_string().replace("\"HERE\"", &nested), &[]);
                assert!(depth < 10_000 || said.is_err(), "{part}");
            }
        }
        tokenizer[part] = own;
    }
}

/// Attack 31: Tokenizers that take time with the third power of a word, or make all memory of a letter.
#[test]
fn texts_that_grow() {
    let texts = ["x".repeat(20_000)];
    let piece = |letters: u32| json!({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "", "max_input_chars_per_word": letters, "vocab": {"[UNK]": 0, "x": 1, "[PAD]": 2}});
    let with = |part: &str, value: Value| encoded(|tokenizer| tokenizer[part] = value, &texts);
    assert!(with("model", piece(20_000)).unwrap_err().contains("words of 20000 letters"));
    assert!(with("model", piece(100)).is_ok());
    // Ten for one, sixty times.
    let replace = |content: &str| json!({"type": "Replace", "pattern": {"String": "x"}, "content": content});
    let sequence = |steps: Vec<Value>| json!({"type": "Sequence", "normalizers": steps});
    assert!(with("normalizer", sequence(vec![replace("xxxxxxxxxx"); 60])).unwrap_err().contains("letters of one"));
    assert!(with("normalizer", sequence(vec![replace("x"); 60])).is_ok());
    assert!(with("normalizer", replace(&"x".repeat(1 << 20))).unwrap_err().contains("letters of one"));
    let prepend = json!({"type": "Prepend", "prepend": "x".repeat(1 << 20)});
    assert!(with("normalizer", sequence(vec![prepend, replace("x")])).unwrap_err().contains("letters of one"));
}

/// A change of a tokenizer.
type Change<'c> = &'c dyn Fn(&mut Value);

/// Attack 32: Numbers and names that nobody has: an error, or tokens.
#[test]
fn numbers_that_nobody_has() {
    let texts = ["a red heart".to_owned(), String::new(), "x".repeat(100_000)];
    let changes: [(&str, Change); 9] = [
        ("length", &|t| {
            t["truncation"] =
                json!({"direction": "Right", "max_length": u64::MAX, "strategy": "LongestFirst", "stride": u64::MAX})
        }),
        ("stride", &|t| {
            t["truncation"] = json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 2})
        }),
        (
            "padding",
            &|t| t["padding"] = json!({"strategy": {"Fixed": u64::MAX}, "direction": "Right", "pad_to_multiple_of": 0, "pad_id": u32::MAX, "pad_type_id": 0, "pad_token": "[PAD]"}),
        ),
        ("id", &|t| t["added_tokens"][0]["id"] = json!(u32::MAX)),
        ("id", &|t| t["added_tokens"][0]["id"] = json!(u64::MAX)),
        ("empty token", &|t| t["added_tokens"][0]["content"] = json!("")),
        (
            "template",
            &|t| t["post_processor"] = json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "no", "type_id": 0}}], "pair": [], "special_tokens": {}}),
        ),
        ("charsmap", &|t| t["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "/////////w=="})),
        ("metaspace", &|t| {
            t["pre_tokenizer"] = json!({"type": "Metaspace", "replacement": "xyz", "add_prefix_space": true})
        }),
    ];
    for (what, change) in changes {
        if let Err(reason) = encoded(|tokenizer| change(tokenizer), &texts) {
            assert!(reason.contains("tokenizer.json"), "{what}: {reason}");
        }
    }
}
