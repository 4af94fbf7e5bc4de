//! `uwm-onnx data check` and `uwm-onnx data split`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::data::FolderArgs;
use super::progress::Bars;
use super::{Exit, Format};
use crate::dataset::{CheckOptions, Divide, MOST_PIXELS};
use crate::pass::{DataCheckJob, Error, SplitJob, check_data, split_data};

/// Look through data sets, or divide one, without a model.
#[derive(Subcommand)]
pub enum Data {
    Check(Check),
    Split(Split),
}

impl Data {
    /// Does the job and returns what goes to stdout, and the exit code.
    pub fn run(self) -> Result<(String, Exit), Error> {
        match self {
            Self::Check(args) => args.run(),
            Self::Split(args) => args.run(),
        }
    }
}

/// Look for what is wrong: missing and broken images, empty texts, what splits share.
///
/// Every image is decoded. The exit code is 0 if there are warnings at most, and 3 if there are errors.
#[derive(Args)]
pub struct Check {
    /// The sets: .jsonl, .csv, .tsv, .tar, .npz, .safetensors, ViSU-Text_*.json, or a folder (imagefolder, ViSU, shards).
    #[arg(required = true, value_name = "SET")]
    sets: Vec<PathBuf>,
    /// Look only at this split; several may be named.
    #[arg(long = "split", value_name = "NAME")]
    splits: Vec<String>,
    /// What splits share is a warning, no error.
    #[arg(long)]
    allow_overlap: bool,
    /// Images of more pixels are refused, and not decoded.
    #[arg(long, value_name = "PIXELS", default_value_t = MOST_PIXELS)]
    max_pixels: u64,
    #[command(flatten)]
    folders: FolderArgs,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Check {
    fn run(self) -> Result<(String, Exit), Error> {
        let options =
            CheckOptions { splits: self.splits, most_pixels: self.max_pixels, allow_overlap: self.allow_overlap };
        let job = DataCheckJob { sets: self.sets, folders: self.folders.folders(), options };
        let checked = check_data(&job, &Bars::new())?;
        let text = match self.format {
            Format::Human => checked.to_text(),
            Format::Json => checked.to_json(),
        };
        Ok((text, if checked.has_errors() { Exit::Input } else { Exit::Ok }))
    }
}

/// Divide a set into splits, by a seed, and write a manifest (JSON lines).
///
/// Each concept is divided by the same shares. Rows that share an image or a safe text stay in one split.
#[derive(Args)]
pub struct Split {
    /// The set; its own splits are forgotten.
    set: PathBuf,
    /// The manifest; paths in it are relative to it.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Names of the splits, and the share of each: calibration=0.5,validation=0.2,evaluation=0.3.
    #[arg(long, value_name = "NAME=SHARE", value_delimiter = ',', required = true, value_parser = part)]
    parts: Vec<(String, f64)>,
    /// Another seed, another division.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What is divided by the same shares: each concept, or only the whole.
    #[arg(long, value_enum, default_value = "concept")]
    by: By,
    /// Replace an output that exists.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    folders: FolderArgs,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// Each concept.
    Concept,
    /// The whole.
    Nothing,
}

fn part(text: &str) -> Result<(String, f64), String> {
    let (name, share) = text.rsplit_once('=').ok_or("it is NAME=SHARE")?;
    Ok((name.to_owned(), share.parse().map_err(|_| format!("'{share}' is no number"))?))
}

impl Split {
    fn run(self) -> Result<(String, Exit), Error> {
        let job = SplitJob {
            set: self.set,
            folders: self.folders.folders(),
            output: self.output,
            how: Divide { parts: self.parts, seed: self.seed, by_concept: self.by == By::Concept },
            force: self.force,
        };
        let split = split_data(&job, &Bars::new())?;
        let text = match self.format {
            Format::Human => split.to_text(),
            Format::Json => split.to_json(),
        };
        Ok((text, Exit::Ok))
    }
}
