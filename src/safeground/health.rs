//! Signs that a model does not work at all: then its other figures say nothing.

use serde::{Deserialize, Serialize};

use super::Embeddings;
use super::binomial;
use super::bootstrap::FEWEST;
use super::classification::Classified;
use super::retrieval::Ranked;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Ailment {
    /// A text tower looks at what stands behind the end of a text.
    PaddingCounts {
        /// Of embeddings with the usual padding and with another: 1 if it makes no difference.
        cosine: f64,
    },
    /// Most samples of a kind have embeddings that are zero or not finite.
    EmbeddingsUndefined {
        /// What they are of.
        part: Part,
        /// Samples.
        bad: usize,
        /// Of so many.
        of: usize,
    },
    /// All samples of a kind get the same embedding.
    EmbeddingsCollapsed {
        /// What they are of.
        part: Part,
        /// The mean of `1 - cosine` over all pairs of embeddings.
        spread: f64,
    },
    /// Safe texts and images find one another no better than by chance.
    RetrievalAtChance {
        /// The share of the gallery, in percent, that lies before the right item, on average; chance is 50.
        before: f64,
    },
    /// Zero-shot classification is no better than guessing.
    ZeroShotAtChance {
        /// Accuracy in percent.
        top1: f64,
        /// That of guessing.
        chance: f64,
    },
}

impl Ailment {
    /// Its code, which stays.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PaddingCounts { .. } => "padding-counts",
            Self::EmbeddingsUndefined { .. } => "embeddings-undefined",
            Self::EmbeddingsCollapsed { .. } => "embeddings-collapsed",
            Self::RetrievalAtChance { .. } => "retrieval-at-chance",
            Self::ZeroShotAtChance { .. } => "zero-shot-at-chance",
        }
    }
}

/// Of which samples embeddings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Safe texts.
    SafeTexts,
    /// Unsafe texts.
    UnsafeTexts,
    /// Safe images.
    SafeImages,
    /// Unsafe images.
    UnsafeImages,
    /// Prompts of the zero-shot labels.
    Prompts,
    /// Zero-shot images.
    ZeroShotImages,
}

impl Part {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::SafeTexts => "safe texts",
            Self::UnsafeTexts => "unsafe texts",
            Self::SafeImages => "safe images",
            Self::UnsafeImages => "unsafe images",
            Self::Prompts => "zero-shot prompts",
            Self::ZeroShotImages => "zero-shot images",
        }
    }
}

/// Below that, embeddings differ by rounding only.
const SAME: f64 = 1e-6;

/// What luck does as often as that is taken for luck: once in a hundred (and its one-sided normal quantile).
const LUCK: f64 = 0.01;
const LUCK_DEVIATIONS: f64 = 2.326;

/// Whether most samples have no embedding.
pub fn undefined(part: Part, bad: usize, of: usize) -> Option<Ailment> {
    (2 * bad > of).then_some(Ailment::EmbeddingsUndefined { part, bad, of })
}

/// Whether the embeddings of different inputs are all the same.
pub fn collapsed(part: Part, rows: &Embeddings) -> Option<Ailment> {
    let rows = rows.rows();
    let count = rows.nrows() as f64;
    if rows.nrows() < 2 {
        return None;
    }
    // The mean cosine of all pairs, from the length of the mean.
    let squares: f64 = rows.columns().into_iter().map(|c| c.iter().map(|&v| f64::from(v)).sum::<f64>().powi(2)).sum();
    let own: f64 = rows.iter().map(|&v| f64::from(v).powi(2)).sum();
    let spread = 1.0 - (squares - own) / (count * (count - 1.0));
    (spread < SAME).then_some(Ailment::EmbeddingsCollapsed { part, spread: spread.max(0.0) })
}

/// Whether safe texts and images do not belong together: the mean rank of the right item, both ways, against ranks drawn by
/// chance. Of few items nothing can be told.
pub fn retrieval_at_chance(ranked: &Ranked) -> Option<Ailment> {
    let all = ranked.directions[0].before.iter().chain(&ranked.directions[1].before);
    let items = ranked.directions[0].before.len();
    if items < FEWEST {
        return None;
    }
    let last = (items - 1) as f64;
    let mean = all.map(|&before| f64::from(before) / last).sum::<f64>() / (2 * items) as f64;
    // Uniform over 0..=1; the two directions of a pair count as one, since they hang together.
    let deviation = (1.0 / 12.0 / items as f64).sqrt();
    (mean > 0.5 - LUCK_DEVIATIONS * deviation).then_some(Ailment::RetrievalAtChance { before: 100.0 * mean })
}

/// Whether images are not classified better than by guessing. Of few images nothing can be told.
pub fn zero_shot_at_chance(classified: &[Classified], labels: usize) -> Option<Ailment> {
    if classified.len() < FEWEST || labels < 2 {
        return None;
    }
    let (n, chance) = (classified.len(), 1.0 / labels as f64);
    let right = classified.iter().filter(|image| image.before == 0).count();
    let top1 = 100.0 * right as f64 / n as f64;
    (binomial::at_least(right, n, chance) > LUCK).then_some(Ailment::ZeroShotAtChance { top1, chance: 100.0 * chance })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::safeground::Quadruplets;
    use ndarray::Array2;

    #[test]
    fn the_same_for_all_is_told_from_alike() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut near = |noise: f32| {
            Embeddings::normalise(Array2::from_shape_simple_fn((300, 32), || 1.0 + noise * (rng.f32() - 0.5))).unwrap()
        };
        let collapsed = |rows: &Embeddings| collapsed(Part::SafeTexts, rows);
        assert!(collapsed(&near(0.0)).is_some() && collapsed(&near(1e-5)).is_some());
        // Narrow cones are usual: cosines of 0.99 and more.
        assert!(collapsed(&near(0.05)).is_none());
        assert!(collapsed(&near(0.0).select(&[0])).is_none());
    }

    #[test]
    fn chance_is_told_from_little() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut some = || Array2::from_shape_simple_fn((400, 16), || rng.f32() - 0.5);
        let content = some();
        let mut set = |share: f32| {
            let mut of = || Embeddings::normalise(share * &content + &some()).unwrap();
            Quadruplets { safe_text: of(), unsafe_text: of(), safe_image: of(), unsafe_image: of() }
        };
        assert!(retrieval_at_chance(&Ranked::of(&set(0.0))).is_some());
        assert!(retrieval_at_chance(&Ranked::of(&set(0.4))).is_none());
        let classified = |right: usize| -> Vec<Classified> {
            (0..500).map(|image| Classified { label: 0, before: usize::from(image >= right), tied: 0 }).collect()
        };
        // 5 are to be expected of 500 with 100 labels.
        assert!(zero_shot_at_chance(&classified(6), 100).is_some());
        assert!(zero_shot_at_chance(&classified(25), 100).is_none());
        // Seven right ones of seven are luck once in 128 times, and too few to say so.
        assert!(zero_shot_at_chance(&classified(500)[..7], 2).is_none());
        assert!(zero_shot_at_chance(&classified(40)[..40], 2).is_none());
        assert!(undefined(Part::SafeImages, 3, 6).is_none() && undefined(Part::SafeImages, 4, 6).is_some());
    }
}
