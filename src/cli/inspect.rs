//! `uwm-onnx inspect`

use clap::Args as ClapArgs;

use super::Format;
use super::data::DataArgs;
use super::model::ModelArgs;
use super::progress::Bars;
use super::runtime::RuntimeArgs;
use super::terminal;
use crate::config::Preset;
use crate::pass::{Error, Limits, Runner, inspect, survey};
use crate::report::{Inspection, inspections_json};
use crate::runtime::open;

/// Show what was understood of a model: inputs and outputs, towers, every linear layer with block and role, and which
/// of them `rewrite` would edit. Works on any ONNX file. Nothing is run, unless
/// --calibration asks whether aimed edits can work.
#[derive(ClapArgs)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    runtime: RuntimeArgs,
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
        let calibrated = self.data.names_calibration();
        if !calibrated && self.runtime.given() {
            return Err(Error::Conflict {
                reason: "a runtime was named, and nothing is to be run".to_owned(),
                help: "give --calibration, to see whether aimed edits can work; or leave the runtime out",
            });
        }
        let (hints, mut config) = (self.model.hints(), self.data.config(&files)?);
        if let Some(preset) = self.preset {
            config = config.with_preset(preset);
        }
        self.model.choose_layers(&mut config);
        let found = inspect(&files, &hints, &config)?;
        let (aims, notes) = match calibrated {
            false => (vec![], vec![]),
            true => {
                let bars = Bars::new();
                let runtime = open(&self.runtime.wish()?).map_err(Error::NoRuntime)?;
                survey(
                    &files,
                    &hints,
                    &config,
                    Runner { runtime: &*runtime, observer: &bars, limits: Limits::default() },
                )?
            }
        };
        Ok(match self.format {
            Format::Human => {
                let aims = aims.iter().map(|aim| aim.separation_text(terminal::look()));
                let texts = found.iter().map(Inspection::to_text).chain(aims);
                let notes = notes.iter().map(|note| format!("note: {note}\n"));
                texts.chain(notes).collect::<Vec<_>>().join("\n")
            }
            Format::Json => inspections_json(&found, &aims, &notes),
        })
    }
}
