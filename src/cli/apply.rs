//! `uwm-onnx apply` and `uwm-onnx revert`

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::Format;
use super::model::HintArgs;
use super::progress::Bars;
use crate::onnx::Hints;
use crate::pass::{ApplyJob, Error, Observer, apply, revert};

/// Edit a model as a patch says, without data and without running it.
#[derive(ClapArgs)]
pub struct Apply {
    /// The ONNX file the patch was made for.
    model: PathBuf,
    /// The patch (from rewrite --patch-out).
    patch: PathBuf,
    /// Where the edited file goes; data files go beside it.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Find the layers by what they are, for a patch made on the same weights in another file: in other precision, or
    /// from another exporter.
    #[arg(long = "match", value_enum, value_name = "HOW")]
    matching: Option<Matching>,
    #[command(flatten)]
    hints: HintArgs,
    /// Write the patch for this very model, which reverts it.
    #[arg(long, value_name = "FILE", requires = "matching")]
    patch_out: Option<PathBuf>,
    /// Replace outputs that exist, and edit a model that was edited before.
    #[arg(long)]
    force: bool,
    /// Do not append metadata_props that say what was done.
    #[arg(long)]
    no_provenance: bool,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Matching {
    /// By shape and weights; block and role must not contradict.
    Layers,
}

impl Apply {
    /// Does the job and returns what goes to stdout.
    pub fn run(self) -> Result<String, Error> {
        let hints = self.hints.hints();
        if self.matching.is_none() && hints != Hints::default() {
            return Err(Error::Conflict {
                reason: "--input and --embedding say what a graph is, and without --match layers it is not looked at"
                    .to_owned(),
                help: "leave them out, or pass --match layers",
            });
        }
        let bars = Bars::new();
        let job = ApplyJob {
            model: self.model,
            patch: self.patch,
            output: self.output,
            force: self.force,
            provenance: !self.no_provenance,
            match_layers: self.matching.map(|_| hints),
            patch_out: self.patch_out,
        };
        let applied = apply(&job, &|| bars.cancelled())?;
        Ok(match self.format {
            Format::Human => applied.to_text(),
            Format::Json => applied.to_json(),
        })
    }
}

/// Undo an edit: write the original, byte for byte.
#[derive(ClapArgs)]
pub struct Revert {
    /// The edited ONNX file.
    model: PathBuf,
    /// The patch that it was edited with.
    patch: PathBuf,
    /// Where the original goes; its data files go beside it, under their old names.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace outputs that exist.
    #[arg(long)]
    force: bool,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Revert {
    /// Does the job and returns what goes to stdout.
    pub fn run(self) -> Result<String, Error> {
        let bars = Bars::new();
        let reverted = revert(&self.model, &self.patch, &self.output, self.force, &|| bars.cancelled())?;
        Ok(match self.format {
            Format::Human => reverted.to_text(),
            Format::Json => reverted.to_json(),
        })
    }
}
