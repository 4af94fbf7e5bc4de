//! Samples through a tower, embeddings out.

use ndarray::{Array2, ArrayD, Axis, Ix2, Slice, concatenate};

use super::Error;
use super::batches::{Runner, feed};
use super::site::Site;
use crate::dataset::Samples;
use crate::onnx::Skeleton;
use crate::runtime;
use crate::safeground::Embeddings;

/// A tower that embeds samples, prepared once for one batch size.
pub struct Embedder<'a> {
    runner: Runner<'a>,
    site: &'a Site<'a>,
    size: usize,
    session: Box<dyn runtime::Session>,
}

impl<'a> Embedder<'a> {
    /// Prepares a tower for samples like the first of `like`.
    ///
    /// # Errors
    /// If a sample cannot be read or the runtime does not take the graph.
    pub fn new(runner: Runner<'a>, site: &'a Site<'a>, like: &dyn Samples) -> Result<Self, Error> {
        let skeleton = Skeleton::extract(site.graph, &[&site.tower.embedding])?;
        let size = site.batch_size(runner.batch_size, like.len());
        let (like, _) = feed(&site.tower, like.batch(0..1)?, size)?;
        let session = runner.runtime.load(&skeleton, &like).map_err(|e| site.failed(e))?;
        Ok(Self { runner, site, size, session })
    }

    /// Embeds all samples and normalises the embeddings.
    ///
    /// # Errors
    /// If data or runtime fail, or an embedding is zero or not finite.
    pub fn embed(&self, stage: &str, samples: &dyn Samples) -> Result<Embeddings, Error> {
        let mut parts: Vec<Array2<f32>> = vec![];
        self.runner.over(
            stage,
            samples.len(),
            self.size,
            |range| {
                let (feed, _) = feed(&self.site.tower, samples.batch(range.clone())?, self.size)?;
                self.rows(self.session.run(feed).map_err(|e| self.site.failed(e))?, range.len())
            },
            |part| {
                parts.push(part);
                Ok(())
            },
        )?;
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        let rows = concatenate(Axis(0), &views).map_err(|e| self.unexpected(&e.to_string()))?;
        Embeddings::normalise(rows).map_err(|source| {
            let row = match source {
                crate::safeground::Error::Undefined { row, .. } => samples.name(row),
                crate::safeground::Error::Width { .. } => String::new(),
            };
            Error::SafeGround { what: format!("{stage}, {row}"), source }
        })
    }

    fn rows(&self, mut outputs: Vec<ArrayD<f32>>, samples: usize) -> Result<Array2<f32>, Error> {
        let output = outputs.pop().ok_or_else(|| self.unexpected("there is none"))?;
        let shape = output.shape().to_vec();
        match output.into_dimensionality::<Ix2>() {
            Ok(rows) if rows.nrows() == self.size => Ok(rows.slice_axis(Axis(0), Slice::from(..samples)).to_owned()),
            _ => Err(self.unexpected(&format!("its shape is {shape:?} for a batch of {}", self.size))),
        }
    }

    fn unexpected(&self, what: &str) -> Error {
        self.site.failed(runtime::Error::Run {
            backend: self.runner.runtime.place().backend,
            reason: format!("output '{}' is not one embedding a sample: {what}", self.site.tower.embedding),
        })
    }
}
