//! `evaluate`: what a model, or its stored embeddings, show on a data set, alone or beside another one.

mod compare;
mod fingerprint;
mod kept;
mod lines;
mod subject;

use std::path::PathBuf;
use std::time::Instant;

use super::Error;
use super::batches::{Limits, Runner};
use super::files::check_plain;
use super::job::ModelFiles;
use super::timing::Timing;
use super::{Observer, splits};
use crate::config::Config;
use crate::dataset::{DataSet, ZeroShot};
use crate::onnx::{Hints, Outputs};
use crate::report::Evaluated;
use crate::runtime::Runtime;
use crate::safeground::Bootstrap;
use compare::compare;
pub use lines::lines;
pub(super) use subject::Embedded;
use subject::Scene;

/// What embeds the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The towers of model files.
    Files {
        /// The files.
        files: ModelFiles,
        /// Their `tokenizer.json`.
        tokenizer: Option<PathBuf>,
        /// Their `preprocessor_config.json`.
        preprocessor: Option<PathBuf>,
    },
    /// Somebody did before: a file of embeddings.
    Stored(PathBuf),
}

/// Everything `evaluate` is told.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluateJob {
    /// What is evaluated.
    pub model: Subject,
    /// What it is compared with.
    pub baseline: Option<Subject>,
    /// What the user says of inputs and embeddings.
    pub hints: Hints,
    /// The data: `evaluation` and `zero_shot`; and the length of texts.
    pub config: Config,
    /// How intervals are made.
    pub bootstrap: Bootstrap,
    /// A file that the embeddings of the model are written to.
    pub embeddings_out: Option<PathBuf>,
    /// Whether it is replaced if it exists.
    pub force: bool,
}

impl EvaluateJob {
    /// The files of model and baseline, and what samples are prepared with.
    pub fn inputs(&self) -> Vec<PathBuf> {
        let of = |subject: &Subject| match subject {
            Subject::Files { files, tokenizer, preprocessor } => {
                files.inputs().into_iter().chain(tokenizer.clone()).chain(preprocessor.clone()).collect()
            }
            Subject::Stored(path) => vec![path.clone()],
        };
        [Some(&self.model), self.baseline.as_ref()].into_iter().flatten().flat_map(of).collect()
    }

    /// Whether a model must be run.
    pub fn needs_runtime(&self) -> bool {
        [Some(&self.model), self.baseline.as_ref()].into_iter().flatten().any(|of| matches!(of, Subject::Files { .. }))
    }
}

/// What models are evaluated on.
pub(super) struct Data {
    pub set: DataSet,
    pub zero_shot: Option<ZeroShot>,
}

/// Evaluates a model. `runtime` is needed where [`EvaluateJob::needs_runtime`].
///
/// # Errors
/// If models, data or runtime fail, or model and baseline were not measured on the same.
pub fn evaluate(
    job: &EvaluateJob,
    runtime: Option<&dyn Runtime>,
    observer: &dyn Observer,
    limits: Limits,
) -> Result<Evaluated, Error> {
    let mut timing = Timing::start(Instant::now());
    let mut outputs = Outputs::new(job.force).beside(job.config.files());
    let inputs = job.inputs();
    if let Some(path) = &job.embeddings_out {
        check_plain(&mut outputs, &inputs.iter().map(PathBuf::as_path).collect::<Vec<_>>(), path, job.force)?;
    }
    let scene = On { job, inputs: &inputs, runtime, observer, limits, lends: true };
    let Measured { evaluated, .. } = scene.measure(&mut timing, |model| {
        let Some(path) = &job.embeddings_out else { return Ok(()) };
        let file = outputs.create(path)?;
        let failed = |source| crate::onnx::Error::Write { path: path.clone(), source };
        outputs.write(file, |file| kept::store(file, model).map_err(failed))?;
        outputs.sync().map_err(Error::from)
    })?;
    if observer.cancelled() {
        return Err(Error::Interrupted);
    }
    outputs.publish()?;
    Ok(Evaluated { timing_s: timing.finish(), ..evaluated })
}

/// A job, and what it is done with.
#[derive(Clone, Copy)]
pub(super) struct On<'a> {
    pub job: &'a EvaluateJob,
    /// The files that are read.
    pub inputs: &'a [PathBuf],
    pub runtime: Option<&'a dyn Runtime>,
    pub observer: &'a dyn Observer,
    pub limits: Limits,
    /// Whether a baseline that lacks a tower is given the model's; a judge must not, for then nothing seems to change.
    pub lends: bool,
}

/// What was measured, and on what.
pub(super) struct Measured {
    pub evaluated: Evaluated,
    pub model: Embedded,
    pub baseline: Option<Embedded>,
    /// None where nothing was run.
    pub data: Option<Data>,
}

impl On<'_> {
    /// Embeds and compares; what is to be kept of the embeddings is kept in between.
    pub fn measure(
        self,
        timing: &mut Timing,
        keep: impl FnOnce(&Embedded) -> Result<(), Error>,
    ) -> Result<Measured, Error> {
        let Self { job, inputs, runtime, observer, limits, lends } = self;
        let mut notes = vec![];
        let data = if job.needs_runtime() { Some(load(job, inputs, &mut notes)?) } else { None };
        let embed = |subject: &Subject, who: &'static str, other: Option<&Embedded>| match (subject, &data, runtime) {
            (Subject::Stored(path), ..) => kept::load(path, limits.skip_bad_samples),
            (Subject::Files { files, .. }, Some(data), Some(runtime)) => {
                let (runner, config) = (Runner { runtime, observer, limits }, &subject.config(&job.config));
                Embedded::by(Scene { runner, config, hints: &job.hints, data }, files, who, other)
            }
            _ => unreachable!("files need data and a runtime, which the caller opened"),
        };
        // The baseline first: if that breaks down, so does every comparison with it.
        let baseline = job.baseline.as_ref().map(|baseline| embed(baseline, "baseline", None)).transpose()?;
        let mut model = embed(&job.model, "model", baseline.as_ref())?;
        let baseline = match baseline {
            None => None,
            Some(mut baseline) => {
                notes.extend(model.check_same_data(&baseline)?);
                notes.extend(model.prepared_otherwise(&baseline));
                if lends {
                    notes.extend(baseline.complete(&model, ["baseline", "model"])?);
                }
                notes.extend(model.complete(&baseline, ["model", "baseline"])?);
                Some(baseline)
            }
        };
        timing.lap("embed");
        keep(&model)?;
        observer.begin("comparing", 1 + usize::from(baseline.is_some()));
        let mut evaluated = compare(&model, baseline.as_ref(), job.bootstrap, observer)?;
        observer.end();
        timing.lap("compare");
        evaluated.data = job.config.evaluation.as_ref().filter(|_| data.is_some()).map(|data| data.manifest.clone());
        evaluated.data_sha256 = data.as_ref().map(Data::sha256);
        evaluated.notes.splice(0..0, notes);
        evaluated.runtime = runtime.map(|runtime| runtime.place().clone());
        Ok(Measured { evaluated, model, baseline, data })
    }
}

fn load(job: &EvaluateJob, inputs: &[PathBuf], notes: &mut Vec<String>) -> Result<Data, Error> {
    let data = job.config.evaluation.as_ref().ok_or_else(|| Error::Missing {
        what: "evaluation data",
        model: inputs.first().cloned().unwrap_or_default(),
        help: "give a set with --data, or name a manifest under `evaluation` in uwm.yaml",
    })?;
    let name = data.split.as_deref().unwrap_or(splits::EVALUATION);
    let set = splits::read(&job.config, data, splits::EVALUATION)?;
    let zero_shot = match &job.config.zero_shot {
        None => None,
        // The set's own splits may be called otherwise than those of the quadruplets.
        Some(path) => {
            let all = ZeroShot::read(path)?;
            let named = all.of(name);
            if named.is_err() && name != splits::EVALUATION && all.of(splits::EVALUATION).is_ok() {
                notes.push(format!(
                    "the zero-shot set has no split '{name}': its split '{}' was taken",
                    splits::EVALUATION
                ));
            }
            Some(named.or_else(|error| all.of(splits::EVALUATION).map_err(|_| error))?)
        }
    };
    notes.extend(set.notes.iter().chain(zero_shot.iter().flat_map(|set| &set.notes)).cloned());
    Ok(Data { set, zero_shot })
}
