//! `score` and `merge`: the scores of a model's layers as a file, made in one run or in shards.

use std::path::{Path, PathBuf};

use super::Error;
use super::batches::Runner;
use super::calibrate::{Accumulating, BothSides, Measuring, Wanted};
use super::checkpoint::Checkpoints;
use super::data::Data;
use super::files::check_plain;
use super::job::ModelFiles;
use super::kept::{Header, KeptLayer, KeptTower, Writer};
use super::plans::{Scene, plan_towers};
use super::score::{Scorer, TowerPlan, header};
use super::shards::{Shard, ShardFile, ShardHeader, ShardTower, ShardWriter, rows};
use super::site::Site;
use crate::config::Config;
use crate::onnx::{Graph, Hints, Linear, Model, Outputs, Source};
use crate::report::{FileId, Scored};
use crate::taps::Taps;
use crate::uwm;

/// Everything `score` is told.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreJob {
    /// The model.
    pub model: ModelFiles,
    /// The file of scores, or of a shard's statistics.
    pub output: PathBuf,
    /// Only this part of the pairs.
    pub shard: Option<Shard>,
    /// Whether the scores with roles swapped are made too.
    pub swapped: bool,
    /// Whether an existing output is replaced.
    pub force: bool,
    /// A folder where the calibration's progress is kept until the job is done, and taken up again.
    pub resume: Option<PathBuf>,
    /// What the user says of inputs and embeddings.
    pub hints: Hints,
    /// Recipe and data.
    pub config: Config,
}

/// Scores the layers of a model and writes that down; with a shard, the statistics of its pairs.
///
/// # Errors
/// Whatever went wrong; then nothing is left behind.
pub fn score(job: &ScoreJob, runner: Runner) -> Result<Scored, Error> {
    let inputs = job.model.inputs();
    let models = inputs.iter().map(|input| Model::open(input)).collect::<Result<Vec<_>, _>>()?;
    let mut outputs = output(&models, job.config.files(), &job.output, job.force)?;
    let graphs = models.iter().map(Graph::new).collect::<Result<Vec<_>, _>>()?;
    let sites = Site::find_all(&job.model, &graphs, &job.hints)?;
    let data = Data::load(&job.config, &sites)?;
    let mut notes = data.calibration.notes.clone();
    let scene = Scene { model: &job.model, hints: &job.hints, config: &job.config, graphs: &graphs, sites: &sites };
    let plans = plan_towers(scene, &data, job.swapped, &mut notes)?;
    plans.only_scored("a file of scores")?;
    let plans = plans.scored;
    let file = outputs.create(&job.output)?;
    let checkpoints = job.resume.as_deref().map(Checkpoints::open).transpose()?;
    match job.shard {
        None => {
            let writer = Writer::new(outputs.file(file), &job.output, &header(&plans, &data, runner)?)?;
            let (checkpoints, notes) = (checkpoints.as_ref(), &mut notes);
            let mut scorer = Scorer { data: &data, runner, kept: None, writer: Some(writer), checkpoints, notes };
            for plan in &plans {
                plan.groups.iter().try_for_each(|group| unless_none(scorer.score(plan.wanted(), group)).map(drop))?;
            }
            scorer.finish()?;
        }
        Some(shard) => write_shard(&data, runner, &plans, shard, outputs.file(file), job, &mut notes)?,
    }
    if runner.observer.cancelled() {
        return Err(Error::Interrupted);
    }
    let layers = plans.iter().map(|plan| plan.layers.len()).sum();
    let scored = finish(outputs, file, &job.output, layers, notes)?;
    if let Some(checkpoints) = checkpoints {
        checkpoints.clear();
    }
    Ok(scored)
}

/// That no pair of a group can be scored is written down, and told when it is used.
fn unless_none<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(Error::Score { source: uwm::Error::NoPairs { .. }, .. }) => Ok(None),
        other => other.map(Some),
    }
}

fn output(models: &[Model], read: Vec<PathBuf>, output: &Path, force: bool) -> Result<Outputs, Error> {
    let mut outputs = Outputs::new(force).beside(read);
    let inputs: Vec<&Path> = models.iter().map(Model::path).collect();
    check_plain(&mut outputs, &inputs, output, force)?;
    Ok(outputs)
}

fn finish(outputs: Outputs, file: usize, path: &Path, layers: usize, notes: Vec<String>) -> Result<Scored, Error> {
    let written = Source::open(outputs.path(file));
    let failed = |source| crate::onnx::Error::Write { path: path.to_owned(), source };
    let output = FileId { path: path.to_owned(), sha256: written.map_err(failed)?.sha256().to_owned() };
    outputs.publish()?;
    Ok(Scored { output, layers, notes })
}

/// Measures the pairs of a shard and writes their statistics, chunk by chunk.
fn write_shard(
    data: &Data,
    runner: Runner,
    plans: &[TowerPlan],
    shard: Shard,
    file: &std::fs::File,
    job: &ScoreJob,
    notes: &mut Vec<String>,
) -> Result<(), Error> {
    if job.resume.is_some() {
        return Err(Error::Conflict {
            reason: "--resume goes with whole runs, and --shard was given".to_owned(),
            help: "make more and smaller shards instead",
        });
    }
    let mut towers = vec![];
    for plan in plans {
        let taps = Taps::new(plan.site.graph, &plan.layers)?;
        let numbers = data.concepts().1;
        let concepts = plan.groups.iter().map(|group| group.rows.iter().map(|&row| numbers[row]).collect()).collect();
        towers.push(ShardTower {
            scores: plan.header(data, runner)?,
            widths: taps.outputs.iter().map(|tap| tap.width).collect(),
            of_layer: taps.of_layer,
            batch_size: runner.limits.batch_size,
            memory_budget: runner.limits.memory_budget,
            concepts,
        });
    }
    let header = ShardHeader { tool: env!("CARGO_PKG_VERSION").to_owned(), shard, towers };
    let mut writer = ShardWriter::new(file, &job.output, &header)?;
    for plan in plans {
        for group in &plan.groups {
            data.with_pairs(plan.site, &group.rows, |pairs| {
                let measuring = Measuring::new(runner, plan.site, &plan.layers, pairs)?;
                super::notes::add(notes, measuring.prepared.notes.iter().cloned());
                for chunk in shard.chunks(group.rows.len()) {
                    let mut batches: Vec<BothSides> = vec![];
                    measuring.over(rows(chunk, group.rows.len()), |_, statistics| {
                        batches.push(statistics);
                        Ok(())
                    })?;
                    writer.chunk(&batches)?;
                }
                Ok::<_, Error>(())
            })??;
        }
    }
    writer.finish()
}

/// Everything `merge` is told.
#[derive(Debug, Clone, PartialEq)]
pub struct MergeJob {
    /// The model that the shards were made of.
    pub model: ModelFiles,
    /// The shards, in any order.
    pub shards: Vec<PathBuf>,
    /// The file of scores.
    pub output: PathBuf,
    /// Whether an existing output is replaced.
    pub force: bool,
    /// What the user says of inputs and embeddings.
    pub hints: Hints,
}

/// Makes the scores that one run would have made, from the statistics of all shards.
///
/// # Errors
/// If shards are missing, do not go together or are of another model, or the output cannot be written.
pub fn merge(job: &MergeJob) -> Result<Scored, Error> {
    let inputs = job.model.inputs();
    let models = inputs.iter().map(|input| Model::open(input)).collect::<Result<Vec<_>, _>>()?;
    let mut outputs = output(&models, job.shards.clone(), &job.output, job.force)?;
    let graphs = models.iter().map(Graph::new).collect::<Result<Vec<_>, _>>()?;
    let sites = Site::find_all(&job.model, &graphs, &job.hints)?;
    let shards = in_order(&job.shards)?;
    let (first, towers) = (&shards[0], &shards[0].header.towers);
    let header =
        Header { tool: first.header.tool.clone(), towers: towers.iter().map(|tower| tower.scores.clone()).collect() };
    let file = outputs.create(&job.output)?;
    let mut writer = Writer::new(outputs.file(file), &job.output, &header)?;
    for (index, tower) in towers.iter().enumerate() {
        let KeptTower { tower: modality, model, scorings, groups, epsilon, .. } = &tower.scores;
        let site = sites.iter().map(|(_, site)| site).find(|site| site.modality() == *modality);
        let site = site.ok_or_else(|| first.wrong(format!("the model has no {modality} tower")))?;
        if !site.graph.model.sources().iter().map(Source::sha256).eq(model.iter().map(String::as_str)) {
            return Err(first.wrong(format!("its {modality} tower is of another model, by SHA-256")));
        }
        let layer = |kept: &KeptLayer| {
            let found = site.layers.iter().find(|layer| KeptLayer::of(layer) == *kept);
            found.cloned().ok_or_else(|| first.wrong(format!("the model has no layer '{}'", kept.node)))
        };
        let layers: Vec<Linear> = tower.scores.layers.iter().map(layer).collect::<Result<_, _>>()?;
        let wanted = Wanted { site, layers: &layers, scorings, epsilon: *epsilon };
        for (number, group) in groups.iter().enumerate() {
            let concepts = &tower.concepts[number];
            let mut sums = Accumulating::new(site, &layers, scorings, *epsilon, concepts);
            for shard in &shards {
                for chunk in shard.header.shard.chunks(group.pairs) {
                    let statistics = shard.chunk(&shard.header.towers[index], number, chunk)?;
                    sums.add(&tower.of_layer, &concepts[rows(chunk, group.pairs)], statistics)?;
                }
            }
            let scores = unless_none(sums.finish())?;
            let group = super::data::Group { concept: group.concept.clone(), rows: (0..group.pairs).collect() };
            writer.group(wanted, &group, scores.as_deref())?;
        }
    }
    writer.finish()?;
    let layers = towers.iter().map(|tower| tower.scores.layers.len()).sum();
    finish(outputs, file, &job.output, layers, vec![])
}

/// Opens the shards, checks that they are parts of one, and sorts them.
fn in_order(paths: &[PathBuf]) -> Result<Vec<ShardFile>, Error> {
    let mut shards = paths.iter().map(|path| ShardFile::open(path)).collect::<Result<Vec<_>, _>>()?;
    shards.sort_by_key(|shard| shard.header.shard.index);
    let Some(first) = shards.first() else {
        return Err(Error::Conflict { reason: "no shards were given".to_owned(), help: "give all shards of a run" });
    };
    let count = first.header.shard.count;
    for (place, shard) in shards.iter().enumerate() {
        let of = shard.header.shard;
        if of.count != count || shard.header.towers != first.header.towers || shard.header.tool != first.header.tool {
            let reason = "it is of another run than the others: model, data, options, runtime or batch size differ";
            return Err(shard.wrong(reason.to_owned()));
        }
        if of.index != place + 1 {
            let what = if of.index <= place { "there is another" } else { "one before it is missing" };
            return Err(shard.wrong(format!("it is shard {}/{count}, and {what}", of.index)));
        }
    }
    match shards.len() == count {
        true => Ok(shards),
        false => Err(shards[shards.len() - 1].wrong(format!("the last of the {count} shards are missing"))),
    }
}
