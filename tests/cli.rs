//! The command as a user meets it: the whole job on the bundled model, and nonsense.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn rewrite(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("uwm-onnx").unwrap();
    command.current_dir(root("")).arg("rewrite").args(args);
    command
}

/// A folder with a config whose data are the first rows of each split: the whole job in a second or two.
struct Small {
    folder: TempDir,
}

impl Small {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let all = std::fs::read_to_string(root("calibration/emoji/manifest.jsonl")).unwrap();
        let (mut text, mut left) =
            (String::new(), std::collections::HashMap::from([("calibration", 24), ("evaluation", 40)]));
        for line in all.lines() {
            let mut row: Value = serde_json::from_str(line).unwrap();
            let Some(count) = left.get_mut(row["split"].as_str().unwrap()).filter(|count| **count > 0) else {
                continue;
            };
            *count -= 1;
            for image in ["safe_image", "unsafe_image"] {
                row[image] = root("calibration/emoji").join(row[image].as_str().unwrap()).to_str().unwrap().into();
            }
            text += &format!("{row}\n");
        }
        let small = Self { folder };
        small.write("manifest.jsonl", &text);
        small.write("uwm.yaml", "calibration: {manifest: manifest.jsonl}\nevaluation: {manifest: manifest.jsonl}\n");
        small
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self.path(name)
    }

    /// Names in the folder, to see that nothing was left behind.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn config(&self) -> String {
        self.path("uwm.yaml")
    }

    /// Runs what must fail: one paragraph on stderr that holds `expected`, nothing on stdout, nothing written.
    fn refuses(&self, args: &[&str], code: i32, expected: &str) {
        let before = self.names();
        let result = rewrite(args).output().unwrap();
        let stderr = String::from_utf8(result.stderr).unwrap();
        assert_eq!(result.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(expected), "{args:?}: expected '{expected}' in: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        if stderr.starts_with("error[") {
            assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
        }
        assert!(result.stdout.is_empty());
        assert_eq!(self.names(), before, "{args:?} left something behind");
    }
}

const MODEL: &str = "models/emoji-clip/model.onnx";

fn json(args: &[&str]) -> Value {
    let result = rewrite(args).args(["--format", "json"]).output().unwrap();
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    serde_json::from_slice(&result.stdout).unwrap()
}

#[test]
fn the_whole_job_on_the_bundled_model() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("safe.onnx");
    let input = std::fs::read(root(MODEL)).unwrap();
    let report = json(&[MODEL, "-o", out.to_str().unwrap()]);
    let output = std::fs::read(&out).unwrap();
    assert_eq!(std::fs::read(root(MODEL)).unwrap(), input, "the input is untouched");

    // Every byte but the sign bits of the selected elements is the same.
    assert_eq!(input.len(), output.len());
    let changed: Vec<(u8, u8)> = input.iter().zip(&output).filter(|(a, b)| a != b).map(|(a, b)| (*a, *b)).collect();
    assert!(changed.iter().all(|(a, b)| a ^ b == 0x80));
    assert_eq!(changed.len() as u64, report["edit"]["selected"].as_u64().unwrap());
    assert!(!changed.is_empty());

    let layers = report["edit"]["layers"].as_array().unwrap();
    let kinds: Vec<(&str, &str)> =
        layers.iter().map(|l| (l["tower"].as_str().unwrap(), l["role"].as_str().unwrap())).collect();
    assert_eq!(kinds, [[("text", "out_proj"); 4], [("vision", "fc2"); 4]].concat());
    assert!(layers.iter().all(|l| l["tau"] == 0.02 && l["selected"].as_u64().unwrap() > 0));
    assert_eq!(layers[4]["shape"], serde_json::json!([128, 512]));
    assert_eq!(report["edit"]["alpha"], -1.0);
    assert_eq!(report["runtime"]["backend"], "tract");
    assert_eq!(report["model"]["path"], MODEL);
    for side in ["before", "after"] {
        for name in ["P_ts", "P_tu", "P_vs", "P_vu", "Txt_s", "Img_s", "PS", "PU", "GS"] {
            assert!((0.0..=100.0).contains(&report["safeground"][side][name].as_f64().unwrap()));
        }
        assert!(report["retrieval"][side]["Ts-Vs"]["R@1"].as_f64().unwrap() > 0.0);
    }
    // The trained model: safe preferences near 100, unsafe ones near 0, most scenes told apart.
    assert!(report["safeground"]["before"]["P_ts"].as_f64().unwrap() > 90.0);
    assert!(report["safeground"]["before"]["P_tu"].as_f64().unwrap() < 10.0);
    assert!(report["zero_shot"]["before"]["top1"].as_f64().unwrap() > 75.0);
    assert_eq!(report["data"]["evaluation_quadruplets"], 640);
}

#[test]
fn the_same_inputs_give_the_same_bytes_on_any_number_of_threads() {
    let small = Small::new();
    let bytes: Vec<Vec<u8>> = ["1", "2", "3"]
        .iter()
        .map(|threads| {
            let out = small.path(&format!("{threads}.onnx"));
            json(&[MODEL, "-o", &out, "--config", &small.config(), "--threads", threads]);
            std::fs::read(out).unwrap()
        })
        .collect();
    assert_eq!(bytes[0], bytes[1]);
    assert_eq!(bytes[0], bytes[2]);
}

#[test]
fn two_files_give_the_selection_of_one() {
    let small = Small::new();
    let joint = json(&[MODEL, "-o", &small.path("joint.onnx"), "--config", &small.config()]);
    let (text, vision) = ("models/emoji-clip/text_model.onnx", "models/emoji-clip/vision_model.onnx");
    let out = small.path("out");
    let pair = json(&["--text", text, "--vision", vision, "-o", &out, "--config", &small.config()]);
    let selected = |report: &Value| -> Vec<u64> {
        report["edit"]["layers"].as_array().unwrap().iter().map(|l| l["selected"].as_u64().unwrap()).collect()
    };
    assert_eq!(selected(&joint), selected(&pair));
    assert_eq!(joint["safeground"], pair["safeground"]);
    assert!(pair["model"].is_null());
    assert_eq!(pair["files"].as_array().unwrap().len(), 2);
    for name in ["text_model.onnx", "vision_model.onnx"] {
        let edited = std::fs::read(Path::new(&out).join(name)).unwrap();
        let original = std::fs::read(root("models/emoji-clip").join(name)).unwrap();
        assert_eq!(edited.len(), original.len());
        assert_ne!(edited, original);
    }

    // One tower alone: the same edit, and a word on why nothing was measured.
    let alone = json(&["--vision", vision, "-o", &small.path("v.onnx"), "--config", &small.config()]);
    assert_eq!(selected(&alone), selected(&pair)[4..]);
    assert!(alone["safeground"].is_null());
    assert!(alone["notes"][0].as_str().unwrap().contains("only one tower"));
    let edited = std::fs::read(small.path("v.onnx")).unwrap();
    assert_eq!(edited, std::fs::read(Path::new(&out).join("vision_model.onnx")).unwrap());

    // One tower of a file that holds both: the other is left alone, and serves the evaluation.
    let only = json(&["--vision", MODEL, "-o", &small.path("o.onnx"), "--config", &small.config()]);
    assert_eq!(selected(&only), selected(&pair)[4..]);
    assert!(only["safeground"].is_object());
}

#[test]
fn options_of_each_tower() {
    let small = Small::new();
    let base = "calibration: {manifest: manifest.jsonl}\n";
    let config = small.write(
        "own.yaml",
        &format!(
            "{base}text: {{layers: fc1, tau: 0.1}}\nvision: {{layers: out_proj, alpha: 0.5, weight_prior: true}}\n"
        ),
    );
    let report = json(&[MODEL, "-o", &small.path("a.onnx"), "--config", &config]);
    let layers = report["edit"]["layers"].as_array().unwrap();
    assert_eq!(layers[0]["role"], "fc1");
    assert_eq!(layers[0]["tau"], 0.1);
    assert_eq!((&layers[4]["role"], &layers[4]["alpha"]), (&"out_proj".into(), &0.5.into()));
    assert!(report["edit"]["alpha"].is_null());
    assert!(report["notes"][0].as_str().unwrap().contains("no evaluation data"));

    let report = json(&[MODEL, "-o", &small.path("b.onnx"), "--config", &config, "--tau", "0.3", "--alpha", "0"]);
    assert!(report["edit"]["layers"].as_array().unwrap().iter().all(|l| l["tau"] == 0.3 && l["alpha"] == 0.0));
}

#[test]
fn a_table_for_people() {
    let small = Small::new();
    let result = rewrite(&[MODEL, "-o", &small.path("a.onnx"), "--config", &small.config()]).output().unwrap();
    let table = String::from_utf8(result.stdout).unwrap();
    for part in ["P_ts", "GS", "Ts-Vs R@1", "before", "change", "out_proj", "fc2", "128x512", "tract on cpu"] {
        assert!(table.contains(part), "{part} is missing in:\n{table}");
    }
    assert!(table.contains("no zero-shot set was given"));
    assert!(result.stderr.is_empty(), "no progress bars without a terminal");
}

#[test]
fn models_that_are_none() {
    let small = Small::new();
    let (out, config) = (small.path("out.onnx"), small.config());
    let refuses =
        |model: &str, code, expected| small.refuses(&[model, "-o", &out, "--config", &config], code, expected);
    refuses("no/such/model.onnx", 3, "cannot read no/such/model.onnx");
    refuses("models", 3, "not a regular file");
    refuses("README.md", 3, "not a readable ONNX model");
    refuses(&small.write("empty.onnx", ""), 3, "the file is empty");
    refuses("calibration/emoji/images/0000_safe.png", 3, "not a readable ONNX model");
    let bytes = std::fs::read(root(MODEL)).unwrap();
    for cut in [100, bytes.len() / 2, bytes.len() - 1] {
        let path = small.path("truncated.onnx");
        std::fs::write(&path, &bytes[..cut]).unwrap();
        refuses(&path, 3, "not a readable ONNX model");
    }
    // A graph whose only input is a vector.
    let towerless = {
        use prost::Message;
        use uwm_onnx::onnx::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
        let value = |name: &str| ValueInfoProto { name: name.to_owned(), ..Default::default() };
        let node = NodeProto {
            op_type: "Relu".to_owned(),
            input: vec!["x".to_owned()],
            output: vec!["y".to_owned()],
            ..Default::default()
        };
        let graph =
            GraphProto { node: vec![node], input: vec![value("x")], output: vec![value("y")], ..Default::default() };
        ModelProto { ir_version: 8, graph: Some(graph), ..Default::default() }.encode_to_vec()
    };
    std::fs::write(small.path("relu.onnx"), towerless).unwrap();
    refuses(
        &small.path("relu.onnx"),
        3,
        "cannot tell text and vision towers from its inputs ('x' of unknown type or rank)",
    );
}

/// Valid files that would fail late, or only where the output is used.
#[test]
fn models_that_cannot_be_edited() {
    use prost::Message;
    use uwm_onnx::onnx::proto::{ModelProto, tensor_shape_proto::dimension::Value as Dim, type_proto::Value as Type};
    let small = Small::new();
    let (out, config) = (small.path("out.onnx"), small.config());
    for name in ["preprocessor_config.json", "tokenizer.json", "config.json"] {
        std::fs::copy(root("models/emoji-clip").join(name), small.path(name)).unwrap();
    }
    let bytes = std::fs::read(root("models/emoji-clip/vision_model.onnx")).unwrap();
    let refuses = |change: &dyn Fn(&mut ModelProto), expected: &str| {
        let mut proto = ModelProto::decode(bytes.as_slice()).unwrap();
        change(&mut proto);
        std::fs::write(small.path("changed.onnx"), proto.encode_to_vec()).unwrap();
        small.refuses(&["--vision", &small.path("changed.onnx"), "-o", &out, "--config", &config], 3, expected);
    };
    refuses(
        &|proto| {
            let tensor = &mut proto.graph.as_mut().unwrap().initializer[0];
            (tensor.raw_data, tensor.data_location) = (None, 1);
        },
        "external data file",
    );
    refuses(
        &|proto| {
            let graph = proto.graph.as_mut().unwrap();
            let fc2 = graph.node.iter().rev().find(|node| node.name.ends_with("fc2/MatMul")).unwrap().input[1].clone();
            graph.initializer.iter_mut().find(|tensor| tensor.name == fc2).unwrap().dims.reverse();
        },
        "a weight of 128 inputs: not [batch, tokens, inputs]",
    );
    refuses(
        &|proto| {
            let input = proto.graph.as_mut().unwrap().input[0].r#type.as_mut().unwrap();
            let Some(Type::TensorType(tensor)) = &mut input.value else { unreachable!() };
            tensor.shape.as_mut().unwrap().dim[0].value = Some(Dim::DimValue(1 << 62));
        },
        "has a dimension over 16384",
    );
    // What makes the runtime panic is an error like any other.
    let mut proto = ModelProto::decode(bytes.as_slice()).unwrap();
    let conv = proto.graph.as_mut().unwrap().node.iter_mut().find(|node| node.op_type == "Conv").unwrap();
    conv.attribute.iter_mut().find(|a| a.name == "strides").unwrap().ints = vec![0, 0];
    std::fs::write(small.path("changed.onnx"), proto.encode_to_vec()).unwrap();
    small.refuses(
        &["--vision", &small.path("changed.onnx"), "-o", &out, "--config", &config],
        4,
        "changed.onnx, vision tower: tract cannot load the graph",
    );
}

#[test]
fn data_that_is_none() {
    let small = Small::new();
    let (out, config) = (small.path("out.onnx"), small.config());
    let with = |option: &str, path: &str, code, expected: &str| {
        small.refuses(&[MODEL, "-o", &out, "--config", &config, option, path], code, expected);
    };
    with("--calibration", "no/such.jsonl", 3, "cannot read the manifest no/such.jsonl");
    let first = std::fs::read_to_string(small.path("manifest.jsonl")).unwrap();
    let first = first.lines().next().unwrap();
    let gone = format!("{first}\n{}\n", first.replace("0000_safe.png", "gone.png").replace("\"0000\"", "\"1\""));
    with("--calibration", &small.write("gone.jsonl", &gone), 3, "line 2: the image");
    with("--calibration", &small.write("twice.jsonl", &format!("{first}\n{first}\n")), 3, "was used before");
    with("--calibration", &small.write("words.jsonl", "hello\n"), 3, "line 1: expected value");
    with("--calibration", &small.write("none.jsonl", "\n"), 3, "no rows of the split 'calibration'");
    let broken = small.write("broken.png", "not an image");
    let row: Value = serde_json::from_str(first).unwrap();
    let mut bad = row.clone();
    bad["unsafe_image"] = broken.into();
    with("--calibration", &small.write("bad.jsonl", &format!("{bad}\n")), 3, "cannot decode the image");
    let mut unsplit = row;
    unsplit.as_object_mut().unwrap().remove("split");
    let both = small.write("both.jsonl", &format!("{unsplit}\n"));
    small.refuses(
        &[MODEL, "-o", &out, "--config", &config, "--calibration", &both, "--evaluation", &both],
        2,
        "are calibration data too",
    );
    let detour = small.path("./../").trim_end_matches('/').to_owned()
        + &format!("/{}/both.jsonl", small.folder.path().file_name().unwrap().to_str().unwrap());
    small.refuses(
        &[MODEL, "-o", &out, "--config", &config, "--calibration", &both, "--evaluation", &detour],
        2,
        "are calibration data too",
    );
    with("--tokenizer", "Cargo.toml", 3, "not a usable tokenizer.json");
    with("--tokenizer", "no/such.json", 3, "cannot read the tokenizer.json");
    with("--preprocessor", "Cargo.toml", 3, "not a usable preprocessor_config.json");
    let processor = std::fs::read_to_string(root("models/emoji-clip/preprocessor_config.json")).unwrap();
    let processor = small.write("large.json", &processor.replace("48", "64"));
    with("--preprocessor", &processor, 3, "[8, 3, 64, 64] where the model takes 'pixel_values' FLOAT [?, 3, 48, 48]");
    let wrong = small.write("wrong.yaml", "calibration:\n  manifest: a\n  splat: b\n");
    small.refuses(
        &[MODEL, "-o", &out, "--config", &wrong],
        2,
        "unknown field `splat`, expected one of manifest, split at line 3, column 3; it is YAML",
    );
    let empty = small.write("empty.yaml", "{}\n");
    small.refuses(&[MODEL, "-o", &out, "--config", &empty], 2, "no calibration data was given");
    let role = small.write("role.yaml", "calibration: {manifest: manifest.jsonl}\ntext: {layers: fc9}\n");
    small.refuses(&[MODEL, "-o", &out, "--config", &role], 3, "no text layer has the role 'fc9'; roles found: fc1 (4)");
}

#[test]
fn options_that_make_no_sense() {
    let small = Small::new();
    let (out, config) = (small.path("out.onnx"), small.config());
    for (option, value) in
        [("--tau", "0"), ("--tau", "1"), ("--tau", "-0.1"), ("--tau", "NaN"), ("--alpha", "NaN"), ("--alpha", "inf")]
    {
        small.refuses(&[MODEL, "-o", &out, "--config", &config, option, value], 2, "outside");
    }
    small.refuses(&[MODEL, "-o", &out, "--config", &config, "--tau", "much"], 2, "invalid value");
    small.refuses(&[MODEL, "-o", MODEL, "--config", &config, "--force"], 2, "it is the input itself");
    small.refuses(&[MODEL, "-o", &small.write("there.onnx", "x"), "--config", &config], 2, "exists already");
    small.refuses(&[MODEL, "-o", &small.path("no/folder.onnx"), "--config", &config], 2, "folder does not exist");
    small.refuses(&[MODEL, "-o", &small.path(""), "--config", &config], 2, "it is a directory");
    small.refuses(&["-o", &out], 2, "required");
    let (text, vision) = ("models/emoji-clip/text_model.onnx", "models/emoji-clip/vision_model.onnx");
    let folder = small.path("folder");
    small.refuses(&["--text", vision, "--vision", text, "-o", &folder, "--config", &config], 2, "has no text tower");
    small.refuses(&["--text", text, "--vision", text, "-o", &folder, "--config", &config], 2, "the same file name");
}

/// A folder nobody may write to. Root may write anywhere, so this needs a place that refuses even root.
#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written() {
    let small = Small::new();
    let result = rewrite(&[MODEL, "-o", "/proc/safe.onnx", "--config", &small.config()]).output().unwrap();
    let stderr = String::from_utf8(result.stderr).unwrap();
    assert_eq!(result.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("cannot write /proc/safe.onnx"), "{stderr}");
}

/// Stopped in the middle: no output, no temporary file.
#[cfg(unix)]
#[test]
fn interrupted() {
    let small = Small::new();
    let all = root("calibration/emoji/manifest.jsonl");
    let config = small.write(
        "uwm.yaml",
        &format!("calibration: {{manifest: manifest.jsonl}}\nevaluation: {{manifest: {}}}\n", all.display()),
    );
    let before = small.names();
    // While it evaluates the original, and while the temporary file is there.
    for written in [false, true] {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("uwm-onnx"))
            .current_dir(root(""))
            .args(["rewrite", MODEL, "-o", &small.path("out.onnx"), "--config", &config])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(500));
        while written && !small.names().iter().any(|name| name.starts_with(".uwm-onnx-")) {
            assert!(child.try_wait().unwrap().is_none(), "it ended before a temporary file was seen");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let id = child.id().to_string();
        std::process::Command::new("kill").args(["-INT", &id]).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(small.names(), before);
    }
}
