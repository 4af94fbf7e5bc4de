//! Carrying out a plan: streamed into new files, or compared with files that are there.
//!
//! What stays is copied by the system from file to file (`copy_file_range`; shared, not copied, where the file system
//! can). In memory is at most one edited tensor.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use super::plan::Plan;
use super::sink::Sink;
use crate::onnx::error::Error;
use crate::onnx::source::Source;

/// How much is copied between two looks at whether to stop.
const STEP: usize = 256 << 20;
/// Blocks that file systems can share.
const BLOCK: usize = 4096;

/// Writes what file `index` of the plan's model becomes into `file`, a new one that is to be `target`.
///
/// # Errors
/// If a tensor is not editable or the file cannot be written.
pub fn stage(plan: &Plan, index: usize, file: &File, target: &Path, stop: &dyn Fn() -> bool) -> Result<(), Error> {
    let io = |source| Error::Write { path: target.to_owned(), source };
    let from = plan.model.sources()[index].reopen().map_err(io)?;
    plan.emit(index, &mut FileSink { from, to: file, at: 0, stop }, target)
}

struct FileSink<'a> {
    from: File,
    to: &'a File,
    at: usize,
    stop: &'a dyn Fn() -> bool,
}

impl FileSink<'_> {
    fn copy_some(&mut self, range: Range<usize>) -> io::Result<()> {
        if (self.stop)() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped"));
        }
        self.from.seek(SeekFrom::Start(range.start as u64))?;
        let copied = io::copy(&mut (&self.from).take(range.len() as u64), &mut self.to)?;
        if copied != range.len() as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the input became shorter while it was copied"));
        }
        self.at += range.len();
        Ok(())
    }
}

impl Sink for FileSink<'_> {
    fn copy(&mut self, _: &Source, range: Range<usize>) -> io::Result<()> {
        // Whole blocks by themselves, where source and output lie alike: such blocks can be shared.
        let alike = range.start % BLOCK == self.at % BLOCK;
        let (first, last) = (range.start.next_multiple_of(BLOCK), range.end / BLOCK * BLOCK);
        let borders = if alike && first < last { vec![first, last] } else { vec![] };
        let mut start = range.start;
        for end in borders.into_iter().chain([range.end]) {
            while start < end {
                let stop = end.min(start + STEP);
                self.copy_some(start..stop)?;
                start = stop;
            }
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len();
        self.to.write_all(bytes)
    }
}

/// Where a file is not what a plan makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// The first byte that differs.
    Byte(usize),
    /// The sizes: of the file, and what it should be.
    Size(usize, usize),
}

/// Compares what file `index` of the plan's model becomes with `actual`; `None` if they are the same.
///
/// # Errors
/// If a tensor is not editable.
pub fn compare(plan: &Plan, index: usize, actual: &Source) -> Result<Option<Difference>, Error> {
    let mut sink = CompareSink { actual: actual.bytes(), at: 0, first: None };
    plan.emit(index, &mut sink, actual.path())?;
    Ok(match sink.first {
        Some(at) => Some(Difference::Byte(at)),
        None if sink.at != actual.bytes().len() => Some(Difference::Size(actual.bytes().len(), sink.at)),
        None => None,
    })
}

struct CompareSink<'a> {
    actual: &'a [u8],
    at: usize,
    first: Option<usize>,
}

impl Sink for CompareSink<'_> {
    fn copy(&mut self, source: &Source, range: Range<usize>) -> io::Result<()> {
        self.bytes(&source.bytes()[range])
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let there = &self.actual[self.at.min(self.actual.len())..];
        let there = &there[..there.len().min(bytes.len())];
        if self.first.is_none() && there != &bytes[..there.len()] {
            self.first = there.iter().zip(bytes).position(|(a, b)| a != b).map(|k| self.at + k);
        }
        self.at += bytes.len();
        Ok(())
    }
}
