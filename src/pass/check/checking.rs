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
use crate::pass::evaluation::{EvaluateJob, Measured, On, Subject};
use crate::pass::job::ModelFiles;
use crate::pass::timing::Timing;
use crate::pass::{Error, Observer};
use crate::report::FileId;
use crate::report::checked::{Checked, Confidence, Finding, Outcome};
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

fn inputs_of(subject: &Subject) -> Vec<PathBuf> {
    match subject {
        Subject::Files { files, .. } => files.inputs(),
        Subject::Stored(path) => vec![path.clone()],
    }
}
