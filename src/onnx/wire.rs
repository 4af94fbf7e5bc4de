//! The protobuf wire format, by position: where a field, its length and its value stand in the file.
//!
//! The decoder gives values; an edit that keeps every other byte needs to know where they came from. Of the schema
//! only the way down to tensors is known here ([`Kind`]); everything else is passed over, known or not.

use std::ops::Range;

/// The bytes are no protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// Where reading failed.
    pub at: usize,
}

/// How a field's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// A variable-length integer.
    Varint,
    /// Eight bytes.
    Fixed64,
    /// A length, then that many bytes.
    Len,
    /// Four bytes.
    Fixed32,
    /// A group, which ONNX does not use but an unknown field may.
    Group,
}

/// One field of a message; positions are those in the whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its number.
    pub number: u32,
    /// How its value is written.
    pub wire: Wire,
    /// Its length, for [`Wire::Len`]; else empty.
    pub length: Range<usize>,
    /// Its value.
    pub value: Range<usize>,
}

/// The fields of the message in `bytes[range]`, in order. Ends after the first error.
pub fn fields(bytes: &[u8], range: Range<usize>) -> impl Iterator<Item = Result<Field, Malformed>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        if at >= range.end {
            return None;
        }
        let start = at;
        let field = field(bytes, &mut at, range.end).ok_or(Malformed { at: start });
        if field.is_err() {
            at = range.end;
        }
        Some(field)
    })
}

fn field(bytes: &[u8], at: &mut usize, end: usize) -> Option<Field> {
    let tag = varint(bytes, at, end)?;
    let number = u32::try_from(tag >> 3).ok().filter(|&n| n > 0)?;
    let mut length = *at..*at;
    let (wire, value) = match tag & 7 {
        0 => {
            let start = *at;
            varint(bytes, at, end)?;
            (Wire::Varint, start..*at)
        }
        1 => (Wire::Fixed64, take(at, 8, end)?),
        2 => {
            let size = varint(bytes, at, end)?;
            length.end = *at;
            (Wire::Len, take(at, usize::try_from(size).ok()?, end)?)
        }
        3 => (Wire::Group, group(bytes, at, end, number)?),
        5 => (Wire::Fixed32, take(at, 4, end)?),
        _ => return None,
    };
    Some(Field { number, wire, length, value })
}

/// Everything up to the group's end mark. Without recursion: a stack of the groups that are open.
fn group(bytes: &[u8], at: &mut usize, end: usize, number: u32) -> Option<Range<usize>> {
    let start = *at;
    let mut open = vec![u64::from(number)];
    while !open.is_empty() {
        let tag = varint(bytes, at, end)?;
        match tag & 7 {
            0 => _ = varint(bytes, at, end)?,
            1 => _ = take(at, 8, end)?,
            2 => {
                let size = varint(bytes, at, end)?;
                take(at, usize::try_from(size).ok()?, end)?;
            }
            3 => open.push(tag >> 3),
            4 if open.pop() == Some(tag >> 3) => {}
            5 => _ = take(at, 4, end)?,
            _ => return None,
        }
    }
    Some(start..*at)
}

fn take(at: &mut usize, size: usize, end: usize) -> Option<Range<usize>> {
    let start = *at;
    *at = start.checked_add(size).filter(|&stop| stop <= end)?;
    Some(start..*at)
}

/// Reads a varint of at most ten bytes and moves `at` behind it.
pub fn varint(bytes: &[u8], at: &mut usize, end: usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = *bytes.get(*at).filter(|_| *at < end)?;
        *at += 1;
        // The tenth byte holds the one bit that is left.
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The value as a varint, as short as it can be or filled up to `width` bytes.
pub fn write_varint(value: u64, width: usize) -> Vec<u8> {
    let mut bytes = vec![];
    prost::encoding::encode_varint(value, &mut bytes);
    while bytes.len() < width.min(10) {
        *bytes.last_mut().expect("a varint has a byte") |= 0x80;
        bytes.push(0);
    }
    bytes
}

/// Messages on the way to tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ModelProto
    Model,
    /// GraphProto
    Graph,
    /// NodeProto
    Node,
    /// AttributeProto
    Attribute,
    /// TensorProto
    Tensor,
    /// StringStringEntryProto in `external_data`
    Entry,
    /// SparseTensorProto
    Sparse,
    /// FunctionProto
    Function,
    /// TrainingInfoProto
    Training,
}

impl Kind {
    /// What field `number` of this message holds, if that leads to tensors.
    pub fn child(self, number: u32) -> Option<Kind> {
        Some(match (self, number) {
            (Self::Model, 7) | (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Tensor, 13) => Self::Entry,
            _ => return None,
        })
    }
}

/// Replace `range` of the file by `bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    /// What goes.
    pub range: Range<usize>,
    /// What comes.
    pub bytes: Vec<u8>,
}

impl Splice {
    fn growth(&self) -> isize {
        self.bytes.len() as isize - self.range.len() as isize
    }
}

/// A length of the tree of [`Kind`]s that is not written as short as it could be: its number, counting all lengths
/// of that tree in file order, and its bytes.
pub type Overlong = (u32, u8);

/// All lengths on the way to tensors that are longer than need be. No common writer makes them; they are kept in
/// mind so that an edit that re-writes a length can be undone to the byte.
///
/// # Errors
/// If the bytes are no protobuf message.
pub fn overlong(bytes: &[u8]) -> Result<Vec<Overlong>, Malformed> {
    let mut found = vec![];
    let mut counter = 0;
    lengths(bytes, Kind::Model, 0..bytes.len(), &mut counter, &mut |number, field| {
        let shortest = write_varint(field.value.len() as u64, 0).len();
        if field.length.len() > shortest {
            found.push((number, field.length.len() as u8));
        }
    })?;
    Ok(found)
}

fn lengths(
    bytes: &[u8],
    kind: Kind,
    range: Range<usize>,
    counter: &mut u32,
    see: &mut impl FnMut(u32, &Field),
) -> Result<(), Malformed> {
    for field in fields(bytes, range) {
        let field = field?;
        if let Some(child) = counted(kind, &field) {
            see(*counter, &field);
            *counter += 1;
            if let Some(child) = child {
                lengths(bytes, child, field.value, counter, see)?;
            }
        }
    }
    Ok(())
}

/// Whether a length counts: those of messages, of `external_data` strings, and of packed `int32_data`; and what is inside.
fn counted(kind: Kind, field: &Field) -> Option<Option<Kind>> {
    if field.wire != Wire::Len {
        return None;
    }
    match (kind.child(field.number), kind, field.number) {
        (Some(child), ..) => Some(Some(child)),
        (None, Kind::Entry, 2) | (None, Kind::Tensor, 5) => Some(None),
        _ => None,
    }
}

/// The lengths that must change so that the message still holds together when `splices` (ascending, apart) are made,
/// as splices of their own. Written as short as can be, save those listed in `overlong`.
///
/// # Errors
/// If the bytes are no protobuf message.
pub fn relength(bytes: &[u8], splices: &[Splice], overlong: &[Overlong]) -> Result<Vec<Splice>, Malformed> {
    let mut changed = vec![];
    let mut pass = Relength { bytes, overlong, counter: 0, changed: &mut changed };
    pass.message(Kind::Model, 0..bytes.len(), splices)?;
    changed.sort_by_key(|splice| splice.range.start);
    Ok(changed)
}

struct Relength<'a> {
    bytes: &'a [u8],
    overlong: &'a [Overlong],
    counter: u32,
    changed: &'a mut Vec<Splice>,
}

impl Relength<'_> {
    /// By how much the message grows.
    fn message(&mut self, kind: Kind, range: Range<usize>, splices: &[Splice]) -> Result<isize, Malformed> {
        let mut growth = 0;
        for field in fields(self.bytes, range) {
            let field = field?;
            let first = splices.partition_point(|splice| splice.range.start < field.value.start);
            let last = splices.partition_point(|splice| splice.range.start < field.value.end);
            let inside = &splices[first..last];
            let Some(child) = counted(kind, &field) else {
                growth += inside.iter().map(Splice::growth).sum::<isize>();
                continue;
            };
            let number = self.counter;
            self.counter += 1;
            let grown = match child {
                Some(child) => self.message(child, field.value.clone(), inside)?,
                None => inside.iter().map(Splice::growth).sum(),
            };
            if grown != 0 {
                let size = field.value.len().checked_add_signed(grown).ok_or(Malformed { at: field.value.start })?;
                let width = self.overlong.iter().find(|(of, _)| *of == number).map_or(0, |(_, width)| *width);
                let splice = Splice { range: field.length, bytes: write_varint(size as u64, usize::from(width)) };
                growth += splice.growth();
                self.changed.push(splice);
            }
            growth += grown;
        }
        Ok(growth)
    }
}
