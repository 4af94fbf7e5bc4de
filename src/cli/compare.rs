//! `uwm-onnx verify` and `uwm-onnx diff`

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::{Exit, Format};
use crate::onnx::{Model, diff};
use crate::pass::{Error, verify};
use crate::report::Compared;

/// Check an edited model against its original: exit code 0 if it is what it should be, 1 if not.
#[derive(ClapArgs)]
pub struct Verify {
    /// The edited ONNX file.
    model: PathBuf,
    /// The file it was made from.
    #[arg(long, value_name = "FILE")]
    original: PathBuf,
    /// The patch it was made with: then every byte is checked. Without it, that only values of tensors differ, as the
    /// metadata say.
    #[arg(long, value_name = "FILE")]
    patch: Option<PathBuf>,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Verify {
    /// Does the job and returns what goes to stdout, and the exit code.
    pub fn run(self) -> Result<(String, Exit), Error> {
        let verified = verify(&self.model, &self.original, self.patch.as_deref())?;
        let text = match self.format {
            Format::Human => verified.to_text(),
            Format::Json => verified.to_json(),
        };
        Ok((text, if verified.holds() { Exit::Ok } else { Exit::Differs }))
    }
}

/// Say what differs between two models: exit code 0 if only values of tensors do, or nothing; 1 if anything else does.
#[derive(ClapArgs)]
pub struct Diff {
    /// The first ONNX file.
    a: PathBuf,
    /// The second ONNX file.
    b: PathBuf,
    /// How to print the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Diff {
    /// Does the job and returns what goes to stdout, and the exit code.
    pub fn run(self) -> Result<(String, Exit), Error> {
        let found = diff(&Model::open(&self.a)?, &Model::open(&self.b)?)?;
        let exit = if found.only_values() { Exit::Ok } else { Exit::Differs };
        let compared = Compared { a: self.a, b: self.b, diff: found };
        let text = match self.format {
            Format::Human => compared.to_text(),
            Format::Json => compared.to_json(),
        };
        Ok((text, exit))
    }
}
