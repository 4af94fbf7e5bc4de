//! What `check` is told.

use std::path::{Path, PathBuf};

use crate::pass::{Error, EvaluateJob, ModelFiles};
use crate::report::checked::WhenInconclusive;

/// Everything `check` is told beside what is measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CheckJob {
    /// The policy; the built-in one, if none is named.
    pub policy: Option<PathBuf>,
    /// A result of another day to compare with, in place of a baseline.
    pub baseline_result: Option<PathBuf>,
    /// What the model was made from, where that is not the baseline.
    pub original: Option<ModelFiles>,
    /// The patches it was made with.
    pub patches: Vec<PathBuf>,
    /// What `rewrite` reported of it, as JSON.
    pub rewrite: Option<PathBuf>,
    /// What `sweep` found, as JSON.
    pub sweep: Option<PathBuf>,
    /// Where reports go; the ending of the name says in which form.
    pub reports: Vec<PathBuf>,
    /// How many quadruplets a report shows.
    pub examples: usize,
    /// Whether reports that exist are replaced.
    pub force: bool,
    /// What is said to a pipeline when nothing is certain.
    pub when_inconclusive: WhenInconclusive,
    /// The command, for the report.
    pub command: Vec<String>,
}

/// In which form a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportForm {
    /// One object.
    Json,
    /// For a summary of a pipeline's step.
    Markdown,
    /// JUnit's XML.
    Junit,
    /// A page.
    Html,
}

impl ReportForm {
    /// By the ending of a name.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is none of these.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        match ending.to_str() {
            Some("json") => Ok(Self::Json),
            Some("md" | "markdown") => Ok(Self::Markdown),
            Some("xml") => Ok(Self::Junit),
            Some("html" | "htm") => Ok(Self::Html),
            _ => Err(Error::Conflict {
                reason: format!("--report {}: its ending tells no form of report", path.display()),
                help: "end its name in .json, .md, .xml (JUnit) or .html",
            }),
        }
    }
}

impl CheckJob {
    /// The files that are read.
    pub fn inputs(&self, evaluate: Option<&EvaluateJob>) -> Vec<PathBuf> {
        let own = [&self.policy, &self.baseline_result, &self.rewrite, &self.sweep].into_iter().flatten();
        let original = self.original.iter().flat_map(ModelFiles::inputs);
        let measured = evaluate.iter().flat_map(|job| job.inputs().into_iter().chain(job.config.files()));
        own.chain(&self.patches).cloned().chain(original).chain(measured.collect::<Vec<_>>()).collect()
    }
}
