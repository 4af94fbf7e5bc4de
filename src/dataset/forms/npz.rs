//! Samples that are stored as the inputs of a graph: an archive of numpy's arrays.

use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;

use super::stored::{Array, Assembly, MOST_BYTES, wrong};
use super::{Found, npy};
use crate::dataset::error::Error;
use crate::few::cut;
use crate::plain;

/// Bytes that may come of each of the archive's: more is no data but a bomb.
const MOST_GROWTH: u64 = 200;
/// Bytes that may come of any: masks of ones are packed better.
const MOST_GROWN: u64 = 1 << 28;

/// Reads an archive as `numpy.savez` and `numpy.savez_compressed` write it.
pub fn read(path: &Path) -> Result<Found, Error> {
    let io = |source| Error::Io { what: "npz archive", path: path.to_owned(), source };
    let file = plain::open(path).map_err(io)?;
    // What members say of their packed size may be a lie, and several may share their bytes.
    let most = file.metadata().map_err(io)?.len().saturating_mul(MOST_GROWTH).max(MOST_GROWN);
    let wrong = |reason| wrong(path, reason);
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| wrong(e.to_string()))?;
    let mut set = Assembly::default();
    let mut unpacked = 0_u64;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(|e| wrong(e.to_string()))?;
        let (size, packed) = (member.size(), member.compressed_size());
        let name = member.name().map_err(|e| wrong(e.to_string()))?.into_owned();
        let name = name.strip_suffix(".npy").unwrap_or(&name);
        unpacked = unpacked.saturating_add(size);
        if size > MOST_BYTES as u64 || unpacked > most {
            return Err(wrong(format!("'{}' unpacks from {packed} to {size} bytes", cut(name))));
        }
        let of = |reason: String| wrong(format!("'{}': {reason}", cut(name)));
        let header = npy::header(&mut member).map_err(of)?;
        let array = Array { shape: &header.shape, fortran: header.fortran, number: header.number };
        let data = || {
            // One more than there may be: what is longer than it says is wrong too.
            let bytes = array.bytes()? as u64;
            if bytes > size {
                return Err(format!("'{}' has {size} bytes where its shape takes {bytes}", cut(name)));
            }
            let mut data = vec![];
            member.take(bytes + 1).read_to_end(&mut data).map_err(|e| e.to_string())?;
            Ok(data)
        };
        set.add(name, &array, data).map_err(wrong)?;
    }
    set.found(path, None, None)
}
