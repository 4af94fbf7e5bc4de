//! `rewrite`: calibrate, score, select; then edit.

use std::path::Path;
use std::time::Instant;

use super::Error;
use super::aim::Aiming;
use super::batches::Runner;
use super::checkpoint::Checkpoints;
use super::choose::choose;
use super::data::Data;
use super::edit::{Editing, preview};
use super::evaluate::{ailments, embed};
use super::files::{apart, check_plain, write_plain};
use super::job::{Controls, Destination, Job};
use super::kept::{Kept, Writer};
use super::padding::padding_counts;
use super::plans::{Scene, check_both, plan_towers};
use super::score::{Scorer, TowerPlan, header, open_kept};
use super::site::{Site, both};
use super::splits;
use super::timing::Timing;
use super::tower_edit::TowerEdit;
use crate::onnx::{Graph, Modality, Model, Outputs, Source, is_edited};
use crate::report::{Report, Unwell};

/// Does the whole job and returns what it did and measured. Outputs bear their names only when all went well.
///
/// # Errors
/// Whatever went wrong; then nothing is left behind.
pub fn rewrite(job: &Job, runner: Runner) -> Result<Report, Error> {
    let clock = Instant::now();
    let inputs = job.model.inputs();
    let models = inputs.iter().map(|input| Model::open(input)).collect::<Result<Vec<_>, _>>()?;
    let mut outputs =
        Outputs::new(job.force).beside(job.config.files().into_iter().chain(job.scores.clone()).collect());
    let targets = match &job.output {
        Some(output) => Destination { model: &job.model, output, patch: job.patch.as_deref(), force: job.force }
            .plan(&models, &mut outputs)?,
        None => {
            let edited = models.iter().find(|model| is_edited(model)).filter(|_| !job.force);
            edited.map_or(Ok(vec![]), |model| Err(crate::onnx::Error::Edited { path: model.path().to_owned() }))?
        }
    };
    // Nobody sees those of a dry run.
    let controls = if job.output.is_some() { job.controls } else { Controls::Off };
    let targeted = targets.iter().flat_map(|target| std::iter::once(&target.output).chain(&target.patch));
    apart(targeted.chain(&job.scores_out).chain(&job.json))?;
    let read: Vec<&Path> = models.iter().flat_map(Model::sources).map(Source::path).collect();
    for path in job.scores_out.iter().chain(&job.json) {
        check_plain(&mut outputs, &read, path, job.force)?;
    }
    let graphs = models.iter().map(Graph::new).collect::<Result<Vec<_>, _>>()?;
    let sites = Site::find_all(&job.model, &graphs, &job.hints)?;
    let data = Data::load(&job.config, &sites)?;
    let mut notes = data.calibration.notes.clone();
    let split = splits::evaluation(&job.config, &sites, &data.calibration, &mut notes)?;
    let scene = Scene { model: &job.model, hints: &job.hints, config: &job.config, graphs: &graphs, sites: &sites };
    let mut plans = plan_towers(scene, &data, controls != Controls::Off, &mut notes)?;
    let all = [Modality::Text, Modality::Vision].iter().all(|tower| job.config.options(*tower).edit == Some(true));
    if all || !plans.scored.is_empty() {
        check_both(&plans, job.force)?;
    }
    for (option, given) in [("--scores", job.scores.is_some()), ("--scores-out", job.scores_out.is_some())] {
        if given {
            plans.only_scored(option)?;
        }
    }
    if job.resume.is_some() && !plans.aimed.is_empty() {
        notes.push("--resume keeps no progress of aimed edits".to_owned());
    }
    let kept = job.scores.as_deref().map(|path| open_kept(path, &mut plans.scored, &mut notes)).transpose()?;
    let checkpoints = job.resume.as_deref().map(Checkpoints::open).transpose()?;
    let mut timing = Timing::start(clock);

    let from = From { job, kept: kept.as_ref(), checkpoints: checkpoints.as_ref() };
    let mut edits = choose_all(from, runner, &plans.scored, &data, &mut outputs, &mut timing, &mut notes)?;
    let mut aims = vec![];
    if !plans.aimed.is_empty() {
        let aiming = Aiming { runner, data: &data, sites: &sites, controls, all, dry: job.output.is_none() };
        let (aimed, found) = aiming.aim(&plans.aimed, &mut notes)?;
        aims = found;
        edits.extend(aimed);
        // In the order of the files, as patches and reports are.
        edits.sort_by_key(|edit| edit.file);
        timing.lap("calibrate");
    }
    if job.output.is_none() {
        notes.push("a dry run: nothing was written, and nothing measured on evaluation data".to_owned());
        let mut report = preview(runner, &data, &edits, notes);
        report.aims = aims;
        write_json(job, &report, &mut outputs)?;
        outputs.publish()?;
        report.timing_s = timing.finish();
        return Ok(report);
    }
    let on = split.as_ref().map(|split| data.on(split));
    let before = on.zip(both(&sites)).map(|(on, towers)| embed(runner, towers, on, "before")).transpose()?;
    let mut unwell = vec![];
    if let (Some(on), Some([text, _]), Some(before)) = (on, both(&sites), &before) {
        let found = padding_counts(runner, text, on)?.into_iter().chain(ailments(before));
        unwell.extend(found.map(|ailment| Unwell { who: "model", ailment }));
    }
    timing.lap("evaluate_before");

    let editing = Editing {
        runner,
        scene,
        models: &models,
        targets: &targets,
        edits: &edits,
        data: &data,
        on,
        controls,
        provenance: job.provenance,
    };
    let mut report = editing.carry_out(before, &mut outputs, &mut timing, notes)?;
    (report.aims, report.unwell) = (aims, unwell);
    write_json(job, &report, &mut outputs)?;
    if runner.observer.cancelled() {
        return Err(Error::Interrupted);
    }
    outputs.publish()?;
    if let Some(checkpoints) = checkpoints {
        checkpoints.clear();
    }
    timing.lap("write");
    report.timing_s = timing.finish();
    Ok(report)
}

/// Writes the report where it is wanted.
fn write_json(job: &Job, report: &Report, outputs: &mut Outputs) -> Result<(), Error> {
    let Some(path) = &job.json else { return Ok(()) };
    let mut value = report.to_json();
    if let Some(entries) = value.as_object_mut() {
        entries.remove("timing_s");
    }
    Ok(write_plain(outputs, format!("{value:#}\n").as_bytes(), path)?)
}

/// Where scores come from.
#[derive(Clone, Copy)]
struct From<'a> {
    job: &'a Job,
    kept: Option<&'a Kept>,
    checkpoints: Option<&'a Checkpoints>,
}

fn choose_all<'a>(
    from: From,
    runner: Runner,
    plans: &[TowerPlan<'a>],
    data: &Data,
    outputs: &mut Outputs,
    timing: &mut Timing,
    notes: &mut Vec<String>,
) -> Result<Vec<TowerEdit<'a>>, Error> {
    let From { job, kept, checkpoints } = from;
    let file = job.scores_out.as_deref().map(|path| Ok::<_, Error>((outputs.create(path)?, path))).transpose()?;
    let writer = match file {
        Some((file, path)) => Some(Writer::new(outputs.file(file), path, &header(plans, data, runner)?)?),
        None => None,
    };
    let mut scorer = Scorer { data, runner, kept, writer, checkpoints, notes };
    let mut edits = vec![];
    for plan in plans {
        let mut said = vec![];
        // The patch will name the model by its hash; hashing has only one thread.
        let (chosen, _) = rayon::join(
            || choose(plan, &mut said, |group| scorer.score(plan.wanted(), group)),
            || plan.site.graph.model.sha256(),
        );
        edits.push(chosen?);
        scorer.notes.extend(said);
        timing.lap("calibrate");
    }
    scorer.finish()?;
    Ok(edits)
}
