//! What `rewrite` is told, and where its outputs go.

use std::path::{Path, PathBuf};

use super::Error;
use super::files::{check, check_plain};
use crate::config::Config;
use crate::onnx::{Hints, Modality, Model, Names, Outputs, is_edited};

/// The model to edit: one file with one or two towers, or a file a tower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelFiles {
    /// One file; `output` is a file.
    Single {
        /// The file.
        path: PathBuf,
        /// Edit this tower only; if the file has another, that serves the evaluation.
        only: Option<Modality>,
    },
    /// A file for each tower; `output` is a folder, made if it is missing.
    Pair {
        /// The text tower.
        text: PathBuf,
        /// The vision tower.
        vision: PathBuf,
    },
}

impl ModelFiles {
    /// The files.
    pub fn inputs(&self) -> Vec<PathBuf> {
        match self {
            Self::Single { path, .. } => vec![path.clone()],
            Self::Pair { text, vision } => vec![text.clone(), vision.clone()],
        }
    }

    /// The tower that a file was given for.
    pub fn wanted(&self, file: usize) -> Option<Modality> {
        match (self, file) {
            (Self::Single { only, .. }, _) => *only,
            (Self::Pair { .. }, 0) => Some(Modality::Text),
            (Self::Pair { .. }, _) => Some(Modality::Vision),
        }
    }

    /// Whether that tower is to be edited.
    pub fn edits(&self, modality: Modality) -> bool {
        !matches!(self, Self::Single { only: Some(only), .. } if *only != modality)
    }
}

/// Everything `rewrite` is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The input.
    pub model: ModelFiles,
    /// Where the edited file goes, or the folder for two; without it nothing is written, only told.
    pub output: Option<PathBuf>,
    /// Where the patch goes, or the folder for two.
    pub patch: Option<PathBuf>,
    /// Whether existing outputs are replaced, and an edited model is edited again.
    pub force: bool,
    /// Whether the edited file says in its metadata what was done to it.
    pub provenance: bool,
    /// A folder where the calibration's progress is kept until the job is done, and taken up again.
    pub resume: Option<PathBuf>,
    /// A file that the scores are written to.
    pub scores_out: Option<PathBuf>,
    /// A file of scores that are used instead of a calibration.
    pub scores: Option<PathBuf>,
    /// A file that the report is written to, as JSON without times: the same job gives the same bytes.
    pub json: Option<PathBuf>,
    /// What the edit is compared with.
    pub controls: Controls,
    /// What the user says of inputs and embeddings.
    pub hints: Hints,
    /// Recipe and data.
    pub config: Config,
}

/// Edits that a real one is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Controls {
    /// None.
    Off,
    /// As many elements a layer, chosen at random once; and the method with safe and unsafe in each other's place.
    #[default]
    Fast,
    /// The same with five random choices.
    Full,
}

impl Controls {
    /// Seeds of the random choices.
    pub fn seeds(self) -> std::ops::Range<u64> {
        match self {
            Self::Off => 0..0,
            Self::Fast => 0..1,
            Self::Full => 0..5,
        }
    }
}

/// What is to be written, and where.
#[derive(Clone, Copy)]
pub struct Destination<'a> {
    /// The model that is edited.
    pub model: &'a ModelFiles,
    /// Where the edited file goes, or the folder for two.
    pub output: &'a Path,
    /// Where the patch goes, or the folder for two.
    pub patch: Option<&'a Path>,
    /// Whether existing outputs are replaced, and an edited model is edited again.
    pub force: bool,
}

/// Where the files of one input go.
pub struct Target {
    /// The edited model.
    pub output: PathBuf,
    /// New locations of its data files.
    pub names: Names,
    /// The patch.
    pub patch: Option<PathBuf>,
}

impl Destination<'_> {
    /// Decides what goes where, and checks it before any work is done.
    ///
    /// # Errors
    /// If an output may not or cannot be written.
    pub fn plan(self, models: &[Model], outputs: &mut Outputs) -> Result<Vec<Target>, Error> {
        if let Some(edited) = models.iter().find(|model| is_edited(model)).filter(|_| !self.force) {
            return Err(crate::onnx::Error::Edited { path: edited.path().to_owned() }.into());
        }
        if let ModelFiles::Pair { text, vision } = self.model {
            if text.file_name() == vision.file_name() {
                return Err(Error::Conflict {
                    reason: format!("{} and {} have the same file name", text.display(), vision.display()),
                    help: "the outputs keep the inputs' names; edit the towers one after the other, each with an -o of its own",
                });
            }
            for folder in std::iter::once(self.output).chain(self.patch) {
                if !folder.is_dir() {
                    outputs.make_folder(folder)?;
                }
            }
        }
        let targets = models.iter().map(|model| self.target(model)).collect::<Result<Vec<_>, Error>>()?;
        let inputs: Vec<&Path> = models.iter().map(Model::path).collect();
        for (target, model) in targets.iter().zip(models) {
            check(outputs, model, &target.names, &target.output, self.force)?;
            if let Some(patch) = &target.patch {
                check_plain(outputs, &inputs, patch, self.force)?;
            }
        }
        Ok(targets)
    }

    fn target(self, model: &Model) -> Result<Target, Error> {
        let name = Path::new(model.path().file_name().unwrap_or_default());
        let (output, patch) = match self.model {
            ModelFiles::Single { .. } => (self.output.to_owned(), self.patch.map(Path::to_owned)),
            ModelFiles::Pair { .. } => {
                (self.output.join(name), self.patch.map(|folder| folder.join(name.with_extension("uwm"))))
            }
        };
        Ok(Target { names: Names::for_output(model, &output)?, output, patch })
    }
}
