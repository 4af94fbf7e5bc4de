//! Small models in every storage, element type and form of a linear layer, written field by field, so that encodings
//! that no library writes can be had too.

#![allow(dead_code)] // each test uses a part

mod encode;

use std::path::Path;

use prost::Message;
use uwm_onnx::onnx::proto::tensor_proto::DataType;
use uwm_onnx::onnx::proto::{AttributeProto, NodeProto, StringStringEntryProto, TensorProto};

pub use encode::{field, node, pack, tensor, value, varint};

/// What the weight's elements are, and what makes values of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Float(DataType),
    /// `DequantizeLinear`, one scale for all, one a row or column, or one a block of 2.
    Dequantize(DataType, Grid),
    /// `DynamicQuantizeLinear` and `MatMulInteger`, with scale after it.
    Integer(DataType),
    QLinear(DataType),
    QGemm(DataType),
    /// `MatMulNBits` with that many bits, blocks of 16, with zero points or without.
    Blocks(usize, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    Tensor,
    Axis(usize),
    Block(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    Raw,
    Packed,
    Unpacked,
    /// One file for all tensors, with offset and length.
    Shared,
    /// A file of its own, with neither.
    Own,
}

/// Where the tensor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    Initializer,
    GraphInput,
    Constant,
}

#[derive(Debug, Clone)]
pub struct Spec {
    pub form: Form,
    pub storage: Storage,
    pub home: Home,
    /// Stored `[I, O]` rather than `[O, I]`, where the operator allows both.
    pub transposed: bool,
    pub out: usize,
    pub inputs: usize,
    /// Bytes to make values of.
    pub seed: Vec<u8>,
    /// Lengths filled up to that many bytes.
    pub width: usize,
}

/// The name of the weight.
pub const WEIGHT: &str = "w";

pub fn bits(data_type: DataType) -> usize {
    match data_type {
        DataType::Double => 64,
        DataType::Float => 32,
        DataType::Float16 | DataType::Bfloat16 => 16,
        DataType::Int4 | DataType::Uint4 => 4,
        _ => 8,
    }
}

impl Spec {
    /// Whether the stored rows are inputs.
    pub fn is_transposed(&self) -> bool {
        match self.form {
            Form::Integer(_) | Form::QLinear(_) => true,
            Form::Blocks(..) => false,
            _ => self.transposed,
        }
    }

    pub fn element(&self) -> DataType {
        match self.form {
            Form::Float(t) | Form::Dequantize(t, _) | Form::Integer(t) | Form::QLinear(t) | Form::QGemm(t) => t,
            Form::Blocks(4, _) => DataType::Uint4,
            Form::Blocks(..) => DataType::Uint8,
        }
    }

    pub fn stored_shape(&self) -> [usize; 2] {
        if self.is_transposed() { [self.inputs, self.out] } else { [self.out, self.inputs] }
    }

    fn pitch(&self) -> usize {
        match self.form {
            Form::Blocks(..) => self.inputs.next_multiple_of(16),
            _ => self.stored_shape()[1],
        }
    }

    /// Index in the stored elements of logical `[o, i]`.
    pub fn index(&self, o: usize, i: usize) -> usize {
        if self.is_transposed() { i * self.pitch() + o } else { o * self.pitch() + i }
    }

    fn seed(&self, k: usize) -> u8 {
        self.seed[k % self.seed.len()].wrapping_add((k * 37) as u8)
    }

    fn bytes(&self) -> Vec<u8> {
        let elements = self.stored_shape()[0] * self.pitch();
        let mut bytes: Vec<u8> = (0..(elements * bits(self.element())).div_ceil(8)).map(|k| self.seed(k)).collect();
        if bits(self.element()) == 4 && elements % 2 == 1 {
            // The half byte that holds nothing.
            *bytes.last_mut().unwrap() &= 0x0f;
        }
        bytes
    }

    /// The zero point of stored row `r`, column `c`.
    pub fn zero(&self, r: usize, c: usize) -> i64 {
        let signed = matches!(self.element(), DataType::Int8 | DataType::Int4);
        let spread = |k: usize| if signed { (self.seed(k) % 5) as i64 - 2 } else { (self.seed(k) % 9) as i64 + 3 };
        match self.form {
            Form::Float(_) => 0,
            Form::Dequantize(_, Grid::Tensor) | Form::QLinear(_) => spread(0),
            Form::Dequantize(_, Grid::Axis(0)) => spread(r),
            Form::Dequantize(_, Grid::Axis(_)) => spread(c),
            Form::Dequantize(_, Grid::Block(0)) => spread((r / 2) * self.stored_shape()[1] + c),
            Form::Dequantize(_, Grid::Block(_)) => spread(r * self.stored_shape()[1].div_ceil(2) + c / 2),
            // One a column of the output.
            Form::Integer(_) => spread(c),
            Form::QGemm(_) => spread(if self.is_transposed() { c } else { r }),
            Form::Blocks(4, false) => 8,
            Form::Blocks(_, false) => 128,
            Form::Blocks(_, true) => spread(r * self.pitch() / 16 + c / 16),
        }
    }

    /// The zero points as a tensor, if the form has one.
    fn zero_tensor(&self) -> Option<TensorProto> {
        let [rows, columns] = self.stored_shape();
        let (dims, at): (Vec<i64>, Vec<(usize, usize)>) = match self.form {
            Form::Float(_) | Form::Blocks(_, false) => return None,
            Form::Dequantize(_, Grid::Tensor) | Form::QLinear(_) => (vec![], vec![(0, 0)]),
            Form::Dequantize(_, Grid::Axis(0)) => (vec![rows as i64], (0..rows).map(|r| (r, 0)).collect()),
            Form::Dequantize(_, Grid::Axis(_)) | Form::Integer(_) => {
                (vec![columns as i64], (0..columns).map(|c| (0, c)).collect())
            }
            Form::QGemm(_) if self.is_transposed() => (vec![columns as i64], (0..columns).map(|c| (0, c)).collect()),
            Form::QGemm(_) => (vec![rows as i64], (0..rows).map(|r| (r, 0)).collect()),
            Form::Dequantize(_, Grid::Block(axis)) => {
                let (r, c) = if axis == 0 { (rows.div_ceil(2), columns) } else { (rows, columns.div_ceil(2)) };
                let step = |r, c| if axis == 0 { (r * 2, c) } else { (r, c * 2) };
                (vec![r as i64, c as i64], (0..r).flat_map(|r| (0..c).map(move |c| step(r, c))).collect())
            }
            Form::Blocks(..) => {
                let blocks = self.pitch() / 16;
                let at = |r: usize| (0..blocks).map(move |b| (r, b * 16));
                let row = |r: usize| pack(self.element(), &at(r).map(|(r, c)| self.zero(r, c)).collect::<Vec<_>>());
                let raw: Vec<u8> = (0..rows).flat_map(row).collect();
                return Some(tensor("zero", DataType::Uint8, vec![raw.len() as i64], raw));
            }
        };
        let values: Vec<i64> = at.into_iter().map(|(r, c)| self.zero(r, c)).collect();
        Some(tensor("zero", self.element(), dims, pack(self.element(), &values)))
    }

    fn scale_tensor(&self) -> Option<TensorProto> {
        let zero = self.zero_tensor();
        let dims = match (self.form, &zero) {
            (Form::Float(_), _) => return None,
            (Form::Blocks(..), _) => vec![(self.out * self.pitch() / 16) as i64],
            (_, Some(zero)) => zero.dims.clone(),
            (_, None) => vec![],
        };
        let count = dims.iter().product::<i64>();
        let raw = (0..count).flat_map(|k| (0.5 + k as f32 / 8.0).to_le_bytes()).collect();
        Some(tensor("scale", DataType::Float, dims, raw))
    }

    /// Writes the model (and its data files) and returns the file's bytes.
    pub fn write(&self, path: &Path) -> Vec<u8> {
        let folder = path.parent().unwrap();
        let bytes = self.bytes();
        let dims = match self.form {
            Form::Blocks(b, _) => vec![self.out as i64, (self.pitch() / 16) as i64, 2 * b as i64],
            _ => self.stored_shape().map(|d| d as i64).to_vec(),
        };
        let held = if matches!(self.form, Form::Blocks(..)) { DataType::Uint8 } else { self.element() };
        let mut weight = TensorProto { dims: dims.clone(), data_type: held as i32, ..TensorProto::default() };
        if self.home != Home::Constant {
            weight.name = WEIGHT.to_owned();
        }
        let entry = |key: &str, value: &str| StringStringEntryProto { key: key.to_owned(), value: value.to_owned() };
        let mut typed = vec![];
        match self.storage {
            Storage::Raw => weight.raw_data = Some(bytes.clone().into()),
            Storage::Packed | Storage::Unpacked => typed = self.typed(held, &bytes),
            Storage::Shared => {
                let mut file = vec![0xa5; 4096];
                file.extend(&bytes);
                file.extend([0xa5; 100]);
                std::fs::write(folder.join("m.onnx_data"), file).unwrap();
                weight.data_location = 1;
                let length = bytes.len().to_string();
                weight.external_data =
                    vec![entry("location", "m.onnx_data"), entry("offset", "4096"), entry("length", &length)];
            }
            Storage::Own => {
                std::fs::create_dir_all(folder.join("data")).unwrap();
                std::fs::write(folder.join("data/weight"), &bytes).unwrap();
                weight.data_location = 1;
                weight.external_data = vec![entry("location", "data/weight"), entry("basepath", "/etc")];
            }
        }
        let mut tensor_bytes = weight.encode_to_vec();
        tensor_bytes.extend(typed);

        let (nodes, opset) = self.nodes();
        let mut graph = vec![];
        if self.home == Home::Constant {
            let mut attribute =
                AttributeProto { name: "value".to_owned(), r#type: 4, ..AttributeProto::default() }.encode_to_vec();
            attribute.extend(field(5, &tensor_bytes, self.width));
            let mut node = node("Constant", "", &[], &[WEIGHT], vec![]).encode_to_vec();
            node.extend(field(5, &attribute, self.width));
            graph.extend(field(1, &node, self.width));
        } else {
            graph.extend(field(5, &tensor_bytes, self.width));
        }
        for node in nodes {
            graph.extend(field(1, &node.encode_to_vec(), 0));
        }
        for parameter in self.scale_tensor().into_iter().chain(self.zero_tensor()) {
            graph.extend(field(5, &parameter.encode_to_vec(), 0));
        }
        graph.extend(field(5, &tensor("other", DataType::Float, vec![2], vec![7; 8]).encode_to_vec(), 0));
        let mut inputs = vec![value("pixel_values", DataType::Float, &[2, 3, 4, 4])];
        if self.home == Home::GraphInput {
            inputs.push(value(WEIGHT, held, &dims));
        }
        for input in inputs {
            graph.extend(field(11, &input.encode_to_vec(), 0));
        }
        graph.extend(field(12, &value("image_embeds", DataType::Float, &[2, 3]).encode_to_vec(), 0));
        graph.extend(field(2, b"generated", 0));
        // Of no schema: an editor that decodes and writes anew would lose them.
        graph.extend(b"\xc2\x3e\x04kept");

        // The graph first, although its number is not: order is the writer's.
        let mut model = field(7, &graph, self.width);
        model.extend([0x08, 10]);
        for (domain, version) in opset {
            let id = uwm_onnx::onnx::proto::OperatorSetIdProto { domain: domain.to_owned(), version };
            model.extend(field(8, &id.encode_to_vec(), 0));
        }
        model.extend(b"\xc2\x3e\x04kept");
        std::fs::write(path, &model).unwrap();
        model
    }

    /// The values in a typed field.
    fn typed(&self, held: DataType, bytes: &[u8]) -> Vec<u8> {
        let packed = self.storage == Storage::Packed;
        let (number, wire, entries): (u64, u64, Vec<Vec<u8>>) = match held {
            DataType::Float => (4, 5, bytes.chunks(4).map(<[u8]>::to_vec).collect()),
            DataType::Double => (10, 1, bytes.chunks(8).map(<[u8]>::to_vec).collect()),
            _ => {
                let size = if bits(held) == 16 { 2 } else { 1 };
                let value = |unit: &[u8]| match (held, unit) {
                    (DataType::Int8, [byte]) => i64::from(*byte as i8) as u64,
                    (_, [byte]) => u64::from(*byte),
                    (_, [low, high, ..]) => u64::from(u16::from_le_bytes([*low, *high])),
                    _ => unreachable!(),
                };
                // With lengths filled up, values are too: three bytes where one would do.
                let spell = |unit: &[u8]| varint(value(unit), self.width);
                (5, 0, bytes.chunks(size).map(spell).collect())
            }
        };
        if packed {
            return field(number, &entries.concat(), self.width);
        }
        entries.into_iter().flat_map(|entry| [varint(number << 3 | wire, 0), entry].concat()).collect()
    }

    fn nodes(&self) -> (Vec<NodeProto>, Vec<(&'static str, i64)>) {
        let fc2 = |op: &str| format!("/layers.0/mlp/fc2/{op}");
        let int = |name: &str, i: i64| AttributeProto { name: name.to_owned(), i, r#type: 2, ..Default::default() };
        let float_product = |weight: &str| match (self.is_transposed(), self.out % 2) {
            (true, 0) => node("MatMul", &fc2("MatMul"), &["pixel_values", weight], &["image_embeds"], vec![]),
            (t, _) => node(
                "Gemm",
                &fc2("Gemm"),
                &["pixel_values", weight],
                &["image_embeds"],
                vec![int("transB", i64::from(!t))],
            ),
        };
        let ai = ("", 21);
        let ms = ("com.microsoft", 1);
        match self.form {
            Form::Float(DataType::Float) => (vec![float_product(WEIGHT)], vec![ai]),
            Form::Float(_) => {
                (vec![node("Cast", "", &[WEIGHT], &["cast"], vec![int("to", 1)]), float_product("cast")], vec![ai])
            }
            Form::Dequantize(_, grid) => {
                let attributes = match grid {
                    Grid::Tensor => vec![],
                    Grid::Axis(axis) => vec![int("axis", axis as i64)],
                    Grid::Block(axis) => vec![int("axis", axis as i64 - 2), int("block_size", 2)],
                };
                let inputs = [WEIGHT, "scale", "zero"];
                (vec![node("DequantizeLinear", "", &inputs, &["dq"], attributes), float_product("dq")], vec![ai])
            }
            Form::Integer(_) => (
                vec![
                    node("DynamicQuantizeLinear", "", &["pixel_values"], &["q", "qs", "qz"], vec![]),
                    node("MatMulInteger", &fc2("MatMul_quant"), &["q", WEIGHT, "qz", "zero"], &["int"], vec![]),
                    node("Cast", "", &["int"], &["float"], vec![int("to", 1)]),
                    node("Mul", "", &["qs", "scale"], &["scales"], vec![]),
                    node("Mul", "", &["float", "scales"], &["image_embeds"], vec![]),
                ],
                vec![ai],
            ),
            Form::QLinear(_) | Form::QGemm(_) => {
                let gemm = matches!(self.form, Form::QGemm(_));
                let quantised = ["q", "s", "z", WEIGHT, "scale", "zero"];
                let mut product = if gemm {
                    let inputs = [quantised.as_slice(), &["", "s", "z"]].concat();
                    let trans_b = int("transB", i64::from(!self.is_transposed()));
                    node("QGemm", &fc2("Gemm_quant"), &inputs, &["y"], vec![trans_b])
                } else {
                    node(
                        "QLinearMatMul",
                        &fc2("MatMul_quant"),
                        &[quantised.as_slice(), &["s", "z"]].concat(),
                        &["y"],
                        vec![],
                    )
                };
                if gemm {
                    product.domain = "com.microsoft".to_owned();
                }
                let constant = |name: &str, value: TensorProto| {
                    let attribute =
                        AttributeProto { name: "value".to_owned(), t: Some(value), r#type: 4, ..Default::default() };
                    node("Constant", "", &[], &[name], vec![attribute])
                };
                (
                    vec![
                        constant("s", tensor("", DataType::Float, vec![], 0.1_f32.to_le_bytes().to_vec())),
                        constant("z", tensor("", DataType::Uint8, vec![], vec![128])),
                        node("QuantizeLinear", "", &["pixel_values", "s", "z"], &["q"], vec![]),
                        product,
                        node("DequantizeLinear", "", &["y", "s", "z"], &["image_embeds"], vec![]),
                    ],
                    vec![ai, ms],
                )
            }
            Form::Blocks(b, zero) => {
                let attributes = vec![
                    int("K", self.inputs as i64),
                    int("N", self.out as i64),
                    int("bits", b as i64),
                    int("block_size", 16),
                ];
                let inputs: &[&str] =
                    if zero { &["pixel_values", WEIGHT, "scale", "zero"] } else { &["pixel_values", WEIGHT, "scale"] };
                let mut product = node("MatMulNBits", &fc2("MatMul_Q4"), inputs, &["image_embeds"], attributes);
                product.domain = "com.microsoft".to_owned();
                (vec![product], vec![ai, ms])
            }
        }
    }
}
