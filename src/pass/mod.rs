//! The pass itself: from model files and data to an edited model and a report. Orders the other rooms' work; runs
//! batches over a runtime.

mod aim;
mod apply;
mod batches;
mod calibrate;
mod check;
mod checkpoint;
mod choice;
mod choose;
mod controls;
mod data;
mod data_sets;
mod edit;
mod embed;
mod evaluate;
mod evaluation;
mod files;
mod folder;
mod inspect;
mod job;
mod kept;
mod matching;
mod notes;
mod padding;
mod pipeline;
mod plans;
mod prepare;
mod rewrite;
mod score;
mod scoring;
mod shards;
mod site;
mod splits;
mod stored;
mod sweep;
mod tensors;
mod timing;
mod tower_edit;
mod verify;
mod wanted;

use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

pub use aim::survey;
pub use apply::{ApplyJob, apply, revert};
pub use batches::{Limits, Runner};
pub use calibrate::{Accumulating, BothSides, Calibrated, Calibration, Measuring, Pairs, calibrate};
pub use check::{CheckJob, OpenRuntime, ReportForm, check, compare_files, read_rewritten, read_sweep};
pub use checkpoint::Checkpoint;
pub use data_sets::{DataCheckJob, SplitJob, check_data, split_data};
pub use embed::{Embedded, Embedder};
pub use evaluate::{Bad, EmbeddedData, EmbeddedSide, EvaluationData, embed_side, measure};
pub use evaluation::{EvaluateJob, Subject, evaluate};
pub use folder::find_models;
pub use inspect::inspect;
pub use job::{Controls, Job, ModelFiles};
pub use kept::Kept;
pub use rewrite::rewrite;
pub use scoring::{MergeJob, ScoreJob, merge, score};
pub use shards::Shard;
pub use site::Site;
pub use sweep::{Pick, SweepJob, sweep};
pub use verify::verify;
pub use wanted::Wanted;

use crate::exit::Exit;
use crate::{config, dataset, gate, onnx, runtime, safeground, taps, uwm};

/// Whatever stops the pass.
#[derive(Debug, Error, Diagnostic)]
#[allow(missing_docs)] // each variant is another room's error
pub enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Policy(#[from] gate::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Onnx(#[from] onnx::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Dataset(#[from] dataset::Error),
    #[error("{}, {tower} tower: {source}", model.display())]
    #[diagnostic(forward(source))]
    Runtime {
        /// The model file.
        model: PathBuf,
        /// The tower that was run.
        tower: onnx::Modality,
        source: runtime::Error,
    },
    #[error(transparent)]
    #[diagnostic(transparent)]
    NoRuntime(runtime::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Taps(#[from] taps::Error),
    #[error("{what}: {source}")]
    #[diagnostic(forward(source))]
    SafeGround {
        /// Which set of embeddings.
        what: String,
        source: safeground::Error,
    },
    #[error("layer {layer}: {source}")]
    #[diagnostic(forward(source))]
    Score {
        /// The layer's node.
        layer: String,
        source: uwm::Error,
    },
    /// Something that the pass needs was neither given nor found.
    #[error("no {what} was given, and none was found beside {}", model.display())]
    #[diagnostic(code("input-missing"), help("{help}"))]
    Missing { what: &'static str, model: PathBuf, help: &'static str },
    /// The given files do not go together.
    #[error("{reason}")]
    #[diagnostic(code("inputs-conflict"), help("{help}"))]
    Conflict { reason: String, help: &'static str },
    /// The data do not fit the model.
    #[error("the data have shape {fed:?} where the model takes {input}")]
    #[diagnostic(
        code("input-shape"),
        help(
            "the preprocessor's crop or the tokenizer's length does not fit; give the files that belong to the model"
        )
    )]
    Shape { input: String, fed: Vec<usize> },
    /// Kept progress that cannot be taken up.
    #[error("{}: this checkpoint cannot be resumed: {reason}", path.display())]
    #[diagnostic(
        code("checkpoint-unusable"),
        help("resume the very job that was interrupted, or remove the file or give another folder to begin anew")
    )]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Kept scores that cannot be used.
    #[error("{}: these scores cannot be used: {reason}", path.display())]
    #[diagnostic(
        code("scores-unusable"),
        help("make them anew for this model and these data, with `uwm-onnx score` or --scores-out")
    )]
    Scores {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Stored embeddings that cannot be used.
    #[error("{}: these embeddings cannot be used: {reason}", path.display())]
    #[diagnostic(
        code("embeddings-unusable"),
        help("make them with `uwm-onnx evaluate --embeddings-out`, or store rows as docs/metrics.md says")
    )]
    Embeddings {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A stored result that cannot be compared with.
    #[error("{}: this result cannot be compared with: {reason}", path.display())]
    #[diagnostic(
        code("result-unusable"),
        help(
            "make it with `uwm-onnx evaluate --format json` or `uwm-onnx check --report result.json`, on the same data"
        )
    )]
    Result {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A report of this tool that cannot be read back.
    #[error("{}: this report cannot be used: {reason}", path.display())]
    #[diagnostic(
        code("report-unusable"),
        help("give what `uwm-onnx rewrite --json` or `uwm-onnx sweep --json` wrote, of the same version")
    )]
    Report {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A file is no longer what was read before.
    #[error("{} was changed or replaced while it was checked", path.display())]
    #[diagnostic(
        code("model-changed"),
        help("nothing can be said of it; wait until nobody writes the file any more, and start again")
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The user asked to stop.
    #[error("interrupted; no output was written")]
    #[diagnostic(code("interrupted"))]
    Interrupted,
}

impl Error {
    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        use crate::onnx::Error as Onnx;
        match self {
            Self::Config(_)
            | Self::Policy(_)
            | Self::Checkpoint { .. }
            | Self::Missing { .. }
            | Self::Conflict { .. }
            | Self::Onnx(Onnx::Output { .. } | Onnx::Write { .. } | Onnx::Edited { .. }) => Exit::Usage,
            Self::Shape { .. }
            | Self::Scores { .. }
            | Self::Embeddings { .. }
            | Self::Result { .. }
            | Self::Report { .. }
            | Self::Changed { .. }
            | Self::Onnx(_)
            | Self::Dataset(_)
            | Self::Taps(_)
            | Self::SafeGround { .. }
            | Self::Score { .. } => Exit::Input,
            Self::Runtime { .. } | Self::NoRuntime(_) => Exit::Runtime,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}

/// Follows the pass while it works.
pub trait Observer: Sync {
    /// A stage of `total` samples begins.
    fn begin(&self, stage: &str, total: usize);
    /// Some samples are done.
    fn advance(&self, samples: usize);
    /// The stage is over.
    fn end(&self);
    /// Whether to stop: asked between batches.
    fn cancelled(&self) -> bool;
    /// Something that the user should know now, and not only when all is done.
    fn warn(&self, _: &str) {}
}

/// An observer that looks away.
pub struct Unobserved;

impl Observer for Unobserved {
    fn begin(&self, _: &str, _: usize) {}
    fn advance(&self, _: usize) {}
    fn end(&self) {}
    fn cancelled(&self) -> bool {
        false
    }
}
