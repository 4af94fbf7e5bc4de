//! `sweep`: many edits from one calibration; the best of them by one split, reported on another.

mod compare;
mod frontier;
mod pick;
mod points;
mod reach;
mod sides;
mod trials;

use std::path::{Path, PathBuf};
use std::time::Instant;

pub use pick::Pick;

use compare::Compared;
use points::{Planned, Tower};
use sides::Sides;
use trials::Laboratory;

use super::Error;
use super::batches::Runner;
use super::checkpoint::Checkpoints;
use super::data::Data;
use super::edit::Editing;
use super::evaluate::EmbeddedData;
use super::files::{apart, check_plain, write_plain};
use super::job::{Controls, Destination, ModelFiles, Target};
use super::plans::{Scene, plan_tower, unedited_siblings};
use super::site::Site;
use super::splits::{Split, validation_and_evaluation};
use super::timing::Timing;
use crate::config::{Config, SweepOptions};
use crate::onnx::{Graph, Hints, Modality, Model, Outputs};
use crate::report::{FileId, Picked, Report, Sweep, SweepPoint};

/// Everything `sweep` is told.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepJob {
    /// The model.
    pub model: ModelFiles,
    /// Which point is wanted.
    pub pick: Option<Pick>,
    /// Where it goes; a folder for two files.
    pub output: Option<PathBuf>,
    /// Where its patch goes.
    pub patch: Option<PathBuf>,
    /// Whether the edited file says in its metadata what was done to it.
    pub provenance: bool,
    /// The result as JSON.
    pub json: Option<PathBuf>,
    /// The frontiers as SVG.
    pub plot: Option<PathBuf>,
    /// How often an edited tower may embed the validation split.
    pub max_runs: Option<usize>,
    /// What edits are compared with: each on a frontier with one random choice, the picked one as `rewrite` does it.
    pub controls: Controls,
    /// Whether existing outputs are replaced, and an edited model is edited again.
    pub force: bool,
    /// A folder where all progress is kept until the job is done, and taken up again.
    pub resume: Option<PathBuf>,
    /// What the user says of inputs and embeddings.
    pub hints: Hints,
    /// Grids and data.
    pub config: Config,
}

/// Tries what the grids hold, tells the best, and writes the picked point if that is wanted.
///
/// # Errors
/// Whatever went wrong; then nothing is left behind but what `resume` keeps.
pub fn sweep(job: &SweepJob, runner: Runner) -> Result<Sweep, Error> {
    let clock = Instant::now();
    let inputs = job.model.inputs();
    let models = inputs.iter().map(|input| Model::open(input)).collect::<Result<Vec<_>, _>>()?;
    let mut outputs = Outputs::new(job.force).beside(job.config.files());
    let targets = plan_outputs(job, &models, &mut outputs)?;
    let graphs = models.iter().map(Graph::new).collect::<Result<Vec<_>, _>>()?;
    let sites = Site::find_all(&job.model, &graphs, &job.hints)?;
    let data = Data::load(&job.config, &sites)?;
    let mut notes = data.calibration.notes.clone();
    let [validation, evaluation] = validation_and_evaluation(&job.config, &sites, &data.calibration, &mut notes)?;
    check_pick(job.pick.as_ref(), &validation)?;
    let scene = Scene { model: &job.model, hints: &job.hints, config: &job.config, graphs: &graphs, sites: &sites };
    let mut towers = plan_points(scene, &data, job, &mut notes)?;
    let checkpoints = job.resume.as_deref().map(Checkpoints::open).transpose()?;
    let sides = Sides(checkpoints.as_ref());
    let mut timing = Timing::start(clock);

    for tower in &mut towers {
        tower.calibrate(runner, &data, checkpoints.as_ref(), &mut notes)?;
    }
    timing.lap("calibrate");
    let here = Laboratory::new(runner, &data, sides, data.on(&validation), validation.name)?;
    let there = Laboratory::new(runner, &data, sides, data.on(&evaluation), evaluation.name)?;
    let mut compared = Compared::new(&towers, &sites, &here, job.max_runs, &mut notes)?;
    timing.lap("validation");
    let picked = job.pick.as_ref().map(|pick| compared.pick(pick));
    let before = compared.report(&there, &sites, picked.flatten(), job.controls != Controls::Off, &mut notes)?;
    timing.lap("evaluation");

    let report = match picked.flatten().map(|point| &compared.points[point]) {
        Some(point) if !targets.is_empty() => {
            let landing = Landing { job, runner, scene, models: &models, targets: &targets, data: &data };
            Some(Box::new(landing.write(point, &towers, &there, before, &mut outputs)?))
        }
        _ => None,
    };
    timing.lap("write");
    notes.extend(unedited_siblings(&job.model).into_iter().filter(|_| report.is_some()));
    let Compared { edits, points, frontiers, runs, sizes: [by, on], .. } = compared;
    let mut sweep = Sweep {
        model: models
            .iter()
            .map(|model| FileId { path: model.path().to_owned(), sha256: model.sha256().to_owned() })
            .collect(),
        calibration_pairs: data.calibration.rows.len(),
        validation: by,
        evaluation: on,
        reach: reach::reach(&edits, &points),
        edits,
        points,
        frontiers,
        picked: job.pick.as_ref().zip(picked).map(|(pick, point)| Picked {
            rule: pick.to_string(),
            point,
            report,
            output: job.output.clone(),
        }),
        runs,
        notes,
        runtime: runner.runtime.place().clone(),
        timing_s: vec![],
    };
    if let Some(path) = &job.json {
        write_plain(&mut outputs, format!("{:#}\n", sweep.to_json()).as_bytes(), path)?;
    }
    if let Some(path) = &job.plot {
        let drawn = sweep
            .to_svg()
            .map_err(|reason| crate::onnx::Error::Write { path: path.clone(), source: std::io::Error::other(reason) });
        write_plain(&mut outputs, drawn?.as_bytes(), path)?;
    }
    if runner.observer.cancelled() {
        return Err(Error::Interrupted);
    }
    outputs.publish()?;
    // Where nothing could be picked, another rule may be tried.
    let found = sweep.picked.as_ref().is_none_or(|picked| picked.point.is_some());
    if let Some(checkpoints) = checkpoints.filter(|_| found) {
        checkpoints.clear();
    }
    timing.lap("write");
    sweep.timing_s = timing.finish();
    Ok(sweep)
}

/// Where everything goes, checked before any work is done.
fn plan_outputs(job: &SweepJob, models: &[Model], outputs: &mut Outputs) -> Result<Vec<Target>, Error> {
    let targets = match &job.output {
        Some(output) => Destination { model: &job.model, output, patch: job.patch.as_deref(), force: job.force }
            .plan(models, outputs)?,
        None => vec![],
    };
    let targeted = targets.iter().flat_map(|target| std::iter::once(&target.output).chain(&target.patch));
    apart(targeted.chain(&job.json).chain(&job.plot))?;
    let inputs: Vec<&Path> = models.iter().map(Model::path).collect();
    for path in job.json.iter().chain(&job.plot) {
        check_plain(outputs, &inputs, path, job.force)?;
    }
    Ok(targets)
}

fn check_pick(pick: Option<&Pick>, split: &Split) -> Result<(), Error> {
    match pick {
        Some(pick) if pick.needs_zero_shot() && split.zero_shot.is_none() => Err(Error::Conflict {
            reason: format!("'{pick}' speaks of zero-shot accuracy, and no zero-shot set was given"),
            help: "name one in uwm.yaml (zero_shot), or set limits on recall instead",
        }),
        _ => Ok(()),
    }
}

/// What is tried on each tower.
fn plan_points<'a>(
    scene: Scene<'a>,
    data: &Data,
    job: &SweepJob,
    notes: &mut Vec<String>,
) -> Result<Vec<Tower<'a>>, Error> {
    let usual = SweepOptions::usual();
    let options = job.config.sweep.as_ref().unwrap_or(&usual);
    // Only the written point needs them; made always, so that a sweep can go on with another --pick and -o.
    let swapped = job.controls != Controls::Off;
    let stays = |tower| match tower {
        Modality::Text => job.config.text.edit == Some(false),
        Modality::Vision => job.config.vision.edit == Some(false),
    };
    let methods = |tower| if stays(tower) { Ok(vec![]) } else { Ok(options.methods(tower)?) };
    let lenient = job.config.sweep.is_none();
    let towers = Tower::all(scene, methods, data, [swapped, lenient], notes)?;
    match towers.iter().all(|tower| tower.plans.is_empty()) {
        true => Err(Error::Conflict {
            reason: "there is nothing to try: `sweep` holds no grid for a tower that is to be edited".to_owned(),
            help: "give grids in uwm.yaml (sweep: {text: [..], vision: [..]}), or leave `sweep` out for the usual ones",
        }),
        false => Ok(towers),
    }
}

/// A picked point on its way to files.
struct Landing<'a> {
    job: &'a SweepJob,
    runner: Runner<'a>,
    scene: Scene<'a>,
    models: &'a [Model],
    targets: &'a [Target],
    data: &'a Data,
}

impl Landing<'_> {
    /// Writes it as `rewrite` would, from the scores that are there.
    fn write(
        &self,
        point: &SweepPoint,
        towers: &[Tower],
        on: &Laboratory,
        before: EmbeddedData,
        outputs: &mut Outputs,
    ) -> Result<Report, Error> {
        let clock = Instant::now();
        let mut notes = vec![];
        let controlled = self.job.controls != Controls::Off;
        let mut edits = vec![];
        for (tower, plan) in compare::edits_of(towers, [point.text, point.vision]).into_iter().flatten() {
            let controlled = match plan {
                Planned::Scored(plan) => Some(Planned::Scored(plan_tower(
                    tower.file,
                    tower.site,
                    plan.recipe.clone(),
                    self.data,
                    controlled,
                )?)),
                Planned::Aimed(_) => None,
            };
            edits.push(tower.choose(controlled.as_ref().unwrap_or(plan), self.job.controls, &mut notes)?);
        }
        let editing = Editing {
            runner: self.runner,
            scene: self.scene,
            models: self.models,
            targets: self.targets,
            edits: &edits,
            data: self.data,
            on: Some(on.on()),
            controls: self.job.controls,
            provenance: self.job.provenance,
        };
        let mut timing = Timing::start(clock);
        let mut report = editing.carry_out(Some(before), outputs, &mut timing, notes)?;
        report.timing_s = timing.finish();
        Ok(report)
    }
}
