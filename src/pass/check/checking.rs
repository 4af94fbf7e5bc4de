//! The parts of a check, one after the other.

use std::path::PathBuf;

use miette::Diagnostic;

use super::detail::Lie;
use super::job::CheckJob;
use super::patches::{Compared, not_as_patched, without_provenance};
use super::reproduce::inputs;
use super::result::compare_with;
use super::stored::{read_rewritten, read_sweep};
use super::structure::compare_files;
use crate::gate::{self, Facts, Policy};
use crate::pass::batches::Limits;
use crate::pass::evaluate::Bad;
use crate::pass::evaluation::{Embedded, EvaluateJob, Measured, On, Subject};
use crate::pass::job::ModelFiles;
use crate::pass::timing::Timing;
use crate::pass::{Error, Observer};
use crate::report::FileId;
use crate::report::checked::{Checked, ComparedFile, Confidence, Finding, Outcome, Structure};
use crate::runtime::Runtime;

/// Opens a runtime when one is needed.
pub type OpenRuntime<'a> = &'a dyn Fn() -> Result<Box<dyn Runtime>, Error>;

/// A check that is being made.
pub struct Checking<'a> {
    pub job: &'a CheckJob,
    pub observer: &'a dyn Observer,
    pub limits: Limits,
    pub open: OpenRuntime<'a>,
    pub checked: Checked,
    /// What went wrong, each once.
    pub faults: Vec<Finding>,
}

impl Checking<'_> {
    /// Judges whatever can be judged.
    pub fn all(&mut self, evaluate: &EvaluateJob, timing: &mut Timing) -> Result<(), Error> {
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
        self.checked.reproduce.files = inputs(&self.checked, self.job, &evaluate);
        Ok(())
    }

    /// What went wrong becomes a finding; what the user stopped stops.
    pub fn wrong(&mut self, part: &str, error: Error) -> Result<(), Error> {
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
    ) -> Result<Compared, Error> {
        let structure = compare_files(model, original, &evaluate.hints)?;
        if self.job.original.is_some() && !structure.files.iter().any(ComparedFile::differs) {
            let same =
                |subject: &Subject| matches!(subject, Subject::Files { files, .. } if is_that(files, &structure));
            if evaluate
                .baseline
                .as_ref()
                .is_some_and(|baseline| matches!(baseline, Subject::Files { .. }) && !same(baseline))
            {
                return Err(Error::Conflict {
                    reason: "the model is the file given with --original, byte for byte, and the baseline is another"
                        .to_owned(),
                    help: "name what the model was made from with --original, or leave it out for the baseline",
                });
            }
        }
        let provenance = match policy.structure.provenance_required {
            Some(_) => without_provenance(&structure)?,
            None => vec![],
        };
        let patch = match self.job.patches.as_slice() {
            [] => None,
            given => Some(not_as_patched(&structure, given)?),
        };
        Ok((Some(structure), provenance, patch))
    }

    fn figures(&mut self, policy: &Policy, evaluate: &EvaluateJob, timing: &mut Timing) -> Result<(), Error> {
        // Who asks about files alone need have no data; where there are some, it is seen whether the model works.
        if policy.figures.is_empty() && evaluate.config.evaluation.is_none() && evaluate.needs_runtime() {
            let note = "nothing was measured: the policy asks for no figures, and no data were given";
            self.checked.notes.push(note.to_owned());
            return Ok(());
        }
        let measured = match self.measured(evaluate, timing) {
            Ok(measured) => measured,
            Err(error) => return self.not_measured(error),
        };
        if let (Some(Subject::Stored(path)), Some(baseline)) = (&evaluate.baseline, &measured.baseline)
            && baseline.tags.ids.is_empty()
        {
            let reason = "it does not tell which rows it has, so that none can be compared with the model's";
            return self.wrong("evaluation", Error::Embeddings { path: path.clone(), reason: reason.to_owned() });
        }
        self.checked.findings.extend(lost(&measured));
        self.same_files(&measured)?;
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

    /// Why nothing was measured; a model that has embeddings for nothing is no error of the caller, but broken.
    fn not_measured(&mut self, error: Error) -> Result<(), Error> {
        let broken = match &error {
            Error::SafeGround { what, .. } => what.starts_with("model: "),
            Error::Conflict { reason, .. } => reason.ends_with("finite embeddings of the model"),
            _ => false,
        };
        if !broken {
            return self.wrong("evaluation", error);
        }
        self.checked.findings.push(without_embeddings(format!("The model breaks down: {error}.")));
        Ok(())
    }

    /// Checks that the files that were compared are those that were run.
    fn same_files(&mut self, measured: &Measured) -> Result<(), Error> {
        let compared = self.checked.structure.iter().flat_map(|structure| &structure.files);
        let compared: Vec<FileId> = compared.flat_map(|file| [file.model.clone(), file.original.clone()]).collect();
        let run = measured.model.files().into_iter().chain(measured.baseline.iter().flat_map(Embedded::files));
        let other = |file: &FileId| compared.iter().any(|c| c.path == file.path && c.sha256 != file.sha256);
        match run.into_iter().find(other) {
            Some(file) => self.wrong("files", Error::Changed { path: file.path }),
            None => Ok(()),
        }
    }

    fn measured(&self, evaluate: &EvaluateJob, timing: &mut Timing) -> Result<Measured, Error> {
        let runtime = evaluate.needs_runtime().then(self.open).transpose()?;
        let inputs = evaluate.inputs();
        let on = On {
            job: evaluate,
            inputs: &inputs,
            runtime: runtime.as_deref(),
            observer: self.observer,
            // What the model has no embedding for is counted against it, and no reason to stop.
            limits: Limits { skip_bad_samples: true, ..self.limits },
            lends: false,
        };
        let mut measured = on.measure(timing, |_| Ok(()))?;
        if let Some(path) = &self.job.baseline_result {
            compare_with(path, &mut measured.evaluated)?;
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
            match read_rewritten(path, &models) {
                Ok((rewritten, notes)) => {
                    self.checked.rewritten = Some(rewritten);
                    self.checked.notes.extend(notes);
                }
                Err(error) => self.wrong("report of rewrite", error)?,
            }
        }
        if let Some(path) = &self.job.sweep {
            match read_sweep(path) {
                Ok(frontiers) => self.checked.frontiers = frontiers,
                Err(error) => self.wrong("sweep", error)?,
            }
        }
        Ok(())
    }
}

/// Whether files are the originals that were compared with.
fn is_that(files: &ModelFiles, structure: &Structure) -> bool {
    files.inputs().iter().all(|path| {
        let bytes = crate::onnx::Model::open(path).map(|model| model.sha256().to_owned()).unwrap_or_default();
        structure.files.iter().any(|file| file.original.sha256 == bytes)
    })
}

/// What the model has no embedding for and the baseline has: nothing is measured on it, so that it is told by itself.
fn lost(measured: &Measured) -> Option<Finding> {
    let bad = |of: &Embedded| of.sides.iter().flatten().fold(Bad::default(), |bad, side| bad.or(&side.rows.bad));
    let model = bad(&measured.model);
    let before = measured.baseline.as_ref().map(bad).unwrap_or_default();
    let quadruplets = model.quadruplets.difference(&before.quadruplets).count();
    let images = model.images.difference(&before.images).count();
    (quadruplets + images > 0).then(|| {
        without_embeddings(format!(
            "The model has no embedding for {quadruplets} of {} quadruplets and {images} zero-shot images: they are zero or not finite.",
            measured.model.rows()
        ))
    })
}

/// The finding that a model breaks on inputs, which no rule asks about.
fn without_embeddings(message: String) -> Finding {
    Finding {
        code: "embeddings-undefined".to_owned(),
        outcome: Outcome::Fail,
        rule: None,
        place: None,
        subject: "the model works".to_owned(),
        message,
        help: Some("find out which weights or inputs break it; nothing could be measured on these".to_owned()),
        judged: None,
    }
}

fn inputs_of(subject: &Subject) -> Vec<PathBuf> {
    match subject {
        Subject::Files { files, .. } => files.inputs(),
        Subject::Stored(path) => vec![path.clone()],
    }
}
