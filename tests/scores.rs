//! Every score and every selection against brute force in float64 numpy (`tests/fixtures/scores`).

mod common;

use std::collections::HashSet;
use std::path::Path;

use common::reference::{Stored, Tensors, fixture, reference_name, runner, runtimes};
use ndarray::{Array2, ArrayView2};
use uwm_onnx::dataset::Samples;
use uwm_onnx::onnx::{Graph, Hints, Linear, Modality, Model};
use uwm_onnx::pass::{Calibration, Pairs, Site, calibrate};
use uwm_onnx::uwm::{Budget, Measure, Rule, Scores, Scoring, select};

/// Name in the fixture, score, std, lambda.
const VARIANTS: [(&str, &str, bool, f32); 10] = [
    ("pairwise", "pairwise", true, 1.0),
    ("pairwise-nostd", "pairwise", false, 1.0),
    ("dataset", "dataset", true, 1.0),
    ("dataset-nostd", "dataset", false, 1.0),
    ("unsafe-only", "unsafe-only", true, 1.0),
    ("saliency-only", "saliency-only", true, 1.0),
    ("difference", "difference", true, 1.0),
    ("contrast", "contrast", true, 1.0),
    ("contrast-lambda0.5", "contrast", true, 0.5),
    ("contrast-concepts", "concept-contrast", true, 1.0),
];

/// A variant's scores of some layers, as the fixture names them.
struct Variant {
    name: String,
    scores: Vec<Scores>,
}

#[test]
fn scores_and_selections_agree() {
    let stored = Tensors::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/scores/scores.safetensors"));
    let reference = Tensors::read("scores.safetensors");
    let (_, concepts) = stored.bytes("concepts", i64::from_le_bytes);
    let concepts: Vec<usize> = concepts.into_iter().map(|concept| concept as usize).collect();
    let scorings = VARIANTS.map(|(_, score, std, lambda)| Scoring {
        score: score.parse().unwrap(),
        std,
        lambda,
        gain: 0.0,
        swapped: false,
    });
    let model = Model::open(&fixture("clip_torchscript.onnx")).unwrap();
    let graph = Graph::new(&model).unwrap();
    let mut selections = 0;
    for runtime in runtimes() {
        for site in Site::find(&graph, &Hints::default()).unwrap() {
            let modality = site.modality();
            let (layers, names) = layers(&site, &reference);
            let (safe, not_safe) = (Stored::new("safe", modality), Stored::new("unsafe", modality));
            let pairs = Pairs { safe: &safe, not_safe: &not_safe, concepts: &concepts };
            assert_eq!(safe.len(), 32);
            let epsilon = if modality == Modality::Vision { 1e-8 } else { 0.0 };
            let calibration = Calibration { site: &site, layers: &layers, pairs, scorings: &scorings, epsilon };
            let scores = calibrate(runner(&*runtime, 5), calibration, None).unwrap().scores;
            let mut variants = vec![];
            for ((name, ..), scores) in VARIANTS.iter().zip(scores) {
                let mut weighed = scores.clone();
                for (scores, layer) in weighed.iter_mut().zip(&layers) {
                    scores.weigh(&layer.weight.read(&model).unwrap());
                }
                variants.push(Variant { name: (*name).to_owned(), scores });
                variants.push(Variant { name: format!("{name}+prior"), scores: weighed });
            }
            for variant in &variants {
                check_scores(&stored, variant, &names);
                selections += check_selections(&stored, variant, &names);
            }
        }
    }
    // 71 masks in each runtime.
    assert_eq!(selections, 71 * runtimes().len());
}

/// The layers of the fixture in a tower, and what it calls them.
fn layers(site: &Site, reference: &Tensors) -> (Vec<Linear>, Vec<String>) {
    let of_block = site.layers.iter().filter(|layer| layer.block == Some(1));
    let roles: &[&str] = if site.modality() == Modality::Text { &["out_proj", "v_proj"] } else { &["fc2", "v_proj"] };
    let named = roles.iter().map(|role| {
        let layer = of_block.clone().find(|layer| layer.role == *role).unwrap();
        // The reference has no scores of v_proj, but of others in its block.
        let known = of_block.clone().find_map(|layer| Some((layer, reference_name(layer, reference)?)));
        let (other, name) = known.unwrap();
        let tower = name.split(".layers.").next().unwrap();
        assert!(other.block == Some(1) && name.contains(".layers.1."), "{name}");
        let part = if *role == "fc2" { "mlp" } else { "self_attn" };
        (layer.clone(), format!("{tower}.layers.1.{part}.{role}"))
    });
    named.unzip()
}

fn check_scores(stored: &Tensors, variant: &Variant, names: &[String]) {
    for (name, scores) in names.iter().zip(&variant.scores) {
        let key = format!("{}.{name}", variant.name);
        if !stored.has(&key) {
            assert!(variant.name.contains("contrast") && variant.name.ends_with("+prior"), "{key}");
            continue;
        }
        let want = stored.matrix(&key, f32::from_le_bytes);
        assert_eq!(scores.values.dim(), want.dim(), "{key}");
        // Relative to the score itself; where terms of both signs meet, to the largest score.
        let mixed = variant.name.contains("contrast") || variant.name.contains("difference");
        let largest = want.iter().fold(0.0_f32, |largest, score| largest.max(score.abs()));
        for (got, want) in scores.values.iter().zip(&want) {
            let want = if variant.name.contains("contrast") { want.max(0.0) } else { *want };
            let scale = if mixed { largest } else { want };
            assert!((got - want).abs() <= 1e-5 * scale, "{key}: {got} {want}");
        }
    }
}

/// Checks the masks that the fixture has of a variant, and says how many those are.
fn check_selections(stored: &Tensors, variant: &Variant, names: &[String]) -> usize {
    let rule = |selection, budget, tau| Rule { selection, budget, tau };
    let mut checked = 0;
    let views: Vec<ArrayView2<f32>> = variant.scores.iter().map(|scores| scores.values.view()).collect();
    for (kind, rule) in [
        ("hard=0.05", rule(Measure::Hard, Budget::Layer, 0.05)),
        ("adaptive=0.1", rule(Measure::Adaptive, Budget::Layer, 0.1)),
        ("hard-global=0.05", rule(Measure::Hard, Budget::Tower, 0.05)),
    ] {
        let keys = names.iter().map(|name| format!("selected.{}.{kind}.{name}", variant.name));
        for (index, key) in keys.enumerate().filter(|(_, key)| stored.has(key)) {
            let mask = stored.matrix(&key, u8::from_le_bytes);
            let taken = match rule.budget {
                Budget::Layer => select(&views[index..=index], rule).unwrap().remove(0),
                Budget::Tower => select(&views, rule).unwrap().remove(index),
            };
            check_mask(&key, &mask, &taken, &variant.scores[index].values);
            checked += 1;
        }
    }
    checked
}

/// The selection is the fixture's, but for elements whose score is next to the lowest selected one.
fn check_mask(key: &str, mask: &Array2<u8>, taken: &[u32], scores: &Array2<f32>) {
    let taken: HashSet<usize> = taken.iter().map(|&position| position as usize).collect();
    let selected = scores.iter().zip(mask).filter(|(_, is)| **is == 1).map(|(score, _)| *score);
    let lowest = selected.fold(f32::INFINITY, f32::min);
    let differing: Vec<f32> = scores
        .iter()
        .zip(mask)
        .enumerate()
        .filter(|(position, (_, is))| (**is == 1) != taken.contains(position))
        .map(|(_, (score, _))| *score)
        .collect();
    assert!(
        differing.len() <= 2 && differing.iter().all(|score| (score / lowest - 1.0).abs() < 1e-4),
        "{key}: {differing:?}"
    );
}
