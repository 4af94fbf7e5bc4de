//! Aimed negation: the algebra and the search against numpy (tools/fixtures/make_aimed.py).

mod common;

use common::root;
use ndarray::{Array1, Array2};
use serde_json::Value;
use uwm_onnx::uwm::Side;
use uwm_onnx::uwm::aim::{Aim, Detector, Fit, Moments, negate};

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
        let fit = Fit { safe: case.number("safe_counts"), rho: case.number("rho") };
        let detector = Detector::fit(&case.moments, &case.weight, fit).unwrap();
        let close = |got: &Array1<f64>, want: &Array1<f64>| {
            let scale = want.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            got.iter().zip(want).all(|(got, want)| (got - want).abs() <= 1e-6 * scale)
        };
        assert!(close(&detector.mu, &case.vector("mu")), "{name}");
        assert!(close(&detector.v, &case.vector("v")), "{name}: {} {}", detector.v, case.vector("v"));
        let aim = Aim { gain: case.number("gain"), ridge: case.number("ridge") };
        assert_eq!(
            negate(&case.weight, &case.negated, &case.moments.second(1.0), &detector, aim),
            case.flips(),
            "{name}"
        );
    }
}

/// It is 1 on the mean unsafe sample, with any ridge, and so is a random one on what it detects: its outputs go as far.
#[test]
fn the_detector_is_scaled() {
    let case = Case::read("wide");
    for rho in [0.001, 0.1, 3.0] {
        let fit = Fit { safe: 10.0, rho };
        let own = Detector::fit(&case.moments, &case.weight, fit).unwrap();
        assert!((own.v.dot(&case.moments.mean(Side::Unsafe)) - 1.0).abs() < 1e-9);
        let mut state = 7.0_f64;
        let normal = || {
            state = (state * 991.0 + 0.37).fract();
            state - 0.5
        };
        let random = Detector::random(&case.moments, &case.weight, fit, &own, normal).unwrap();
        assert!((random.mu.dot(&random.mu) / own.mu.dot(&own.mu) - 1.0).abs() < 1e-9);
        assert!(random.mu.dot(&own.mu).abs() < 0.99 * own.mu.dot(&own.mu));
    }
}

#[test]
fn what_cannot_be_aimed_at_is_told() {
    let case = Case::read("plain");
    let fit = |moments: &Moments, weight: &Array2<f64>| {
        Detector::fit(moments, weight, Fit::usual(10, 40)).unwrap_err().to_string()
    };
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
