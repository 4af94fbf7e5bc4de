//! What a terminal gets that a pipe does not: colours, progress, lines of its own width. On a pseudo-terminal, by Python.

mod common;

use std::path::PathBuf;

use common::{MODEL, Small, python, root, run_python};

#[test]
fn a_terminal_gets_colours_progress_and_narrow_tables() {
    let Some(program) = python("pty") else { return };
    let small = Small::new();
    let row = r#"{"id": "1", "safe_text": "a", "unsafe_text": "", "safe_image": "\u001b[35mno.png", "unsafe_image": "no.png"}"#;
    let broken = small.write("broken.jsonl", row);
    let binary = assert_cmd::cargo::cargo_bin("uwm-onnx");
    let files = [binary, root(MODEL), PathBuf::from(small.path("manifest.jsonl")), PathBuf::from(broken)];
    run_python(&program, "terminal.py", &files);
}
