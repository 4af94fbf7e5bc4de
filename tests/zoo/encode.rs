//! Messages and fields, one by one.

use uwm_onnx::onnx::proto::tensor_proto::DataType;
use uwm_onnx::onnx::proto::{AttributeProto, NodeProto, TensorProto};
use uwm_onnx::onnx::proto::{TypeProto, ValueInfoProto, type_proto};

use super::bits;

/// Codes as bytes, two a byte where they have four bits.
pub fn pack(data_type: DataType, values: &[i64]) -> Vec<u8> {
    match bits(data_type) {
        4 => values.chunks(2).map(|p| (p[0] as u8 & 15) | (p.get(1).map_or(0, |v| *v as u8 & 15) << 4)).collect(),
        _ => values.iter().map(|v| *v as u8).collect(),
    }
}

pub fn tensor(name: &str, data_type: DataType, dims: Vec<i64>, raw: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type: data_type as i32,
        dims,
        raw_data: Some(raw.into()),
        ..TensorProto::default()
    }
}

pub fn node(op: &str, name: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    NodeProto {
        op_type: op.to_owned(),
        name: name.to_owned(),
        input: strings(inputs),
        output: strings(outputs),
        attribute,
        ..NodeProto::default()
    }
}

pub fn value(name: &str, data_type: DataType, dims: &[i64]) -> ValueInfoProto {
    use uwm_onnx::onnx::proto::tensor_shape_proto::{Dimension, dimension};
    let dim = |&size: &i64| Dimension { value: Some(dimension::Value::DimValue(size)), ..Dimension::default() };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: data_type as i32,
                shape: Some(uwm_onnx::onnx::proto::TensorShapeProto { dim: dims.iter().map(dim).collect() }),
            })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

/// A varint, filled up to `width` bytes.
pub fn varint(mut value: u64, width: usize) -> Vec<u8> {
    let mut bytes = vec![];
    loop {
        let more = value > 127 || bytes.len() + 1 < width;
        bytes.push(value as u8 & 0x7f | if more { 0x80 } else { 0 });
        value >>= 7;
        if !more {
            return bytes;
        }
    }
}

/// A length-delimited field.
pub fn field(number: u64, bytes: &[u8], width: usize) -> Vec<u8> {
    [varint(number << 3 | 2, 0), varint(bytes.len() as u64, width), bytes.to_vec()].concat()
}
