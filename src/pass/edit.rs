//! From what was chosen to edited files, measured before, after and beside controls.

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::Error;
use super::batches::Runner;
use super::choose::Choice;
use super::controls::{self, ControlEdit};
use super::data::Data;
use super::evaluate::{EmbeddedData, EvaluationData, embed, measure_all};
use super::files::{data_files, write_model, write_plain};
use super::job::{Controls, Target};
use super::plans::Scene;
use super::score::TowerPlan;
use super::site::{Site, both};
use super::timing::Timing;
use crate::onnx::{Graph, Model, Outputs, Patch, Plan, Selection};
use crate::report::{BeforeAfter, ConceptPart, Control, ControlKind, Edit, EditedFile, EditedLayer, FileId, Report};
use crate::safeground::Evaluation;

/// What was chosen in each tower that has a plan.
pub struct Choices {
    /// The edit.
    pub edit: Vec<Choice>,
    /// The same with safe and unsafe in each other's place, where that control is wanted.
    pub swapped: Vec<Choice>,
}

/// An edit on its way to files.
#[derive(Clone, Copy)]
pub struct Editing<'a> {
    /// Runs the towers.
    pub runner: Runner<'a>,
    /// The model and its towers.
    pub scene: Scene<'a>,
    /// The model's files.
    pub models: &'a [Model],
    /// Where they go.
    pub targets: &'a [Target],
    /// What is done to which tower.
    pub plans: &'a [TowerPlan<'a>],
    /// The calibration data.
    pub data: &'a Data,
    /// What is measured on.
    pub on: Option<EvaluationData<'a>>,
    /// What the edit is compared with.
    pub controls: Controls,
    /// Whether the edited file says in its metadata what was done to it.
    pub provenance: bool,
}

impl Editing<'_> {
    /// Writes the edited files, which get their names when `outputs` are published, measures them, and tells all that in
    /// a report. `before` is the model as it was, embedded.
    ///
    /// # Errors
    /// If the edit does not fit, a file cannot be written, or runtime or data fail.
    pub fn carry_out(
        self,
        choices: &Choices,
        before: Option<EmbeddedData>,
        outputs: &mut Outputs,
        timing: &mut Timing,
        mut notes: Vec<String>,
    ) -> Result<Report, Error> {
        let Self { runner, scene, models, targets, plans, data, .. } = self;
        let stop = || runner.observer.cancelled();
        let (mut staged, mut patches) = (vec![], vec![]);
        for (index, target) in targets.iter().enumerate() {
            let of_file = plans.iter().zip(&choices.edit).filter(|(plan, _)| plan.file == index);
            let selections: Vec<Selection> =
                of_file.flat_map(|(plan, choice)| controls::selections(plan, &choice.positions)).collect();
            let patch = Patch::make(&models[index], &selections, options(plans, index, data)?)?;
            let bytes = patch.to_bytes();
            if let Some(path) = &target.patch {
                write_plain(outputs, &bytes, path)?;
            }
            let plan = Plan::apply(&scene.graphs[index], &patch, &target.names, self.provenance.then_some(&bytes))?;
            let written = write_model(outputs, &models[index], &plan, &target.names, &target.output, &stop);
            staged.push(written.map_err(|error| if stop() { Error::Interrupted } else { error.into() })?);
            patches.push((patch, bytes));
        }

        // What is measured is the very file that gets its name afterwards.
        let new_models = staged.iter().map(|file| file.open(outputs)).collect::<Result<Vec<_>, _>>()?;
        let hash = || new_models.par_iter().for_each(|model| _ = model.sha256());
        let (synced, ()) = rayon::join(|| outputs.sync(), hash);
        synced?;
        timing.lap("write");
        let new_graphs = new_models.iter().map(Graph::new).collect::<Result<Vec<_>, _>>()?;
        let new_sites = Site::find_all(scene.model, &new_graphs, scene.hints)?;
        let measured = match (self.on, before, both(&new_sites)) {
            (Some(on), Some(before), Some(towers)) => {
                let after = embed(runner, towers, on, "after")?;
                timing.lap("evaluate_after");
                self.measure(on, choices, &before, &after, &mut notes)?
            }
            _ => Measured::default(),
        };
        timing.lap("evaluate_controls");

        let files = targets.iter().enumerate().map(|(index, target)| EditedFile {
            towers: plans.iter().filter(|plan| plan.file == index).map(|plan| plan.site.modality()).collect(),
            model: FileId { path: models[index].path().to_owned(), sha256: models[index].sha256().to_owned() },
            output: FileId { path: target.output.clone(), sha256: new_models[index].sha256().to_owned() },
            data: data_files(&new_models[index], &target.names, &target.output),
            patch: target.patch.clone().map(|path| FileId::of(path, &patches[index].1)),
        });
        let judged = measured.evaluation.as_ref();
        Ok(Report {
            files: files.collect(),
            calibration_pairs: data.calibration.rows.len(),
            evaluation_quadruplets: measured.quadruplets,
            edit: changes(plans, &choices.edit, &patches),
            verdict: judged.and_then(|both| controls::judge(&both.before, &both.after, &measured.controls)),
            evaluation: measured.evaluation,
            controls: measured.controls,
            notes,
            runtime: runner.runtime.place().clone(),
            timing_s: vec![],
        })
    }

    /// The controls that are wanted.
    fn control_edits(&self, choices: &Choices) -> Result<Vec<ControlEdit>, Error> {
        let (wanted, plans) = (self.controls, self.plans);
        let counts: Vec<Vec<usize>> =
            choices.edit.iter().map(|choice| choice.positions.iter().map(Vec::len).collect()).collect();
        let random = wanted.seeds().map(|seed| controls::random(plans, &counts, seed));
        let mut edits = random.collect::<Result<Vec<_>, _>>()?;
        if wanted != Controls::Off && choices.swapped.len() == plans.len() {
            let positions = choices.swapped.iter().map(|choice| choice.positions.clone()).collect();
            edits.push(ControlEdit { kind: ControlKind::Swapped, positions });
        }
        Ok(edits)
    }

    fn measure(
        &self,
        on: EvaluationData,
        choices: &Choices,
        before: &EmbeddedData,
        after: &EmbeddedData,
        notes: &mut Vec<String>,
    ) -> Result<Measured, Error> {
        let mut embedded = vec![];
        for edit in self.control_edits(choices)? {
            match controls::embed(self.runner, on, self.plans, &edit, before, notes)? {
                Some(side) => embedded.push((edit, side)),
                None => break,
            }
        }
        let models: Vec<&EmbeddedData> =
            [before, after].into_iter().chain(embedded.iter().map(|(_, control)| control)).collect();
        let measured = measure_all(self.runner, &models, on)?;
        notes.extend(measured.left_out.note());
        let mut evaluations = measured.of.into_iter();
        let evaluation =
            evaluations.next().zip(evaluations.next()).map(|(before, after)| BeforeAfter { before, after });
        let controls = embedded.into_iter().zip(evaluations).map(|((edit, _), evaluation)| Control {
            kind: edit.kind,
            selected: edit.positions.iter().flatten().map(Vec::len).sum(),
            evaluation,
        });
        Ok(Measured { evaluation, controls: controls.collect(), quadruplets: measured.quadruplets })
    }
}

/// The metrics, all over the same quadruplets.
#[derive(Default)]
struct Measured {
    evaluation: Option<BeforeAfter<Evaluation>>,
    controls: Vec<Control>,
    quadruplets: usize,
}

/// What was changed, layer by layer.
fn changes(plans: &[TowerPlan], choices: &[Choice], patches: &[(Patch, Vec<u8>)]) -> Edit {
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
