//! Aimed negation: the algebra and the search against numpy (tools/fixtures/make_aimed.py).

mod common;

use common::root;
use ndarray::{Array1, Array2};
use serde_json::Value;
use uwm_onnx::uwm::Side;
use uwm_onnx::uwm::aim::{Aim, Detector, Moments, RHO, negate};

struct Case {
    value: Value,
    moments: Moments,
    weight: Array2<f64>,
    negated: Array2<f64>,
}

impl Case {
    fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(root("tests/fixtures/aimed").join(format!("{name}.json"))).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let rows = |name: &str| -> Array2<f64> {
            let rows: Vec<Vec<f64>> = serde_json::from_value(value[name].clone()).unwrap();
            let shape = (rows.len(), rows[0].len());
            Array2::from_shape_vec(shape, rows.concat()).unwrap()
        };
        let mut moments = Moments::new(rows("safe").ncols());
        for (side, name) in [(Side::Safe, "safe"), (Side::Unsafe, "not_safe")] {
            // In two parts: sums add up.
            let rows = rows(name).mapv(|value| value as f32);
            let (first, second) = rows.view().split_at(ndarray::Axis(0), rows.nrows() / 3);
            let mut other = Moments::new(rows.ncols());
            moments.add(side, first);
            other.add(side, second);
            moments.join(&other);
        }
        Self { moments, weight: rows("weight"), negated: rows("negated"), value }
    }

    fn number(&self, name: &str) -> f64 {
        self.value[name].as_f64().unwrap()
    }

    fn vector(&self, name: &str) -> Array1<f64> {
        serde_json::from_value::<Vec<f64>>(self.value[name].clone()).unwrap().into()
    }

    fn flips(&self) -> Vec<u32> {
        let rows: Vec<Vec<u32>> = serde_json::from_value(self.value["flips"].clone()).unwrap();
        let inputs = self.weight.ncols() as u32;
        rows.iter().zip(0..).flat_map(|(row, o)| row.iter().map(move |i| o * inputs + i)).collect()
    }
}

#[test]
fn algebra_and_search_agree_with_numpy() {
    for name in ["plain", "wide", "few_pairs", "no_ridge", "codes"] {
        let case = Case::read(name);
        let detector = Detector::fit(&case.moments, &case.weight, case.number("rho")).unwrap();
        let close = |got: &Array1<f64>, want: &Array1<f64>| {
            let scale = want.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-6 * scale)
        };
        assert!(close(&detector.mu, &case.vector("mu")), "{name}");
        assert!(close(&detector.u, &case.vector("u")), "{name}: {} {}", detector.u, case.vector("u"));
        assert!(
            (detector.offset - case.number("offset")).abs() <= 1e-6 * case.number("offset").abs().max(1.0),
            "{name}"
        );
        let aim = Aim { gain: case.number("gain"), ridge: case.number("ridge") };
        assert_eq!(negate(&case.weight, &case.negated, &case.moments, &detector, aim), case.flips(), "{name}");
    }
}

/// On average the detector is 0 on safe and 1 on unsafe samples, with any ridge.
#[test]
fn the_detector_is_scaled() {
    let case = Case::read("wide");
    for rho in [0.001, RHO, 3.0] {
        let detector = Detector::fit(&case.moments, &case.weight, rho).unwrap();
        for (side, want) in [(Side::Safe, 0.0), (Side::Unsafe, 1.0)] {
            let mean = case.moments.mean(side);
            assert!((detector.of_inputs.dot(&mean) - detector.offset - want).abs() < 1e-9);
        }
    }
}

#[test]
fn what_cannot_be_aimed_at_is_told() {
    let case = Case::read("plain");
    let fit = |moments: &Moments, weight: &Array2<f64>| Detector::fit(moments, weight, RHO).unwrap_err().to_string();
    let mut alike = Moments::new(case.weight.ncols());
    let rows = Array2::from_shape_fn((4, case.weight.ncols()), |(b, i)| (b * i) as f32);
    for side in [Side::Safe, Side::Unsafe] {
        alike.add(side, rows.view());
    }
    assert!(fit(&alike, &case.weight).contains("same mean"));
    assert!(fit(&Moments::new(case.weight.ncols()), &case.weight).contains("no samples"));
    assert!(fit(&case.moments, &(&case.weight * f64::NAN)).contains("not finite"));
    assert!(fit(&case.moments, &(&case.weight * 0.0)).contains("same mean"));
}
