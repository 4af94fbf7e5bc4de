//! Samples through a tower, embeddings out.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock};

use ndarray::{Array2, ArrayViewD, Axis, Ix2, Slice, concatenate};

use super::Error;
use super::batches::{Runner, USUAL_BATCH, batches, feed};
use super::site::Site;
use crate::dataset::Samples;
use crate::onnx::{Replaced, Skeleton};
use crate::runtime;
use crate::safeground::{self, Embeddings};

/// A tower that embeds samples, prepared once for one batch size.
pub struct Embedder<'a> {
    runner: Runner<'a>,
    site: &'a Site<'a>,
    size: usize,
    session: Box<dyn runtime::Session>,
}

/// Normalised embeddings of a set of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// A row a sample; 0 for bad ones.
    pub rows: Embeddings,
    /// Samples whose embedding is zero or not finite; only where such are to be skipped.
    pub bad: BTreeSet<usize>,
}

impl Embedded {
    /// The samples at these places, also several times.
    pub fn at(&self, places: &[usize]) -> Self {
        let bad = (0..places.len()).filter(|row| self.bad.contains(&places[*row])).collect();
        Self { rows: self.rows.select(places), bad }
    }
}

impl<'a> Embedder<'a> {
    /// Prepares a tower for samples like the first of `like`.
    ///
    /// # Errors
    /// If a sample cannot be read or the runtime does not take the graph.
    pub fn new(runner: Runner<'a>, site: &'a Site<'a>, like: &dyn Samples) -> Result<Self, Error> {
        Self::with(runner, site, None, like)
    }

    /// The same, with other weights where such are given.
    ///
    /// # Errors
    /// As for [`Embedder::new`].
    pub fn with(
        runner: Runner<'a>,
        site: &'a Site<'a>,
        weights: Option<&Replaced>,
        like: &dyn Samples,
    ) -> Result<Self, Error> {
        let skeleton = Skeleton::extract_with(site.graph, &[site.tower.embedding.as_str()], weights)?;
        let size = site.batch_size(runner.limits.batch_size.unwrap_or(USUAL_BATCH), like.len());
        let (like, _) = feed(&site.tower, like.batch(0..1)?, size)?;
        let session = runner.runtime.load(&skeleton, &like).map_err(|e| site.failed(e))?;
        Ok(Self { runner, site, size, session })
    }

    /// Embeds all samples and normalises the embeddings.
    ///
    /// # Errors
    /// If data or runtime fail, or an embedding is zero or not finite and bad samples are not to be skipped.
    pub fn embed(&self, stage: &str, samples: &dyn Samples) -> Result<Embedded, Error> {
        let (rows, bad) = Embeddings::normalise_each(self.raw(stage, samples)?);
        if let Some((&row, &what)) = bad.iter().next()
            && !self.runner.limits.skip_bad_samples
        {
            let what_of = format!("{stage}, {}", samples.name(row));
            return Err(Error::SafeGround { what: what_of, source: safeground::Error::Undefined { row, what } });
        }
        Ok(Embedded { rows, bad: bad.into_keys().collect() })
    }

    /// Embeds all samples: `[N, width]`, as the graph gives them.
    ///
    /// # Errors
    /// If data or runtime fail.
    pub fn raw(&self, stage: &str, samples: &dyn Samples) -> Result<Array2<f32>, Error> {
        let mut parts: Vec<Array2<f32>> = vec![];
        // A runtime that takes one batch at a time is never kept waiting: the next is read and prepared meanwhile.
        let (runs, turn) = (self.runner.runtime.concurrency(), Mutex::new(()));
        self.runner.over(
            stage,
            &batches(0, samples.len(), self.size),
            runs.max(2),
            |range| {
                let (feed, _) = feed(&self.site.tower, samples.batch(range.clone())?, self.size)?;
                let _turn = (runs == 1).then(|| turn.lock());
                let rows = OnceLock::new();
                let take = |_: usize, output: ArrayViewD<f32>| drop(rows.set(self.rows(&output, range.len())));
                self.session.run(feed, &take).map_err(|e| self.site.failed(e))?;
                rows.into_inner().unwrap_or_else(|| Err(self.unexpected("there is none")))
            },
            |_, part| {
                parts.push(part);
                Ok(())
            },
        )?;
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        concatenate(Axis(0), &views).map_err(|e| self.unexpected(&e.to_string()))
    }

    fn rows(&self, output: &ArrayViewD<f32>, samples: usize) -> Result<Array2<f32>, Error> {
        match output.view().into_dimensionality::<Ix2>() {
            Ok(rows) if rows.nrows() == self.size => Ok(rows.slice_axis(Axis(0), Slice::from(..samples)).to_owned()),
            _ => Err(self.unexpected(&format!("its shape is {:?} for a batch of {}", output.shape(), self.size))),
        }
    }

    fn unexpected(&self, what: &str) -> Error {
        self.site.failed(runtime::Error::Load {
            backend: self.runner.runtime.place().backend,
            reason: format!("output '{}' is not one embedding a sample: {what}", self.site.tower.embedding),
        })
    }
}
