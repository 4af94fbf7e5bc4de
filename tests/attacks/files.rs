//! Attacks by what lies where a file is expected: a pipe that waits for ever, a device that never ends, and JSON and YAML
//! that grow when they are read.

use std::path::Path;

use crate::common::{MODEL, Small, beside::beside, root};
use crate::run;

const TOKENIZER: [&str; 2] = ["--tokenizer", "models/emoji-clip/tokenizer.json"];
const PREPROCESSOR: [&str; 2] = ["--preprocessor", "models/emoji-clip/preprocessor_config.json"];

/// A folder where each file that any command reads can be made something else.
struct Scene {
    small: Small,
}

impl Scene {
    fn new() -> Self {
        let small = Small::new();
        small.write("good.yaml", "calibration: {manifest: manifest.jsonl}\nevaluation: {manifest: manifest.jsonl}\n");
        Self { small }
    }

    /// Every place of a file, by the name of the file, and a command that reads it.
    fn readers(&self) -> Vec<(&'static str, Vec<String>)> {
        let at = |name: &str| self.small.path(name);
        let out = at("out.onnx");
        let rewrite = |rest: &[&str]| {
            let mut args = vec!["rewrite", MODEL, "-o", &out, "--backend", "tract"];
            args.extend(rest);
            args.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let owned = |args: &[&str]| args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>();
        let good = at("good.yaml");
        // One that asks for no baseline.
        let policy = self.small.write("good-policy.yaml", "version: 1\nmetrics: {PS: {min: 1}}\n");
        let of_patches = self.small.write("patch-policy.yaml", "version: 1\nstructure: {patch_matches: true}\n");
        let with = |option: &str, name: &str| {
            rewrite(&[&["--config", &good, option, &at(name)], &TOKENIZER[..], &PREPROCESSOR[..]].concat())
        };
        let check = |option: &str, name: &str| {
            let on = ["check", MODEL, "--backend", "tract", "--config", &good, option, &at(name)];
            let on = match option {
                "--policy" => on.to_vec(),
                "--patch" => [&on[..], &["--policy", &of_patches, "--original", MODEL]].concat(),
                _ => [&on[..], &["--policy", &policy]].concat(),
            };
            owned(&[&on[..], &TOKENIZER, &PREPROCESSOR].concat())
        };
        let mut all = vec![
            ("model.onnx", owned(&["inspect", &at("model.onnx")])),
            ("b.onnx", owned(&["diff", MODEL, &at("b.onnx")])),
            ("c.onnx", owned(&["verify", MODEL, "--original", &at("c.onnx")])),
            ("uwm.yaml", rewrite(&["--config", &at("uwm.yaml")])),
            (
                "tokenizer.json",
                rewrite(&[&["--config", &good, "--tokenizer", &at("tokenizer.json")], &PREPROCESSOR[..]].concat()),
            ),
            (
                "preprocessor.json",
                rewrite(&[&["--config", &good, "--preprocessor", &at("preprocessor.json")], &TOKENIZER[..]].concat()),
            ),
            ("scores.safetensors", with("--scores", "scores.safetensors")),
            ("edit.uwm", owned(&["apply", MODEL, &at("edit.uwm"), "-o", &out])),
            ("undo.uwm", owned(&["revert", MODEL, &at("undo.uwm"), "-o", &out])),
            ("verify.uwm", owned(&["verify", MODEL, "--original", MODEL, "--patch", &at("verify.uwm")])),
            ("shard.safetensors", owned(&["merge", MODEL, "--shards", &at("shard.safetensors"), "-o", &at("merged")])),
            ("embeddings.safetensors", owned(&["evaluate", "--embeddings", &at("embeddings.safetensors")])),
            ("policy.yaml", check("--policy", "policy.yaml")),
            ("result.json", check("--baseline-result", "result.json")),
            ("rewrite.json", check("--rewrite", "rewrite.json")),
            ("sweep.json", check("--sweep", "sweep.json")),
            ("check.uwm", check("--patch", "check.uwm")),
            ("zero.json", check("--zero-shot", "zero.json")),
        ];
        for name in ["set.jsonl", "set.csv", "set.tsv", "set.tar", "set.npz", "set.safetensors", "ViSU-Text_test.json"]
        {
            all.push((name, owned(&["data", "check", &at(name)])));
        }
        all
    }
}

/// Attack 15: What is no plain file, wherever one is expected: nothing waits for a pipe, nothing reads a device to its end.
#[cfg(unix)]
#[test]
fn pipes_and_devices_instead_of_files() {
    let scene = Scene::new();
    for (name, args) in scene.readers() {
        let path = scene.small.folder.path().join(name);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let refused = |what: &str| {
            let said = run(&args);
            assert!(matches!(said.code, Some(2 | 3)), "{name} is {what}: {:?} {}", said.code, said.text());
            // A terminal's lines may break between the words.
            let told = said.text().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(told.contains("plain file") || told.contains("not a regular file"), "{name} is {what}: {told}");
        };
        let _ = std::fs::remove_file(&path);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        refused("a pipe");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        refused("a device");
        std::fs::remove_file(&path).unwrap();
    }
}

/// Attack 16: The same with files that nobody named: those beside a model, and those that a manifest names.
#[cfg(unix)]
#[test]
fn pipes_and_devices_beside_files() {
    let folder = tempfile::tempdir().unwrap();
    let _data = beside(folder.path());
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(root("tests/fixtures/zoo/hf_clip.ts_eager.onnx"), at("model.onnx")).unwrap();
    let model = at("model.onnx").to_str().unwrap().to_owned();
    let out = at("out.onnx").to_str().unwrap().to_owned();
    let config = at("uwm.yaml").to_str().unwrap().to_owned();
    let args = ["rewrite", &model, "-o", &out, "--config", &config, "--backend", "tract"];
    for name in ["config.json", "tokenizer_config.json", "special_tokens_map.json", "open_clip_config.json"] {
        assert!(std::process::Command::new("mkfifo").arg(at(name)).status().unwrap().success());
        run(&args).is(3, "plain file");
        std::fs::remove_file(at(name)).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at(name)).unwrap();
        run(&args).is(3, "plain file");
        std::fs::remove_file(at(name)).unwrap();
    }
    // An image that a manifest names.
    std::os::unix::fs::symlink("/dev/zero", at("zero.png")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(at("pipe.png")).status().unwrap().success());
    for image in ["zero.png", "pipe.png"] {
        let row = serde_json::json!({"id": "a", "safe_text": "a", "unsafe_text": "b", "safe_image": image, "unsafe_image": image});
        std::fs::write(at("images.jsonl"), format!("{row}\n")).unwrap();
        run(&["data", "check", at("images.jsonl").to_str().unwrap()]).is(3, "error[image-");
    }
}

/// Attack 17: YAML whose anchors multiply ("a billion laughs"), nests without end, or repeats its keys.
#[test]
fn yaml_that_grows() {
    let small = Small::new();
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for k in 1..12 {
        let before = vec![format!("*a{}", k - 1); 10].join(", ");
        laughs += &format!("a{k}: &a{k} [{before}]\n");
    }
    let strings = format!("a: &a {}\nversion: [{}]\n", "x".repeat(100_000), vec!["*a"; 80_000].join(", "));
    let cycle = "a: &a [*a]\n".to_owned();
    let merged = {
        let mut text = "b0: &b0 {k: v}\n".to_owned();
        for k in 1..60 {
            text += &format!("b{k}: &b{k} {{<<: [*b{0}, *b{0}, *b{0}]}}\n", k - 1);
        }
        text
    };
    let deep = format!("version: {}1{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let maps = format!("version: {}1{}\n", "{a: ".repeat(50_000), "}".repeat(50_000));
    let blocks = (0..1000).map(|k| " ".repeat(k) + "a:\n").collect::<String>();
    let keys = "version: 1\n".repeat(90_000);
    let long = "#".repeat((1 << 20) + 1);
    for (what, yaml) in [
        ("laughs", laughs),
        ("strings", strings),
        ("a cycle", cycle),
        ("merged keys", merged),
        ("deep lists", deep),
        ("deep maps", maps),
        ("deep blocks", blocks),
        ("keys", keys),
        ("long", long),
    ] {
        let path = small.write("hostile.yaml", &yaml);
        let policy = run(&["check", MODEL, "--policy", &path]);
        policy.is(2, "error").says_little(what);
        let config = run(&["rewrite", MODEL, "--dry-run", "--config", &path, "--backend", "tract"]);
        config.is(2, "error[config-").says_little(what);
    }
}

/// Attack 18: JSON nested so deep that a reader's stack would not do.
#[test]
fn json_that_nests() {
    let small = Small::new();
    let scene = Scene { small };
    scene.small.write("good.yaml", "calibration: {manifest: manifest.jsonl}\nevaluation: {manifest: manifest.jsonl}\n");
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    for json in [deep("[", "]"), deep("{\"options\":", "}"), deep("{\"version\":[", "]}")] {
        for (name, args) in scene.readers() {
            let path = scene.small.folder.path().join(name);
            let bytes = if name.ends_with("safetensors") || name.ends_with("uwm") {
                // As the header, and as the JSON in its metadata.
                let metadata = ["uwm.patch", "uwm.scores", "uwm.statistics", "uwm.embeddings", "concepts"];
                let entries: serde_json::Map<_, _> =
                    metadata.map(|key| (key.to_owned(), json.clone().into())).into_iter().collect();
                let header = serde_json::json!({ "__metadata__": entries }).to_string();
                [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
            } else if name.ends_with("json") || name.ends_with("jsonl") {
                json.clone().into_bytes()
            } else {
                continue;
            };
            std::fs::write(&path, bytes).unwrap();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let said = run(&args);
            assert!(matches!(said.code, Some(2 | 3)), "{name}: {:?} {}", said.code, said.text());
            said.says_little(name);
            std::fs::remove_file(&path).unwrap();
        }
    }
}

/// Attack 19: A folder of links that leads back into itself.
#[cfg(unix)]
#[test]
fn folders_that_hold_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let own: &Path = folder.path();
    std::os::unix::fs::symlink(own, own.join("test")).unwrap();
    std::os::unix::fs::symlink("loop", own.join("loop")).unwrap();
    std::os::unix::fs::symlink("model.onnx", own.join("model.onnx")).unwrap();
    let shown = own.to_str().unwrap();
    for args in [vec!["inspect", shown], vec!["data", "check", shown], vec!["evaluate", MODEL, "--zero-shot", shown]] {
        let said = run(&args);
        assert!(matches!(said.code, Some(2 | 3)), "{args:?}: {:?} {}", said.code, said.text());
    }
}
