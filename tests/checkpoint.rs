//! Kept sums: what is read again is what was written, and what cannot be is refused.

mod common;

use common::reference::fixture;
use ndarray::Array2;
use uwm_onnx::onnx::{Graph, Hints, Linear, Model};
use uwm_onnx::pass::{Checkpoint, Site};
use uwm_onnx::uwm::{CHUNK, Sums, Undefined};

fn layers() -> Vec<Linear> {
    let model = Model::open(&fixture("vision_model.onnx")).unwrap();
    let graph = Graph::new(&model).unwrap();
    Site::find(&graph, &Hints::default()).unwrap().pop().unwrap().select("fc2").unwrap()
}

fn sums(layers: &[Linear], pairs: usize) -> Vec<Sums> {
    let one = |(k, layer): (usize, &Linear)| Sums {
        scores: Array2::from_shape_fn(layer.weight.shape, |(o, i)| (k + o * 3 + i * 7) as f32 / 11.0),
        counts: (0..layer.weight.shape[1]).map(|i| (i % 60) as u32).collect(),
        undefined: Undefined { short_pairs: k, not_finite: 2, features: 5, outputs: 7 },
        pairs,
    };
    layers.iter().enumerate().map(one).collect()
}

#[test]
fn what_was_written_is_read() {
    let (folder, layers) = (tempfile::tempdir().unwrap(), layers());
    let path = folder.path().join("vision.safetensors");
    let mut checkpoint = Checkpoint::new(path.clone(), "job".to_owned());
    assert_eq!(checkpoint.read(&layers, 500).unwrap(), None);
    for pairs in [CHUNK, 2 * CHUNK] {
        let sums = sums(&layers, pairs);
        checkpoint.write(sums.iter()).unwrap();
        assert_eq!(checkpoint.read(&layers, 500).unwrap(), Some(sums));
    }
    // Any safetensors reader opens it.
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(safetensors::SafeTensors::deserialize(&bytes).unwrap().len(), 2 * layers.len());
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
    refused(Checkpoint::new(path.clone(), "other".to_owned()).read(&layers, 500), "written by another job");
    refused(checkpoint().read(&layers[1..], 500), "it has 3 layers, not 2");
    refused(checkpoint().read(&layers, CHUNK - 1), "it has seen 64 of 63 pairs");
    let broken = |change: &dyn Fn(&mut Sums), why: &str| {
        let mut bad = good.clone();
        bad.iter_mut().for_each(change);
        checkpoint().write(bad.iter()).unwrap();
        refused(checkpoint().read(&layers, 500), why);
    };
    broken(&|sums| sums.pairs = CHUNK + 1, "it has seen 65 of 500 pairs");
    broken(&|sums| sums.counts[3] = 65, "counts more pairs");
    broken(&|sums| sums.undefined.short_pairs = usize::MAX, "counts more pairs");
    broken(&|sums| sums.scores[[0, 0]] = f32::NAN, "no score");
    broken(&|sums| sums.scores[[1, 2]] = -1.0, "no score");
    broken(&|sums| (sums.scores, sums.counts) = (Array2::zeros((2, 2)), vec![0; 2]), "'0.scores' is F32 [2, 2]");
    checkpoint().write(good.iter()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for cut in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert!(checkpoint().read(&layers, 500).is_err(), "cut at {cut}");
    }
}
