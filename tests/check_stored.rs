//! What `rewrite` and `sweep` wrote of an edit, read back.

mod common;

use std::path::Path;

use common::{MODEL, Small, output, rewrite, root};
use serde_json::{Value, json};
use uwm_onnx::onnx::sha256_of;
use uwm_onnx::pass::{Error, read_rewritten, read_sweep};
use uwm_onnx::report::FileId;

fn rewritten(small: &Small, name: &str, more: &[&str]) -> (Value, FileId) {
    let (safe, report, config) =
        (small.path(&format!("{name}.onnx")), small.path(&format!("{name}.json")), small.config());
    let args = [MODEL, "-o", &safe, "--json", &report, "--config", &config, "--format", "json"];
    let result = rewrite(&[&args[..], more].concat()).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let sha256 = sha256_of(&std::fs::read(&safe).unwrap());
    (serde_json::from_slice(&result.stdout).unwrap(), FileId { path: safe.into(), sha256 })
}

fn read(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_report_is_read_back_as_it_was_written() {
    let small = Small::new();
    let (mut printed, model) = rewritten(&small, "safe", &["--preset", "paper"]);
    let path = small.path("safe.json");
    let (found, notes) = read_rewritten(Path::new(&path), std::slice::from_ref(&model)).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(found.file, FileId::of(path.clone().into(), &std::fs::read(&path).unwrap()));
    for (side, figures) in [("before", &found.before), ("after", &found.after)] {
        let value = |name: &str| figures.iter().find(|(own, _)| own == name).unwrap().1;
        for name in ["P_ts", "P_vu", "PS", "PU", "GS"] {
            assert_eq!(printed["safeground"][side][name], value(name), "{name}");
        }
        let retrieval = &printed["retrieval"][side];
        assert_eq!(retrieval["Ts-Vs"]["R@1"], value("Ts-Vs R@1"));
        assert_eq!(retrieval["Vu-T"]["R@20"], value("Vu-T R@20"));
        assert_eq!(retrieval["Tu-V unsafe@1"], value("Tu-V unsafe@1"));
    }
    let names: Vec<&str> = found.controls.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["random 0", "roles swapped"]);
    let random = found.controls[0].1.iter().find(|(name, _)| name == "PU").unwrap().1;
    assert_eq!(printed["controls"][0]["safeground"]["PU"], random);
    assert_eq!(found.sentence.as_deref(), printed["verdict"]["sentence"].as_str());
    assert_eq!(found.specific, printed["verdict"]["specific"].as_bool());

    let layers = printed["edit"]["layers"].as_array().unwrap();
    assert!(layers.len() > 2 && found.scores.len() == layers.len());
    for (layer, scores) in layers.iter().zip(&found.scores) {
        assert_eq!(layer["initializer"], scores.initializer.as_str());
        let elements = layer["shape"][0].as_u64().unwrap() * layer["shape"][1].as_u64().unwrap();
        let counted: u64 = scores.counts.iter().sum();
        assert_eq!(counted + layer["scores"]["zero"].as_u64().unwrap(), elements);
        assert_eq!(scores.threshold.is_some(), layer["selected"].as_u64().unwrap() > 0);
    }

    // The file is what was printed but for times, and the same again; what was printed can be read too.
    printed.as_object_mut().unwrap().remove("timing_s").unwrap();
    assert_eq!(read(&path), printed);
    let first = std::fs::read(&path).unwrap();
    rewritten(&small, "safe", &["--preset", "paper", "--force"]);
    assert!(std::fs::read(&path).unwrap() == first);
}

#[test]
fn concepts_with_scores_of_their_own_have_no_common_spread() {
    let small = Small::new();
    let (of_each, model) =
        rewritten(&small, "each", &["--score", "dataset", "--concepts", "union", "--controls", "off"]);
    assert!(of_each["edit"]["layers"][0].get("scores").is_none());
    let (found, _) = read_rewritten(Path::new(&small.path("each.json")), &[model]).unwrap();
    assert!(found.scores.is_empty() && found.controls.is_empty() && found.sentence.is_none());
    assert!(!found.after.is_empty());
}

/// A report with one layer and no figures.
fn report() -> Value {
    let scores =
        json!({"range": [-3.0, 1.0], "counts": vec![1; 48], "mass": vec![0.01; 48], "zero": 2, "threshold": 0.5});
    let layer = json!({"tower": "text", "block": 0, "role": "fc2", "initializer": "w", "shape": [5, 10], "selected": 4, "scores": scores});
    let output = json!({"path": "safe.onnx", "sha256": "ab"});
    json!({
        "files": [{"output": output}], "edit": {"layers": [layer]}, "controls": [],
        "safeground": null, "retrieval": null, "zero_shot": null, "verdict": null,
    })
}

fn file(path: &str, sha256: &str) -> FileId {
    FileId { path: path.into(), sha256: sha256.to_owned() }
}

#[test]
fn the_report_of_another_model_is_refused() {
    let small = Small::new();
    let path = small.write("report.json", &report().to_string());
    let own = [file("vision.onnx", "cd"), file("safe.onnx", "ab")];
    let (found, notes) = read_rewritten(Path::new(&path), &own).unwrap();
    assert_eq!((found.scores.len(), found.before.len()), (1, 0));
    assert!(notes[0].ends_with("says nothing of vision.onnx") && notes[1].contains("holds no figures"), "{notes:?}");
    let refused = |path: &str| {
        let error = read_rewritten(Path::new(path), &own[..1]).unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
        error.to_string()
    };
    assert!(refused(&path).contains("(safe.onnx)"));
    let mut dry = report();
    dry["files"] = json!([]);
    assert!(refused(&small.write("dry.json", &dry.to_string())).contains("dry run"));
}

#[test]
fn what_is_no_report_is_refused() {
    let small = Small::new();
    let refused = |text: &str, why: &str| {
        let path = small.write("report.json", text);
        for error in [
            read_rewritten(Path::new(&path), &[file("safe.onnx", "ab")]).unwrap_err(),
            read_sweep(Path::new(&path)).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Report { .. }) && error.to_string().contains("report.json"), "{error}");
        }
        let error = read_rewritten(Path::new(&path), &[file("safe.onnx", "ab")]).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    refused("", "line 1 column 0");
    refused("{\n\"files\": 1}", "line 2 column 10");
    refused("[]", "line 1");
    refused(&"[".repeat(10_000), "line 1");
    refused(&format!("{{\"files\": \"{}\"}}", "x".repeat(100_000)), "line 1 column");
    let changed = |place: &str, value: Value, why: &str| {
        let mut report = report();
        *report.pointer_mut(place).unwrap() = value;
        refused(&report.to_string(), why);
    };
    let scores = "/edit/layers/0/scores";
    changed(&format!("{scores}/counts"), json!(vec![u64::MAX; 48]), "not as many as its elements");
    changed(&format!("{scores}/counts/3"), json!(2), "not as many as its elements");
    changed(&format!("{scores}/counts"), json!([50]), "48 bins");
    changed(&format!("{scores}/mass/0"), json!(-0.5), "between 0 and 1");
    changed(&format!("{scores}/threshold"), json!(1.5), "out of their range");
    changed(&format!("{scores}/range"), json!([1, -1]), "range");
    changed(&format!("{scores}/range/0"), json!(null), "line 1");
    changed("/edit/layers/0/shape", json!([u64::MAX, 2]), "not as many as its elements");
    changed("/controls", json!([{"kind": "random", "seed": 0}]), "line 1");
    let huge = report().to_string().replace("0.5", "1e999");
    refused(&huge, "number out of range");
    // No file at all.
    for path in [small.path(""), small.path("missing.json")] {
        assert!(matches!(read_sweep(Path::new(&path)), Err(Error::Report { .. })));
    }
}

#[test]
fn a_figure_beyond_100_percent_is_none() {
    let small = Small::new();
    let metrics = |value: f64| json!({"GS": value, "zero_shot": 50.0});
    let sweep = |value: f64, point: usize| {
        let points = json!([{"validation": metrics(1.0), "evaluation": metrics(value), "random": null}]);
        let frontier = json!({"safety": "GS", "knowledge": "zero_shot", "points": [point]});
        let path = small.write("sweep.json", &json!({"points": points, "frontiers": [frontier]}).to_string());
        read_sweep(Path::new(&path)).map_err(|error| error.to_string())
    };
    assert_eq!(sweep(2.0, 0).unwrap()[0].frontier, [[50.0, 2.0]]);
    assert!(sweep(101.0, 0).unwrap_err().contains("GS is 101"));
    assert!(sweep(2.0, 7).unwrap_err().contains("no point 7"));
}

#[test]
fn frontiers_of_safety_are_read_back() {
    let small = Small::new();
    let config = std::fs::read_to_string(small.config()).unwrap();
    small.write("uwm.yaml", &format!("{config}sweep:\n  vision: [{{score: dataset, layers: fc2, tau: [0.1, 0.3]}}]\n"));
    let (path, config) = (small.path("sweep.json"), small.config());
    let (_, stderr, code) = output(&["sweep", MODEL, "--backend", "tract", "--config", &config, "--json", &path]);
    assert_eq!(code, 0, "{stderr}");
    let written = read(&path);
    let found = read_sweep(Path::new(&path)).unwrap();
    // Without zero-shot images there is one frontier for each.
    let axes: Vec<[&str; 2]> = found.iter().map(|of| [of.axes[0].as_str(), of.axes[1].as_str()]).collect();
    assert_eq!(axes, [["Ts-Vs R@1", "GS"], ["Ts-Vs R@1", "PU"]]);
    let frontiers = written["frontiers"].as_array().unwrap();
    for (of, frontier) in found.iter().zip(frontiers) {
        let place = |metrics: &Value| {
            let value = |name: &Value| metrics[name.as_str().unwrap()].as_f64().unwrap();
            [value(&frontier["knowledge"]), value(&frontier["safety"])]
        };
        let points = written["points"].as_array().unwrap();
        let own =
            || frontier["points"].as_array().unwrap().iter().map(|index| &points[index.as_u64().unwrap() as usize]);
        assert_eq!(of.others, points.iter().map(|point| place(&point["validation"])).collect::<Vec<_>>());
        assert_eq!(of.frontier, own().map(|point| place(&point["evaluation"])).collect::<Vec<_>>());
        let random = own().filter(|point| !point["random"].is_null());
        assert_eq!(of.random, random.map(|point| place(&point["random"])).collect::<Vec<_>>());
        assert_eq!(of.unedited, Some(place(&points[0]["evaluation"])));
        assert!(of.others.len() == 3 && !of.frontier.is_empty());
    }
}

#[test]
fn nothing_is_left_behind_where_a_report_cannot_be_written() {
    let small = Small::new();
    std::fs::copy(root(MODEL), small.folder.path().join("model.onnx")).unwrap();
    let (model, safe, config, there) =
        (small.path("model.onnx"), small.path("safe.onnx"), small.config(), small.write("there.json", "kept"));
    let beside = |name: &str| root("models/emoji-clip").join(name).to_str().unwrap().to_owned();
    let (tokenizer, preprocessor) = (beside("tokenizer.json"), beside("preprocessor_config.json"));
    let before = small.names();
    let refused = |json: &str, more: &[&str], code: i32, why: &str| {
        let args = [&model, "-o", &safe, "--config", &config, "--json", json];
        let given = ["--tokenizer", &tokenizer, "--preprocessor", &preprocessor];
        let result = rewrite(&[&args[..], &given[..], more].concat()).output().unwrap();
        let stderr = String::from_utf8_lossy(&result.stderr);
        assert!(result.status.code() == Some(code) && stderr.contains(why), "{json}: {stderr}");
        assert_eq!(small.names(), before);
    };
    refused(&there, &[], 2, "exists already");
    refused(&model, &["--force"], 2, "is the input itself");
    refused(&config, &["--force"], 2, "this job reads it");
    refused(&safe, &[], 2, "another output");
    refused(&small.path("missing/report.json"), &[], 2, "folder does not exist");
    // Long after it was planned.
    refused(&small.path("report.json"), &["--selection", "hard", "--tau", "1e-12"], 3, "nothing-selected");
    assert_eq!(std::fs::read_to_string(&there).unwrap(), "kept");
    let dry = rewrite(&[&model, "--dry-run", "--json", &small.path("report.json")]).output().unwrap();
    assert_eq!(dry.status.code(), Some(2));
}
