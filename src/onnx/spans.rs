//! Where the tensors of a model stand in its file: all of them, those in nodes, bodies and functions too.

use std::ops::Range;

use super::proto::tensor_proto::{DataLocation, DataType};
use super::wire::{Kind, Malformed, Wire, fields, varint};

/// What a tensor is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Initializer of the main graph, by number.
    Initializer(usize),
    /// Value of an attribute of a node of the main graph.
    Attribute {
        /// Number of the node.
        node: usize,
        /// Number of the attribute.
        attribute: usize,
    },
    /// Anything else: sparse tensors, bodies of nodes, functions, training information.
    Other,
}

/// A TensorProto in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpan {
    /// What it is a part of.
    pub place: Place,
    /// Its message.
    pub content: Range<usize>,
}

/// All tensors, in file order. Numbers count as the decoder counts, which joins graphs that come in several parts.
///
/// # Errors
/// If the bytes are no protobuf message.
pub fn tensor_spans(bytes: &[u8]) -> Result<Vec<TensorSpan>, Malformed> {
    let mut walk = Walk { bytes, nodes: 0, initializers: 0, attributes: 0, found: vec![] };
    walk.message(Kind::Model, 0..bytes.len(), Trail::Model)?;
    Ok(walk.found)
}

/// How a message was reached, as far as places tell it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trail {
    Model,
    MainGraph,
    MainNode,
    MainAttribute,
    Elsewhere,
}

struct Walk<'a> {
    bytes: &'a [u8],
    nodes: usize,
    initializers: usize,
    attributes: usize,
    found: Vec<TensorSpan>,
}

impl Walk<'_> {
    // The depth is bounded: the decoder, which went first, refuses messages nested a hundred deep.
    fn message(&mut self, kind: Kind, range: Range<usize>, trail: Trail) -> Result<(), Malformed> {
        for field in fields(self.bytes, range) {
            let field = field?;
            let Some(child) = kind.child(field.number).filter(|_| field.wire == Wire::Len) else { continue };
            let number = field.number;
            let trail = match (trail, number) {
                (Trail::Model, 7) => Trail::MainGraph,
                (Trail::MainGraph, 1) => {
                    self.nodes += 1;
                    self.attributes = 0;
                    Trail::MainNode
                }
                (Trail::MainNode, 5) => {
                    self.attributes += 1;
                    Trail::MainAttribute
                }
                (Trail::MainGraph, 5) | (Trail::MainAttribute, 5) => trail,
                _ => Trail::Elsewhere,
            };
            if child != Kind::Tensor {
                self.message(child, field.value, trail)?;
                continue;
            }
            let place = match trail {
                Trail::MainGraph => {
                    self.initializers += 1;
                    Place::Initializer(self.initializers - 1)
                }
                Trail::MainAttribute => Place::Attribute { node: self.nodes - 1, attribute: self.attributes - 1 },
                _ => Place::Other,
            };
            self.found.push(TensorSpan { place, content: field.value });
        }
        Ok(())
    }
}

/// What one TensorProto says about data in another file, and where it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The tensor's name.
    pub tensor: String,
    /// What it is a part of.
    pub place: Place,
    /// Bytes of its values, by type and dimensions; 0 if they do not tell.
    pub size: usize,
    /// Key, value, and where the value stands.
    pub entries: Vec<(String, String, Range<usize>)>,
}

impl Reference {
    /// The only entry of that key.
    ///
    /// # Errors
    /// If there are several.
    pub fn get(&self, key: &str) -> Result<Option<(&str, &Range<usize>)>, String> {
        let mut of_key = self.entries.iter().filter(|(own, ..)| own == key).map(|(_, value, at)| (value.as_str(), at));
        let first = of_key.next();
        match of_key.next() {
            Some(_) => Err(format!("its external data has the key '{key}' twice")),
            None => Ok(first),
        }
    }
}

/// The references of all tensors whose data are external, in file order.
///
/// # Errors
/// If the bytes are no protobuf message.
pub fn references(bytes: &[u8], spans: &[TensorSpan]) -> Result<Vec<Reference>, Malformed> {
    let mut found = vec![];
    for span in spans {
        let text = |range: &Range<usize>| String::from_utf8_lossy(&bytes[range.clone()]).into_owned();
        let (mut external, mut bits, mut count) = (false, 0, Some(1_usize));
        let mut reference = Reference { tensor: String::new(), place: span.place, size: 0, entries: vec![] };
        for field in fields(bytes, span.content.clone()) {
            let field = field?;
            match (field.number, field.wire) {
                (1, Wire::Len | Wire::Varint) => {
                    let mut at = field.value.start;
                    while at < field.value.end {
                        let dim = varint(bytes, &mut at, field.value.end).ok_or(Malformed { at })?;
                        count = count.and_then(|count| count.checked_mul(usize::try_from(dim).ok()?));
                    }
                }
                (2, Wire::Varint) => {
                    let mut at = field.value.start;
                    bits = element_bits(varint(bytes, &mut at, field.value.end).unwrap_or(0));
                }
                (8, Wire::Len) => reference.tensor = text(&field.value),
                (14, Wire::Varint) => {
                    // Given twice, the last one counts (protobuf).
                    let mut at = field.value.start;
                    external = varint(bytes, &mut at, field.value.end) == Some(DataLocation::External as u64);
                }
                (13, Wire::Len) => {
                    let (mut key, mut value) = (String::new(), 0..0);
                    for part in fields(bytes, field.value) {
                        let part = part?;
                        match part.number {
                            1 => key = text(&part.value),
                            2 => value = part.value,
                            _ => {}
                        }
                    }
                    reference.entries.push((key, text(&value), value));
                }
                _ => {}
            }
        }
        if external {
            reference.size = count.and_then(|count| count.checked_mul(bits)).map_or(0, |bits| bits.div_ceil(8));
            found.push(reference);
        }
    }
    Ok(found)
}

/// Bits of an element of that type; 0 for those of no fixed size.
pub fn element_bits(data_type: u64) -> usize {
    match i32::try_from(data_type).ok().and_then(|number| DataType::try_from(number).ok()) {
        Some(DataType::Complex128) => 128,
        Some(DataType::Double | DataType::Int64 | DataType::Uint64 | DataType::Complex64) => 64,
        Some(DataType::Float | DataType::Int32 | DataType::Uint32) => 32,
        Some(DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16) => 16,
        Some(DataType::Int4 | DataType::Uint4 | DataType::Float4e2m1) => 4,
        Some(DataType::Int2 | DataType::Uint2) => 2,
        None | Some(DataType::Undefined | DataType::String) => 0,
        Some(_) => 8,
    }
}
