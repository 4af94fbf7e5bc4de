//! The bundled text pairs.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::common::{self, Small, root};
use crate::{TEXT, evaluated, value};

#[test]
fn the_bundled_text_pairs_calibrate_a_text_tower() {
    let small = Small::new();
    let (safe, pairs) = (small.path("safe.onnx"), root("calibration/text-pairs.jsonl"));
    let args = ["--text", TEXT, "-o", &safe, "--calibration", pairs.to_str().unwrap(), "--format", "json"];
    let result = common::rewrite(&args).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let report: Value = serde_json::from_slice(&result.stdout).unwrap();
    assert_eq!(report["data"]["calibration_pairs"], 360);
    assert!(report["edit"]["selected"].as_u64().unwrap() > 0);
    let found = evaluated(&[
        &safe,
        "--baseline",
        TEXT,
        "--data",
        pairs.to_str().unwrap(),
        "--backend",
        "tract",
        "--tokenizer",
        "models/emoji-clip/tokenizer.json",
    ]);
    assert!(value(&found, "Ts drift") < 1.0);
}

#[test]
fn the_bundled_text_pairs_are_what_their_readme_says() {
    let text = std::fs::read_to_string(root("calibration/text-pairs.jsonl")).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut concepts = BTreeMap::<&str, usize>::new();
    let mut seen = std::collections::HashSet::new();
    for row in &rows {
        *concepts.entry(row["concept"].as_str().unwrap()).or_default() += 1;
        for side in ["safe_text", "unsafe_text"] {
            let caption = row[side].as_str().unwrap();
            assert!(caption.is_ascii() && (7..=15).contains(&caption.split_whitespace().count()), "{caption}");
            assert!(seen.insert(caption.to_lowercase()), "{caption}");
        }
    }
    let readme = std::fs::read_to_string(root("calibration/text-pairs.README.md")).unwrap();
    for (concept, count) in &concepts {
        let row = readme.lines().find(|line| line.starts_with(&format!("| {concept} "))).unwrap();
        assert_eq!(row.split('|').nth(2).unwrap().trim(), count.to_string());
    }
    assert_eq!((rows.len(), concepts.len()), (360, 12));
}
