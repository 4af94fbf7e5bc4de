//! Files that this tool wrote, or says that it wrote.

use std::path::{Path, PathBuf};

use safetensors::Dtype;
use uwm_onnx::config::Config;
use uwm_onnx::onnx::{Hints, sha256_of};
use uwm_onnx::pass::{
    CheckJob, Error, EvaluateJob, Kept, Limits, MergeJob, ModelFiles, Subject, Unobserved, check, merge,
    read_rewritten, read_sweep,
};
use uwm_onnx::report::{FileId, Look, checked::Checked};
use uwm_onnx::safeground::Bootstrap;

use super::folder::Folder;
use super::{parts, small, tensors};

struct Place {
    folder: Folder,
    /// The hash of the small model.
    model: String,
    /// A report to which things are added.
    checked: Checked,
}

thread_local! {
    static PLACE: Place = place();
}

/// Names of stored embeddings, in the order of the parts.
const EMBEDDINGS: [&str; 6] = [
    "embed.safe_text",
    "embed.unsafe_text",
    "embed.safe_image",
    "embed.unsafe_image",
    "zero_shot.prompts",
    "zero_shot.images",
];

/// A policy that needs nothing to compare with.
const POLICY: &str = "version: 1
min_samples: 1
metrics: {PU: {min: 20}, PS: {min: 20}, GS: {max: 90}, zero_shot: {min: 5, optional: true}}
concepts: {min_samples: 1, metrics: {PU: {min: 5}}}
worst_concept: {min_samples: 1, metrics: {PS: {min: 5}}}
";

/// The hash that stands for that of the small model, and of the model that a report of `rewrite` is of.
const MODEL: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn place() -> Place {
    let small = small::of_every_storage();
    let folder = Folder::with(|folder| {
        folder.write("model.onnx", &small);
        folder.write("policy.yaml", POLICY.as_bytes());
    });
    let rows: Vec<u8> = [1.0, 0.0, 0.0, 1.0].iter().flat_map(|value: &f32| value.to_le_bytes()).collect();
    let stored = embeddings(None, &[&rows[..]; 4]).expect("all rows are there");
    let stored = folder.write("good.safetensors", &stored);
    let checked = checked(&folder, &stored, None).expect("they can be judged");
    assert!(checked.evaluated.is_some(), "{:?}", checked.findings);
    Place { folder, model: sha256_of(&small), checked }
}

/// A digit that says what it is, and the file: `0` what `rewrite` reported, `1` what `sweep` reported, `2` embeddings, `3` the
/// same as JSON and rows of two numbers, `4` a result to compare with, `5` scores, `6` a shard, `7` either as JSON.
pub fn report(bytes: &[u8]) {
    let Some((form, parts)) = parts(bytes) else { return };
    let bytes = &bytes[1..];
    PLACE.with(|place| match form {
        b'0' => place.rewritten(bytes),
        b'1' => place.swept(bytes),
        b'2' => place.embedded(bytes),
        b'3' => _ = embeddings(Some(parts[0]), &parts[1..]).map(|bytes| place.embedded(&bytes)),
        b'4' => place.compared(bytes),
        b'5' => place.scores(bytes),
        b'6' => place.shard(bytes),
        _ => {
            let file = |key| tensors::file(key, Some(bytes), &[]).expect("it has no tensors");
            place.scores(&file("uwm.scores"));
            place.shard(&file("uwm.statistics"));
        }
    });
}

impl Place {
    fn rewritten(&self, bytes: &[u8]) {
        let path = self.folder.write("rewrite.json", bytes);
        let model = FileId { path: "safe.onnx".into(), sha256: MODEL.to_owned() };
        let Ok((rewritten, notes)) = read_rewritten(&path, &[model]) else { return };
        show(&Checked { rewritten: Some(rewritten), notes, ..self.checked.clone() });
    }

    fn swept(&self, bytes: &[u8]) {
        let path = self.folder.write("sweep.json", bytes);
        let Ok(frontiers) = read_sweep(&path) else { return };
        show(&Checked { frontiers, ..self.checked.clone() });
    }

    fn embedded(&self, bytes: &[u8]) {
        let path = self.folder.write("stored.safetensors", bytes);
        show(&checked(&self.folder, &path, None).expect("what goes wrong is a finding"));
    }

    fn compared(&self, bytes: &[u8]) {
        let path = self.folder.write("result.json", bytes);
        let good = self.folder.path().join("good.safetensors");
        show(&checked(&self.folder, &good, Some(path)).expect("what goes wrong is a finding"));
    }

    fn scores(&self, bytes: &[u8]) {
        _ = Kept::open(&self.folder.write("scores.safetensors", bytes));
    }

    fn shard(&self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        while let Some(at) = bytes.windows(MODEL.len()).position(|window| window == MODEL.as_bytes()) {
            bytes[at..at + MODEL.len()].copy_from_slice(self.model.as_bytes());
        }
        let at = |name: &str| self.folder.path().join(name);
        let job = MergeJob {
            model: ModelFiles::Single { path: at("model.onnx"), only: None },
            shards: vec![self.folder.write("shard.safetensors", &bytes)],
            output: at("merged.safetensors"),
            force: true,
            hints: Hints::default(),
        };
        _ = merge(&job);
    }
}

/// A file of embeddings, two numbers a row.
fn embeddings(json: Option<&[u8]>, parts: &[&[u8]]) -> Option<Vec<u8>> {
    let rows = parts.iter().zip(EMBEDDINGS).map(|(bytes, name)| {
        let count = bytes.len() / 8;
        (name.to_owned(), Dtype::F32, vec![count, 2], &bytes[..count * 8])
    });
    tensors::file("uwm.embeddings", json, &rows.collect::<Vec<_>>())
}

fn checked(folder: &Folder, stored: &Path, baseline_result: Option<PathBuf>) -> Result<Checked, Error> {
    let policy = Some(folder.path().join("policy.yaml"));
    let job = CheckJob { policy, baseline_result, examples: 4, ..CheckJob::default() };
    let evaluate = EvaluateJob {
        model: Subject::Stored(PathBuf::from(stored)),
        baseline: None,
        hints: Hints::default(),
        config: Config::default(),
        bootstrap: Bootstrap { resamples: 10, ..Bootstrap::default() },
        embeddings_out: None,
        force: false,
    };
    check(&job, Ok(evaluate), &|| unreachable!("nothing is run"), &Unobserved, Limits::default())
}

/// Every form of a report.
fn show(checked: &Checked) {
    checked.to_table(Look::PLAIN);
    let _ = (checked.to_json(), checked.to_markdown(), checked.to_junit(), checked.to_html());
}
