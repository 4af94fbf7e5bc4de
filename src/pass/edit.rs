//! From what was chosen to edited files, measured before, after and beside controls.

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::Error;
use super::batches::Runner;
use super::controls::{self, ControlEdit};
use super::data::Data;
use super::evaluate::{EmbeddedData, EvaluationData, embed, figures, measure_all};
use super::evaluation::lines;
use super::files::{data_files, write_model, write_plain};
use super::job::{Controls, Target};
use super::plans::Scene;
use super::site::{Site, both};
use super::timing::Timing;
use super::tower_edit::TowerEdit;
use crate::onnx::{Graph, Modality, Model, Outputs, Patch, Plan, Selection};
use crate::report::{BeforeAfter, ConceptPart, Control, Edit, EditedFile, EditedLayer, FigureLine, FileId, Report};
use crate::safeground::{Bootstrap, Evaluation};

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
    pub edits: &'a [TowerEdit<'a>],
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
        before: Option<EmbeddedData>,
        outputs: &mut Outputs,
        timing: &mut Timing,
        mut notes: Vec<String>,
    ) -> Result<Report, Error> {
        let Self { runner, scene, models, targets, edits, data, .. } = self;
        let stop = || runner.observer.cancelled();
        let (mut staged, mut patches) = (vec![], vec![]);
        for (index, target) in targets.iter().enumerate() {
            let selections: Vec<Selection> =
                edits.iter().filter(|edit| edit.file == index).flat_map(TowerEdit::own).collect();
            let patch = Patch::make(&models[index], &selections, options(edits, index, data)?)?;
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
                self.measure(on, &before, &after, &mut notes)?
            }
            _ => Measured::default(),
        };
        timing.lap("evaluate_controls");

        notes.extend(stored(edits));
        let files = targets.iter().enumerate().map(|(index, target)| EditedFile {
            towers: edits.iter().filter(|edit| edit.file == index).map(|edit| edit.site.modality()).collect(),
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
            edit: changes(edits, &patches),
            verdict: judged.and_then(|both| controls::judge(&both.before, &both.after, &measured.controls)),
            evaluation: measured.evaluation,
            figures: measured.figures,
            controls: measured.controls,
            aims: vec![],
            unwell: vec![],
            notes,
            runtime: runner.runtime.place().clone(),
            timing_s: vec![],
        })
    }

    /// The controls that are wanted.
    fn control_edits(&self) -> Result<Vec<ControlEdit>, Error> {
        let random = self.controls.seeds().map(|seed| controls::random(self.edits, seed));
        let mut all = random.collect::<Result<Vec<_>, _>>()?;
        if self.controls != Controls::Off {
            all.extend(controls::others(self.edits));
        }
        Ok(all)
    }

    fn measure(
        &self,
        on: EvaluationData,
        before: &EmbeddedData,
        after: &EmbeddedData,
        notes: &mut Vec<String>,
    ) -> Result<Measured, Error> {
        let mut embedded = vec![];
        for edit in self.control_edits()? {
            match controls::embed(self.runner, on, self.edits, &edit, before, notes)? {
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
            selected: edit.selections.iter().flatten().map(|selection| selection.positions.len()).sum(),
            evaluation,
        });
        let figures = [before, after].map(|model| figures(model, on, &measured.left_out));
        let [before, after] = figures;
        let figures = lines(&after?, Some(&before?), Bootstrap::default());
        Ok(Measured { evaluation, figures, controls: controls.collect(), quadruplets: measured.quadruplets })
    }
}

/// A word on embeddings that were stored before the edit.
fn stored(edits: &[TowerEdit]) -> Option<String> {
    let edited = |tower| edits.iter().any(|edit| edit.site.modality() == tower);
    match (edited(Modality::Text), edited(Modality::Vision)) {
        (true, false) => Some(
            "stored image embeddings stay valid, the vision tower is as it was; stored text embeddings must be made anew"
                .to_owned(),
        ),
        (false, true) => Some(
            "stored image embeddings (an index) must be made anew with the edited vision tower; stored text embeddings stay valid"
                .to_owned(),
        ),
        (true, true) => Some("stored embeddings of texts and of images must be made anew, both towers are edited".to_owned()),
        (false, false) => None,
    }
}

/// The metrics, all over the same quadruplets.
#[derive(Default)]
struct Measured {
    evaluation: Option<BeforeAfter<Evaluation>>,
    figures: Vec<FigureLine>,
    controls: Vec<Control>,
    quadruplets: usize,
}

/// A report of edits that are not carried out.
pub fn preview(runner: Runner, data: &Data, edits: &[TowerEdit], notes: Vec<String>) -> Report {
    Report {
        files: vec![],
        calibration_pairs: data.calibration.rows.len(),
        evaluation_quadruplets: 0,
        edit: changes(edits, &[]),
        evaluation: None,
        figures: vec![],
        controls: vec![],
        verdict: None,
        aims: vec![],
        unwell: vec![],
        notes,
        runtime: runner.runtime.place().clone(),
        timing_s: vec![],
    }
}

/// What was changed, layer by layer.
fn changes(edits: &[TowerEdit], patches: &[(Patch, Vec<u8>)]) -> Edit {
    // In the order of the files, as the patches are.
    let mut kept = patches.iter().flat_map(|(patch, _)| &patch.layers);
    let (mut layers, mut concepts) = (vec![], vec![]);
    for edit in edits {
        let choice = &edit.choice;
        let chosen = choice.positions.iter().zip(&choice.undefined);
        for (index, (layer, (positions, undefined))) in edit.layers.iter().zip(chosen).enumerate() {
            layers.push(EditedLayer {
                tower: layer.modality,
                block: layer.block,
                role: layer.role.clone(),
                node: layer.node.clone(),
                initializer: layer.weight.initializer.clone(),
                shape: layer.weight.shape,
                score: edit.score.clone(),
                tau: edit.tau,
                alpha: edit.update.alpha(),
                selected: positions.len(),
                saturated: kept.next().map_or(0, |layer| layer.originals.saturated),
                undefined: *undefined,
                scores: choice.scores.get(index).cloned().flatten(),
            });
        }
        concepts.extend(choice.concepts.iter().cloned().map(|brought| ConceptPart {
            tower: edit.site.modality(),
            concept: brought.concept,
            pairs: brought.pairs,
            selected: brought.selected,
            added: brought.added,
        }));
    }
    Edit::new(layers, concepts)
}

/// What the patch says it was made with: recipe a tower, and the calibration data by content, not by path.
fn options(edits: &[TowerEdit], file: usize, data: &Data) -> Result<Value, Error> {
    let towers = edits.iter().filter(|edit| edit.file == file);
    let mut options: Map<String, Value> =
        towers.map(|edit| (edit.site.modality().name().to_owned(), edit.recipe.clone())).collect();
    let pairs = data.calibration.rows.len();
    options.insert("calibration".to_owned(), json!({"pairs": pairs, "sha256": data.calibration_sha256()?}));
    Ok(Value::Object(options))
}
