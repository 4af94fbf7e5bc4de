//! Damaged and hostile models, thousands of them, each made from one that works: an understanding, or an error with a code
//! that has a page; never a panic, a full stack, or more memory than [`bound`] says.
//!
//! Every test runs on a thread with the usual stack, as the command does its work.

mod changes;
mod graphs;
mod memory;
mod shapes;
mod sizes;
mod wire;

use std::path::{Path, PathBuf};

use miette::Diagnostic;
use prost::Message;
use uwm_onnx::config::Config;
use uwm_onnx::onnx::proto::{GraphProto, ModelProto};
use uwm_onnx::onnx::{Graph, Hints, Model, Patch, Selection, Update};
use uwm_onnx::pass::{Error, ModelFiles, Site, inspect};

/// Bytes of memory that a file takes at most, beside what is mapped of it: 16 MiB, 24 times the file (an empty text is two
/// bytes in it and a string in memory), and 4 KiB for each node, attribute, tensor and other message in it.
fn bound(bytes: &[u8]) -> usize {
    (16 << 20) + 24 * bytes.len() + (4 << 10) * wire::messages(bytes)
}

/// What everything that reads a model does with it: described, its weights read, a patch made. The number of layers that
/// could be edited, or the error's code.
fn understood(path: &Path) -> Result<usize, String> {
    let code = |error: &dyn Diagnostic| error.code().map(|code| code.to_string()).expect("every error has a code");
    let files = ModelFiles::Single { path: path.to_owned(), only: None };
    let described = inspect(&files, &Hints::default(), &Config::default()).map_err(|e: Error| code(&e))?;
    assert!(!described[0].to_text().is_empty());
    let of = |error: uwm_onnx::onnx::Error| code(&error);
    let model = Model::open(path).map_err(of)?;
    let graph = Graph::new(&model).map_err(of)?;
    let sites = Site::find(&graph, &Hints::default()).map_err(of)?;
    let mut layers = 0;
    for site in &sites {
        for layer in site.select("fc2").map_err(of)? {
            assert_eq!(layer.weight.read(&model).map_err(of)?.dim(), layer.weight.shape.into());
            let selection = Selection { layer, update: Update::Multiply(-1.0), positions: vec![0] };
            Patch::make(&model, &[selection], serde_json::Value::Null).map_err(of)?;
            layers += 1;
        }
    }
    Ok(layers)
}

/// The same of bytes.
fn understand(bytes: &[u8]) -> Result<usize, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, bytes).unwrap();
    understood(&path)
}

/// Understands mutations of one model, and keeps count of what comes of them.
struct Trial {
    folder: tempfile::TempDir,
    understood: usize,
    refused: usize,
    most: usize,
}

impl Trial {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), understood: 0, refused: 0, most: 0 }
    }

    /// One mutation.
    #[track_caller]
    fn of(&mut self, what: &str, bytes: &[u8]) -> Result<usize, String> {
        let path = self.folder.path().join("m.onnx");
        std::fs::write(&path, bytes).unwrap();
        let (done, peak) = memory::peak_of(|| std::panic::catch_unwind(|| understood(&path)));
        let done = done.unwrap_or_else(|_| panic!("{what}: it panicked"));
        assert!(peak <= bound(bytes), "{what}: {peak} bytes of memory for a file of {}: {done:?}", bytes.len());
        self.most = self.most.max(peak);
        *if done.is_ok() { &mut self.understood } else { &mut self.refused } += 1;
        done
    }

    /// One mutation of a whole message.
    #[track_caller]
    fn changed(
        &mut self,
        what: &str,
        model: &ModelProto,
        change: impl FnOnce(&mut GraphProto),
    ) -> Result<usize, String> {
        let mut model = model.clone();
        change(model.graph.as_mut().unwrap());
        self.of(what, &model.encode_to_vec())
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        eprintln!("{} understood, {} refused, {} KiB at most", self.understood, self.refused, self.most >> 10);
    }
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Models of several exporters, small ones, and as their bytes.
fn valid() -> Vec<(&'static str, Vec<u8>)> {
    let zoo = [
        "dinov2.dynamo_eager.onnx",
        "hf_clip.dynamic_int8.onnx",
        "hf_clip.nbits4.onnx",
        "hf_clip.optimised_fp16.onnx",
        "hf_clip.qdq_int8.onnx",
        "hf_clip.ts_eager.onnx",
        "siglip.dynamo_eager.onnx",
    ];
    zoo.into_iter().map(|name| (name, std::fs::read(root("tests/fixtures/zoo").join(name)).unwrap())).collect()
}

fn decoded(bytes: &[u8]) -> ModelProto {
    ModelProto::decode(bytes).unwrap()
}

#[test]
fn the_undamaged_models_are_understood() {
    let mut trial = Trial::new();
    for (name, layers) in [("clip_torchscript.onnx", 6), ("clip_dynamo.onnx", 6), ("text_model.onnx", 3)] {
        let bytes = std::fs::read(root("tests/fixtures/reference").join(name)).unwrap();
        assert_eq!(trial.of(name, &bytes), Ok(layers));
    }
    for (name, bytes) in valid() {
        assert!(trial.of(name, &bytes).is_ok_and(|layers| layers > 0), "{name}");
    }
    let bundled = std::fs::read(root("models/emoji-clip/model.onnx")).unwrap();
    assert!(trial.of("emoji-clip", &bundled).is_ok_and(|layers| layers > 0));
}
