//! `check`: a model against a policy. Every part is tried, whatever became of the others, and what goes wrong is a finding
//! too, so that a report always tells all that is known.

mod detail;
mod job;
mod patches;
mod result;
mod siblings;
mod signature;
mod stored;
mod structure;

use std::path::Path;
use std::time::Instant;

use miette::Diagnostic;

use super::batches::Limits;
use super::evaluation::{EvaluateJob, Measured, On, Subject};
use super::files::{apart, check_plain, write_plain};
use super::job::ModelFiles;
use super::timing::Timing;
use super::{Error, Observer};
use crate::gate::{self, Facts, Policy};
use crate::onnx::{Outputs, Source};
use crate::report::FileId;
use crate::report::checked::{Checked, Confidence, Finding, Outcome, PolicyUsed, Reproduce};
use crate::runtime::Runtime;
use detail::Lie;
pub use job::{CheckJob, ReportForm};
pub use stored::{read_rewritten, read_sweep};
pub use structure::compare_files;

/// Opens a runtime when one is needed.
pub type OpenRuntime<'a> = &'a dyn Fn() -> Result<Box<dyn Runtime>, Error>;

/// Judges a model and writes the reports. `evaluate` says what is measured, or why that could not be made out.
///
/// # Errors
/// If a report may not or cannot be written, or the user stops it. Everything else is a finding.
pub fn check(
    job: &CheckJob,
    evaluate: Result<EvaluateJob, Error>,
    open: OpenRuntime,
    observer: &dyn Observer,
    limits: Limits,
) -> Result<Checked, Error> {
    let mut timing = Timing::start(Instant::now());
    let inputs = job.inputs(evaluate.as_ref().ok());
    let mut outputs = Outputs::new(job.force);
    let forms = job.reports.iter().map(|path| ReportForm::of(path)).collect::<Result<Vec<_>, _>>()?;
    apart(job.reports.iter())?;
    let read: Vec<&Path> = inputs.iter().map(|path| path.as_path()).collect();
    job.reports.iter().try_for_each(|path| check_plain(&mut outputs, &read, path, job.force))?;

    let mut checking = Checking { job, observer, limits, open, checked: Checked::new(job), faults: vec![] };
    match evaluate {
        Ok(evaluate) => checking.all(&evaluate, &mut timing)?,
        Err(error) => checking.wrong("options", error)?,
    }
    if observer.cancelled() {
        return Err(Error::Interrupted);
    }
    let Checking { mut checked, faults, .. } = checking;
    checked.findings.extend(faults);
    checked.timing_s = timing.finish();
    for (path, form) in job.reports.iter().zip(forms) {
        write_plain(&mut outputs, &written(&checked, form), path)?;
    }
    outputs.publish()?;
    Ok(checked)
}

fn written(checked: &Checked, form: ReportForm) -> Vec<u8> {
    match form {
        ReportForm::Json => format!("{:#}\n", checked.to_json()).into_bytes(),
        ReportForm::Markdown => checked.to_markdown().into_bytes(),
        ReportForm::Junit => checked.to_junit().into_bytes(),
        ReportForm::Html => checked.to_html().into_bytes(),
    }
}

/// A check that is being made.
struct Checking<'a> {
    job: &'a CheckJob,
    observer: &'a dyn Observer,
    limits: Limits,
    open: OpenRuntime<'a>,
    checked: Checked,
    /// What went wrong, each once.
    faults: Vec<Finding>,
}

impl Checking<'_> {
    fn all(&mut self, evaluate: &EvaluateJob, timing: &mut Timing) -> Result<(), Error> {
        let job = self.job;
        self.checked.model = inputs_of(&evaluate.model);
        self.checked.baseline = match (&evaluate.baseline, &job.baseline_result) {
            (Some(baseline), _) => inputs_of(baseline),
            (None, stored) => stored.iter().cloned().collect(),
        };
        let compares = evaluate.baseline.is_some() || job.baseline_result.is_some();
        let policy = Policy::read(job.policy.as_deref()).and_then(|policy| {
            policy.check_given(compares, job.original.is_some(), !job.patches.is_empty()).map(|()| policy)
        });
        let policy = match policy {
            Ok(policy) => policy,
            Err(error) => return self.wrong("policy", error.into()),
        };
        self.checked.policy = policy.used.clone();
        self.files(&policy, evaluate)?;
        timing.lap("files");
        let mut evaluate = evaluate.clone();
        if let Confidence::Interval(level) = policy.used.confidence {
            evaluate.bootstrap.level = level;
        }
        self.figures(&policy, &evaluate, timing)?;
        self.stored()?;
        self.reproduce(&evaluate);
        Ok(())
    }

    /// What went wrong becomes a finding; what the user stopped stops.
    fn wrong(&mut self, part: &str, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Interrupted) {
            return Err(error);
        }
        let finding = Finding {
            code: error.code().map_or("error".to_owned(), |code| code.to_string()),
            outcome: Outcome::Error(error.exit() as u8),
            rule: None,
            place: None,
            subject: part.to_owned(),
            message: error.to_string(),
            help: error.help().map(|help| help.to_string()),
            judged: None,
        };
        // A file that cannot be read is in the way of several parts.
        if !self.faults.iter().any(|fault| fault.message == finding.message) {
            self.faults.push(finding);
        }
        Ok(())
    }

    fn files(&mut self, policy: &Policy, evaluate: &EvaluateJob) -> Result<(), Error> {
        let original = match (&self.job.original, &evaluate.baseline) {
            (Some(original), _) => Some(original),
            (None, Some(Subject::Files { files, .. })) => Some(files),
            _ => None,
        };
        let Subject::Files { files: model, .. } = &evaluate.model else { return Ok(()) };
        let facts = original.map(|original| self.compared(policy, model, original, evaluate)).transpose();
        let (structure, provenance, patch) = match facts {
            Ok(facts) => facts.unwrap_or_default(),
            Err(error) => return self.wrong("files", error),
        };
        let facts = Facts { structure: structure.as_ref(), provenance, patch };
        self.checked.findings.extend(gate::judge_files(policy, &facts));
        self.checked.structure = structure;
        Ok(())
    }

    /// What differs, what the metadata lack, what is not as the patches make it.
    fn compared(
        &self,
        policy: &Policy,
        model: &ModelFiles,
        original: &ModelFiles,
        evaluate: &EvaluateJob,
    ) -> Result<patches::Compared, Error> {
        let structure = compare_files(model, original, &evaluate.hints)?;
        let provenance = match policy.structure.provenance_required {
            Some(_) => patches::without_provenance(&structure)?,
            None => vec![],
        };
        let patch = match self.job.patches.as_slice() {
            [] => None,
            given => Some(patches::not_as_patched(&structure, given)?),
        };
        Ok((Some(structure), provenance, patch))
    }

    fn figures(&mut self, policy: &Policy, evaluate: &EvaluateJob, timing: &mut Timing) -> Result<(), Error> {
        let measured = match self.measured(evaluate, timing) {
            Ok(measured) => measured,
            Err(error) => return self.wrong("evaluation", error),
        };
        let lie = Lie::of(&measured);
        let hidden = evaluate.config.evaluation.as_ref().and_then(|data| data.sensitive).unwrap_or(true);
        self.checked.scatter = lie.scatter();
        self.checked.examples = lie.examples(self.job.examples, &measured, hidden);
        timing.lap("examples");
        let Measured { evaluated, .. } = measured;
        self.checked.findings.splice(0..0, gate::judge_figures(policy, &evaluated));
        self.checked.findings.extend(gate::judge_health(&evaluated));
        self.checked.notes.extend(evaluated.notes.iter().cloned());
        self.checked.runtime = evaluated.runtime.clone();
        self.checked.evaluated = Some(evaluated);
        Ok(())
    }

    fn measured(&self, evaluate: &EvaluateJob, timing: &mut Timing) -> Result<Measured, Error> {
        let runtime = evaluate.needs_runtime().then(self.open).transpose()?;
        let inputs = evaluate.inputs();
        let on = On {
            job: evaluate,
            inputs: &inputs,
            runtime: runtime.as_deref(),
            observer: self.observer,
            limits: self.limits,
        };
        let mut measured = on.measure(timing, |_| Ok(()))?;
        if let Some(path) = &self.job.baseline_result {
            result::compare_with(path, &mut measured.evaluated)?;
        }
        Ok(measured)
    }

    /// What `rewrite` and `sweep` told.
    fn stored(&mut self) -> Result<(), Error> {
        let models: Vec<FileId> = match (&self.checked.structure, &self.checked.evaluated) {
            (Some(structure), _) => structure.files.iter().map(|file| file.model.clone()).collect(),
            (None, Some(evaluated)) => evaluated.model.clone(),
            (None, None) => return Ok(()),
        };
        if let Some(path) = &self.job.rewrite {
            match stored::read_rewritten(path, &models) {
                Ok((rewritten, notes)) => {
                    self.checked.rewritten = Some(rewritten);
                    self.checked.notes.extend(notes);
                }
                Err(error) => self.wrong("report of rewrite", error)?,
            }
        }
        if let Some(path) = &self.job.sweep {
            match stored::read_sweep(path) {
                Ok(frontiers) => self.checked.frontiers = frontiers,
                Err(error) => self.wrong("sweep", error)?,
            }
        }
        Ok(())
    }

    /// The hash of everything that was read.
    fn reproduce(&mut self, evaluate: &EvaluateJob) {
        let job = self.job;
        let checked = &self.checked;
        let mut files: Vec<(&'static str, FileId)> = vec![];
        match (&checked.structure, &checked.evaluated) {
            (Some(structure), _) => {
                files.extend(structure.files.iter().map(|file| ("model", file.model.clone())));
                files.extend(structure.files.iter().map(|file| ("original", file.original.clone())));
            }
            (None, Some(evaluated)) => {
                files.extend(evaluated.model.iter().map(|file| ("model", file.clone())));
                files.extend(evaluated.baseline.iter().flatten().map(|file| ("baseline", file.clone())));
            }
            (None, None) => {}
        }
        let preparation = |subject: &Subject| match subject {
            Subject::Files { tokenizer, preprocessor, .. } => [tokenizer.clone(), preprocessor.clone()],
            Subject::Stored(_) => [None, None],
        };
        let [tokenizer, preprocessor] = preparation(&evaluate.model);
        let data = evaluate.config.evaluation.as_ref().map(|data| data.manifest.clone());
        let named = [
            ("policy", job.policy.clone()),
            ("data", data),
            ("zero-shot set", evaluate.config.zero_shot.clone()),
            ("configuration", evaluate.config.path.clone()),
            ("tokenizer", tokenizer),
            ("preprocessor", preprocessor),
            ("stored result", job.baseline_result.clone()),
            ("report of rewrite", job.rewrite.clone()),
            ("sweep", job.sweep.clone()),
        ];
        let named = named.into_iter().chain(job.patches.iter().map(|path| ("patch", Some(path.clone()))));
        for (what, path) in named.filter_map(|(what, path)| Some((what, path?))) {
            // Folders have no hash, and what could not be read is told elsewhere. A set may be larger than memory.
            if let Ok(file) = Source::open(&path) {
                files.push((what, FileId { sha256: file.sha256().to_owned(), path }));
            }
        }
        self.checked.reproduce.files = files;
    }
}

fn inputs_of(subject: &Subject) -> Vec<std::path::PathBuf> {
    match subject {
        Subject::Files { files, .. } => files.inputs(),
        Subject::Stored(path) => vec![path.clone()],
    }
}

impl Checked {
    /// Nothing yet.
    fn new(job: &CheckJob) -> Self {
        Self {
            model: vec![],
            baseline: vec![],
            policy: PolicyUsed {
                path: job.policy.clone(),
                sha256: String::new(),
                confidence: Confidence::Interval(95.0),
            },
            findings: vec![],
            when_inconclusive: job.when_inconclusive,
            evaluated: None,
            structure: None,
            scatter: None,
            examples: vec![],
            rewritten: None,
            frontiers: vec![],
            reproduce: Reproduce { command: job.command.clone(), version: env!("CARGO_PKG_VERSION"), files: vec![] },
            notes: vec![],
            runtime: None,
            timing_s: vec![],
        }
    }
}
