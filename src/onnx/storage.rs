//! How the values of a tensor are stored: `raw_data`, a typed field, or a data file.
//!
//! Whatever the storage, a tensor's *plain* bytes are those `raw_data` would hold (ONNX's TensorProto: little endian,
//! rows one after the other, 4-bit values two a byte).

use std::borrow::Cow;
use std::ops::Range;

use super::element::Element;
use super::external;
use super::model::{Constant, Model};
use super::proto::tensor_proto::DataLocation;
use super::spans::Place;
use super::wire::{Field, Splice, Wire, fields, varint, write_varint};

/// A tensor's elements, and where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Their type.
    pub element: Element,
    /// How many there are.
    pub count: usize,
    /// Where they are.
    pub place: Values,
}

/// Where values are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// The plain bytes, in one piece of a file.
    Piece {
        /// Index in [`Model::sources`].
        source: usize,
        /// Offset in that file.
        offset: usize,
    },
    /// In `float_data` or `double_data`, not in one piece: where each element is in the model file.
    Apart(Vec<Range<usize>>),
    /// In `int32_data`: where each varint is in the model file. One holds `unit` plain bytes.
    Varints {
        /// Bytes of the plain form in one varint.
        unit: usize,
        /// The varints.
        at: Vec<Range<usize>>,
    },
}

impl Stored {
    /// Finds the values of `constant`.
    ///
    /// # Errors
    /// Why they cannot be edited.
    pub fn find(model: &Model, constant: Constant) -> Result<Self, String> {
        let tensor = constant.tensor;
        let element = Element::of(tensor.data_type)?;
        if tensor.segment.is_some() {
            return Err("it is a segment of a tensor, which no runtime reads".to_owned());
        }
        let count = tensor
            .dims
            .iter()
            .try_fold(1_usize, |product, &dim| product.checked_mul(usize::try_from(dim).ok()?))
            .ok_or_else(|| format!("its dimensions {:?} are negative or too large", tensor.dims))?;
        let size = element.bytes(count).ok_or_else(|| format!("its dimensions {:?} are too large", tensor.dims))?;
        let place = if tensor.data_location() == DataLocation::External {
            external_values(model, constant, size)?
        } else if let Some(raw) = &tensor.raw_data {
            if raw.len() != size {
                return Err(format!("its shape {:?} needs {size} bytes, and it has {} bytes", tensor.dims, raw.len()));
            }
            // An empty slice need not point into the map.
            let offset = if raw.is_empty() { Some(0) } else { model.offset_of(raw) };
            Values::Piece { source: 0, offset: offset.ok_or("its raw_data come in several parts")? }
        } else {
            typed_values(model, constant, element, count)?
        };
        Ok(Self { element, count, place })
    }

    /// The plain bytes; copied only if they are not in one piece.
    pub fn plain<'m>(&self, model: &'m Model) -> Cow<'m, [u8]> {
        let size = self.element.bytes(self.count).expect("checked when found");
        match &self.place {
            Values::Piece { source, offset } => {
                Cow::Borrowed(&model.sources()[*source].bytes()[*offset..*offset + size])
            }
            Values::Apart(at) => {
                Cow::Owned(at.iter().flat_map(|place| &model.bytes()[place.clone()]).copied().collect())
            }
            Values::Varints { unit, at } => {
                let mut plain = Vec::with_capacity(at.len() * unit);
                for place in at {
                    let value = varint(model.bytes(), &mut place.start.clone(), place.end).unwrap_or_default();
                    plain.extend_from_slice(&value.to_le_bytes()[..*unit]);
                }
                Cow::Owned(plain)
            }
        }
    }

    /// What to replace in the model file so that it holds `plain`; for values that are not in one piece. Varints
    /// that do not change keep their spelling, others get the one that `spelling` knows, else the common one.
    pub fn splices(
        &self,
        model: &Model,
        plain: &[u8],
        mut spelling: impl FnMut(usize) -> Option<Vec<u8>>,
    ) -> Vec<Splice> {
        let old = self.plain(model);
        let (unit, at) = match &self.place {
            Values::Piece { .. } => unreachable!("pieces are streamed"),
            Values::Apart(at) => (self.element.raw_size(), at),
            Values::Varints { unit, at } => (*unit, at),
        };
        let mut splices = vec![];
        for (index, ((old, new), place)) in old.chunks(unit).zip(plain.chunks(unit)).zip(at).enumerate() {
            if old != new {
                let bytes = match self.place {
                    Values::Varints { .. } => spelling(index).unwrap_or_else(|| self.spell(new)),
                    _ => new.to_vec(),
                };
                splices.push(Splice { range: place.clone(), bytes });
            }
        }
        splices
    }

    /// The varints among `units` (numbers of them) that the file does not spell as [`Stored::spell`] would.
    pub fn odd_spellings(&self, model: &Model, units: impl Iterator<Item = usize>) -> Vec<(usize, Vec<u8>)> {
        let Values::Varints { at, unit } = &self.place else { return vec![] };
        let plain = self.plain(model);
        let spelt = |index: usize| {
            let bytes = &model.bytes()[at[index].clone()];
            (bytes != self.spell(&plain[index * unit..][..*unit])).then(|| (index, bytes.to_vec()))
        };
        units.filter_map(spelt).collect()
    }

    /// One varint of `int32_data` as protobuf writers spell it: a negative int8 as a 64-bit number.
    fn spell(&self, unit: &[u8]) -> Vec<u8> {
        let value = match (self.element, unit) {
            (Element::I8, [byte]) => i64::from(*byte as i8) as u64,
            (_, [byte]) => u64::from(*byte),
            (_, [low, high, ..]) => u64::from(u16::from_le_bytes([*low, *high])),
            _ => 0,
        };
        write_varint(value, 0)
    }

    /// Which varint holds element `index`, the elements being of that type (codes may be packed in another one).
    pub fn unit_of(&self, element: Element, index: usize) -> usize {
        match self.place {
            Values::Varints { unit, .. } => index * element.bits() / 8 / unit,
            _ => index,
        }
    }
}

fn external_values(model: &Model, constant: Constant, size: usize) -> Result<Values, String> {
    // The decoded entries: those of the reference with the same span would be the same.
    let mut of_key = std::collections::BTreeMap::new();
    for entry in &constant.tensor.external_data {
        if of_key.insert(entry.key.as_str(), entry.value.as_str()).is_some() {
            return Err(format!("its external data has the key '{}' twice", entry.key));
        }
    }
    let location = of_key.get("location").ok_or("its external data has no location")?;
    let source = model.locations().iter().find(|(known, _)| known == location).map(|(_, source)| *source);
    let source = source.ok_or("its external data file was not opened")?;
    let number = |key: &str| of_key.get(key).map(|value| external::number(key, value)).transpose();
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    if let Some(length) = length.filter(|&length| length != size) {
        return Err(format!(
            "its shape {:?} needs {size} bytes, and its external data say {length}",
            constant.tensor.dims
        ));
    }
    let available = model.sources()[source].bytes().len();
    if offset.checked_add(size).is_none_or(|end| end > available) {
        return Err(format!(
            "its {size} bytes at offset {offset} go beyond the end of '{location}', which has {available} bytes"
        ));
    }
    if let Some(other) = sharer(model, constant, source, offset..offset + size) {
        return Err(format!("its bytes in '{location}' are those of tensor '{other}' too, which an edit would change"));
    }
    Ok(Values::Piece { source, offset })
}

/// Another tensor that has bytes of that range.
fn sharer<'m>(model: &'m Model, constant: Constant, source: usize, range: Range<usize>) -> Option<&'m str> {
    let others = model
        .references()
        .iter()
        .filter(|reference| reference.place != constant.place || reference.place == Place::Other);
    others.filter(|_| !range.is_empty()).find_map(|reference| {
        let value = |key: &str| reference.get(key).ok().flatten().map(|(value, _)| value);
        let location = value("location")?;
        model.locations().iter().find(|(known, at)| known == location && *at == source)?;
        let number = |key: &str| value(key).and_then(|value| external::number(key, value).ok());
        let start = number("offset").unwrap_or(0);
        let end = start.saturating_add(number("length").unwrap_or(reference.size).max(1));
        (start < range.end && range.start < end).then_some(reference.tensor.as_str())
    })
}

fn typed_values(model: &Model, constant: Constant, element: Element, count: usize) -> Result<Values, String> {
    let (number, size, unit) = match element {
        Element::F32 => (4, Some((Wire::Fixed32, 4)), 4),
        Element::F64 => (10, Some((Wire::Fixed64, 8)), 8),
        Element::F16 | Element::BF16 => (5, None, 2),
        Element::I8 | Element::U8 | Element::I4 | Element::U4 => (5, None, 1),
    };
    let span =
        model.spans().iter().find(|span| span.place == constant.place).ok_or("it cannot be found in the file")?;
    let bytes = model.bytes();
    let mut at: Vec<Range<usize>> = vec![];
    let mut packed = 0;
    let malformed = || "its values are not readable".to_owned();
    for field in fields(bytes, span.content.clone()) {
        let Field { number: own, wire, value, .. } = field.map_err(|_| malformed())?;
        if own != number {
            continue;
        }
        match (wire, size) {
            (Wire::Len, Some((_, size))) => {
                packed += 1;
                at.extend(value.clone().step_by(size).map(|start| start..start + size));
            }
            (Wire::Len, None) => {
                let mut next = value.start;
                while next < value.end {
                    let start = next;
                    varint(bytes, &mut next, value.end).ok_or_else(malformed)?;
                    at.push(start..next);
                }
            }
            (wire, Some((fixed, _))) if wire == fixed => at.push(value),
            (Wire::Varint, None) => at.push(value),
            _ => return Err(malformed()),
        }
    }
    let units = if element.bits() == 4 { count.div_ceil(2) } else { count };
    if at.len() != units {
        return Err(format!("its shape needs {units} entries in its typed field, and it has {}", at.len()));
    }
    Ok(match size {
        Some((_, size)) if packed == 1 && at.windows(2).all(|pair| pair[0].start + size == pair[1].start) => {
            Values::Piece { source: 0, offset: at.first().map_or(0, |first| first.start) }
        }
        Some(_) => Values::Apart(at),
        None => Values::Varints { unit, at },
    })
}
