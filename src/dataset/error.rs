//! What can be wrong with data.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// Data that cannot be used. Messages name the file and, where there is one, the line.
#[derive(Debug, Error, Diagnostic)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read the {what} {}: {source}", path.display())]
    #[diagnostic(code("data-io"), help("check the path; relative paths in a file are relative to that file's folder"))]
    Io {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not a usable {what}: {reason}", path.display())]
    #[diagnostic(code("data-format"), help("{help}"))]
    Format {
        /// What the file should be.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
        /// What to do.
        help: &'static str,
    },
    /// A line of a manifest is wrong.
    #[error("{}, line {line}: {reason}", path.display())]
    #[diagnostic(code("manifest-line"), help("{help}"))]
    Line {
        /// The manifest.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
        /// What to do.
        help: &'static str,
    },
    /// A row of a set that has no lines is wrong.
    #[error("{}, {row}: {reason}", path.display())]
    #[diagnostic(code("set-row"), help("{help}"))]
    Row {
        /// The file.
        path: PathBuf,
        /// Where in there.
        row: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        help: &'static str,
    },
    /// A set of no form that is known.
    #[error("{} is no data set of a known form: {reason}", path.display())]
    #[diagnostic(
        code("set-form"),
        help(
            "known are .jsonl (or .ndjson), .csv, .tsv, .tar or a folder of nothing else, .npz, .safetensors, ViSU-Text_{{train,validation,test}}.json or a folder with them, and a folder with metadata.jsonl or metadata.csv (Hugging Face's imagefolder)"
        )
    )]
    Form {
        /// The path.
        path: PathBuf,
        /// What it is.
        reason: String,
    },
    /// A split has no rows.
    #[error("{} has no rows of the split '{split}'; splits found: {found}", path.display())]
    #[diagnostic(
        code("split-empty"),
        help(
            "give a manifest whose rows have that split, or rows without a split; in uwm.yaml, `split` beside a `manifest` names another one"
        )
    )]
    EmptySplit {
        /// The manifest.
        path: PathBuf,
        /// The split asked for.
        split: String,
        /// Those that exist.
        found: String,
    },
    /// A set that lacks what a tower embeds.
    #[error("{} has no {what}, or not for every row", path.display())]
    #[diagnostic(code("data-part-missing"), help("give a set with them, or only the tower that it has samples for"))]
    Without {
        /// The set.
        path: PathBuf,
        /// Texts or images.
        what: &'static str,
    },
    /// Nothing to prepare samples with.
    #[error("there is no {what}, and the data have to be prepared with it")]
    #[diagnostic(code("preparation-missing"), help("give it with {option}, or put the model's own beside the model"))]
    Unprepared {
        /// The file.
        what: &'static str,
        /// The option that names it.
        option: &'static str,
    },
    /// An image cannot be decoded.
    #[error("cannot decode the image {path}: {reason}")]
    #[diagnostic(
        code("image-broken"),
        help("replace the file, or remove its row from the manifest; PNG, JPEG, WebP, GIF and BMP are read")
    )]
    Image {
        /// The file, or where in an archive.
        path: String,
        /// What the decoder said.
        reason: String,
    },
}
