//! `rewrite`: calibrate, score, select, patch, evaluate before and after, publish.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Error;
use super::batches::Runner;
use super::data::Data;
use super::site::Site;
use crate::config::{Config, Recipe};
use crate::onnx::{Graph, LayerEdit, Linear, Modality, Model, Patch, Staged, check_output};
use crate::report::{BeforeAfter, Edit, EditedFile, EditedLayer, FileId, Report};
use crate::uwm::{Scores, adaptive};

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
    fn edits(&self, modality: Modality) -> bool {
        !matches!(self, Self::Single { only: Some(only), .. } if *only != modality)
    }
}

/// Everything `rewrite` is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The input.
    pub model: ModelFiles,
    /// Where the edited file goes, or the folder for two.
    pub output: PathBuf,
    /// Whether an existing output is replaced.
    pub force: bool,
    /// Recipe and data.
    pub config: Config,
}

/// Does the whole job and returns what it did and measured. Outputs bear their names only when all went well.
///
/// # Errors
/// Whatever went wrong; then nothing is left behind.
pub fn rewrite(job: &Job, runner: Runner) -> Result<Report, Error> {
    let clock = Instant::now();
    // Declared first, so that temporary files are gone from a folder before it goes.
    let Plan { files, made: _made } = plan_files(job)?;
    let models = files.iter().map(|(input, _)| Model::open(input)).collect::<Result<Vec<_>, _>>()?;
    models.iter().try_for_each(Model::check_self_contained)?;
    let graphs = models.iter().map(Graph::new).collect::<Result<Vec<_>, _>>()?;
    let sites = find_sites(&job.model, &graphs)?;
    let data = Data::load(&job.config, &sites)?;
    let mut plans = vec![];
    for (file, site) in sites.iter().filter(|(_, site)| job.model.edits(site.modality())) {
        let recipe = job.config.recipe(site.modality())?;
        let layers = site.select(&recipe.layers)?;
        plans.push((*file, site, recipe, layers));
    }
    let mut timing = Timing::start(clock);

    let before = data.evaluate(runner, &sites, "before")?;
    timing.lap("evaluate_before");

    let mut edited = vec![];
    for (file, site, recipe, layers) in plans {
        let scores = data.calibrate(runner, site, &layers, &recipe)?;
        timing.lap("calibrate");
        for (layer, scores) in layers.into_iter().zip(scores) {
            edited.push(choose(file, layer, &scores, &recipe)?);
        }
        timing.lap("select");
    }

    let mut staged = vec![];
    for (index, (_, output)) in files.iter().enumerate() {
        let patch = Patch {
            source_sha256: models[index].sha256().to_owned(),
            layers: edited.iter().filter(|(file, ..)| *file == index).map(|(_, edit, _)| edit.clone()).collect(),
        };
        staged.push(patch.stage(&models[index], output)?);
    }
    timing.lap("write");

    // What is measured is the very file that gets its name afterwards.
    let new_models = staged.iter().map(|file| Model::open(file.path())).collect::<Result<Vec<_>, _>>()?;
    let new_graphs = new_models.iter().map(Graph::new).collect::<Result<Vec<_>, _>>()?;
    let new_sites = find_sites(&job.model, &new_graphs)?;
    let after = data.evaluate(runner, &new_sites, "after")?;
    timing.lap("evaluate_after");

    let ids: Vec<EditedFile> = files
        .iter()
        .enumerate()
        .map(|(index, (input, output))| EditedFile {
            towers: sites
                .iter()
                .filter(|(file, site)| *file == index && job.model.edits(site.modality()))
                .map(|(_, site)| site.modality())
                .collect(),
            model: FileId { path: input.clone(), sha256: models[index].sha256().to_owned() },
            output: FileId { path: output.clone(), sha256: new_models[index].sha256().to_owned() },
        })
        .collect();
    if runner.observer.cancelled() {
        return Err(Error::Interrupted);
    }
    publish(staged, job.force)?;
    timing.lap("write");

    let layers = edited.into_iter().map(|(_, _, layer)| layer).collect();
    Ok(Report {
        files: ids,
        calibration_pairs: data.calibration.rows.len(),
        evaluation_quadruplets: data.evaluation.map_or(0, |set| set.rows.len()),
        edit: Edit::new(layers),
        evaluation: before.zip(after).map(|(before, after)| BeforeAfter { before, after }),
        notes: data.notes,
        runtime: runner.runtime.place(),
        timing_s: timing.finish(),
    })
}

/// Each input with its output, and the folder if one had to be made for them.
struct Plan {
    files: Vec<(PathBuf, PathBuf)>,
    made: Option<MadeFolder>,
}

/// A folder made for the outputs; goes away again if nothing was put into it.
struct MadeFolder(PathBuf);

impl Drop for MadeFolder {
    fn drop(&mut self) {
        // Fails, as it should, when the folder holds something.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Gives all files their names, or none: when one fails, those that took a new name are removed again. (One that
/// replaced a file by `force` stays: what it replaced is gone.)
fn publish(staged: Vec<Staged>, force: bool) -> Result<(), Error> {
    let mut new = vec![];
    for file in staged {
        let target = file.target().to_owned();
        let replaces = target.symlink_metadata().is_ok();
        if let Err(error) = file.publish(force) {
            for path in new {
                let _ = std::fs::remove_file(path);
            }
            return Err(error.into());
        }
        if !replaces {
            new.push(target);
        }
    }
    Ok(())
}

/// Decides what goes where, and checks it before any work is done.
fn plan_files(job: &Job) -> Result<Plan, Error> {
    let mut made = None;
    let files = match &job.model {
        ModelFiles::Single { path, .. } => vec![(path.clone(), job.output.clone())],
        ModelFiles::Pair { text, vision } => {
            for input in [text, vision] {
                // Before the folder is made.
                std::fs::metadata(input).map_err(|source| crate::onnx::Error::Io {
                    action: "read",
                    path: input.clone(),
                    source,
                })?;
            }
            if text.file_name() == vision.file_name() {
                return Err(Error::Conflict {
                    reason: format!("{} and {} have the same file name", text.display(), vision.display()),
                    help: "the outputs keep the inputs' names; edit the towers one after the other, each with an -o of its own",
                });
            }
            if !job.output.is_dir() {
                std::fs::create_dir(&job.output)
                    .map_err(|source| crate::onnx::Error::Write { path: job.output.clone(), source })?;
                made = Some(MadeFolder(job.output.clone()));
            }
            let place = |input: &Path| (input.to_owned(), job.output.join(input.file_name().unwrap_or_default()));
            vec![place(text), place(vision)]
        }
    };
    for (input, output) in &files {
        check_output(input, output, job.force)?;
    }
    Ok(Plan { files, made })
}

/// The towers with the index of their file.
fn find_sites<'m>(files: &ModelFiles, graphs: &'m [Graph<'m>]) -> Result<Vec<(usize, Site<'m>)>, Error> {
    let mut sites = vec![];
    for (file, graph) in graphs.iter().enumerate() {
        sites.extend(Site::find(graph)?.into_iter().map(|site| (file, site)));
    }
    let wanted = match files {
        ModelFiles::Single { only, .. } => only.iter().map(|&modality| (0, modality)).collect(),
        ModelFiles::Pair { .. } => {
            // A file given for one tower may hold both; only the tower it was given for counts.
            sites.retain(|(file, site)| (*file == 0) == (site.modality() == Modality::Text));
            vec![(0, Modality::Text), (1, Modality::Vision)]
        }
    };
    for (file, modality) in wanted {
        if !sites.iter().any(|(at, site)| *at == file && site.modality() == modality) {
            let path = graphs[file].model.path().display();
            return Err(Error::Conflict {
                reason: format!("{path}, given with --{modality}, has no {modality} tower"),
                help: "give the file of the text encoder with --text and that of the image encoder with --vision",
            });
        }
    }
    Ok(sites)
}

/// Selects in one layer.
fn choose(
    file: usize,
    layer: Linear,
    scores: &Scores,
    recipe: &Recipe,
) -> Result<(usize, LayerEdit, EditedLayer), Error> {
    let positions = adaptive(scores.values.view(), recipe.tau)
        .map_err(|source| Error::Score { layer: layer.node.clone(), source })?;
    let described = EditedLayer {
        tower: layer.modality,
        block: layer.block,
        role: layer.role,
        node: layer.node,
        initializer: layer.weight.initializer.clone(),
        shape: layer.weight.shape,
        tau: recipe.tau,
        alpha: recipe.alpha,
        selected: positions.len(),
        undefined: scores.undefined,
    };
    Ok((file, LayerEdit { weight: layer.weight, alpha: recipe.alpha as f32, positions }, described))
}

/// Seconds spent, by part.
struct Timing {
    begun: Instant,
    last: Instant,
    laps: Vec<(&'static str, f64)>,
}

impl Timing {
    fn start(begun: Instant) -> Self {
        let mut timing = Self { begun, last: begun, laps: vec![] };
        timing.lap("load");
        timing
    }

    fn lap(&mut self, part: &'static str) {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        match self.laps.iter_mut().find(|(name, _)| *name == part) {
            Some((_, total)) => *total += seconds,
            None => self.laps.push((part, seconds)),
        }
    }

    fn finish(mut self) -> Vec<(&'static str, f64)> {
        self.laps.push(("total", self.begun.elapsed().as_secs_f64()));
        self.laps
    }
}
