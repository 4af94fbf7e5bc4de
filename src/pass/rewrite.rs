//! `rewrite`: calibrate, score, select, patch, evaluate before and after, publish.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::Error;
use super::batches::Runner;
use super::checkpoint::Checkpoints;
use super::data::Data;
use super::files::{check, check_plain, data_files, write_model, write_plain};
use super::folder::siblings;
use super::site::Site;
use super::timing::Timing;
use crate::config::{Config, Recipe};
use crate::few::few;
use crate::onnx::{
    Graph, Hints, Linear, Modality, Model, Names, Outputs, Patch, Plan, Selection, find_towers, is_edited,
};
use crate::report::{Edit, EditedFile, EditedLayer, FileId, Report};
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
    /// Where the patch goes, or the folder for two.
    pub patch: Option<PathBuf>,
    /// Whether existing outputs are replaced, and an edited model is edited again.
    pub force: bool,
    /// Whether the edited file says in its metadata what was done to it.
    pub provenance: bool,
    /// A folder where the calibration's progress is kept until the job is done, and taken up again.
    pub resume: Option<PathBuf>,
    /// What the user says of inputs and embeddings.
    pub hints: Hints,
    /// Recipe and data.
    pub config: Config,
}

/// Does the whole job and returns what it did and measured. Outputs bear their names only when all went well.
///
/// # Errors
/// Whatever went wrong; then nothing is left behind.
pub fn rewrite(job: &Job, runner: Runner) -> Result<Report, Error> {
    let clock = Instant::now();
    let inputs = job.model.inputs();
    let models = inputs.iter().map(|input| Model::open(input)).collect::<Result<Vec<_>, _>>()?;
    let mut outputs = Outputs::new(job.force);
    let files = plan_files(job, &models, &mut outputs)?;
    let graphs = models.iter().map(Graph::new).collect::<Result<Vec<_>, _>>()?;
    let sites = Site::find_all(&job.model, &graphs, &job.hints)?;
    let mut data = Data::load(&job.config, &sites)?;
    let mut plans = vec![];
    for (file, site) in sites.iter().filter(|(_, site)| job.model.edits(site.modality())) {
        let recipe = job.config.recipe(site.modality())?;
        let layers = site.select(&recipe.layers)?;
        data.notes.extend(overridable(site, &layers));
        data.notes.extend(mixing(site));
        data.notes.extend(site.convolutions(&recipe.layers));
        plans.push((file, site, recipe, layers));
    }
    data.notes.extend(left_out(job, &graphs, &sites)?);
    for input in &inputs {
        let others = siblings(input);
        if !others.is_empty() {
            data.notes.push(format!(
                "not edited, though of the same model by their names: {}; `uwm-onnx apply --match layers` carries a patch over to them",
                few(others.iter().map(|path| path.display()))
            ));
        }
    }
    let mut timing = Timing::start(clock);

    let mut edited = vec![];
    let mut recipes = vec![];
    let checkpoints = job.resume.as_deref().map(Checkpoints::open).transpose()?;
    for (file, site, recipe, layers) in plans {
        let calibrated = data.calibrate(runner, site, &layers, &recipe, checkpoints.as_ref())?;
        data.notes.extend(calibrated.notes);
        timing.lap("calibrate");
        // The patch will name the model by its hash; hashing has only one thread.
        let (chosen, _) = rayon::join(
            || {
                let scored = layers.into_par_iter().zip(calibrated.scores);
                scored.map(|(layer, scores)| choose(*file, layer, &scores, &recipe)).collect::<Result<Vec<_>, _>>()
            },
            || models[*file].sha256(),
        );
        edited.extend(chosen?);
        recipes.push((*file, site.modality(), recipe));
        timing.lap("select");
    }

    let before = data.embed(runner, &sites, "before")?;
    timing.lap("evaluate_before");

    let stop = || runner.observer.cancelled();
    let (mut staged, mut patches) = (vec![], vec![]);
    for (index, file) in files.iter().enumerate() {
        let selections: Vec<Selection> =
            edited.iter().filter(|(of, ..)| *of == index).map(|(_, selection, _)| selection.clone()).collect();
        let patch = Patch::make(&models[index], &selections, options(&recipes, index, &data)?)?;
        let bytes = patch.to_bytes();
        if let Some(path) = &file.patch {
            write_plain(&mut outputs, &bytes, path)?;
        }
        let plan = Plan::apply(&graphs[index], &patch, &file.names, job.provenance.then_some(&bytes))?;
        let written = write_model(&mut outputs, &models[index], &plan, &file.names, &file.output, &stop);
        staged.push(written.map_err(|error| if stop() { Error::Interrupted } else { error.into() })?);
        patches.push((patch, bytes));
    }

    // What is measured is the very file that gets its name afterwards.
    let new_models = staged.iter().map(|file| file.open(&outputs)).collect::<Result<Vec<_>, _>>()?;
    let (synced, ()) = rayon::join(|| outputs.sync(), || new_models.par_iter().for_each(|model| _ = model.sha256()));
    synced?;
    timing.lap("write");
    let new_graphs = new_models.iter().map(Graph::new).collect::<Result<Vec<_>, _>>()?;
    let new_sites = Site::find_all(&job.model, &new_graphs, &job.hints)?;
    let after = data.embed(runner, &new_sites, "after")?;
    let (evaluation, evaluation_quadruplets) = match before.zip(after) {
        Some((before, after)) => data.compare(&before, &after)?.unzip(),
        None => (None, None),
    };
    timing.lap("evaluate_after");

    let ids: Vec<EditedFile> = files
        .iter()
        .enumerate()
        .map(|(index, file)| EditedFile {
            towers: sites
                .iter()
                .filter(|(of, site)| *of == index && job.model.edits(site.modality()))
                .map(|(_, site)| site.modality())
                .collect(),
            model: FileId { path: inputs[index].clone(), sha256: models[index].sha256().to_owned() },
            output: FileId { path: file.output.clone(), sha256: new_models[index].sha256().to_owned() },
            data: data_files(&new_models[index], &file.names, &file.output),
            patch: file.patch.clone().map(|path| FileId::of(path, &patches[index].1)),
        })
        .collect();
    if stop() {
        return Err(Error::Interrupted);
    }
    outputs.publish()?;
    if let Some(checkpoints) = checkpoints {
        checkpoints.clear(edited.iter().map(|(_, _, layer)| layer.tower));
    }
    timing.lap("write");

    let mut kept = patches.iter().flat_map(|(patch, _)| &patch.layers);
    let layers = edited.into_iter().map(|(_, _, layer)| EditedLayer {
        // In the order of the files, as the patches are.
        saturated: kept.next().map_or(0, |layer| layer.originals.saturated),
        ..layer
    });
    Ok(Report {
        files: ids,
        calibration_pairs: data.calibration.rows.len(),
        evaluation_quadruplets: evaluation_quadruplets.unwrap_or(0),
        edit: Edit::new(layers.collect()),
        evaluation,
        notes: data.notes,
        runtime: runner.runtime.place().clone(),
        timing_s: timing.finish(),
    })
}

/// What the patch says it was made with: recipe a tower, and the calibration data by content, not by path.
fn options(recipes: &[(usize, Modality, Recipe)], file: usize, data: &Data) -> Result<Value, Error> {
    let towers = recipes.iter().filter(|(of, ..)| *of == file);
    let mut options: Map<String, Value> =
        towers.map(|(_, modality, recipe)| (modality.name().to_owned(), json!(recipe))).collect();
    let manifest = &data.calibration.path;
    let bytes = std::fs::read(manifest).map_err(|source| crate::onnx::Error::Io {
        action: "read",
        path: manifest.clone(),
        source,
    })?;
    let id = FileId::of(manifest.clone(), &bytes);
    options.insert("calibration".to_owned(), json!({"pairs": data.calibration.rows.len(), "sha256": id.sha256}));
    Ok(Value::Object(options))
}

/// A word on what is in the files or was said, and takes no part.
fn left_out(job: &Job, graphs: &[Graph], sites: &[(usize, Site)]) -> Result<Vec<String>, Error> {
    let mut said = vec![];
    for (file, graph) in graphs.iter().enumerate() {
        let towers = find_towers(graph, &job.hints)?;
        said.extend(towers.left_out(job.model.wanted(file)));
    }
    for (tower, options) in [(Modality::Text, &job.config.text), (Modality::Vision, &job.config.vision)] {
        let edited = job.model.edits(tower) && sites.iter().any(|(_, site)| site.modality() == tower);
        if let Some(layers) = options.layers.as_ref().filter(|_| !edited) {
            said.push(format!("layers of the {tower} tower were named ({layers}), and it is not edited"));
        }
    }
    Ok(said)
}

/// A word on a tower whose numbers depend on what else is in the batch.
fn mixing(site: &Site) -> Option<String> {
    let how = match site.fixed_batch() {
        Some(fixed @ 2..) => format!("its graph takes {fixed} samples at a time, which so depend on one another"),
        _ => "it was run one sample at a time".to_owned(),
    };
    let tower = site.modality();
    site.mixes_samples().then(|| format!("the {tower} tower quantises its activations with one scale a batch: {how}"))
}

/// A word on weights that a caller of the model can replace (initializers that are graph inputs too).
fn overridable(site: &Site, layers: &[Linear]) -> Option<String> {
    let inputs = &site.graph.model.graph().input;
    let names: Vec<&str> = layers
        .iter()
        .map(|layer| layer.weight.initializer.as_str())
        .filter(|name| inputs.iter().any(|input| input.name == *name))
        .collect();
    let first = names.first()?;
    Some(format!(
        "{} edited initializers, '{first}' first, are graph inputs too: a caller that feeds them undoes the edit",
        names.len()
    ))
}

/// Where the files of one input go.
struct Target {
    output: PathBuf,
    names: Names,
    patch: Option<PathBuf>,
}

/// Decides what goes where, and checks it before any work is done.
fn plan_files(job: &Job, models: &[Model], outputs: &mut Outputs) -> Result<Vec<Target>, Error> {
    if let Some(edited) = models.iter().find(|model| is_edited(model)).filter(|_| !job.force) {
        return Err(crate::onnx::Error::Edited { path: edited.path().to_owned() }.into());
    }
    if let ModelFiles::Pair { text, vision } = &job.model {
        if text.file_name() == vision.file_name() {
            return Err(Error::Conflict {
                reason: format!("{} and {} have the same file name", text.display(), vision.display()),
                help: "the outputs keep the inputs' names; edit the towers one after the other, each with an -o of its own",
            });
        }
        for folder in std::iter::once(&job.output).chain(&job.patch) {
            if !folder.is_dir() {
                outputs.make_folder(folder)?;
            }
        }
    }
    let place = |model: &Model| {
        let input = model.path();
        let (output, patch) = match &job.model {
            ModelFiles::Single { .. } => (job.output.clone(), job.patch.clone()),
            ModelFiles::Pair { .. } => {
                let patch = Path::new(input.file_name().unwrap_or_default()).with_extension("uwm");
                (job.output.join(input.file_name().unwrap_or_default()), job.patch.as_ref().map(|f| f.join(patch)))
            }
        };
        Ok(Target { names: Names::for_output(model, &output)?, output, patch })
    };
    let targets = models.iter().map(place).collect::<Result<Vec<_>, Error>>()?;
    let inputs: Vec<&Path> = models.iter().map(Model::path).collect();
    for (target, model) in targets.iter().zip(models) {
        check(outputs, model, &target.names, &target.output, job.force)?;
        if let Some(patch) = &target.patch {
            check_plain(outputs, &inputs, patch, job.force)?;
        }
    }
    Ok(targets)
}

/// Selects in one layer.
fn choose(
    file: usize,
    layer: Linear,
    scores: &Scores,
    recipe: &Recipe,
) -> Result<(usize, Selection, EditedLayer), Error> {
    let positions = adaptive(scores.values.view(), recipe.tau)
        .map_err(|source| Error::Score { layer: layer.node.clone(), source })?;
    let described = EditedLayer {
        tower: layer.modality,
        block: layer.block,
        role: layer.role.clone(),
        node: layer.node.clone(),
        initializer: layer.weight.initializer.clone(),
        shape: layer.weight.shape,
        tau: recipe.tau,
        alpha: recipe.alpha,
        selected: positions.len(),
        saturated: 0,
        undefined: scores.undefined,
    };
    Ok((file, Selection { layer, alpha: recipe.alpha, positions }, described))
}
