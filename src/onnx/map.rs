//! Mapping a file into memory: the only unsafe code of the crate.

use std::fs::File;

use bytes::Bytes;
use memmap2::Mmap;

/// Maps the whole of `file` read-only; clones and slices of the result share the map.
///
/// An empty file gives empty bytes (the system refuses to map nothing).
#[allow(unsafe_code)]
pub(super) fn map(file: &File) -> std::io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the map is private to this process and read-only, and nothing here writes to a model file in place:
    // outputs are new files that are renamed over their target, which leaves a mapped file's pages alone. What
    // remains is another process that truncates the file while it is mapped; as with every mapped reader, that
    // ends in a bus error, not in undefined reads of foreign memory.
    let map = unsafe { Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}
