//! Samples that are stored as the inputs of a graph: tensors called `safe_text.NAME`, `unsafe_image.NAME` and so on, NAME as
//! the graph calls its input. Here those of safetensors.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn, ShapeBuilder};
use safetensors::{Dtype, SafeTensors};

use super::{Found, Place, Row};
use crate::dataset::Kind;
use crate::dataset::error::Error;
use crate::dataset::kind::Side;
use crate::dataset::tensors::{Inputs, TensorSet, Values};
use crate::few::{cut, few};
use crate::plain;

const WHAT: &str = "set of graph inputs";
const HELP: &str = "name the arrays safe_text.NAME, unsafe_text.NAME, safe_image.NAME and unsafe_image.NAME, NAME as the graph calls its input (see `uwm-onnx inspect`), all with a row for each sample, little-endian numbers";
/// Bytes that the values may take together.
pub const MOST_BYTES: usize = 1 << 33;
const MOST_ROWS: usize = 1 << 22;

/// Reads a safetensors file; its metadata may tell `concepts` and `splits`, each a JSON list with an entry a row.
pub fn read(path: &Path) -> Result<Found, Error> {
    let io = |source| Error::Io { what: WHAT, path: path.to_owned(), source };
    let bytes = plain::read(path, MOST_BYTES as u64).map_err(io)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| wrong(path, e.to_string()))?;
    let mut set = Assembly::default();
    for (name, tensor) in tensors.iter() {
        let number = match tensor.dtype() {
            Dtype::BOOL | Dtype::U8 => Some(Number::U8),
            Dtype::I8 => Some(Number::I8),
            Dtype::U16 => Some(Number::U16),
            Dtype::I16 => Some(Number::I16),
            Dtype::U32 => Some(Number::U32),
            Dtype::I32 => Some(Number::I32),
            Dtype::I64 => Some(Number::I64),
            Dtype::F16 => Some(Number::F16),
            Dtype::BF16 => Some(Number::Bf16),
            Dtype::F32 => Some(Number::F32),
            Dtype::F64 => Some(Number::F64),
            _ => None,
        };
        let array =
            Array { shape: tensor.shape(), fortran: false, number: number.ok_or(format!("{:?}", tensor.dtype())) };
        set.add(name, &array, || Ok(tensor.data())).map_err(|reason| wrong(path, reason))?;
    }
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| wrong(path, e.to_string()))?;
    let list = |key: &str| -> Result<Option<Vec<Option<String>>>, Error> {
        let text = metadata.metadata().as_ref().and_then(|metadata| metadata.get(key));
        let list = text.map(|text| serde_json::from_str(text)).transpose();
        list.map_err(|e| wrong(path, format!("'{key}' in its metadata is no JSON list of texts: {e}")))
    };
    set.found(path, list("concepts")?, list("splits")?)
}

/// That a file of arrays is wrong.
pub fn wrong(path: &Path, reason: String) -> Error {
    Error::Format { what: WHAT, path: path.to_owned(), reason, help: HELP }
}

/// How a number is stored; always little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    I64,
    F16,
    Bf16,
    F32,
    F64,
}

impl Number {
    /// Bytes of one.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    /// Bytes of one when it is read.
    fn decoded(self) -> usize {
        if matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64) { 4 } else { 8 }
    }

    fn values(self, array: &Array, bytes: &[u8]) -> Option<Values> {
        fn all<T, const N: usize>(array: &Array, bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Option<ArrayD<T>>
        where
            T: Clone,
        {
            let values = bytes.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect();
            let values = ArrayD::from_shape_vec(IxDyn(array.shape).set_f(array.fortran), values).ok()?;
            Some(if array.fortran { values.as_standard_layout().into_owned() } else { values })
        }
        Some(match self {
            Self::U8 => Values::Whole(all(array, bytes, |b| i64::from(u8::from_le_bytes(b)))?),
            Self::I8 => Values::Whole(all(array, bytes, |b| i64::from(i8::from_le_bytes(b)))?),
            Self::U16 => Values::Whole(all(array, bytes, |b| i64::from(u16::from_le_bytes(b)))?),
            Self::I16 => Values::Whole(all(array, bytes, |b| i64::from(i16::from_le_bytes(b)))?),
            Self::U32 => Values::Whole(all(array, bytes, |b| i64::from(u32::from_le_bytes(b)))?),
            Self::I32 => Values::Whole(all(array, bytes, |b| i64::from(i32::from_le_bytes(b)))?),
            Self::I64 => Values::Whole(all(array, bytes, i64::from_le_bytes)?),
            Self::F16 => Values::Real(all(array, bytes, |b| f16::from_le_bytes(b).to_f32())?),
            Self::Bf16 => Values::Real(all(array, bytes, |b| bf16::from_le_bytes(b).to_f32())?),
            Self::F32 => Values::Real(all(array, bytes, f32::from_le_bytes)?),
            Self::F64 => Values::Real(all(array, bytes, |b| f64::from_le_bytes(b) as f32)?),
        })
    }
}

/// What is said of an array.
pub struct Array<'a> {
    /// Its shape, a row a sample.
    pub shape: &'a [usize],
    /// Whether the first axis runs fastest.
    pub fortran: bool,
    /// Its numbers, or what they are called if they cannot be read.
    pub number: Result<Number, String>,
}

impl Array<'_> {
    /// How many bytes it has, if it can be read.
    ///
    /// # Errors
    /// If it has no rows, no known numbers, or too many.
    pub fn bytes(&self) -> Result<usize, String> {
        let number = self.number.clone().map_err(|other| format!("is of {other}, which is not read"))?;
        let count = self.shape.iter().try_fold(1_usize, |count, &dim| count.checked_mul(dim));
        match (self.shape.first(), count) {
            (None, _) | (_, Some(0)) => Err(format!("has shape {:?} and holds no rows", self.shape)),
            (Some(&rows), _) if rows > MOST_ROWS => Err(format!("has {rows} rows, and {MOST_ROWS} are the most")),
            (_, Some(count)) if count <= MOST_BYTES / number.decoded() => Ok(count * number.bytes()),
            _ => Err(format!("has shape {:?}, and more than {MOST_BYTES} bytes are not read", self.shape)),
        }
    }
}

/// Arrays that become a set.
#[derive(Default)]
pub struct Assembly {
    parts: BTreeMap<(Kind, Side), Inputs>,
    rows: Option<(String, usize)>,
    bytes: usize,
    unknown: Vec<String>,
}

impl Assembly {
    /// Adds an array, whose bytes are asked for once it is known that they can be used.
    ///
    /// # Errors
    /// If it cannot be read, or does not fit the others.
    pub fn add<B: AsRef<[u8]>>(
        &mut self,
        name: &str,
        array: &Array,
        data: impl FnOnce() -> Result<B, String>,
    ) -> Result<(), String> {
        let Some((part, input)) = part_of(name) else {
            self.unknown.push(name.to_owned());
            return Ok(());
        };
        let name = cut(name);
        let bytes = array.bytes().map_err(|reason| format!("'{name}' {reason}"))?;
        let rows = array.shape[0];
        match &self.rows {
            Some((other, count)) if *count != rows => {
                return Err(format!("'{name}' has {rows} rows, '{other}' has {count}"));
            }
            Some(_) => {}
            None => self.rows = Some((name.clone(), rows)),
        }
        let number = array.number.clone()?;
        self.bytes = self.bytes.saturating_add(bytes / number.bytes() * number.decoded());
        if self.bytes > MOST_BYTES {
            return Err(format!("its arrays hold more than {MOST_BYTES} bytes together"));
        }
        let data = data()?;
        let found = data.as_ref().len();
        let values = Some(data.as_ref()).filter(|data| data.len() == bytes).and_then(|data| number.values(array, data));
        let values = values.ok_or_else(|| format!("'{name}' has {found} bytes where its shape takes {bytes}"))?;
        match self.parts.entry(part).or_default().insert(input.to_owned(), values) {
            None => Ok(()),
            Some(_) => Err(format!("'{name}' is there twice")),
        }
    }

    /// The set, with what is known of its rows.
    ///
    /// # Errors
    /// If a part lacks its partner, or a list has not an entry a row.
    pub fn found(
        self,
        path: &Path,
        concepts: Option<Vec<Option<String>>>,
        splits: Option<Vec<Option<String>>>,
    ) -> Result<Found, Error> {
        let wrong = |reason| wrong(path, reason);
        let Some((_, count)) = self.rows else {
            return Err(wrong(format!("it has no array of such a name; found: {}", few(&self.unknown))));
        };
        for kind in [Kind::Text, Kind::Image] {
            let names = |side| self.parts.get(&(kind, side)).map(|inputs| inputs.keys().collect::<Vec<_>>());
            let (safe, not_safe) = (names(Side::Safe), names(Side::Unsafe));
            if safe != not_safe {
                let [safe, not_safe] = [safe, not_safe].map(|names| few(names.unwrap_or_default()));
                let kind = kind.plural();
                return Err(wrong(format!("safe {kind} have the inputs {safe}, unsafe {kind} {not_safe}")));
            }
        }
        for (what, list) in [("concepts", &concepts), ("splits", &splits)] {
            if let Some(list) = list.as_ref().filter(|list| list.len() != count) {
                return Err(wrong(format!("its metadata have {} {what} for {count} rows", list.len())));
            }
        }
        let nth = |list: &Option<Vec<Option<String>>>, row: usize| list.as_ref().and_then(|list| list[row].clone());
        let row = |row: usize| Row {
            source: 0,
            place: Place::Named(format!("row {row}")),
            id: row.to_string(),
            texts: [None, None],
            images: [None, None],
            concept: nth(&concepts, row),
            style: None,
            split: nth(&splits, row),
            sensitive: None,
        };
        let rows = (0..count).map(row).collect();
        let mut found = Found {
            rows,
            tensors: Some(TensorSet::new(self.parts)),
            sources: vec![path.to_owned()],
            ..Found::default()
        };
        if !self.unknown.is_empty() {
            found.notes.push(format!("{}: arrays that are not used: {}", path.display(), few(&self.unknown)));
        }
        Ok(found)
    }
}

/// Which part an array belongs to, and the graph's name for its input.
fn part_of(name: &str) -> Option<((Kind, Side), &str)> {
    let (part, input) = name.split_once('.')?;
    let part = match part {
        "safe_text" => (Kind::Text, Side::Safe),
        "unsafe_text" => (Kind::Text, Side::Unsafe),
        "safe_image" => (Kind::Image, Side::Safe),
        "unsafe_image" => (Kind::Image, Side::Unsafe),
        _ => return None,
    };
    (!input.is_empty()).then_some((part, input))
}
