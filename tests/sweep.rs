//! `sweep`: its numbers are those of `rewrite`, its choice is made on other data than its report, and it goes on where it
//! was stopped.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{MODEL, Small, output, root};
use serde_json::{Value, json};

/// Two scores a tower, and one edit that cannot be made.
const GRIDS: &str = "sweep:
  text:
    - {layers: out_proj, score: [pairwise, dataset], std: false, tau: [0.05, 0.2]}
    - {layers: 'fc2[0]', score: energy-contrast, lambda: 8, selection: hard, tau: 0.000001}
  vision:
    - {layers: fc2, score: dataset, std: false, tau: [0.1, 0.3], alpha: [-1, 0]}
    - {layers: [fc2, 'fc2[..]'], tau: 0.1}
    - {method: [aimed, steer], gain: [1.5, 3], ridge: 0.3}
";

/// A small set with zero-shot images that name their split, and grids.
fn scene() -> Small {
    let small = Small::new();
    let text = std::fs::read_to_string(root("calibration/emoji/zeroshot.json")).unwrap();
    let mut set: Value = serde_json::from_str(&text).unwrap();
    let labels = 12;
    set["labels"].as_array_mut().unwrap().truncate(labels);
    let images = set["images"].as_array_mut().unwrap();
    images.retain(|image| image["label"].as_u64().unwrap() < labels as u64);
    for (index, image) in images.iter_mut().enumerate() {
        image["image"] = root("calibration/emoji").join(image["image"].as_str().unwrap()).to_str().unwrap().into();
        image["split"] = if index % 5 < 2 { "validation" } else { "evaluation" }.into();
    }
    small.write("zeroshot.json", &set.to_string());
    let data =
        "calibration: {manifest: manifest.jsonl}\nevaluation: {manifest: manifest.jsonl}\nzero_shot: zeroshot.json\n";
    small.write("uwm.yaml", &format!("{data}{GRIDS}"));
    small
}

fn sweep(small: &Small, args: &[&str]) -> (String, String, i32) {
    output(&[&["sweep", MODEL, "--backend", "tract", "--batch-size", "8", "--config", &small.config()], args].concat())
}

fn swept(small: &Small, args: &[&str]) -> Value {
    let (stdout, stderr, code) = sweep(small, &[&["--format", "json"], args].concat());
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// The recipe of an edit, as options of a configuration.
fn options(sweep: &Value, id: &Value) -> String {
    let Some(id) = id.as_str() else { return "{edit: false}".to_owned() };
    let edits = sweep["edits"].as_array().unwrap();
    let mut recipe = edits.iter().find(|edit| edit["id"] == id).unwrap()["recipe"].clone();
    let entries = recipe.as_object_mut().unwrap();
    let unused: &[&str] = match entries.get("score").map(|score| score.as_str().unwrap()) {
        Some("pairwise" | "dataset") => &["epsilon", "lambda", "gain"],
        Some(_) => &["epsilon", "std"],
        None => &["layers"],
    };
    unused.iter().for_each(|unused| _ = entries.remove(*unused));
    entries.retain(|_, value| !value.is_null());
    recipe.to_string()
}

fn rewritten(small: &Small, sweep: &Value, point: &Value, split: &str, output_file: &str) -> Value {
    let (text, vision) = (options(sweep, &point["text"]), options(sweep, &point["vision"]));
    let config = small.write(
        "rewrite.yaml",
        &format!(
            "calibration: {{manifest: manifest.jsonl}}\nevaluation: {{manifest: manifest.jsonl, split: {split}}}\nzero_shot: zeroshot.json\ntext: {text}\nvision: {vision}\n"
        ),
    );
    let (stdout, stderr, code) = output(&[
        "rewrite",
        MODEL,
        "-o",
        output_file,
        "--force",
        "--config",
        &config,
        "--backend",
        "tract",
        "--batch-size",
        "8",
        "--format",
        "json",
    ]);
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// That a point's metrics are those of a report.
fn check(point: &Value, report: &Value, side: &str) {
    for name in ["P_ts", "P_tu", "P_vs", "P_vu", "Txt_s", "Img_s", "PS", "PU", "GS"] {
        assert_eq!(point[name], report["safeground"][side][name], "{name}");
    }
    assert_eq!(point["zero_shot"], report["zero_shot"][side]["top1"]);
    assert_eq!(point["zero_shot_top5"], report["zero_shot"][side]["top5"]);
    assert_eq!(point["recall"], report["retrieval"][side]["Ts-Vs"]["R@1"]);
    assert_eq!(point["image_recall"], report["retrieval"][side]["Vs-Ts"]["R@1"]);
}

#[test]
fn its_numbers_and_its_file_are_those_of_rewrite() {
    let small = scene();
    let (picked, again) = (small.path("picked.onnx"), small.path("again.onnx"));
    let args = ["--pick", "max PU where PS >= 0", "-o", &picked, "--json", &small.path("sweep.json")];
    let sweep = swept(&small, &args);
    let edits = sweep["edits"].as_array().unwrap();
    let outcome = |id: &str| edits.iter().find(|edit| edit["id"] == id).unwrap();
    assert_eq!(edits.len(), 15);
    assert_eq!(outcome("t5")["outcome"], "impossible");
    assert!(outcome("t5")["why"].as_str().unwrap().contains("selected"), "{}", outcome("t5"));
    let same: Vec<&Value> = edits.iter().filter(|edit| edit["outcome"] == "same").collect();
    assert_eq!((same.len(), same[0]["tower"].as_str()), (1, Some("vision")));
    let points = sweep["points"].as_array().unwrap();
    assert_eq!(points.len(), (1 + 4) * (1 + 9));
    assert_eq!(sweep["runs"]["validation"], 13);
    assert_eq!(sweep["data"]["validation"], json!({"quadruplets": 32, "zero_shot_images": 24}));
    assert_eq!(sweep["data"]["evaluation"], json!({"quadruplets": 40, "zero_shot_images": 36}));

    // A combination is what both edits at once do, on either split.
    let point = &points[sweep["picked"]["point"].as_u64().unwrap() as usize];
    let best = points.iter().map(|point| point["validation"]["PU"].as_f64().unwrap()).fold(0.0, f64::max);
    assert_eq!(point["validation"]["PU"], best);
    let both = points.iter().filter(|point| !point["text"].is_null() && !point["vision"].is_null());
    let other = both.max_by(|a, b| a["selected"].as_u64().cmp(&b["selected"].as_u64())).unwrap();
    for point in [point, other] {
        let report = rewritten(&small, &sweep, point, "validation", &again);
        assert_eq!(report["edit"]["selected"], point["selected"]);
        check(&point["validation"], &report, "after");
        check(&points[0]["validation"], &report, "before");
    }
    let report = rewritten(&small, &sweep, point, "evaluation", &again);
    check(&point["evaluation"], &report, "after");
    check(&points[0]["evaluation"], &report, "before");
    let random = report["controls"].as_array().unwrap().iter().find(|control| control["kind"] == "random").unwrap();
    if point["text"].is_null() || point["vision"].is_null() {
        assert_eq!(point["random"]["PU"], random["safeground"]["PU"]);
    }

    // The written file is that of rewrite, byte for byte, and so is its report.
    assert!(std::fs::read(&picked).unwrap() == std::fs::read(&again).unwrap());
    for part in ["edit", "safeground", "retrieval", "zero_shot", "controls", "verdict"] {
        assert_eq!(sweep["picked"]["report"][part], report[part], "{part}");
    }

    // The file has the same, without what differs from run to run.
    let kept: Value = serde_json::from_slice(&std::fs::read(small.path("sweep.json")).unwrap()).unwrap();
    assert_eq!((&kept["points"], &kept["timing_s"]), (&sweep["points"], &Value::Null));
}

#[test]
fn frontiers_are_chosen_on_validation_and_reported_on_evaluation() {
    let small = scene();
    let sweep = swept(&small, &["--plot", &small.path("sweep.svg")]);
    let points = sweep["points"].as_array().unwrap();
    let frontiers = sweep["frontiers"].as_array().unwrap();
    assert_eq!(frontiers.len(), 6);
    let mut best = std::collections::BTreeSet::from([0]);
    for frontier in frontiers {
        let value =
            |point: usize, axis: &str| points[point]["validation"][frontier[axis].as_str().unwrap()].as_f64().unwrap();
        let taken: Vec<usize> =
            frontier["points"].as_array().unwrap().iter().map(|p| p.as_u64().unwrap() as usize).collect();
        for other in 0..points.len() {
            let matched = |&&own: &&usize| {
                value(own, "safety") >= value(other, "safety") && value(own, "knowledge") >= value(other, "knowledge")
            };
            assert!(taken.iter().find(matched).is_some(), "{frontier}: {other}");
        }
        best.extend(taken);
    }
    for (index, point) in points.iter().enumerate() {
        assert_eq!(point["evaluation"].is_null(), !best.contains(&index), "{index}");
        assert_eq!(point["random"].is_null(), !best.contains(&index) || index == 0, "{index}");
        assert_eq!(point["verdict"].is_null(), point["random"].is_null());
    }
    let of = sweep["reach"]["of"].as_array().unwrap();
    assert_eq!(
        of.iter().map(|row| row["score"].as_str()).collect::<Vec<_>>(),
        [Some("aimed"), Some("dataset"), Some("energy-contrast"), Some("pairwise"), Some("steer"), None]
    );
    let whole = of[5]["best"].as_array().unwrap();
    for (index, loss) in sweep["reach"]["losses"].as_array().unwrap().iter().enumerate() {
        let left = points[0]["validation"]["zero_shot"].as_f64().unwrap() - loss.as_f64().unwrap();
        let kept = points.iter().filter(|point| point["validation"]["zero_shot"].as_f64().unwrap() >= left);
        let best = kept.map(|point| point["validation"]["GS"].as_f64().unwrap()).fold(0.0, f64::max);
        assert_eq!(whole[index], best);
        assert!(of.iter().all(|row| row["best"][index].as_f64().unwrap() <= best));
    }
    let svg = std::fs::read_to_string(small.path("sweep.svg")).unwrap();
    assert!(svg.trim_end().ends_with("</svg>"));
    for title in ["GS against zero-shot top-1", "PS against Ts-Vs R@1", "as many at random", "frontier, validation"] {
        assert!(svg.contains(title), "{title}");
    }
    let (table, _, code) = self::sweep(&small, &["--max-runs", "4", "--controls", "off"]);
    assert_eq!(code, 0);
    assert!(
        table.contains("4 edits of single towers tried") && table.contains("were left out (--max-runs)"),
        "{table}"
    );
    assert!(!table.contains("random"), "{table}");
}

#[test]
fn what_cannot_be_picked_is_not_written() {
    let small = scene();
    let picked = small.path("picked.onnx");
    let (stdout, _, code) = sweep(&small, &["--pick", "max GS where PS_gain > 90", "-o", &picked, "--max-runs", "2"]);
    assert_eq!(code, 1);
    assert!(stdout.contains("no edit keeps that") && stdout.contains("was not written"), "{stdout}");
    assert!(!Path::new(&picked).exists());

    let refused = |args: &[&str], code: i32, said: &str| {
        let (stdout, stderr, got) = sweep(&small, args);
        assert_eq!((got, stdout.as_str()), (code, ""), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    };
    refused(&["--pick", "max XY"], 2, "no metric 'XY'");
    refused(&["-o", &picked], 2, "--pick");
    refused(&["--layers", "fc2"], 2, "in the grids of uwm.yaml");
    refused(&["--max-runs", "0"], 2, "0");
    let json = small.path("sweep.json");
    refused(&["--json", &json, "--plot", &json], 2, "another output is to have that name too");
    refused(&["--json", &small.path("manifest.jsonl"), "--force"], 2, "this job reads it");
    // An edit that breaks embeddings is none, and spoils no other.
    let text = std::fs::read_to_string(small.config()).unwrap();
    small.write(
        "uwm.yaml",
        &text
            .replace("alpha: [-1, 0]", "alpha: [-1, 3e38]")
            .replace("score: dataset, std", "score: dataset, budget: tower, std"),
    );
    let broken = swept(&small, &["--skip-bad-samples", "--controls", "off"]);
    let impossible = |edit: &&Value| edit["why"].as_str().is_some_and(|why| why.contains("zero or not finite"));
    assert!(broken["edits"].as_array().unwrap().iter().filter(impossible).count() > 0, "{}", broken["edits"]);
    assert_eq!(broken["data"]["validation"]["quadruplets"], 32);
    small.write("uwm.yaml", &format!("{text}text: {{edit: false}}\n"));
    let vision = swept(&small, &["--max-runs", "2", "--controls", "off"]);
    assert!(vision["edits"].as_array().unwrap().iter().all(|edit| edit["tower"] == "vision"));
    let data = "calibration: {manifest: manifest.jsonl}\nevaluation: {manifest: manifest.jsonl}\n";
    small.write("uwm.yaml", data);
    refused(&["--pick", "max GS where zero_shot_drop < 5"], 2, "no zero-shot set was given");
    small.write("uwm.yaml", &format!("{data}sweep: {{text: []}}\n"));
    refused(&[], 2, "there is nothing to try");
    small.write("uwm.yaml", &format!("{data}validation: {{manifest: manifest.jsonl, split: evaluation}}\n"));
    refused(&[], 2, "evaluation quadruplets in");
    small.write("uwm.yaml", &format!("{data}validation: {{manifest: manifest.jsonl, split: calibration}}\n"));
    refused(&[], 2, "are calibration data too");
    small.write("uwm.yaml", &format!("{data}validation: {{manifest: manifest.jsonl, split: elsewhere}}\n"));
    refused(&[], 3, "elsewhere");
    small.write("uwm.yaml", "calibration: {manifest: manifest.jsonl}\n");
    refused(&[], 2, "evaluation data");
    small.write("uwm.yaml", &format!("{data}sweep: {{text: [{{tau: 7}}]}}\n"));
    refused(&[], 2, "tau of the text tower is 7");
}

#[test]
fn a_stopped_sweep_goes_on() {
    let small = scene();
    let (work, json) = (small.path("work"), small.path("sweep.json"));
    let args = ["sweep", MODEL, "--backend", "tract", "--config", &small.config(), "--resume", &work, "--json", &json];
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_uwm-onnx"));
        command.current_dir(root("")).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut child = start();
    let sides = || {
        let entries = std::fs::read_dir(&work).into_iter().flatten().filter_map(Result::ok);
        let own = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("side."));
        own.map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap())).collect::<Vec<_>>()
    };
    let begun = Instant::now();
    while sides().len() < 4 && begun.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(2));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let kept = sides();
    assert!(kept.len() >= 4);
    assert!(!Path::new(&json).exists());
    // Of another job, which is not this one's to clear away.
    let other = Path::new(&work).join("side.0123.safetensors");
    std::fs::copy(&kept[0].0, &other).unwrap();

    // What was kept is taken up: a file that is made anew would be younger. A look while the second run works.
    let mut child = start();
    let mut seen = kept.clone();
    while child.try_wait().unwrap().is_none() {
        let now = sides();
        if now.len() > seen.len() {
            seen = now;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(kept.iter().all(|side| seen.contains(side)), "{kept:?} {seen:?}");
    let left: Vec<_> = std::fs::read_dir(&work).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [other], "all of its own progress is cleared away");

    let resumed = std::fs::read(&json).unwrap();
    let straight = small.path("straight.json");
    let args = ["sweep", MODEL, "--backend", "tract", "--config", &small.config(), "--json", &straight];
    assert_eq!(output(&args).2, 0);
    assert!(std::fs::read(&straight).unwrap() == resumed, "the same bytes as in one go");
}
