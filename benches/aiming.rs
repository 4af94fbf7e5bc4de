//! What aiming costs in a projection as large as ViT-L/14's (768 x 1024), in one run:
//!
//!     one search of its signs                                                              (limit 5 s)
//!     a search / moments and detector of the 512 pairs it is made from
//!
//! Inputs are random, correlated, with a shift between safe and unsafe as large as real ones have (d' about 2); how many
//! signs turn is printed with each gain. Run: cargo bench --bench aiming

use std::time::Instant;

use ndarray::{Array1, Array2};
use uwm_onnx::uwm::Side;
use uwm_onnx::uwm::aim::{Aim, Detector, Fit, Moments, negate};

const OUTPUTS: usize = 768;
const INPUTS: usize = 1024;
const PAIRS: usize = 512;
const LIMIT: f64 = 5.0;

fn main() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut normal = || (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
    let mut some = |rows: usize, columns: usize, scale: f64| -> Array2<f32> {
        Array2::from_shape_simple_fn((rows, columns), || (scale * normal()) as f32)
    };
    let weight = some(OUTPUTS, INPUTS, 1.0 / (INPUTS as f64).sqrt()).mapv(f64::from);
    // Few directions carry most of what varies, as in an encoder.
    let mix = some(64, INPUTS, 0.5);
    let mut sample = || some(PAIRS, 64, 1.0).dot(&mix) + some(PAIRS, INPUTS, 0.5);
    let (safe, unsafe_base) = (sample(), sample());
    let shift = Array1::from_iter(some(1, INPUTS, 0.35).iter().copied());
    let not_safe = unsafe_base + &shift;

    let clock = Instant::now();
    let mut moments = Moments::new(INPUTS);
    moments.add(Side::Safe, safe.view());
    moments.add(Side::Unsafe, not_safe.view());
    let detector = Detector::fit(&moments, &weight, Fit::usual(INPUTS, PAIRS)).expect("the sides differ");
    let before = clock.elapsed().as_secs_f64();
    println!("moments and detector of {PAIRS} pairs, {INPUTS} inputs: {before:.2} s");

    let negated = weight.mapv(|value| -value);
    let mut worst = 0.0_f64;
    for (gain, ridge) in [(1.0, 0.3), (3.0, 1.0), (3.0, 0.3), (3.0, 0.1), (6.0, 0.1)] {
        let clock = Instant::now();
        let flips = negate(&weight, &negated, &moments.second(1.0), &detector, Aim { gain, ridge }).len();
        let seconds = clock.elapsed().as_secs_f64();
        worst = worst.max(seconds);
        let share = 100.0 * flips as f64 / weight.len() as f64;
        println!(
            "search of {OUTPUTS} x {INPUTS}, gain {gain}, ridge {ridge}: {seconds:.2} s, {share:.1} % negated, {:.1} x moments and detector",
            seconds / before
        );
    }
    println!("slowest search {worst:.2} s of {LIMIT} s allowed: {}", if worst <= LIMIT { "ok" } else { "TOO SLOW" });
    assert!(worst <= LIMIT, "a search takes longer than {LIMIT} s");
}
