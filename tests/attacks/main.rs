//! The attack catalogue: what hostile or unlucky files have done to other readers and writers of ONNX models, each
//! tried here. Where a weakness of another tool has a CVE number, the test bears it. README.md lists them all.

#[path = "../common/mod.rs"]
mod common;

mod archives;
mod files;
mod names;
mod numbers;
mod paths;
mod pictures;
mod reading;
mod tokenizers;
mod writing;

use std::path::Path;
use std::time::Duration;

use uwm_onnx::onnx::{Graph, Hints, Model};
use uwm_onnx::pass::{ApplyJob, Error, Site, apply};
use uwm_onnx::report::Applied;

/// Why a model, or a layer of it, cannot be read.
fn why_not(path: &Path) -> Option<String> {
    let read = || -> Result<(), uwm_onnx::onnx::Error> {
        let model = Model::open(path)?;
        let graph = Graph::new(&model)?;
        let sites = Site::find(&graph, &Hints::default())?;
        let mut layers = sites.iter().flat_map(|site| &site.layers);
        layers.try_for_each(|layer| layer.weight.read(&model).map(drop))
    };
    read().err().map(|error| error.to_string())
}

/// That the model is refused for that reason.
fn refused(path: &Path, why: &str) {
    let reason = why_not(path);
    assert!(reason.as_ref().is_some_and(|reason| reason.contains(why)), "{why}: {reason:?}");
}

/// Applies a patch in a file.
fn edit(model: &Path, patch: &Path, output: &Path, force: bool) -> Result<Applied, Error> {
    let job = ApplyJob {
        model: model.to_owned(),
        patch: patch.to_owned(),
        output: output.to_owned(),
        force,
        provenance: true,
        match_layers: None,
        patch_out: None,
    };
    apply(&job, &|| false)
}

/// What a run of the command said.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the command. One that takes minutes hangs: it is ended, and then has no exit code, as one that crashed.
fn run(args: &[&str]) -> Said {
    let out = common::command(args).timeout(Duration::from_secs(120)).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8 is printed");
    Said { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) }
}

impl Said {
    fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// That it ended with that code, and said these words.
    #[track_caller]
    fn is(&self, code: i32, words: &str) -> &Self {
        assert!(
            self.code == Some(code) && self.text().contains(words),
            "{code}, {words}: {:?} {}",
            self.code,
            self.text()
        );
        self
    }

    /// That no more is said than somebody can read.
    #[track_caller]
    fn says_little(&self, what: &str) -> &Self {
        let said = self.text();
        assert!(said.len() < 10_000, "{what}: {} bytes, {:.2000}", said.len(), said);
        self
    }
}
