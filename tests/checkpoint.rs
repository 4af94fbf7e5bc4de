//! Kept sums: what is read again is what was written, and what cannot be is refused.

mod common;

use common::reference::fixture;
use ndarray::Array2;
use uwm_onnx::onnx::{Graph, Hints, Linear, Model};
use uwm_onnx::pass::{Checkpoint, Site};
use uwm_onnx::uwm::{CHUNK, Product, Side, Sum, Sums, Undefined};

fn layers() -> Vec<Linear> {
    let model = Model::open(&fixture("vision_model.onnx")).unwrap();
    let graph = Graph::new(&model).unwrap();
    Site::find(&graph, &Hints::default()).unwrap().pop().unwrap().select("fc2").unwrap()
}

const PRODUCTS: [Product; 3] =
    [Product::Ratio { of: Side::Unsafe, std: true }, Product::ConceptDifference, Product::Spread { of: Side::Safe }];
const CONCEPTS: usize = 4;

fn sums(layers: &[Linear], pairs: usize) -> Vec<Sums> {
    let one = |(k, layer): (usize, &Linear)| {
        let sum = |product| {
            let (values, counts, rows) = Sum::shapes(product, layer.weight.shape, CONCEPTS);
            Sum {
                values: Array2::from_shape_fn(values, |(o, i)| (k + o * 3 + i * 7) as f32 / 11.0 - 1.0),
                counts: (0..counts).map(|i| (i % 60) as u32).collect(),
                rows: Array2::from_shape_fn(rows, |(r, i)| (k + r) as f64 / (i + 3) as f64 - 0.1),
                undefined: Undefined { short_pairs: k, not_finite: 2, features: 5, outputs: 7 },
            }
        };
        Sums { products: PRODUCTS.map(sum).to_vec(), pairs }
    };
    layers.iter().enumerate().map(one).collect()
}

fn read(
    checkpoint: &Checkpoint,
    layers: &[Linear],
    samples: usize,
) -> Result<Option<Vec<Sums>>, uwm_onnx::pass::Error> {
    checkpoint.read(layers, &PRODUCTS, CONCEPTS, samples)
}

#[test]
fn what_was_written_is_read() {
    let (folder, layers) = (tempfile::tempdir().unwrap(), layers());
    let path = folder.path().join("vision.safetensors");
    let mut checkpoint = Checkpoint::new(path.clone(), "job".to_owned());
    assert_eq!(read(&checkpoint, &layers, 500).unwrap(), None);
    for pairs in [CHUNK, 2 * CHUNK] {
        let sums = sums(&layers, pairs);
        checkpoint.write(sums.iter()).unwrap();
        assert_eq!(read(&checkpoint, &layers, 500).unwrap(), Some(sums));
    }
    // Any safetensors reader opens it.
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(safetensors::SafeTensors::deserialize(&bytes).unwrap().len(), 9 * layers.len());
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["vision.safetensors"]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (folder, layers) = (tempfile::tempdir().unwrap(), layers());
    let path = folder.path().join("vision.safetensors");
    let checkpoint = || Checkpoint::new(path.clone(), "job".to_owned());
    let refused = |found: Result<Option<Vec<Sums>>, uwm_onnx::pass::Error>, why: &str| {
        let error = found.unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("vision.safetensors"), "{error}");
    };
    let good = sums(&layers, CHUNK);
    checkpoint().write(good.iter()).unwrap();
    refused(read(&Checkpoint::new(path.clone(), "other".to_owned()), &layers, 500), "written by another job");
    refused(read(&checkpoint(), &layers[1..], 500), "it has 3 layers, not 2");
    refused(read(&checkpoint(), &layers, CHUNK - 1), "it has seen 64 of 63 pairs");
    let broken = |change: &dyn Fn(&mut Sums), why: &str| {
        let mut bad = good.clone();
        bad.iter_mut().for_each(change);
        checkpoint().write(bad.iter()).unwrap();
        refused(read(&checkpoint(), &layers, 500), why);
    };
    broken(&|sums| sums.pairs = CHUNK + 1, "it has seen 65 of 500 pairs");
    broken(&|sums| sums.products[0].counts[3] = 65, "counts more pairs");
    broken(&|sums| sums.products[1].undefined.short_pairs = usize::MAX, "counts more pairs");
    broken(&|sums| sums.products[2].values[[0, 0]] = f32::NAN, "its sum 0.2 is not finite");
    broken(&|sums| sums.products[1].rows[[1, 2]] = f64::INFINITY, "its sum 0.1 is not finite");
    broken(&|sums| sums.products[0].values = Array2::zeros((2, 2)), "'0.0.values' is F32 [2, 2]");
    broken(&|sums| drop(sums.products.pop()), "its layer 0 has 2 sums, not 3");
    checkpoint().write(good.iter()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for cut in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert!(read(&checkpoint(), &layers, 500).is_err(), "cut at {cut}");
    }
}
