//! `rewrite`: calibrate, score, select, patch, evaluate before and after, publish.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Error;
use super::batches::Runner;
use super::calibrate::calibrate;
use super::evaluate::{Evaluation, EvaluationData, evaluate};
use super::site::Site;
use crate::config::{Config, Recipe};
use crate::dataset::{Images, Manifest, Preprocessor, Quadruplet, Samples, Texts, Tokenizer, ZeroShot};
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
/// Whatever went wrong; then nothing is left behind but an output folder that had to be made.
pub fn rewrite(job: &Job, runner: Runner) -> Result<Report, Error> {
    let clock = Instant::now();
    let files = plan_files(job)?;
    let models = files.iter().map(|(input, _)| Model::open(input)).collect::<Result<Vec<_>, _>>()?;
    let graphs = models.iter().map(Graph::new).collect::<Result<Vec<_>, _>>()?;
    let sites = find_sites(&job.model, &graphs)?;
    let data = Data::load(job, &sites)?;
    let mut timing = Timing::start(clock);

    let before = data.evaluate(runner, &sites, "before")?;
    timing.lap("evaluate_before");

    let mut plans = vec![];
    for (file, site) in sites.iter().filter(|(_, site)| job.model.edits(site.modality())) {
        let recipe = job.config.recipe(site.modality())?;
        let layers = site.select(&recipe.layers)?;
        plans.push((*file, site, recipe, layers));
    }
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
            source_sha256: models[index].sha256(),
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
            model: FileId { path: input.clone(), sha256: models[index].sha256() },
            output: FileId { path: output.clone(), sha256: new_models[index].sha256() },
        })
        .collect();
    if runner.observer.cancelled() {
        return Err(Error::Interrupted);
    }
    staged.into_iter().try_for_each(|file: Staged| file.publish(job.force))?;
    timing.lap("write");

    let layers = edited.into_iter().map(|(_, _, layer)| layer).collect();
    Ok(data.report(ids, Edit::new(layers), before.zip(after), runner.runtime.place(), timing.finish()))
}

/// Each input file with its output, checked before any work is done.
fn plan_files(job: &Job) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
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
                std::fs::create_dir(&job.output).map_err(|source| crate::onnx::Error::Io {
                    action: "create the folder",
                    path: job.output.clone(),
                    source,
                })?;
            }
            let place = |input: &Path| (input.to_owned(), job.output.join(input.file_name().unwrap_or_default()));
            vec![place(text), place(vision)]
        }
    };
    for (input, output) in &files {
        check_output(input, output, job.force)?;
    }
    Ok(files)
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
    Ok((file, LayerEdit { weight: layer.weight, alpha: recipe.alpha, positions }, described))
}

/// The data sets, read and checked.
struct Data {
    tokenizer: Option<Tokenizer>,
    preprocessor: Option<Preprocessor>,
    calibration: Manifest,
    evaluation: Option<Manifest>,
    zero_shot: Option<ZeroShot>,
    notes: Vec<String>,
}

impl Data {
    fn load(job: &Job, sites: &[(usize, Site)]) -> Result<Self, Error> {
        let config = &job.config;
        let has = |modality| sites.iter().find(|(_, site)| site.modality() == modality).map(|(_, site)| site);
        let missing =
            |site: &Site, what, help| Error::Missing { what, model: site.graph.model.path().to_owned(), help };
        let tokenizer = match has(Modality::Text) {
            None => None,
            Some(site) => {
                let path = config.tokenizer.as_deref();
                let help = "give it with --tokenizer, or put the model's tokenizer.json beside it";
                let length = site.tower.input.dims.get(1).copied().flatten().or(config.text.length);
                Some(Tokenizer::open(path.ok_or_else(|| missing(site, "tokenizer.json", help))?, length)?)
            }
        };
        let preprocessor = match has(Modality::Vision) {
            None => None,
            Some(site) => {
                let path = config.preprocessor.as_deref();
                let help = "give it with --preprocessor, or put the model's preprocessor_config.json beside it";
                Some(Preprocessor::read(path.ok_or_else(|| missing(site, "preprocessor_config.json", help))?)?)
            }
        };
        let calibration = config.calibration.as_ref().ok_or_else(|| {
            missing(&sites[0].1, "calibration data", "give a manifest with --calibration, or name it in uwm.yaml")
        })?;
        let calibration = Manifest::read(&calibration.manifest, calibration.split.as_deref().unwrap_or("calibration"))?;
        let mut notes = vec![];
        let (mut evaluation, mut zero_shot) = (None, None);
        if tokenizer.is_none() || preprocessor.is_none() {
            notes.push("not evaluated: SafeGround compares texts with images, and only one tower was given".to_owned());
        } else if let Some(data) = &config.evaluation {
            let read = Manifest::read(&data.manifest, data.split.as_deref().unwrap_or("evaluation"))?;
            check_disjoint(&calibration, &read)?;
            evaluation = Some(read);
            zero_shot = config.zero_shot.as_deref().map(ZeroShot::read).transpose()?;
            if zero_shot.is_none() {
                notes.push("no zero-shot accuracy: no zero-shot set was given".to_owned());
            }
        } else {
            notes.push(
                "not evaluated: no evaluation data was given (--evaluation, or evaluation in uwm.yaml)".to_owned(),
            );
        }
        Ok(Self { tokenizer, preprocessor, calibration, evaluation, zero_shot, notes })
    }

    fn calibrate(&self, runner: Runner, site: &Site, layers: &[Linear], recipe: &Recipe) -> Result<Vec<Scores>, Error> {
        let rows = &self.calibration.rows;
        let run = |safe: &dyn Samples, not_safe: &dyn Samples| calibrate(runner, site, layers, safe, not_safe, recipe);
        match (site.modality(), &self.tokenizer, &self.preprocessor) {
            (Modality::Text, Some(tokenizer), _) => {
                let texts =
                    |pick: fn(&Quadruplet) -> &String| Texts::new(tokenizer, rows.iter().map(pick).cloned().collect());
                run(&texts(|q| &q.safe_text), &texts(|q| &q.unsafe_text))
            }
            (Modality::Vision, _, Some(preprocessor)) => {
                let images = |pick: fn(&Quadruplet) -> &PathBuf| {
                    Images::new(preprocessor, rows.iter().map(pick).cloned().collect())
                };
                run(&images(|q| &q.safe_image), &images(|q| &q.unsafe_image))
            }
            _ => unreachable!("load() read what each tower needs"),
        }
    }

    fn evaluate(&self, runner: Runner, sites: &[(usize, Site)], when: &str) -> Result<Option<Evaluation>, Error> {
        let site = |modality| sites.iter().map(|(_, site)| site).find(|site| site.modality() == modality);
        let (Some(text), Some(vision)) = (site(Modality::Text), site(Modality::Vision)) else { return Ok(None) };
        let (Some(set), Some(tokenizer), Some(preprocessor)) = (&self.evaluation, &self.tokenizer, &self.preprocessor)
        else {
            return Ok(None);
        };
        let data =
            EvaluationData { quadruplets: &set.rows, zero_shot: self.zero_shot.as_ref(), tokenizer, preprocessor };
        evaluate(runner, text, vision, data, when).map(Some)
    }

    fn report(
        self,
        files: Vec<EditedFile>,
        edit: Edit,
        evaluations: Option<(Evaluation, Evaluation)>,
        runtime: crate::runtime::Place,
        timing_s: Vec<(&'static str, f64)>,
    ) -> Report {
        let mut report = Report {
            files,
            calibration_pairs: self.calibration.rows.len(),
            evaluation_quadruplets: self.evaluation.map_or(0, |set| set.rows.len()),
            edit,
            safeground: None,
            by_style: vec![],
            retrieval: None,
            zero_shot: None,
            notes: self.notes,
            runtime,
            timing_s,
        };
        if let Some((before, after)) = evaluations {
            report.safeground = Some(BeforeAfter { before: before.safeground, after: after.safeground });
            report.retrieval = Some(BeforeAfter { before: before.retrieval, after: after.retrieval });
            report.zero_shot =
                before.zero_shot.zip(after.zero_shot).map(|(before, after)| BeforeAfter { before, after });
            report.by_style = before
                .by_style
                .into_iter()
                .zip(after.by_style.into_values())
                .map(|((style, before), after)| (style, BeforeAfter { before, after }))
                .collect();
        }
        report
    }
}

/// Calibration must not meet evaluation.
fn check_disjoint(calibration: &Manifest, evaluation: &Manifest) -> Result<(), Error> {
    let key = |q: &Quadruplet| (q.safe_image.clone(), q.unsafe_image.clone(), q.safe_text.clone());
    let seen: std::collections::HashSet<_> = calibration.rows.iter().map(key).collect();
    let shared = evaluation.rows.iter().filter(|q| seen.contains(&key(q))).count();
    if shared == 0 {
        return Ok(());
    }
    Err(Error::Conflict {
        reason: format!(
            "{shared} of {} evaluation quadruplets in {} are calibration data too",
            evaluation.rows.len(),
            evaluation.path.display()
        ),
        help: "an edit measured on what it was made from looks better than it is; give each row a split of its own",
    })
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
