//! Killed at any moment, disk full, no place to write: the whole output or none, the input untouched, and nothing
//! left behind the next time.

#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::external::{External, patch_for};
use common::root;
use prost::Message;
use uwm_onnx::onnx::proto::{ModelProto, TensorProto};

/// A folder `in` with a model that takes a while to write, a patch for it, and a folder `out`.
struct Scene {
    folder: tempfile::TempDir,
    /// What `apply` writes, by name.
    wanted: BTreeMap<String, Vec<u8>>,
    /// What is in `in`.
    before: BTreeMap<String, Vec<u8>>,
}

impl Scene {
    fn new(external: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("in");
        std::fs::create_dir(&inner).unwrap();
        std::fs::create_dir(folder.path().join("out")).unwrap();
        let ballast = 24 << 20;
        if external {
            let mut model = External::at("weights.bin");
            // Trailing bytes of a data file are copied with it.
            model.data.resize(ballast, 7);
            model.write(&inner, "weights.bin");
        } else {
            let bytes = std::fs::read(root("tests/fixtures/reference/vision_model.onnx")).unwrap();
            let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
            model.graph.as_mut().unwrap().initializer.push(TensorProto {
                name: "ballast".to_owned(),
                dims: vec![ballast as i64],
                data_type: uwm_onnx::onnx::proto::tensor_proto::DataType::Uint8.into(),
                raw_data: Some(vec![7; ballast].into()),
                ..Default::default()
            });
            std::fs::write(inner.join("model.onnx"), model.encode_to_vec()).unwrap();
        }
        let patch = patch_for(&inner.join("model.onnx")).to_bytes();
        std::fs::write(inner.join("edit.uwm"), patch).unwrap();
        let mut scene = Self { folder, wanted: BTreeMap::new(), before: BTreeMap::new() };
        scene.before = scene.files("in");
        assert!(scene.command(&[]).status().unwrap().success());
        scene.wanted = scene.files("out");
        assert!(scene.wanted.len() == if external { 2 } else { 1 } && scene.wanted.contains_key("safe.onnx"));
        scene.clear();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, more: &[&str]) -> Command {
        self.command_to(&self.path("out/safe.onnx"), more)
    }

    fn command_to(&self, output: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_uwm-onnx"));
        command.arg("apply").arg(self.path("in/model.onnx")).arg(self.path("in/edit.uwm")).arg("-o").arg(output);
        command.args(more).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        contents(&self.path(folder))
    }

    fn clear(&self) {
        for name in self.visible().keys() {
            std::fs::remove_file(self.path("out").join(name)).unwrap();
        }
    }

    /// The output files without the hidden ones, which the next run clears away.
    fn visible(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.files("out");
        files.retain(|name, _| !name.starts_with(".uwm-onnx-"));
        files
    }
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

/// Kills the command after delays that cover its whole run; returns how often the output was there, and how often not.
fn kill_often(scene: &Scene, force: bool, check: impl Fn(&BTreeMap<String, Vec<u8>>)) -> (usize, usize) {
    let more: &[&str] = if force { &["--force"] } else { &[] };
    let (mut whole, mut none) = (0, 0);
    let begun = std::time::Instant::now();
    assert!(scene.command(more).status().unwrap().success());
    let usual = begun.elapsed();
    for round in 0..40_u32 {
        // What is half done stays: the next run has to come to terms with it.
        if !force && scene.visible() == scene.wanted {
            scene.clear();
        }
        let mut child = scene.command(more).spawn().unwrap();
        // Well beyond the usual end, so that some come through whole.
        std::thread::sleep(usual.mul_f64(2.0 * f64::from(round) / 40.0));
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(scene.files("in"), scene.before, "the input is untouched");
        let visible = scene.visible();
        if visible == scene.wanted {
            whole += 1
        } else {
            none += 1
        }
        check(&visible);
    }
    if !force && scene.visible() == scene.wanted {
        scene.clear();
    }
    assert!(scene.command(more).status().unwrap().success());
    assert_eq!(scene.files("out"), scene.wanted, "the next run completes it and leaves nothing else behind");
    (whole, none)
}

#[test]
fn killed_while_writing_one_file() {
    let scene = Scene::new(false);
    let (whole, none) = kill_often(&scene, false, |files| {
        assert!(files.is_empty() || *files == scene.wanted, "{:?}", files.keys());
    });
    println!("whole {whole}, none {none}");
    assert!(none > 5);
}

#[test]
fn killed_while_replacing_one_file() {
    let scene = Scene::new(false);
    let old = BTreeMap::from([("safe.onnx".to_owned(), b"old".to_vec())]);
    let reset = || std::fs::write(scene.path("out/safe.onnx"), "old").unwrap();
    reset();
    let (_, none) = kill_often(&scene, true, |files| {
        assert!(*files == old || *files == scene.wanted, "{:?}", files.keys());
        reset();
    });
    assert!(none > 5);
}

#[test]
fn killed_while_writing_a_model_and_its_data() {
    let scene = Scene::new(true);
    let (whole, none) = kill_often(&scene, false, |files| {
        // The model gets its name last: data without it are nothing yet, and the next run takes them away.
        assert!(!files.contains_key("safe.onnx") || *files == scene.wanted, "{:?}", files.keys());
    });
    println!("whole {whole}, none {none}");
    assert!(none > 5);
}

/// A set of two files is given its names one after the other. What a process leaves that dies in between is made by
/// hand here, for every moment: the next run undoes it.
#[test]
fn half_a_set_is_taken_back() {
    use std::os::unix::fs::MetadataExt;
    for step in 0..=5 {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["safe.onnx", "weights.bin"] {
            std::fs::write(path(name), format!("old {name}")).unwrap();
        }
        let old = contents(folder.path());
        // As src/onnx/scratch.rs has it: data first, the model last; put aside in the opposite order.
        let temporary = |k: usize| path(&format!(".uwm-onnx-AbCdEfGh-x{k}.tmp"));
        let aside = |k: usize| path(&format!(".uwm-onnx-AbCdEfGh-old-{k}.tmp"));
        let targets = [path("weights.bin"), path("safe.onnx")];
        let mut journal = vec![];
        for (k, target) in targets.iter().enumerate() {
            std::fs::write(temporary(k), format!("new {k}")).unwrap();
            let there = std::fs::metadata(temporary(k)).unwrap();
            journal.extend(format!("{} {}\0", there.dev(), there.ino()).bytes());
            journal.extend(format!("{}\0{}\0", target.display(), aside(k).display()).bytes());
        }
        journal.extend(b"end\0");
        // A journal that is cut short stands for nothing: no name was given yet.
        let written = if step == 0 { &journal[..journal.len() / 2] } else { &journal[..] };
        std::fs::write(path(".uwm-onnx-AbCdEfGh.lock"), written).unwrap();
        let steps: [(PathBuf, PathBuf); 4] = [
            (targets[1].clone(), aside(1)),
            (targets[0].clone(), aside(0)),
            (temporary(0), targets[0].clone()),
            (temporary(1), targets[1].clone()),
        ];
        for (from, to) in steps.iter().take(step.max(1) - 1) {
            std::fs::rename(from, to).unwrap();
        }
        let mut outputs = uwm_onnx::onnx::Outputs::new(false);
        outputs.prepare(&path("other.onnx")).unwrap();
        drop(outputs);
        let now = contents(folder.path());
        if step == 5 {
            let new = [("safe.onnx", "new 1"), ("weights.bin", "new 0")];
            assert_eq!(now, new.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into());
        } else {
            assert_eq!(now, old, "after step {step}");
        }
    }
}

#[test]
fn the_lock_of_a_living_process_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("a.onnx");
    let mut one = uwm_onnx::onnx::Outputs::new(false);
    let file = one.create(&target).unwrap();
    let mut two = uwm_onnx::onnx::Outputs::new(false);
    two.prepare(&folder.path().join("b.onnx")).unwrap();
    drop(two);
    std::io::Write::write_all(&mut one.file(file), b"whole").unwrap();
    one.publish().unwrap();
    assert_eq!(contents(folder.path()), BTreeMap::from([("a.onnx".to_owned(), b"whole".to_vec())]));
}

/// A limit on the size of files fails as a full disk does: with an error in the middle of writing.
#[test]
fn disk_full() {
    for external in [false, true] {
        let scene = Scene::new(external);
        for blocks in [1, 4_000, 20_000] {
            let line = format!(
                "trap '' XFSZ; ulimit -f {blocks}; exec '{}' apply '{}' '{}' -o '{}'",
                env!("CARGO_BIN_EXE_uwm-onnx"),
                scene.path("in/model.onnx").display(),
                scene.path("in/edit.uwm").display(),
                scene.path("out/safe.onnx").display(),
            );
            let result = Command::new("bash").args(["-c", &line]).output().unwrap();
            let stderr = String::from_utf8_lossy(&result.stderr);
            assert_eq!(result.status.code(), Some(2), "{stderr}");
            assert!(stderr.contains("cannot write"), "{stderr}");
            assert_eq!(scene.files("out"), BTreeMap::new(), "with {blocks} blocks");
            assert_eq!(scene.files("in"), scene.before);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_files() {
    let scene = Scene::new(true);
    // Root may write to any folder of a disk; this one refuses even root.
    let result = scene.command_to(Path::new("/proc/safe.onnx"), &[]).stderr(Stdio::piped()).output().unwrap();
    let stderr = String::from_utf8_lossy(&result.stderr);
    assert_eq!(result.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("cannot write /proc/safe.onnx"), "{stderr}");
    assert_eq!(scene.files("in"), scene.before);
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_on_another_file_system() {
    use std::os::unix::fs::MetadataExt;
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else { return };
    let scene = Scene::new(true);
    let device = |path: &Path| std::fs::metadata(path).unwrap().dev();
    assert_ne!(device(elsewhere.path()), device(scene.folder.path()));
    assert!(scene.command_to(&elsewhere.path().join("safe.onnx"), &[]).status().unwrap().success());
    assert_eq!(contents(elsewhere.path()), scene.wanted);
}

/// Ctrl-C is an orderly end: exit code 130, and nothing is left even without a next run.
#[test]
fn interrupted() {
    let scene = Scene::new(true);
    let mut child = scene.command(&[]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(15));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    let out = scene.files("out");
    match status.code() {
        Some(0) => assert_eq!(out, scene.wanted),
        // Before the handler was there.
        None => assert!(out.keys().all(|name| name.starts_with(".uwm-onnx-"))),
        code => {
            assert_eq!(code, Some(130));
            assert!(out.is_empty(), "{:?}", out.keys());
        }
    }
}
