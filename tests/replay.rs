//! What the fuzzer found, and what it began with: every file of every corpus goes through the function that is fuzzed
//! (`fuzz/README.md`), here without a fuzzer.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use fuzz::{TARGETS, Target};

/// Far more than any input takes: one that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(60);

/// The files of a folder, by name.
fn files(folder: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join(target);
    let Ok(entries) = folder.read_dir() else { return vec![] };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A panic fails with the file's name; so does an input that does not come to an end.
fn replay(name: &str, target: Target) {
    let seeds = files("corpus", name);
    assert!(!seeds.is_empty(), "fuzz/corpus/{name} is missing or empty: `fuzz/seed.py` fills it");
    let inputs: Vec<PathBuf> = seeds.into_iter().chain(files("regressions", name)).collect();
    let (done, each) = channel();
    let worker = std::thread::spawn(move || {
        uwm_onnx::guard::quiet_guarded_panics();
        for input in inputs {
            done.send(input.clone()).unwrap();
            target(&std::fs::read(input).unwrap());
        }
    });
    let mut last = PathBuf::new();
    loop {
        match each.recv_timeout(LONGEST) {
            Ok(input) => last = input,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("{} takes more than {LONGEST:?}", last.display()),
        }
    }
    assert!(worker.join().is_ok(), "{}", last.display());
}

#[test]
fn every_corpus_has_its_target() {
    for folder in ["corpus", "regressions"] {
        for path in files(folder, "") {
            let name = path.file_name().unwrap();
            assert!(TARGETS.iter().any(|(target, _)| name == *target), "{} is of no target", path.display());
        }
    }
}

#[test]
fn config() {
    replay("config", fuzz::config);
}

#[test]
fn external() {
    replay("external", fuzz::external);
}

#[test]
fn image() {
    replay("image", fuzz::image);
}

#[test]
fn manifest() {
    replay("manifest", fuzz::manifest);
}

#[test]
fn model() {
    replay("model", fuzz::model);
}

#[test]
fn patch() {
    replay("patch", fuzz::patch);
}

#[test]
fn preparation() {
    replay("preparation", fuzz::preparation);
}

#[test]
fn report() {
    replay("report", fuzz::report);
}
