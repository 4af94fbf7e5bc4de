//! What ranking costs beside the plain matrix products it is made of, and how long stored embeddings take to evaluate.
//!
//! `cargo bench --bench ranking` (minutes; a number of items after `--` for others than 100,000).

#![allow(missing_docs)]

use std::process::Command;
use std::time::{Duration, Instant};

use ndarray::{Array2, s};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use uwm_onnx::safeground::{Embeddings, Quadruplets, Ranked};

const WIDTH: usize = 512;

fn some(rows: usize, seed: u64) -> Embeddings {
    let mut rng = fastrand::Rng::with_seed(seed);
    Embeddings::normalise(Array2::from_shape_simple_fn((rows, WIDTH), || rng.f32() - 0.5)).expect("no row is 0")
}

/// The product of all queries with all items, by ndarray on all cores, in blocks that are dropped: the least that ranking
/// must do.
fn product(queries: &Array2<f32>, items: &Array2<f32>) -> f32 {
    let rows = 256.min(queries.nrows());
    let starts: Vec<usize> = (0..queries.nrows()).step_by(rows).collect();
    let one = |start: usize| {
        let block = queries.slice(s![start..queries.nrows().min(start + rows), ..]);
        // Gallery in parts too: the memory of a block times all items would be the bench's own cost.
        (0..items.nrows())
            .step_by(8192)
            .map(|left| block.dot(&items.slice(s![left..items.nrows().min(left + 8192), ..]).t())[[0, 0]])
            .sum::<f32>()
    };
    starts.into_par_iter().map(one).sum()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let clock = Instant::now();
    let done = work();
    (done, clock.elapsed())
}

/// Peak of this process's memory so far, in MiB, where the system tells.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? >> 10)
}

fn ranking(items: usize) {
    let set = Quadruplets {
        safe_text: some(items, 1),
        unsafe_text: some(items, 2),
        safe_image: some(items, 3),
        unsafe_image: some(items, 4),
    };
    let before = peak();
    let (_, once) = timed(|| product(set.safe_text.rows(), set.safe_image.rows()));
    let (ranked, all) = timed(|| Ranked::of(&set));
    assert_eq!(ranked.directions[3].before.len(), items);
    // Two directions over one gallery and two over a union of two, from four products.
    let ratio = all.as_secs_f64() / (4.0 * once.as_secs_f64());
    println!("{items} quadruplets, width {WIDTH}: a plain product {:.1} s", once.as_secs_f64());
    println!("all four directions ranked in {:.1} s: {ratio:.2} of the four products they need,", all.as_secs_f64());
    println!("  {:.2} of the six that one product a direction and gallery would take", ratio * 4.0 / 6.0);
    if let (Some(before), Some(after)) = (before, peak()) {
        let matrix = (items * items * 4) >> 20;
        println!(
            "peak memory {after} MiB, of which {before} MiB embeddings; a matrix of all similarities: {matrix} MiB"
        );
    }
}

fn stored(quadruplets: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("embeddings.safetensors");
    let names = ["embed.safe_text", "embed.unsafe_text", "embed.safe_image", "embed.unsafe_image"];
    let bytes: Vec<Vec<u8>> = (0..4)
        .map(|seed| some(quadruplets, seed).rows().iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = names.iter().zip(&bytes).map(|(name, bytes)| {
        (*name, TensorView::new(Dtype::F32, vec![quadruplets, WIDTH], bytes).expect("the shape of the bytes"))
    });
    std::fs::write(&path, safetensors::serialize(views, None).expect("valid tensors")).expect("a file");
    let evaluate = || {
        let output =
            Command::new(env!("CARGO_BIN_EXE_uwm-onnx")).arg("evaluate").arg("--embeddings").arg(&path).output();
        assert!(!output.expect("the command").stdout.is_empty());
    };
    let best = (0..5).map(|_| timed(evaluate).1).min().unwrap_or_default();
    println!("`evaluate` on {quadruplets} quadruplets of stored embeddings: {:.2} s (limit 1 s)", best.as_secs_f64());
}

fn main() {
    let items = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(100_000);
    stored(5000);
    ranking(items);
}
