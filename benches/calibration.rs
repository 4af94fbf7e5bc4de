//! What a calibration costs beside the model's own forward pass, as ratios measured in one run:
//!
//!     calibration / plain forward of the same inputs, same runtime, same threads           (limit 1.08)
//!     from image files / (plain forward + decoding and preprocessing alone)                (limit 1.05)
//!     scoring, selection and writing / the whole                                           (limit 3 %)
//!     tract / ONNX Runtime, the same calibration                                           (limit 1.6)
//!     peak memory of a calibration, and what it may be: plain peak + 15 % + the budget
//!
//! On ViT-B/32 with 256 pairs, and on ViT-L/14 with a few; random weights (make_clip.py), random photos. Needs the
//! Python that tools/check.sh makes. Run: cargo bench --bench calibration [-- [--quick] [vit-b-32|vit-l-14] [FOLDER]]

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageEncoder, RgbImage};
use ndarray::{Array2, Array4, Axis};
use uwm_onnx::config::TowerOptions;
use uwm_onnx::dataset::{Batch, Error, Images, Picture, Preprocessor, Samples};
use uwm_onnx::onnx::{Graph, Hints, Linear, Modality, Model, Names, Outputs, Patch, Plan, Selection, Update, stage};
use uwm_onnx::pass::{Calibration, Embedder, Limits, Pairs, Runner, Site, Unobserved, calibrate};
use uwm_onnx::runtime::{Backend, Runtime, Wish, open};
use uwm_onnx::uwm::{Accumulator, CHUNK, Statistics, select};

const PYTHON: &str = "target/python/bin/python";
/// Photos there are; they are used again and again.
const PHOTOS: usize = 64;
const BUDGET: usize = 1 << 30;

fn main() {
    std::env::set_current_dir(env!("CARGO_MANIFEST_DIR")).expect("the source folder is there");
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, what, backend, file, pairs] = args.as_slice()
        && flag == "--peak"
    {
        peak(what == "calibrate", backend, Path::new(file), pairs.parse().expect("a number"));
        return;
    }
    assert!(Path::new(PYTHON).exists(), "{PYTHON} is missing: run tools/check.sh once, which makes it");
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let quick = args.iter().any(|arg| arg == "--quick");
    let folder = args
        .iter()
        .find(|arg| *arg != "--quick" && !arg.starts_with("vit-"))
        .map_or(temporary.path().to_owned(), PathBuf::from);
    let scene = Scene::new(&folder);
    let models =
        if quick { [("vit-b-32", 64, 2), ("vit-l-14", 4, 1)] } else { [("vit-b-32", 256, 2), ("vit-l-14", 12, 2)] };
    let named = |model: &str| args.iter().any(|arg| arg == model);
    for (model, pairs, rounds) in models {
        if models.iter().any(|(model, ..)| named(model)) && !named(model) {
            continue;
        }
        let folder = folder.join(model);
        if !folder.join("text_model.onnx").exists() {
            let status = Command::new(PYTHON).args(["benches/make_clip.py", model]).arg(&folder).status();
            assert!(status.expect("python runs").success(), "make_clip.py failed");
        }
        for tower in [Modality::Vision, Modality::Text] {
            let file = folder.join(format!("{tower}_model.onnx"));
            let times = ["tract", "ort"].map(|backend| scene.measure(&file, tower, backend, pairs, rounds));
            println!("  tract / ONNX Runtime, calibration: {:.2} (limit 1.6)", times[0] / times[1]);
        }
    }
}

/// Photos in files.
struct Scene {
    photos: Vec<PathBuf>,
}

impl Scene {
    fn new(folder: &Path) -> Self {
        let folder = folder.join("photos");
        std::fs::create_dir_all(&folder).expect("a folder for photos");
        let photo = |k: usize| {
            let path = folder.join(format!("{k}.jpg"));
            // Waves and grain: about as hard to decode as a photo of this size.
            let pixel = |x: u32, y: u32| {
                let wave = |a: f32, b: f32| 96.0 * ((x as f32 * a + y as f32 * b + k as f32).sin() + 1.0);
                let grain = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503 + k as u32)) >> 26;
                image::Rgb([wave(0.01, 0.02), wave(0.03, 0.01), wave(0.02, 0.005)].map(|v| v as u8 + grain as u8 / 2))
            };
            let photo = RgbImage::from_fn(640, 480, pixel);
            let mut bytes = vec![];
            let encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
            encoder.write_image(photo.as_raw(), 640, 480, image::ExtendedColorType::Rgb8).expect("a JPEG");
            std::fs::write(&path, bytes).expect("a photo is written");
            path
        };
        Self { photos: (0..PHOTOS).map(photo).collect() }
    }

    fn measure(&self, file: &Path, tower: Modality, backend: &str, pairs: usize, rounds: usize) -> f64 {
        let runtime = runtime(backend);
        let job = Job::new(file, &*runtime);
        let preprocessor = Preprocessor::read(&file.with_file_name("preprocessor_config.json"));
        let preprocessor = preprocessor.expect("make_clip.py wrote it");
        let (safe, not_safe) = (
            Memory::new(tower, &self.photos, &preprocessor, pairs, 0),
            Memory::new(tower, &self.photos, &preprocessor, pairs, 1),
        );
        let place = runtime.place();
        println!(
            "{}, {pairs} pairs, {} {} on {}, {} threads; the least of {rounds} rounds",
            file.display(),
            place.backend,
            place.version,
            place.device,
            place.threads
        );
        let files = |shift: usize| {
            Images::new(
                &preprocessor,
                (0..pairs).map(|k| Picture::File(self.photos[(k + shift) % PHOTOS].clone())).collect(),
            )
        };
        let (safe_files, unsafe_files) = (files(0), files(1));
        let mut least = [[f64::INFINITY; 2]; 5];
        for _ in 0..rounds {
            let mut keep = |index: usize, work: &dyn Fn()| {
                let (begun, before) = (Instant::now(), processor_time());
                work();
                let spent = [begun.elapsed().as_secs_f64(), processor_time() - before];
                least[index].iter_mut().zip(spent).for_each(|(least, spent)| *least = least.min(spent));
            };
            keep(0, &|| job.plain(&safe, &not_safe));
            keep(1, &|| job.calibrate(&safe, &not_safe));
            keep(2, &|| job.edit(pairs));
            if tower == Modality::Vision {
                keep(3, &|| [&safe_files, &unsafe_files].into_iter().for_each(decode));
                keep(4, &|| job.calibrate(&safe_files, &unsafe_files));
            }
        }
        let [plain, calibration, edit, decoding, whole] = least;
        let ratio = |of: &dyn Fn(usize) -> f64| format!("{:.3} ({:.3})", of(0), of(1));
        println!("  seconds (of processor time) and ratios:");
        println!(
            "  plain forward {}, calibration {}: {}; limit 1.08",
            shown(plain),
            shown(calibration),
            ratio(&|k| calibration[k] / plain[k])
        );
        let mut total = calibration;
        if tower == Modality::Vision {
            println!(
                "  decoding {}, calibration from files {}: {}; limit 1.05",
                shown(decoding),
                shown(whole),
                ratio(&|k| whole[k] / (plain[k] + decoding[k]))
            );
            total = whole;
        }
        println!("  scoring, selecting, writing {}: {}; limit 0.03", shown(edit), ratio(&|k| edit[k] / total[k]));
        let [plain, calibration] = ["plain", "calibrate"].map(|what| {
            let own = std::env::current_exe().expect("this program");
            let output =
                Command::new(own).args(["--peak", what, backend]).arg(file).arg(pairs.min(32).to_string()).output();
            let output = output.expect("this program runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().expect("a number")
        });
        let limit = 1.15 * plain + (BUDGET >> 20) as f64;
        println!("  peak memory, MiB: plain {plain:.0}, calibration {calibration:.0} (limit {limit:.0})");
        least[1][0]
    }
}

fn shown([wall, processor]: [f64; 2]) -> String {
    format!("{wall:.2} ({processor:.2})")
}

/// Seconds that this process has kept processors busy. What else runs on the machine shows less in it than in the time
/// on the wall.
fn processor_time() -> f64 {
    let status = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // Behind the name, in parentheses: state is field 3; utime and stime are 14 and 15, in hundredths of a second.
    let fields: Vec<&str> = status.rsplit(')').next().expect("it is there").split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("a number") / 100.0).sum()
}

/// Prints the peak memory of a process that does one thing, in MiB.
fn peak(calibrate: bool, backend: &str, file: &Path, pairs: usize) {
    let runtime = runtime(backend);
    let job = Job::new(file, &*runtime);
    let samples = [0, 1].map(|seed| Memory::random(&job, pairs, seed));
    if calibrate {
        job.calibrate(&samples[0], &samples[1]);
    } else {
        job.plain(&samples[0], &samples[1]);
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux");
    println!("{}", peak.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0);
}

fn runtime(backend: &str) -> Box<dyn Runtime> {
    let find = "import onnxruntime, glob, os; print(glob.glob(os.path.dirname(onnxruntime.__file__) + '/capi/*onnxruntime.*[0-9dl]')[0])";
    let found = Command::new(PYTHON).args(["-c", find]).output().expect("python runs").stdout;
    let library = PathBuf::from(String::from_utf8_lossy(&found).trim());
    let backend = if backend == "ort" { Backend::Ort } else { Backend::Tract };
    open(&Wish { backend, library: Some(library), ..Wish::default() }).expect("the runtime opens")
}

/// A model in memory for as long as the program runs.
struct Job<'r> {
    site: &'static Site<'static>,
    layers: Vec<Linear>,
    runner: Runner<'r>,
}

impl<'r> Job<'r> {
    fn new(file: &Path, runtime: &'r dyn Runtime) -> Self {
        let model: &'static Model = Box::leak(Box::new(Model::open(file).expect("a model")));
        let graph: &'static Graph = Box::leak(Box::new(Graph::new(model).expect("a graph")));
        let site: &'static Site = Box::leak(Box::new(Site::find(graph, &Hints::default()).expect("a tower").remove(0)));
        let recipe = TowerOptions::default().recipe(site.modality()).expect("the paper's").expect("an edited tower");
        let limits = Limits { memory_budget: BUDGET, ..Limits::default() };
        let layers = site.select(&recipe.layers).expect("layers");
        Self { site, layers, runner: Runner { runtime, observer: &Unobserved, limits } }
    }

    /// Embeds all samples, without reading anything else.
    fn plain(&self, safe: &dyn Samples, not_safe: &dyn Samples) {
        let embedder = Embedder::new(self.runner, self.site, safe).expect("an embedder");
        for samples in [safe, not_safe] {
            embedder.embed("", samples).expect("embeddings");
        }
    }

    fn calibrate(&self, safe: &dyn Samples, not_safe: &dyn Samples) {
        let recipe =
            TowerOptions::default().recipe(self.site.modality()).expect("the paper's").expect("an edited tower");
        let concepts = vec![0; safe.len()];
        let pairs = Pairs { safe, not_safe, concepts: &concepts };
        // As a rewrite has it with its controls.
        let scorings = [recipe.scoring, recipe.scoring.swapped()];
        let (site, layers, epsilon) = (self.site, &self.layers, recipe.epsilon);
        let calibration = Calibration { site, layers, pairs, scorings: &scorings, epsilon };
        calibrate(self.runner, calibration, None).expect("scores");
    }

    /// Scores made-up statistics of as many pairs, selects, makes the patch, and writes the edited model.
    fn edit(&self, pairs: usize) {
        use rayon::prelude::*;
        let model = self.site.graph.model;
        let statistics: Vec<[Statistics; 2]> =
            self.layers.iter().map(|layer| [1, 2].map(|k| made_up(layer, k))).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let recipe =
            TowerOptions::default().recipe(self.site.modality()).expect("the paper's").expect("an edited tower");
        let scorings = [recipe.scoring, recipe.scoring.swapped()];
        let choose = |(layer, [safe, not_safe]): (&Linear, &[Statistics; 2])| {
            let products: Vec<_> = scorings.iter().flat_map(|scoring| scoring.products()).collect();
            let mut sums = Accumulator::new(layer.weight.shape, &products, recipe.epsilon, 1);
            let weight = || layer.weight.read(model);
            for _ in (0..pairs).step_by(safe.tokens.len()) {
                sums.add(safe, not_safe, &vec![0; safe.tokens.len()], weight).expect("a weight");
            }
            let (means, weight) = (sums.finish(weight).expect("a weight"), weight().expect("a weight"));
            let scores = scorings.map(|scoring| means.score(&scoring, &weight).expect("scores"));
            let [positions, _] =
                scores.map(|scores| select(&[scores.values.view()], recipe.rule).expect("a selection").remove(0));
            Selection { layer: layer.clone(), update: Update::Multiply(-1.0), positions }
        };
        let selections: Vec<Selection> = self.layers.par_iter().zip(&statistics).map(choose).collect();
        let patch = Patch::make(model, &selections, serde_json::Value::Null).expect("a patch");
        let bytes = patch.to_bytes();
        let output = folder.path().join("safe.onnx");
        let names = Names::for_output(model, &output).expect("names");
        let plan = Plan::apply(self.site.graph, &patch, &names, Some(&bytes)).expect("a plan");
        let mut outputs = Outputs::new(false);
        let file = outputs.create(&output).expect("an output");
        outputs.write(file, |file| stage(&plan, 0, file, &output, &|| false)).expect("it is written");
        outputs.publish().expect("it is published");
    }
}

/// A batch of statistics, none of which is zero.
fn made_up(layer: &Linear, seed: usize) -> Statistics {
    let value = |(b, j): (usize, usize)| 1.0 + ((b * 31 + j * 7 + seed * 13) % 97) as f32 / 50.0;
    let array = || Array2::from_shape_fn((8, layer.weight.shape[1]), value);
    Statistics { norm: array(), std: array(), mean: array(), tokens: vec![50; 8], finite: vec![true; 8] }
}

/// Decodes and preprocesses all images on all threads.
fn decode(images: &Images) {
    use rayon::prelude::*;
    (0..images.len()).into_par_iter().for_each(|k| drop(images.batch(k..k + 1).expect("an image")));
}

/// Samples that are ready; a chunk of them, again and again.
struct Memory {
    samples: Batch,
    len: usize,
}

impl Memory {
    fn new(tower: Modality, photos: &[PathBuf], preprocessor: &Preprocessor, len: usize, seed: usize) -> Self {
        if tower == Modality::Text {
            return Self::text(77, 49_000, len, seed);
        }
        let paths: Vec<Picture> =
            (0..CHUNK.min(len)).map(|k| Picture::File(photos[(k + seed) % photos.len()].clone())).collect();
        let count = paths.len();
        let samples = Images::new(preprocessor, paths).batch(0..count).expect("photos");
        Self { samples, len }
    }

    fn text(length: usize, vocabulary: usize, len: usize, seed: usize) -> Self {
        let tokens = |b: usize| 10 + (b * 7 + seed) % (length - 20);
        let id = |(b, t): (usize, usize)| match t < tokens(b) {
            true => ((b * 31 + t * 17 + seed * 101) % vocabulary) as i64 + 1,
            false => 0,
        };
        let shape = (CHUNK.min(len), length);
        let mask = Array2::from_shape_fn(shape, |(b, t)| i64::from(t < tokens(b)));
        Self { samples: Batch::Text { ids: Array2::from_shape_fn(shape, id), mask }, len }
    }

    /// Without files, so that nothing but the model is in memory.
    fn random(job: &Job, len: usize, seed: usize) -> Self {
        let dims = &job.site.tower.input.dims;
        match (job.site.modality(), dims.as_slice()) {
            (Modality::Text, [_, length]) => Self::text(length.expect("a length"), 49_000, len, seed),
            (_, [_, channels, height, width]) => {
                let size = |dim: &Option<usize>| dim.expect("a size");
                let shape = (8.min(len), size(channels), size(height), size(width));
                let pixel = |(b, c, y, x): (usize, usize, usize, usize)| {
                    ((b * 5 + c * 3 + seed) as f32 + (x * y) as f32 * 0.01).sin()
                };
                Self { samples: Batch::Image { pixels: Array4::from_shape_fn(shape, pixel) }, len }
            }
            _ => panic!("an input of another kind"),
        }
    }
}

impl Samples for Memory {
    fn len(&self) -> usize {
        self.len
    }

    fn batch(&self, range: Range<usize>) -> Result<Batch, Error> {
        let axis = Axis(0);
        Ok(match &self.samples {
            Batch::Text { ids, mask } => {
                let rows: Vec<usize> = range.map(|k| k % ids.nrows()).collect();
                Batch::Text { ids: ids.select(axis, &rows), mask: mask.select(axis, &rows) }
            }
            Batch::Image { pixels } => {
                let rows: Vec<usize> = range.map(|k| k % pixels.dim().0).collect();
                Batch::Image { pixels: pixels.select(axis, &rows) }
            }
        })
    }

    fn name(&self, index: usize) -> String {
        format!("sample {index}")
    }
}
