//! What `check` says of the files themselves: patches, provenance, what lies beside them.

use std::path::{Path, PathBuf};

use crate::common::external::{External, patch_for};
use crate::common::{self, MODEL, Small, output};
use crate::{check, lenient, on, with_projection};

/// Elements of two layers negated; with the patch.
fn edited(small: &Small) -> [String; 2] {
    let [model, patch] = ["safe.onnx", "edit.uwm"].map(|name| small.path(name));
    let config = small.config();
    let args =
        ["rewrite", MODEL, "--backend", "tract", "--config", &config, "--preset", "paper", "-o", &model, "--force"];
    let (_, stderr, code) = output(&[&args[..], &["--controls", "off", "--patch-out", &patch]].concat());
    assert_eq!(code, 0, "{stderr}");
    [model, patch]
}

#[test]
fn patches_and_provenance_are_checked_to_the_byte() {
    let small = Small::new();
    let ([model, patch], config) = (edited(&small), small.config());
    let rules = "version: 1\nstructure: {provenance_required: true, patch_matches: true, max_elements_changed: 100}\n";
    let policy = small.write("strict.yaml", rules);
    let args = |model: &str, patch: &str| -> Vec<String> {
        on(&config, &[model, "--baseline", MODEL, "--policy", &policy, "--patch", patch])
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let run = |model: &str, patch: &str| {
        let args = args(model, patch);
        check(&small, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let ran = run(&model, &patch);
    ran.is("fail", 1).says("100 may");
    assert_eq!(ran.codes("pass"), ["patch-matches", "provenance-required"]);
    assert_eq!(ran.codes("fail"), ["max-elements-changed"]);
    // One more element, by hand: the metadata and the patch tell.
    let other = small.path("other.onnx");
    let mut bytes = std::fs::read(&model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].iter_mut().step_by(4).for_each(|byte| *byte ^= 0x80);
    std::fs::write(&other, bytes).unwrap();
    let ran = run(&other, &patch);
    assert!(ran.code == 1 && ran.codes("fail").contains(&"patch-matches"), "{}", ran.stdout);
    // The original has no patch to match.
    let ran = run(MODEL, &patch);
    assert_eq!(ran.codes("fail"), ["patch-matches", "provenance-required"], "{}", ran.stdout);
    let junk = small.write("junk.uwm", "no patch");
    let ran = run(&model, &junk);
    ran.is("inconclusive", 3);
    assert_eq!(ran.codes("error"), ["patch-unreadable"]);
}

#[test]
fn who_asks_about_files_alone_needs_no_data() {
    let small = Small::new();
    let policy =
        small.write("files.yaml", "version: 1\nstructure: {max_elements_changed: 0, same_io_signature: true}\n");
    let bare = small.path("bare");
    std::fs::create_dir(&bare).unwrap();
    let model = small.path("bare/model.onnx");
    std::fs::copy(common::root(MODEL), &model).unwrap();
    let ran = check(&small, &[&model, "--baseline", &model, "--policy", &policy]);
    ran.is("pass", 0);
    assert!(ran.json["evaluation"].is_null() && ran.json["notes"].to_string().contains("nothing was measured"));
    // With data the model is looked at all the same.
    let config = small.config();
    let ran = check(&small, &on(&config, &[&model, "--baseline", &model, "--policy", &policy]));
    assert!(ran.json["evaluation"]["figures"]["PS"]["value"].is_number());
    // Rules about figures do need them.
    let ran = check(&small, &[&model, "--baseline", &model]);
    ran.is("inconclusive", 2);
    assert_eq!(ran.codes("error"), ["input-missing"]);
}

#[test]
fn a_stale_sibling_is_found_and_named() {
    let small = Small::new();
    let (policy, config) = (lenient(&small), small.config());
    std::fs::create_dir(small.path("release")).unwrap();
    let [model, sibling] = ["release/model.onnx", "release/model_fp32.onnx"].map(|name| small.path(name));
    with_projection(1.5, Path::new(&model));
    std::fs::copy(common::root(MODEL), &sibling).unwrap();
    let args = on(&config, &[&model, "--baseline", MODEL, "--policy", &policy]);
    let ran = check(&small, &args);
    ran.is("fail", 1).says("model_fp32.onnx");
    assert_eq!(ran.codes("fail"), ["no-stale-siblings"]);
    assert_eq!(ran.json["structure"]["files"][0]["siblings"][0]["state"], "stale");
    std::fs::copy(&model, &sibling).unwrap();
    check(&small, &args).is("pass", 0);
    // The same edit, in a file that says otherwise who made it.
    with_projection(1.5, Path::new(&sibling));
    let mut bytes = std::fs::read(&sibling).unwrap();
    bytes.extend([0x12, 0]);
    std::fs::write(&sibling, bytes).unwrap();
    check(&small, &args).is("pass", 0);
    std::fs::write(&sibling, "no model").unwrap();
    let ran = check(&small, &args);
    ran.is("inconclusive", 5);
    assert_eq!(ran.codes("inconclusive"), ["sibling-unknown"]);
}

#[test]
fn a_stale_sibling_is_one_though_it_is_the_baseline() {
    let small = Small::new();
    let (policy, config) = (lenient(&small), small.config());
    std::fs::create_dir(small.path("release")).unwrap();
    let [model, sibling] = ["release/model.onnx", "release/model_fp32.onnx"].map(|name| small.path(name));
    with_projection(1.5, Path::new(&model));
    std::fs::copy(common::root(MODEL), &sibling).unwrap();
    let ran = check(&small, &on(&config, &[&model, "--baseline", &sibling, "--policy", &policy]));
    ran.is("fail", 1).says("model_fp32.onnx");
    assert_eq!(ran.codes("fail"), ["no-stale-siblings"]);
}

#[test]
fn the_model_is_no_original_of_itself_beside_another_baseline() {
    let small = Small::new();
    let (policy, config, other) = (lenient(&small), small.config(), small.path("other.onnx"));
    with_projection(1.5, Path::new(&other));
    let args = on(&config, &[&other, "--baseline", MODEL, "--original", &other, "--policy", &policy]);
    let ran = check(&small, &args);
    ran.is("inconclusive", 2);
    assert_eq!(ran.codes("error"), ["inputs-conflict"]);
}

#[test]
fn weights_in_data_files_are_looked_at_too() {
    let small = Small::new();
    let external = External::at("weights.bin");
    let [original, edited] = ["original", "edited"].map(|name| small.folder.path().join(name));
    let rules = "structure: {provenance_required: true, patch_matches: true}";
    let policy = small.write("files.yaml", &format!("version: 1\n{rules}\n"));
    let mut changed = External { model: external.model.clone(), data: external.data.clone() };
    let last = changed.data.len() - 1;
    changed.data[last] ^= 0x80;
    let original = external.write(&make(original), "weights.bin");
    let edited = changed.write(&make(edited), "weights.bin");
    // The model files are the same to the byte, and the patch is of something else.
    let patch = small.path("edit.uwm");
    std::fs::write(&patch, patch_for(&original).to_bytes()).unwrap();
    let [edited, original] = [&edited, &original].map(|path| path.to_str().unwrap());
    let ran = check(&small, &[edited, "--baseline", original, "--policy", &policy, "--patch", &patch]);
    ran.is("fail", 1);
    assert_eq!(ran.codes("fail"), ["patch-matches", "provenance-required"]);
    let data = &ran.json["structure"]["files"][0];
    assert_ne!(data["model_data"][0]["sha256"], data["original_data"][0]["sha256"]);
}

fn make(folder: PathBuf) -> PathBuf {
    std::fs::create_dir(&folder).unwrap();
    folder
}

#[test]
fn towers_in_files_of_their_own_are_compared_each() {
    let small = Small::new();
    let (policy, config) = (lenient(&small), small.config());
    let [text, vision] = ["text_model.onnx", "vision_model.onnx"].map(|name| format!("models/emoji-clip/{name}"));
    let args = ["--text", &text, "--vision", &vision, "--baseline-text", &text, "--baseline-vision", &vision];
    let ran = check(&small, &on(&config, &[&args[..], &["--policy", &policy]].concat()));
    ran.is("pass", 0);
    assert_eq!(ran.json["structure"]["files"].as_array().map(Vec::len), Some(2));
    // One tower of a pair: the other is the baseline's.
    let args = ["--text", &text, "--baseline-text", &text, "--baseline-vision", &vision, "--policy", &policy];
    let ran = check(&small, &on(&config, &args));
    ran.is("pass", 0);
    assert_eq!(ran.json["structure"]["files"].as_array().map(Vec::len), Some(1));
    // A baseline of the other tower has none of the model's to compare with: the model's own would show no change.
    let rules = small.write("figures.yaml", "version: 1\nmin_samples: 30\nmetrics: {PS: {max_drop: 25}}\n");
    let args = ["--text", &text, "--baseline-vision", &vision, "--policy", &rules];
    let ran = check(&small, &on(&config, &args));
    ran.is("inconclusive", 2);
    assert_eq!(ran.codes("inconclusive"), ["metric-not-measured"]);
    assert!(ran.codes("pass").is_empty());
    // Files that do not belong together are no fault of the model.
    let args = ["--vision", &vision, "--baseline-text", &text, "--policy", &policy];
    let ran = check(&small, &on(&config, &args));
    assert!(ran.json["verdict"] == "inconclusive" && ran.code != 0, "{}", ran.stdout);
    assert!(ran.json["findings"].as_array().unwrap().iter().any(|f| f["outcome"] == "error"));
}
