//! The header of an array of numpy: a Python dictionary of three entries. Read here, since the crates for it bring a
//! parser generator along, and make room for what a header says before it is known to be there.

use std::io::Read;

use super::stored::Number;

/// What is said of an array.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether the first axis runs fastest.
    pub fortran: bool,
    /// Its numbers, or what numpy calls them if they are none that are read.
    pub number: Result<Number, String>,
}

const MOST_HEADER: usize = 1 << 16;
const MOST_AXES: usize = 32;

/// Reads the header, after which the numbers follow.
pub fn header(from: &mut impl Read) -> Result<Header, String> {
    let mut take = |count: usize| {
        let mut bytes = vec![0; count];
        from.read_exact(&mut bytes).map_err(|e| format!("its header ends early: {e}")).map(|()| bytes)
    };
    let start = take(8)?;
    if !start.starts_with(b"\x93NUMPY") {
        return Err("it is no array of numpy".to_owned());
    }
    let length = match start[6] {
        1 => take(2)?.into_iter().rev().fold(0, |length, byte| length << 8 | usize::from(byte)),
        2 | 3 => take(4)?.into_iter().rev().fold(0, |length, byte| length << 8 | usize::from(byte)),
        version => return Err(format!("it is of version {version} of the format")),
    };
    if length > MOST_HEADER {
        return Err(format!("its header has {length} bytes"));
    }
    let text = String::from_utf8(take(length)?).map_err(|_| "its header is no text".to_owned())?;
    parse(&text).ok_or_else(|| format!("its header '{}' is not understood", crate::few::cut(text.trim())))
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (32, 12), }`
fn parse(text: &str) -> Option<Header> {
    let body = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let descr = value(body, "descr")?.strip_prefix('\'')?;
    let (descr, _) = descr.split_once('\'')?;
    let fortran = match value(body, "fortran_order")? {
        text if text.starts_with("False") => false,
        text if text.starts_with("True") => true,
        _ => return None,
    };
    let (shape, _) = value(body, "shape")?.strip_prefix('(')?.split_once(')')?;
    let axes = shape.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    let shape = axes.map(|axis| axis.parse().ok()).collect::<Option<Vec<usize>>>()?;
    let number = match descr {
        "|b1" | "|u1" => Ok(Number::U8),
        "|i1" => Ok(Number::I8),
        "<u2" => Ok(Number::U16),
        "<i2" => Ok(Number::I16),
        "<u4" => Ok(Number::U32),
        "<i4" => Ok(Number::I32),
        "<i8" => Ok(Number::I64),
        "<f2" => Ok(Number::F16),
        "<f4" => Ok(Number::F32),
        "<f8" => Ok(Number::F64),
        other => Err(format!("numpy's type '{}'", crate::few::cut(other))),
    };
    (shape.len() <= MOST_AXES).then_some(Header { shape, fortran, number })
}

/// What follows a key.
fn value<'t>(body: &'t str, key: &str) -> Option<&'t str> {
    let (_, rest) = body.split_once(&format!("'{key}'"))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let read = |text: &str| parse(text);
        let plain = read("{'descr': '<f4', 'fortran_order': False, 'shape': (32, 12), }").unwrap();
        assert_eq!(plain, Header { shape: vec![32, 12], fortran: false, number: Ok(Number::F32) });
        assert_eq!(read("{'descr': '|b1', 'fortran_order': True, 'shape': (3,), }\n").unwrap().shape, [3]);
        assert!(read("{'descr': '<f4', 'fortran_order': False, 'shape': (3").is_none());
        assert!(read("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }").is_none());
        assert!(read("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }").is_none());
        assert!(read("{'descr': '>f4', 'fortran_order': False, 'shape': (3,), }").unwrap().number.is_err());
        assert!(header(&mut &b"\x93NUMPY\x01\x00\xff\xff{}"[..]).unwrap_err().contains("ends early"));
        assert!(header(&mut &b"\x93NUMPY\x02\x00\xff\xff\xff\xff"[..]).unwrap_err().contains("bytes"));
        assert!(header(&mut &b"PK"[..]).unwrap_err().contains("ends early"));
    }
}
