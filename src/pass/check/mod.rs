//! `check`: a model against a policy. Every part is tried, whatever became of the others, and what goes wrong is a finding
//! too, so that a report always tells all that is known.

mod checking;
mod detail;
mod job;
mod patches;
mod reproduce;
mod result;
mod siblings;
mod signature;
mod stored;
mod structure;

use std::path::Path;
use std::time::Instant;

use super::batches::Limits;
use super::evaluation::EvaluateJob;
use super::files::{apart, check_plain, write_plain};
use super::timing::Timing;
use super::{Error, Observer};
use crate::onnx::Outputs;
use crate::report::checked::{Checked, Confidence, PolicyUsed, Reproduce};
use checking::Checking;
pub use checking::OpenRuntime;
pub use job::{CheckJob, ReportForm};
pub use stored::{read_rewritten, read_sweep};
pub use structure::compare_files;

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
