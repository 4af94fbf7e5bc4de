//! `uwm-onnx doctor`

use clap::Args as ClapArgs;

use super::runtime::RuntimeArgs;
use super::{Exit, Format};
use crate::pass::Error;
use crate::report::survey_text;
use crate::runtime::Survey;

/// Show what can run models here: runtimes, execution providers, threads, CPU features; and what to do where something
/// is missing.
///
/// The exit code is 0 if what the options ask for is there, and 4 if it is not.
#[derive(ClapArgs)]
pub struct Args {
    #[command(flatten)]
    runtime: RuntimeArgs,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Args {
    /// Looks, and returns what goes to stdout.
    pub fn run(self) -> Result<(String, Exit), Error> {
        let survey = Survey::make(&self.runtime.wish()?);
        let text = match self.format {
            Format::Human => survey_text(&survey),
            Format::Json => format!("{}\n", serde_json::json!(survey)),
        };
        Ok((text, if survey.usable() { Exit::Ok } else { Exit::Runtime }))
    }
}
