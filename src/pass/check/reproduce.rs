//! What a report depends on: every file that was read, with its hash.

use std::path::PathBuf;

use super::job::CheckJob;
use crate::onnx::Source;
use crate::pass::evaluation::{EvaluateJob, Subject};
use crate::report::FileId;
use crate::report::checked::Checked;

/// What each file is, and its hash. Folders have none, and what could not be read is told elsewhere.
pub fn inputs(checked: &Checked, job: &CheckJob, evaluate: &EvaluateJob) -> Vec<(&'static str, FileId)> {
    let mut files: Vec<(&'static str, FileId)> = vec![];
    match (&checked.structure, &checked.evaluated) {
        (Some(structure), _) => {
            let [mut models, mut originals] = [vec![], vec![]];
            for file in &structure.files {
                models.push(file.model.clone());
                models.extend(file.data[1].iter().cloned());
                originals.push(file.original.clone());
                originals.extend(file.data[0].iter().cloned());
            }
            files.extend(models.into_iter().map(|file| ("model", file)));
            files.extend(originals.into_iter().map(|file| ("original", file)));
        }
        (None, Some(evaluated)) => files.extend(evaluated.model.iter().map(|file| ("model", file.clone()))),
        (None, None) => {}
    }
    let baseline = checked.evaluated.iter().flat_map(|evaluated| evaluated.baseline.iter().flatten());
    let unnamed = baseline.filter(|file| !files.iter().any(|(_, other)| other == *file));
    files.extend(unnamed.map(|file| ("baseline", file.clone())).collect::<Vec<_>>());
    let preparation = |subject: &Subject| match subject {
        Subject::Files { tokenizer, preprocessor, .. } => [tokenizer.clone(), preprocessor.clone()],
        Subject::Stored(_) => [None, None],
    };
    let [tokenizer, preprocessor] = preparation(&evaluate.model);
    let [own, prepared] = evaluate.baseline.as_ref().map_or([None, None], preparation);
    let (own, prepared) =
        (own.filter(|own| Some(own) != tokenizer.as_ref()), prepared.filter(|p| Some(p) != preprocessor.as_ref()));
    let named = [
        ("policy", job.policy.clone()),
        ("data", evaluate.config.evaluation.as_ref().map(|data| data.manifest.clone())),
        ("zero-shot set", evaluate.config.zero_shot.clone()),
        ("configuration", evaluate.config.path.clone()),
        ("tokenizer", tokenizer),
        ("preprocessor", preprocessor),
        ("tokenizer of the baseline", own),
        ("preprocessor of the baseline", prepared),
        ("stored result", job.baseline_result.clone()),
        ("report of rewrite", job.rewrite.clone()),
        ("sweep", job.sweep.clone()),
    ];
    let named = named.into_iter().chain(job.patches.iter().map(|path| ("patch", Some(path.clone()))));
    files.extend(named.filter_map(|(what, path)| Some((what, hashed(path?)?))));
    let samples = checked
        .evaluated
        .as_ref()
        .and_then(|evaluated| Some(FileId { path: evaluated.data.clone()?, sha256: evaluated.data_sha256.clone()? }));
    files.extend(samples.map(|samples| ("names and texts of the data", samples)));
    files
}

/// Mapped, not read: an archive of images may be larger than memory.
fn hashed(path: PathBuf) -> Option<FileId> {
    let sha256 = Source::open(&path).ok()?.sha256().to_owned();
    Some(FileId { path, sha256 })
}
