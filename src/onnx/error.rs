//! What can be wrong with a model file.

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// An unusable model, or one that an edit does not fit. Messages name the file and, where there is one, the tensor.
#[derive(Debug, Error, Diagnostic)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot {action} {}: {source}", path.display())]
    #[diagnostic(code("model-io"), help("check that the path exists and that you may read it"))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The path names a directory or another thing that is not a regular file.
    #[error("{} is not a regular file", path.display())]
    #[diagnostic(code("model-not-a-file"), help("give the path of the .onnx file itself"))]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The bytes are no ONNX model.
    #[error("{} is not a readable ONNX model ({size} bytes): {reason}", path.display())]
    #[diagnostic(
        code("model-not-onnx"),
        help(
            "the file may be truncated, a Git LFS pointer, or of another format; compare its size and checksum with the source"
        )
    )]
    NotOnnx {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// What failed first.
        reason: String,
    },
    /// The graph breaks a rule of the ONNX specification that this tool relies on.
    #[error("{}: the graph is not valid ONNX: {reason}", path.display())]
    #[diagnostic(code("graph-invalid"), help("run Python's onnx.checker on the file, and export it again"))]
    InvalidGraph {
        /// The file.
        path: PathBuf,
        /// Which rule, where.
        reason: String,
    },
    /// An initializer that cannot be read or edited.
    #[error("{}: tensor '{tensor}' cannot be used: {reason}", path.display())]
    #[diagnostic(
        code("tensor-unsupported"),
        help(
            "float, double, half and bfloat16 weights and 8- and 4-bit codes with constant scales can be edited, in the model file or beside it; export the model in one of these forms"
        )
    )]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The initializer's name.
        tensor: String,
        /// Why not.
        reason: String,
    },
    /// No text or vision tower can be told from the graph.
    #[error("{}: {reason}", path.display())]
    #[diagnostic(
        code("towers-not-found"),
        help(
            "a text tower takes integer [batch, sequence] token ids, a vision tower float [batch, 3, height, width] pixels, and each ends in a [batch, width] embedding or [batch, tokens, width] hidden states; say what cannot be told with --input NAME=ROLE (input_ids, attention_mask, token_type_ids, position_ids, pixel_values) and --embedding NAME, and give a file a tower with --text and --vision; `uwm-onnx inspect` shows what was understood"
        )
    )]
    Towers {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// What the user said of a graph does not hold.
    #[error("{reason}")]
    #[diagnostic(code("hint-unused"), help("`uwm-onnx inspect` lists inputs, outputs and what they were taken for"))]
    Hint {
        /// What does not hold.
        reason: String,
    },
    /// The tower has no layer of those wanted.
    #[error("{}: {reason}; roles found: {found}", path.display())]
    #[diagnostic(
        code("layers-not-found"),
        help(
            "name layers with --layers {tower}:ROLE, or under `{tower}: layers:` in uwm.yaml: a role (fc2), some blocks (fc2[8..], block.3.fc2), or a glob on names of nodes, initializers or PyTorch modules; `uwm-onnx inspect` lists them"
        )
    )]
    Layers {
        /// The file.
        path: PathBuf,
        /// text or vision.
        tower: &'static str,
        /// What was asked for, and what is wrong with it.
        reason: String,
        /// Roles and their counts.
        found: String,
    },
    /// A chosen layer that this tool leaves alone.
    #[error("{}: layer '{node}' cannot be edited: {reason}", path.display())]
    #[diagnostic(
        code("layer-not-editable"),
        help(
            "choose others with --layers (in a sweep: `layers` of its grids), some blocks (fc2[2..]) or names (globs); `uwm-onnx inspect` lists all"
        )
    )]
    Layer {
        /// The file.
        path: PathBuf,
        /// The layer's node.
        node: String,
        /// Why not.
        reason: String,
    },
    /// The patch was made for something else.
    #[error("{}: the patch does not fit: {reason}", path.display())]
    #[diagnostic(
        code("patch-mismatch"),
        help(
            "apply a patch to the very files it was made from, or with --match layers to the same model in another precision or layout; revert the very file that apply wrote"
        )
    )]
    Patch {
        /// The file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The patch file cannot be read.
    #[error("{} is not a readable patch: {reason}", path.display())]
    #[diagnostic(code("patch-unreadable"), help("give a file that --patch-out wrote"))]
    PatchFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The model was edited before.
    #[error("{} was edited by this tool before (its metadata have uwm.version)", path.display())]
    #[diagnostic(
        code("model-edited"),
        help("edit the original; or pass --force to edit it once more, which its metadata will tell")
    )]
    Edited {
        /// The file.
        path: PathBuf,
    },
    /// The output cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    #[diagnostic(code("output-unwritable"), help("check space and permissions of the output's folder"))]
    Write {
        /// The output.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The output may not be written there.
    #[error("refusing to write {}: {reason}", path.display())]
    #[diagnostic(code("output-refused"), help("{help}"))]
    Output {
        /// The output path.
        path: PathBuf,
        /// Why.
        reason: &'static str,
        /// What to do.
        help: &'static str,
    },
}
