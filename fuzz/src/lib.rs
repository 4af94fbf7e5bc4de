//! What is fuzzed, a function a surface: bytes in, and whatever they are, nothing may panic, hang or take much memory.
//!
//! The fuzzer calls these functions, and `tests/replay.rs`, which includes this file, calls the same ones with every file of
//! the corpora, in the crate's ordinary tests.

mod config;
mod external;
mod folder;
mod image;
mod manifest;
mod model;
mod patch;
mod preparation;
mod report;
mod small;
mod tensors;

pub use config::config;
pub use external::external;
pub use image::image;
pub use manifest::manifest;
pub use model::model;
pub use patch::patch;
pub use preparation::preparation;
pub use report::report;

/// A surface: bytes from anywhere.
pub type Target = fn(&[u8]);

/// All of them, by the names of their corpora.
pub const TARGETS: [(&str, Target); 8] = [
    ("config", config),
    ("external", external),
    ("image", image),
    ("manifest", manifest),
    ("model", model),
    ("patch", patch),
    ("preparation", preparation),
    ("report", report),
];

/// What parts an input that stands for several files.
const BETWEEN: &[u8] = b"\n--\n";

/// The first byte, which chooses what an input is, and the parts of the rest.
fn parts(bytes: &[u8]) -> Option<(u8, Vec<&[u8]>)> {
    let (&form, mut rest) = bytes.split_first()?;
    let mut parts = vec![];
    while let Some(at) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        parts.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    parts.push(rest);
    Some((form, parts))
}
