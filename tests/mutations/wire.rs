//! Mutations of the protobuf wire format: cut at every field's borders, lengths and tags that are lies.

use std::ops::Range;

use crate::{Trial, valid};

/// Messages on the way down, with the numbers of the fields that hold messages.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Tensor,
    Value,
    Leaf,
}

impl Kind {
    fn child(self, number: u64) -> Option<Kind> {
        Some(match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) => Self::Tensor,
            (Self::Graph, 11..=13) | (Self::Value, 2) => Self::Value,
            (Self::Node, 5) => Self::Attribute,
            (Self::Model, 8 | 14 | 20) | (Self::Graph, 14..=16) | (Self::Node, 9 | 10) | (Self::Tensor, 13) => {
                Self::Leaf
            }
            _ => return None,
        })
    }
}

/// A field: its tag, the length before its value where it has one, its value.
struct Field {
    tag: usize,
    length: Range<usize>,
    value: Range<usize>,
    message: bool,
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// All fields of a file up to the first that is none, those in messages in fields too.
fn fields(bytes: &[u8], kind: Kind, range: Range<usize>, deep: usize, found: &mut Vec<Field>) -> Option<()> {
    let mut at = range.start;
    while at < range.end {
        let start = at;
        let tag = varint(bytes, &mut at)?;
        let mut length = at..at;
        let size = match tag & 7 {
            0 => {
                let start = at;
                varint(bytes, &mut at)?;
                let size = at - start;
                at = start;
                size
            }
            1 => 8,
            2 => {
                let size = varint(bytes, &mut at)?;
                length.end = at;
                usize::try_from(size).ok()?
            }
            5 => 4,
            _ => return None,
        };
        at = at.checked_add(size).filter(|end| *end <= range.end)?;
        let value = length.end..at;
        let child = kind.child(tag >> 3).filter(|_| tag & 7 == 2);
        found.push(Field { tag: start, length, value: value.clone(), message: child.is_some() });
        // As deep as the decoder goes.
        if let Some(child) = child.filter(|_| deep < 100) {
            fields(bytes, child, value, deep + 1, found)?;
        }
    }
    Some(())
}

fn all_fields(bytes: &[u8]) -> Vec<Field> {
    let mut found = vec![];
    assert_eq!(fields(bytes, Kind::Model, 0..bytes.len(), 0, &mut found), Some(()), "a valid file");
    found
}

/// How many messages there are in a file, up to where it is none.
pub fn messages(bytes: &[u8]) -> usize {
    let mut found = vec![];
    let _ = fields(bytes, Kind::Model, 0..bytes.len(), 0, &mut found);
    found.iter().filter(|field| field.message).count()
}

fn write_varint(mut value: u64, width: usize) -> Vec<u8> {
    let mut bytes = vec![];
    loop {
        let more = value > 0x7f || bytes.len() + 1 < width;
        bytes.push(value as u8 & 0x7f | if more { 0x80 } else { 0 });
        value >>= 7;
        if !more {
            return bytes;
        }
    }
}

#[test]
fn cut_at_every_border() {
    let mut trial = Trial::new();
    let (name, bytes) = &valid()[0];
    let mut borders: Vec<usize> = all_fields(bytes)
        .iter()
        .flat_map(|field| [field.tag, field.length.start, field.value.start, field.value.end])
        .collect();
    borders.sort_unstable();
    borders.dedup();
    assert!(borders.len() > 2000, "{name} has {} borders", borders.len());
    for cut in borders.into_iter().filter(|cut| *cut < bytes.len()) {
        // What is left is a message by itself only where a field of the outermost ends: without a graph, or all of it.
        let _ = trial.of(&format!("{name} cut at {cut}"), &bytes[..cut]);
    }
    assert!(trial.refused > 2000, "only {} were refused", trial.refused);
    // Of larger ones, some.
    let mut random = fastrand::Rng::with_seed(1);
    for (name, bytes) in &valid()[1..] {
        let fields = all_fields(bytes);
        for _ in 0..200 {
            let field = &fields[random.usize(..fields.len())];
            let cut = *random.choice([field.tag, field.value.start, field.value.end - 1].iter()).unwrap();
            let _ = trial.of(&format!("{name} cut at {cut}"), &bytes[..cut]);
        }
    }
}

#[test]
fn lengths_that_lie() {
    let (mut trial, mut random) = (Trial::new(), fastrand::Rng::with_seed(2));
    for (name, bytes) in valid() {
        let fields: Vec<Field> = all_fields(&bytes).into_iter().filter(|field| !field.length.is_empty()).collect();
        for _ in 0..500 {
            let field = &fields[random.usize(..fields.len())];
            let own = field.value.len() as u64;
            let lies = [
                write_varint(own + 1, 0),
                write_varint(own.saturating_sub(1), 0),
                write_varint(own + u64::from(random.u16(..)), 0),
                write_varint(bytes.len() as u64, 0),
                write_varint(1 << 31, 0),
                write_varint(u64::from(u32::MAX), 0),
                write_varint(1 << 63, 0),
                write_varint(u64::MAX, 0),
                write_varint(0, 0),
                // True, and longer than need be; and longer than may be.
                write_varint(own, 10),
                write_varint(own, 11),
                vec![0xff; 16],
            ];
            let lie = &lies[random.usize(..lies.len())];
            let changed = [&bytes[..field.length.start], lie, &bytes[field.length.end..]].concat();
            let _ = trial.of(&format!("{name}: length at {} is {lie:x?}", field.length.start), &changed);
        }
    }
    assert!(trial.refused > 1000);
}

#[test]
fn tags_and_values_that_lie() {
    let (mut trial, mut random) = (Trial::new(), fastrand::Rng::with_seed(3));
    for (name, bytes) in valid() {
        let fields = all_fields(&bytes);
        for _ in 0..300 {
            let field = &fields[random.usize(..fields.len())];
            let mut changed = bytes.clone();
            let what = match random.u8(..5) {
                // Another number, or another kind of value.
                0 => {
                    changed[field.tag] = random.u8(..);
                    "tag"
                }
                1 => {
                    changed[field.tag] ^= 1 << random.u8(..3);
                    "wire type"
                }
                2 => {
                    let at = random.usize(field.value.start..field.value.end.max(field.value.start + 1));
                    changed[at.min(bytes.len() - 1)] = random.u8(..);
                    "value"
                }
                // The field again, elsewhere or behind itself.
                3 => {
                    let again = bytes[field.tag..field.value.end].to_vec();
                    changed.splice(field.value.end..field.value.end, again);
                    "doubled"
                }
                _ => {
                    changed.drain(field.tag..field.value.end);
                    "left out"
                }
            };
            let _ = trial.of(&format!("{name}: {what} at {}", field.tag), &changed);
        }
    }
}

#[test]
fn unknown_fields_and_groups() {
    let mut trial = Trial::new();
    let (name, bytes) = &valid()[0];
    let tag = |number: u64, wire: u64| write_varint(number << 3 | wire, 0);
    let layers = trial.of(name, bytes).unwrap();
    // What a later version may add is passed over.
    let later =
        [tag(5000, 0), vec![1], tag(5001, 1), vec![0; 8], tag(5002, 2), vec![2, 0, 0], tag(5003, 5), vec![0; 4]]
            .concat();
    assert_eq!(trial.of("later fields", &[&bytes[..], &later].concat()), Ok(layers));
    for deep in [10, 90, 1000, 100_000] {
        let groups = [tag(5004, 3).repeat(deep), tag(5004, 4).repeat(deep)].concat();
        let said = trial.of("groups in groups", &[&bytes[..], &groups].concat());
        assert!(said == Ok(layers) || deep > 90 && said == Err("model-not-onnx".to_owned()), "{deep}: {said:?}");
        assert!(trial.of("groups that do not end", &[&bytes[..], &tag(5004, 3).repeat(deep)].concat()).is_err());
    }
    for end in [tag(5004, 4), tag(0, 2), vec![0], vec![0x80; 20], vec![0xff; 9], tag(7, 6), tag(7, 7)] {
        assert!(trial.of("a field that is none", &[&bytes[..], &end].concat()).is_err(), "{end:x?}");
    }
}
