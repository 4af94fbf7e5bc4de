//! Whether a text tower looks at what stands behind the end of a text.
//!
//! A causal tower (CLIP's) cannot, and one with an attention mask may not. An export that lost its causal mask, a known
//! fault, does: its embeddings look well, and are worse by far. No data tell that as plainly as exchanging the padding.

use std::ops::Range;

use super::Error;
use super::batches::Runner;
use super::embed::Embedder;
use super::evaluate::EvaluationData;
use super::site::Site;
use super::stored::samples;
use crate::dataset::{Batch, Samples, Side};
use crate::onnx::Valid;
use crate::safeground::Embeddings;
use crate::safeground::health::Ailment;

/// Texts that are looked at.
const TEXTS: usize = 16;

/// A mean cosine below that is more than rounding, and more than what other ranges do in dynamic quantisation.
const SAME: f64 = 0.99;

/// Exchanges what stands behind the end of the first texts, and sees whether their embeddings move.
///
/// # Errors
/// If texts cannot be read, or the runtime fails.
pub fn padding_counts(runner: Runner, site: &Site, on: EvaluationData) -> Result<Option<Ailment>, Error> {
    // An embedding that is taken at the end of the text means a causal tower, which needs no attention mask: what is behind
    // the end must not count even where the mask lets it. A fault of the one mask does not hide behind the other.
    let ends = |valid: &Valid| matches!(valid, Valid::UntilLargest | Valid::UntilToken(_));
    let (valid, causal) = match Valid::of_ids(site.graph, &site.tower.input.name) {
        pooled if ends(&pooled) => (pooled, true),
        _ => (site.tower.valid, false),
    };
    // Elsewhere padding counts by design, or is told by its own ids.
    if !(ends(&valid) || matches!(valid, Valid::Mask)) {
        return Ok(None);
    }
    let rows: Vec<usize> = (0..on.set.rows.len().min(TEXTS)).collect();
    let texts = samples(site, on.set, Side::Safe, &rows, on.prepared)?;
    let first = |exchange| First { texts: &*texts, valid, causal, count: rows.len(), exchange };
    let (plain, exchanged) = (first(false), first(true));
    if plain.batch(0..plain.count)? == exchanged.batch(0..plain.count)? {
        return Ok(None);
    }
    let embedder = Embedder::new(runner, site, &plain)?;
    let embed =
        |texts: &First| Ok::<_, Error>(Embeddings::normalise_each(embedder.raw("looking at padding", texts)?).0);
    let (plain, exchanged) = (embed(&plain)?, embed(&exchanged)?);
    let (mean, count) = (plain.rows() * exchanged.rows(), plain.rows().nrows());
    let cosine = f64::from(mean.sum()) / count as f64;
    Ok((cosine < SAME).then_some(Ailment::PaddingCounts { cosine }))
}

/// The first texts, as they are or with other padding.
struct First<'s> {
    texts: &'s dyn Samples,
    valid: Valid,
    causal: bool,
    count: usize,
    exchange: bool,
}

impl Samples for First<'_> {
    fn len(&self) -> usize {
        self.count
    }

    fn batch(&self, range: Range<usize>) -> Result<Batch, crate::dataset::Error> {
        let mut batch = self.texts.batch(range)?;
        let Batch::Text { ids, mask } = &mut batch else { return Ok(batch) };
        let counts = self.valid.mask(ids, mask.clone());
        if self.causal {
            mask.fill(1);
        }
        if self.exchange {
            for (mut ids, counts) in ids.rows_mut().into_iter().zip(counts.rows()) {
                // A token of the text itself, and not the one that ends it, which has the largest id or is the last.
                let text: Vec<i64> =
                    ids.iter().zip(counts).filter(|(_, counts)| **counts != 0).map(|(id, _)| *id).collect();
                let end = match self.valid {
                    Valid::UntilLargest => text.iter().max().copied(),
                    Valid::UntilToken(id) => Some(id),
                    _ => None,
                };
                let Some(other) = text.into_iter().find(|id| Some(*id) != end) else { continue };
                ids.iter_mut().zip(counts).filter(|(_, counts)| **counts == 0).for_each(|(id, _)| *id = other);
            }
        }
        Ok(batch)
    }

    fn name(&self, index: usize) -> String {
        self.texts.name(index)
    }
}
