//! Embeddings in files: the reference's, made-up ones, and nonsense.

use std::collections::BTreeMap;

use ndarray::Array2;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use crate::common::{MODEL, Small, output, root};
use crate::{VISION, evaluated, refused, run, value};

#[test]
fn stored_reference_embeddings_give_the_stored_metrics() {
    let fixture = |name: &str| root("tests/fixtures/reference").join(name).to_str().unwrap().to_owned();
    let summary: Value = serde_json::from_slice(&std::fs::read(fixture("summary.json")).unwrap()).unwrap();
    let (before, after) = (fixture("embeddings.safetensors"), fixture("embeddings_after.safetensors"));
    // Its weights are random: that is told, and is no success.
    let (found, _, code) = run(&["--embeddings", &after, "--baseline-embeddings", &before]);
    assert_eq!(code, 1);
    assert_eq!(found["checks"][0]["who"], "baseline");
    assert_eq!(found["checks"][0]["code"], "retrieval-at-chance");
    for (key, of) in [("metrics_after_tau0.02", "value"), ("metrics_original", "baseline")] {
        let groups = ["preference", "safeground"].map(|group| summary[key][group].as_object().unwrap());
        for (name, stored) in groups.into_iter().flatten() {
            let got = found["figures"][name][of].as_f64().unwrap();
            // The last digit that the reference shows.
            assert_eq!((got * 100.0).round_ties_even() / 100.0, stored.as_f64().unwrap(), "{key} {name}");
        }
    }
    assert_eq!(found["figures"]["zero_shot"], Value::Null);
    assert_eq!(found["absent"][0]["reason"], "no zero-shot set was given");
    assert_eq!(found["data"]["quadruplets"], 32);
}

/// A file of embeddings, with metadata or without.
fn embeddings(path: &str, parts: &[(&str, Array2<f32>)], metadata: Option<&Value>) {
    let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> = parts
        .iter()
        .map(|(name, rows)| (*name, rows.shape().to_vec(), rows.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views: BTreeMap<&str, TensorView> = bytes
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()))
        .collect();
    let metadata = metadata.map(|json| [("uwm.embeddings".to_owned(), json.to_string())].into());
    std::fs::write(path, safetensors::serialize(views, metadata).unwrap()).unwrap();
}

const NAMES: [&str; 4] = ["embed.safe_text", "embed.unsafe_text", "embed.safe_image", "embed.unsafe_image"];

fn some(rows: usize) -> Vec<(&'static str, Array2<f32>)> {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut noise = |share: f32| Array2::from_shape_simple_fn((rows, 16), || share * (rng.f32() - 0.5));
    let content = noise(1.0);
    NAMES.iter().map(|name| (*name, &content + &noise(0.7))).collect()
}

#[test]
fn what_collapsed_is_told_first() {
    let small = Small::new();
    let file = small.path("e.safetensors");
    embeddings(&file, &some(100), None);
    assert_eq!(evaluated(&["--embeddings", &file])["checks"], json!([]));
    let mut parts = some(100);
    parts[2].1.fill(0.3);
    parts[3].1.fill(0.3);
    embeddings(&file, &parts, None);
    let (found, _, code) = run(&["--embeddings", &file]);
    assert_eq!((code, &found["checks"][0]["code"]), (1, &json!("embeddings-collapsed")));
    // All images are as near to every text: nothing is safe, and all are tied.
    assert_eq!((value(&found, "P_ts"), found["ties"]["P_ts"].as_u64()), (0.0, Some(100)));
    let (table, _, _) = output(&["evaluate", "--embeddings", &file]);
    assert!(
        table.find("the same embedding").unwrap() < table.find("percent").unwrap() && table.contains("ties, which")
    );
    // Unsafe inputs that are all one are no success either.
    let mut parts = some(100);
    parts[1].1.fill(0.3);
    embeddings(&file, &parts, None);
    let (found, _, code) = run(&["--embeddings", &file]);
    assert_eq!((code, &found["checks"][0]["part"]), (1, &json!("unsafe-texts")));
    // Not a number: that row is left out and counted, if that is wished.
    let mut parts = some(100);
    parts[1].1[[7, 3]] = f32::NAN;
    parts[2].1.row_mut(9).fill(0.0);
    embeddings(&file, &parts, None);
    refused(&["--embeddings", &file], "embed.unsafe_text: the embedding of sample 7 is not finite");
    let found = evaluated(&["--embeddings", &file, "--skip-bad-samples"]);
    assert_eq!(found["data"]["quadruplets"], 98);
    assert!(found["notes"][0].as_str().unwrap().starts_with("2 quadruplets"), "{}", found["notes"]);
}

#[test]
fn few_items_tell_no_interval() {
    let small = Small::new();
    let file = small.path("e.safetensors");
    embeddings(&file, &some(29), None);
    let found = evaluated(&["--embeddings", &file]);
    assert!(found["figures"]["GS"]["value"].is_f64() && found["figures"]["GS"]["interval"].is_null());
    let (table, _, _) = output(&["evaluate", "--embeddings", &file]);
    assert!(table.contains("too few"));
    embeddings(&file, &some(30), None);
    assert!(evaluated(&["--embeddings", &file])["figures"]["GS"]["interval"].is_array());
    // The same samples are drawn again, and others with another seed.
    let interval =
        |seed: &str| evaluated(&["--embeddings", &file, "--seed", seed])["figures"]["Ts-Vs R@1"]["interval"].clone();
    assert_eq!(interval("1"), interval("1"));
}

#[test]
fn nonsense_is_refused() {
    let small = Small::new();
    let (file, other) = (small.path("e.safetensors"), small.path("other.safetensors"));
    let wrong = |parts: &[(&str, Array2<f32>)], metadata: Option<&Value>, what: &str| {
        embeddings(&file, parts, metadata);
        refused(&["--embeddings", &file], what);
    };
    wrong(&some(40)[..1], None, "it has only one of 'embed.safe_text' and 'embed.unsafe_text'");
    wrong(&[], None, "it has neither");
    let mut parts = some(40);
    parts[3].1 = Array2::ones((39, 16));
    wrong(&parts, None, "its parts have");
    parts[3].1 = Array2::ones((40, 15));
    wrong(&parts, None, "several widths");
    let tags = |ids: &[&str]| json!({"ids": ids, "concepts": [], "styles": [], "right": [], "templates": 0});
    let header = |tags: Value, bad: u32| json!({"version": 1, "models": [[], []], "tags": tags, "ailments": [[], []], "bad_quadruplets": [bad], "bad_images": []});
    let unit = |mut parts: Vec<(&'static str, Array2<f32>)>| {
        for (_, rows) in &mut parts {
            for mut row in rows.rows_mut() {
                let norm = row.dot(&row).sqrt();
                row.mapv_inplace(|value| value / norm);
            }
        }
        parts
    };
    wrong(&unit(some(40)), Some(&header(tags(&["a"]), 0)), "1 ids for 40 rows");
    wrong(&unit(some(40)), Some(&header(tags(&[]), 40)), "row 40 bad");
    wrong(&some(40), Some(&header(tags(&[]), 0)), "is not of length 1");
    wrong(&some(40), Some(&json!({"version": 2})), "metadata 'uwm.embeddings'");
    std::fs::write(&file, "nonsense").unwrap();
    refused(&["--embeddings", &file], "error[embeddings-unusable]");
    refused(&["--embeddings", &small.path("none")], "error[embeddings-unusable]");
    embeddings(&file, &some(40), None);
    embeddings(&other, &some(41), None);
    refused(&["--embeddings", &file, "--baseline-embeddings", &other], "not given the same samples");
    let vision = ["--vision", VISION, "--config", &small.config(), "--backend", "tract"].map(str::to_owned);
    let vision: Vec<&str> = vision.iter().map(String::as_str).collect();
    refused(&[&vision[..], &["--baseline-embeddings", &other]].concat(), "not given the same samples");
    let pairs = root("calibration/text-pairs.jsonl");
    refused(&[&["--data", pairs.to_str().unwrap()][..], &vision].concat(), "the data have no images");
    refused(&[MODEL, "--data", &small.path("none.jsonl")], "error[data-io]");
    // What nothing goes by is no silent matter.
    for option in ["--data", "--zero-shot", "--tokenizer", "--coco-images"] {
        refused(&["--embeddings", &file, option, "none"], &format!("{option} is given, and only stored embeddings"));
    }
    assert_eq!(run(&[]).2, 2);
    assert_eq!(run(&[MODEL, "--embeddings", &file]).2, 2);
}
