//! Mutations of tensors: dimensions that overflow, contradict, or mean nothing; data of another length; other types.

use bytes::Bytes;
use uwm_onnx::onnx::proto::tensor_shape_proto::dimension::Value as Dim;
use uwm_onnx::onnx::proto::type_proto::Value as Type;
use uwm_onnx::onnx::proto::{GraphProto, StringStringEntryProto, TensorProto};

use crate::{Trial, decoded, valid};

/// Dimensions that some reader multiplied, allocated or counted down from.
fn dims(own: &[i64], random: &mut fastrand::Rng) -> Vec<i64> {
    let mut dims = own.to_vec();
    let odd = [0, -1, 1, 2, 1 << 16, 1 << 31, (1 << 31) - 1, 1 << 32, 1 << 62, i64::MAX, i64::MIN];
    let odd = odd[random.usize(..odd.len())];
    match random.u8(..9) {
        0 => return vec![],
        1 => dims.reverse(),
        2 => dims.push(odd),
        3 => drop(dims.pop()),
        // As many elements as before, in a shape that overflows on the way.
        4 => dims.extend([1 << 62, 4, 0]),
        5 => return vec![odd; random.usize(1..5)],
        6 => return vec![1; 10_000],
        // Rows without a number: any number of them.
        7 => return vec![odd, 0],
        _ => {
            if let Some(at) = (!dims.is_empty()).then(|| random.usize(..dims.len())) {
                dims[at] = odd;
            }
        }
    }
    dims
}

/// A tensor among all, the large ones more often: those are the weights.
fn some<'g>(graph: &'g mut GraphProto, random: &mut fastrand::Rng) -> &'g mut TensorProto {
    let large = random.bool();
    let of: Vec<usize> =
        (0..graph.initializer.len()).filter(|&k| !large || graph.initializer[k].dims.len() == 2).collect();
    &mut graph.initializer[of[random.usize(..of.len())]]
}

#[test]
fn dimensions() {
    let (mut trial, mut random) = (Trial::new(), fastrand::Rng::with_seed(11));
    for (name, bytes) in valid() {
        let model = decoded(&bytes);
        for _ in 0..120 {
            let mut said = String::new();
            let _ = trial.changed(name, &model, |graph| {
                let tensor = some(graph, &mut random);
                tensor.dims = dims(&tensor.dims, &mut random);
                said = format!("{} {:?}", tensor.name, tensor.dims);
            });
        }
    }
    assert!(trial.refused > 30);
}

#[test]
fn lengths_of_data() {
    let (mut trial, mut random) = (Trial::new(), fastrand::Rng::with_seed(12));
    for (name, bytes) in valid() {
        let model = decoded(&bytes);
        for _ in 0..80 {
            let _ = trial.changed(name, &model, |graph| {
                let tensor = some(graph, &mut random);
                let data = tensor.raw_data.clone().unwrap_or_default();
                let length = data.len();
                match random.u8(..7) {
                    0 => tensor.raw_data = None,
                    1 => tensor.raw_data = Some(Bytes::new()),
                    2 => tensor.raw_data = Some(data.slice(..length.saturating_sub(1))),
                    3 => tensor.raw_data = Some(data.slice(..random.usize(..=length))),
                    4 => tensor.raw_data = Some([&data[..], &vec![0; random.usize(1..9)]].concat().into()),
                    // Both ways at once, and the other way alone.
                    5 => tensor.float_data = vec![1.0; random.usize(..100)],
                    _ => {
                        tensor.raw_data = None;
                        tensor.int32_data = vec![-1; random.usize(..5000)];
                    }
                }
            });
        }
    }
    assert!(trial.refused > 30);
}

#[test]
fn types_and_places() {
    let (mut trial, mut random) = (Trial::new(), fastrand::Rng::with_seed(13));
    for (name, bytes) in valid() {
        let model = decoded(&bytes);
        for _ in 0..80 {
            let _ = trial.changed(name, &model, |graph| {
                let tensor = some(graph, &mut random);
                match random.u8(..3) {
                    0 => tensor.data_type = random.i32(-2..40),
                    1 => tensor.data_type = *random.choice([i32::MAX, i32::MIN, 0, 1 << 20].iter()).unwrap(),
                    _ => {
                        tensor.data_location = random.i32(-1..3);
                        let entry = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
                        let number = ["0", "-1", "18446744073709551615", "1e9", ""][random.usize(..5)];
                        let location = ["", "m.onnx", "./m.onnx", "..", "/dev/zero", "no"][random.usize(..6)];
                        tensor.external_data = vec![
                            entry("location", location.to_owned()),
                            entry(["offset", "length"][random.usize(..2)], number.to_owned()),
                        ];
                    }
                }
            });
        }
    }
    assert!(trial.refused > 30);
}

/// What is said of inputs and outputs, by which towers are told.
#[test]
fn declared_shapes() {
    let (mut trial, mut random) = (Trial::new(), fastrand::Rng::with_seed(14));
    for (name, bytes) in valid() {
        let model = decoded(&bytes);
        for _ in 0..50 {
            let _ = trial.changed(name, &model, |graph| {
                let outputs = random.bool();
                let values = if outputs { &mut graph.output } else { &mut graph.input };
                let at = random.usize(..values.len());
                let Some(Type::TensorType(tensor)) = values[at].r#type.as_mut().and_then(|of| of.value.as_mut()) else {
                    return;
                };
                if random.u8(..4) == 0 {
                    tensor.elem_type = random.i32(-1..40);
                    return;
                }
                let Some(shape) = &mut tensor.shape else { return };
                let own: Vec<i64> = shape
                    .dim
                    .iter()
                    .map(|dim| match &dim.value {
                        Some(Dim::DimValue(size)) => *size,
                        _ => 1,
                    })
                    .collect();
                let dim = |size| uwm_onnx::onnx::proto::tensor_shape_proto::Dimension {
                    value: Some(Dim::DimValue(size)),
                    ..Default::default()
                };
                shape.dim = dims(&own, &mut random).into_iter().map(dim).collect();
            });
        }
    }
}
