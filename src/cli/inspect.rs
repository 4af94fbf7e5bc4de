//! `uwm-onnx inspect`

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::Format;
use super::model::{ModelArgs, config};
use crate::config::Preset;
use crate::pass::{Error, inspect};
use crate::report::{Inspection, inspections_json};

/// Show what was understood of a model: inputs and outputs, towers, every linear layer with block and role, and which
/// of them `rewrite` would edit. Works on any ONNX file; nothing is run.
#[derive(ClapArgs)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The configuration [default: uwm.yaml beside the model, if there].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show what a recipe by that name would edit, instead of the configuration's.
    #[arg(long, value_name = "NAME")]
    preset: Option<Preset>,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Args {
    /// Does the job and returns what goes to stdout.
    pub fn run(self) -> Result<String, Error> {
        let files = self.model.files()?;
        let (hints, mut config) = (self.model.hints(), config(self.config, &files)?);
        if let Some(preset) = self.preset {
            config = config.with_preset(preset);
        }
        self.model.choose_layers(&mut config);
        let found = inspect(&files, &hints, &config)?;
        Ok(match self.format {
            Format::Human => found.iter().map(Inspection::to_text).collect::<Vec<_>>().join("\n"),
            Format::Json => inspections_json(&found),
        })
    }
}
