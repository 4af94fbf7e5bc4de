//! `uwm-onnx sweep`

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::data::{DataArgs, RunArgs, data};
use super::model::ModelArgs;
use super::progress::Bars;
use super::rewrite::ControlsArg;
use super::terminal;
use super::{Exit, Format};
use crate::pass::{Error, Pick, Runner, SweepJob, sweep};
use crate::runtime::open;

/// Try many edits from one calibration, show the best of them, and write the one that is picked.
///
/// What is tried stands under `sweep` in uwm.yaml; where nothing does, it is the scores of the paper and of contrast over a
/// range of tau, and aimed edits over a range of gains. Points are chosen by the validation split and reported on the evaluation split.
#[derive(ClapArgs)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Data set of the quadruplets to choose by; rows of the split `validation` [default: that of the
    /// evaluation].
    #[arg(long, value_name = "FILE")]
    validation: Option<PathBuf>,
    /// Data set of the evaluation quadruplets; rows of the split `evaluation`.
    #[arg(long, value_name = "FILE")]
    evaluation: Option<PathBuf>,
    /// Which point to take: 'max GS where zero_shot_drop <= 5 and PS_drop <= 2'. max or min; metrics GS, PU, PS, P_ts,
    /// P_tu, P_vs, P_vu, Txt_s, Img_s, zero_shot, zero_shot_top5, recall and image_recall, each also with _drop or _gain.
    #[arg(long, value_name = "RULE")]
    pick: Option<Pick>,
    /// Write the picked point; a folder when there are two files.
    #[arg(short, long, value_name = "PATH", requires = "pick")]
    output: Option<PathBuf>,
    /// Write the picked edit as a patch too; a folder when there are two files.
    #[arg(long, value_name = "PATH", requires = "output")]
    patch_out: Option<PathBuf>,
    /// Do not append metadata_props that say what was done.
    #[arg(long, requires = "output")]
    no_provenance: bool,
    /// Write all points as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the frontiers as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Embed the validation split with at most so many edited towers; coarse steps of every grid come first.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_runs: Option<u32>,
    /// What edits are compared with: those on a frontier with one random choice of as many elements, the written one as
    /// rewrite does it.
    #[arg(long, value_enum, default_value = "fast")]
    controls: ControlsArg,
    /// Replace outputs that exist, and edit a model that was edited before.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    run: RunArgs,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Args {
    /// Does the job and returns what goes to stdout; that nothing could be picked is a no.
    pub fn run(self) -> Result<(String, Exit), Error> {
        let (format, wish, limits) = (self.format, self.run.samples.runtime.clone().wish()?, self.run.limits());
        let job = self.job()?;
        let bars = Bars::new();
        let runtime = open(&wish).map_err(Error::NoRuntime)?;
        let sweep = sweep(&job, Runner { runtime: &*runtime, observer: &bars, limits })?;
        let text = match format {
            Format::Human => sweep.to_table(terminal::look()),
            Format::Json => format!("{}\n", sweep.to_full_json()),
        };
        let found = sweep.picked.is_none_or(|picked| picked.point.is_some());
        Ok((text, if found { Exit::Ok } else { Exit::Differs }))
    }

    fn job(self) -> Result<SweepJob, Error> {
        let model = self.model.files()?;
        if self.model.names_layers() {
            return Err(Error::Conflict {
                reason: "--layers is for one edit, and a sweep tries many".to_owned(),
                help: "name the layers in the grids of uwm.yaml (sweep)",
            });
        }
        let mut config = self.data.config(&model)?;
        config.evaluation = self.evaluation.map(data).or(config.evaluation);
        config.validation = self.validation.map(data).or(config.validation);
        Ok(SweepJob {
            hints: self.model.hints(),
            model,
            pick: self.pick,
            output: self.output,
            patch: self.patch_out,
            provenance: !self.no_provenance,
            json: self.json,
            plot: self.plot,
            max_runs: self.max_runs.map(|runs| runs as usize),
            controls: self.controls.into(),
            force: self.force,
            resume: self.run.resume,
            config,
        })
    }
}
