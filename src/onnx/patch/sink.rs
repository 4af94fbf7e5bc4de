//! Where the bytes of an edited file go.

use std::io;
use std::ops::Range;

use sha1::{Digest, Sha1};

use crate::onnx::source::{Source, hex};

/// Takes the bytes of a file, from first to last.
pub trait Sink {
    /// A range of the source, as it is.
    fn copy(&mut self, source: &Source, range: Range<usize>) -> io::Result<()>;
    /// Other bytes.
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Only the SHA-1 is wanted.
pub struct HashSink(Sha1);

impl HashSink {
    pub fn new() -> Self {
        Self(Sha1::new())
    }

    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

impl Sink for HashSink {
    fn copy(&mut self, source: &Source, range: Range<usize>) -> io::Result<()> {
        self.0.update(&source.bytes()[range]);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.update(bytes);
        Ok(())
    }
}
