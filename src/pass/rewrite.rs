//! `rewrite`: calibrate, score, select, patch, evaluate before and after and beside controls, publish.

use std::time::Instant;

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::Error;
use super::batches::Runner;
use super::checkpoint::Checkpoints;
use super::choose::{Choice, choose};
use super::controls::{self, ControlEdit};
use super::data::Data;
use super::evaluate::EmbeddedData;
use super::files::{data_files, write_model, write_plain};
use super::job::{Controls, Job, plan_files};
use super::kept::{Kept, Writer};
use super::plans::{Scene, plan_towers};
use super::score::{Scorer, TowerPlan, header, open_kept};
use super::site::Site;
use super::timing::Timing;
use crate::onnx::{Graph, Model, Outputs, Patch, Plan, Selection};
use crate::report::{BeforeAfter, ConceptPart, Control, ControlKind, Edit, EditedFile, EditedLayer, FileId, Report};
use crate::safeground::Evaluation;

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
    let scene = Scene { model: &job.model, hints: &job.hints, config: &job.config, graphs: &graphs, sites: &sites };
    let mut plans = plan_towers(scene, &mut data, job.controls != Controls::Off)?;
    let kept = job.scores.as_deref().map(|path| open_kept(path, &mut plans, &mut data.notes)).transpose()?;
    let mut timing = Timing::start(clock);

    let choices = choose_all(job, runner, &plans, kept.as_ref(), &mut data, &mut outputs, &mut timing)?;
    let before = data.embed(runner, &sites, "before")?;
    timing.lap("evaluate_before");

    let stop = || runner.observer.cancelled();
    let (mut staged, mut patches) = (vec![], vec![]);
    for (index, file) in files.iter().enumerate() {
        let of_file = plans.iter().zip(&choices.edit).filter(|(plan, _)| plan.file == index);
        let selections: Vec<Selection> =
            of_file.flat_map(|(plan, choice)| controls::selections(plan, &choice.positions)).collect();
        let patch = Patch::make(&models[index], &selections, options(&plans, index, &data)?)?;
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
    timing.lap("evaluate_after");
    let measured = match before.zip(after) {
        Some((before, after)) => {
            let edits = control_edits(job.controls, &plans, &choices);
            Some(measure(runner, &mut data, &plans, edits, &before, &after)?)
        }
        None => None,
    };
    timing.lap("evaluate_controls");

    let ids: Vec<EditedFile> = files
        .iter()
        .enumerate()
        .map(|(index, file)| EditedFile {
            towers: plans.iter().filter(|plan| plan.file == index).map(|plan| plan.site.modality()).collect(),
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
    if let Some(checkpoints) = choices.checkpoints {
        checkpoints.clear();
    }
    timing.lap("write");

    let measured = measured.unwrap_or_default();
    Ok(Report {
        files: ids,
        calibration_pairs: data.calibration.rows.len(),
        evaluation_quadruplets: measured.quadruplets,
        edit: edit(&plans, &choices.edit, &patches),
        verdict: measured
            .evaluation
            .as_ref()
            .and_then(|both| controls::judge(&both.before, &both.after, &measured.controls)),
        evaluation: measured.evaluation,
        controls: measured.controls,
        notes: data.notes,
        runtime: runner.runtime.place().clone(),
        timing_s: timing.finish(),
    })
}

/// What was chosen, a plan each.
struct Choices {
    edit: Vec<Choice>,
    /// The same with safe and unsafe in each other's place, where that control is wanted.
    swapped: Vec<Choice>,
    /// Cleared away when all is done.
    checkpoints: Option<Checkpoints>,
}

fn choose_all(
    job: &Job,
    runner: Runner,
    plans: &[TowerPlan],
    kept: Option<&Kept>,
    data: &mut Data,
    outputs: &mut Outputs,
    timing: &mut Timing,
) -> Result<Choices, Error> {
    let checkpoints = job.resume.as_deref().map(Checkpoints::open).transpose()?;
    let mut notes = vec![];
    let file = job.scores_out.as_deref().map(|path| Ok::<_, Error>((outputs.create(path)?, path))).transpose()?;
    let (mut edit, mut swapped) = (vec![], vec![]);
    {
        let writer = match file {
            Some((file, path)) => Some(Writer::new(outputs.file(file), path, &header(plans, data, runner)?)?),
            None => None,
        };
        let checkpoints = checkpoints.as_ref();
        let mut scorer = Scorer { data, runner, kept, writer, checkpoints, notes: &mut notes };
        for plan in plans {
            let mut said = vec![];
            // The patch will name the model by its hash; hashing has only one thread.
            let (chosen, _) = rayon::join(
                || choose(plan, &mut said, |group| scorer.score(plan.wanted(), group)),
                || plan.site.graph.model.sha256(),
            );
            let mut chosen = chosen?.into_iter();
            edit.extend(chosen.next());
            swapped.extend(chosen.next());
            scorer.notes.extend(said);
            timing.lap("calibrate");
        }
        scorer.finish()?;
    }
    data.notes.extend(notes);
    Ok(Choices { edit, swapped, checkpoints })
}

/// The controls that are wanted.
fn control_edits(wanted: Controls, plans: &[TowerPlan], choices: &Choices) -> Vec<ControlEdit> {
    let counts: Vec<Vec<usize>> =
        choices.edit.iter().map(|choice| choice.positions.iter().map(Vec::len).collect()).collect();
    let mut edits: Vec<ControlEdit> = wanted.seeds().map(|seed| controls::random(plans, &counts, seed)).collect();
    if wanted != Controls::Off && choices.swapped.len() == plans.len() {
        let positions = choices.swapped.iter().map(|choice| choice.positions.clone()).collect();
        edits.push(ControlEdit { kind: ControlKind::Swapped, positions });
    }
    edits
}

/// The metrics, all over the same quadruplets.
#[derive(Default)]
struct Measured {
    evaluation: Option<BeforeAfter<Evaluation>>,
    controls: Vec<Control>,
    quadruplets: usize,
}

fn measure(
    runner: Runner,
    data: &mut Data,
    plans: &[TowerPlan],
    edits: Vec<ControlEdit>,
    before: &EmbeddedData,
    after: &EmbeddedData,
) -> Result<Measured, Error> {
    let mut embedded = vec![];
    for edit in edits {
        match controls::embed(runner, data, plans, &edit, before)? {
            Some(side) => embedded.push((edit, side)),
            None => break,
        }
    }
    let models: Vec<&EmbeddedData> =
        [before, after].into_iter().chain(embedded.iter().map(|(_, control)| control)).collect();
    let (evaluations, quadruplets) = data.measure(&models)?;
    let mut evaluations = evaluations.into_iter();
    let evaluation = evaluations.next().zip(evaluations.next()).map(|(before, after)| BeforeAfter { before, after });
    let controls = embedded.into_iter().zip(evaluations).map(|((edit, _), evaluation)| Control {
        kind: edit.kind,
        selected: edit.positions.iter().flatten().map(Vec::len).sum(),
        evaluation,
    });
    Ok(Measured { evaluation, controls: controls.collect(), quadruplets })
}

/// What was changed, layer by layer.
fn edit(plans: &[TowerPlan], choices: &[Choice], patches: &[(Patch, Vec<u8>)]) -> Edit {
    // In the order of the files, as the patches are.
    let mut kept = patches.iter().flat_map(|(patch, _)| &patch.layers);
    let (mut layers, mut concepts) = (vec![], vec![]);
    for (plan, choice) in plans.iter().zip(choices) {
        let recipe = &plan.recipe;
        for (layer, (positions, undefined)) in plan.layers.iter().zip(choice.positions.iter().zip(&choice.undefined)) {
            layers.push(EditedLayer {
                tower: layer.modality,
                block: layer.block,
                role: layer.role.clone(),
                node: layer.node.clone(),
                initializer: layer.weight.initializer.clone(),
                shape: layer.weight.shape,
                score: recipe.scoring.to_string(),
                tau: recipe.rule.tau,
                alpha: recipe.alpha,
                selected: positions.len(),
                saturated: kept.next().map_or(0, |layer| layer.originals.saturated),
                undefined: *undefined,
            });
        }
        concepts.extend(choice.concepts.iter().cloned().map(|brought| ConceptPart {
            tower: plan.site.modality(),
            concept: brought.concept,
            pairs: brought.pairs,
            selected: brought.selected,
            added: brought.added,
        }));
    }
    Edit::new(layers, concepts)
}

/// What the patch says it was made with: recipe a tower, and the calibration data by content, not by path.
fn options(plans: &[TowerPlan], file: usize, data: &Data) -> Result<Value, Error> {
    let towers = plans.iter().filter(|plan| plan.file == file);
    let mut options: Map<String, Value> =
        towers.map(|plan| (plan.site.modality().name().to_owned(), json!(plan.recipe))).collect();
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
