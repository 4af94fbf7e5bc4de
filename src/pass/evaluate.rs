//! Measuring a pair of towers on an evaluation set: first everything is embedded, then it is compared.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use super::batches::Runner;
use super::embed::{Embedded, Embedder};
use super::site::Site;
use crate::dataset::{Images, Preprocessor, Quadruplet, Samples, Texts, Tokenizer, ZeroShot};
use crate::safeground::{Embeddings, Evaluation, Group, Quadruplets, classify, preference, retrieval};

/// What to measure on.
#[derive(Clone, Copy)]
pub struct EvaluationData<'d> {
    /// The quadruplets.
    pub quadruplets: &'d [Quadruplet],
    /// The zero-shot set, if there is one.
    pub zero_shot: Option<&'d ZeroShot>,
    /// For its texts.
    pub tokenizer: &'d Tokenizer,
    /// For its images.
    pub preprocessor: &'d Preprocessor,
}

/// The evaluation data as one model embeds them.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddedData {
    quadruplets: Quadruplets,
    zero_shot: Option<(Embeddings, Embeddings)>,
    /// What this model has no embedding for.
    pub bad: Bad,
}

/// Samples that cannot be measured, since a model has no embedding for them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bad {
    /// Quadruplets.
    pub quadruplets: BTreeSet<usize>,
    /// Zero-shot images.
    pub images: BTreeSet<usize>,
}

impl Bad {
    /// What is bad on either side: before and after are measured on the same samples.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self { quadruplets: &self.quadruplets | &other.quadruplets, images: &self.images | &other.images }
    }

    /// How many there are, in words.
    pub fn note(&self) -> Option<String> {
        let (quadruplets, images) = (self.quadruplets.len(), self.images.len());
        (quadruplets + images > 0).then(|| {
            format!("{quadruplets} quadruplets and {images} zero-shot images were not measured: an embedding was zero or not finite")
        })
    }
}

/// Embeds the data with both towers. `when` is shown as progress.
///
/// # Errors
/// If data or runtime fail, or embeddings are not comparable.
pub fn embed(
    runner: Runner,
    text: &Site,
    vision: &Site,
    data: EvaluationData,
    when: &str,
) -> Result<EmbeddedData, Error> {
    let rows = data.quadruplets;
    let texts = |pick: fn(&Quadruplet) -> &String| Texts::new(data.tokenizer, rows.iter().map(pick).cloned().collect());
    let images = |pick: fn(&Quadruplet) -> &std::path::PathBuf| {
        Images::new(data.preprocessor, rows.iter().map(pick).cloned().collect())
    };
    let stage = |what: &str| format!("{when}: {what}");
    let mut bad = Bad::default();
    let mut count = |embedded: Embedded| {
        bad.quadruplets.extend(embedded.bad);
        embedded.rows
    };

    let safe_text = texts(|q| &q.safe_text);
    let embedder = Embedder::new(runner, text, &safe_text)?;
    let safe_text = count(embedder.embed(&stage("safe texts"), &safe_text)?);
    let unsafe_text = count(embedder.embed(&stage("unsafe texts"), &texts(|q| &q.unsafe_text))?);
    let prompts = match data.zero_shot {
        Some(set) => Some(prompts(&embedder, &stage("zero-shot prompts"), &Texts::new(data.tokenizer, set.prompts()))?),
        None => None,
    };

    // One model at a time.
    drop(embedder);

    let safe_image = images(|q| &q.safe_image);
    let embedder = Embedder::new(runner, vision, &safe_image)?;
    let safe_image = count(embedder.embed(&stage("safe images"), &safe_image)?);
    let unsafe_image = count(embedder.embed(&stage("unsafe images"), &images(|q| &q.unsafe_image))?);

    let quadruplets = Quadruplets { safe_text, unsafe_text, safe_image, unsafe_image };
    quadruplets.check().map_err(|source| Error::SafeGround { what: stage("embeddings"), source })?;
    let zero_shot = match (data.zero_shot, prompts) {
        (Some(zero), Some(prompts)) => {
            let paths = zero.images.iter().map(|(path, _)| path.clone()).collect();
            let images = embedder.embed(&stage("zero-shot images"), &Images::new(data.preprocessor, paths))?;
            bad.images = images.bad;
            Some((images.rows, prompts))
        }
        _ => None,
    };
    Ok(EmbeddedData { quadruplets, zero_shot, bad })
}

/// Prompts make the classes that all images are measured by: a bad one is never skipped.
fn prompts(embedder: &Embedder, stage: &str, prompts: &Texts) -> Result<Embeddings, Error> {
    let embedded = embedder.embed(stage, prompts)?;
    match embedded.bad.first() {
        None => Ok(embedded.rows),
        Some(&row) => Err(Error::SafeGround {
            what: format!("{stage}, {}", prompts.name(row)),
            source: crate::safeground::Error::Undefined { row, what: "zero or not finite, and a class depends on it" },
        }),
    }
}

/// Computes every metric of embedded data, without what `left_out` holds.
///
/// # Errors
/// If nothing is left, or the prompts of a zero-shot label cancel out.
pub fn measure(embedded: &EmbeddedData, data: EvaluationData, left_out: &Bad) -> Result<Evaluation, Error> {
    let kept: Vec<usize> = (0..data.quadruplets.len()).filter(|row| !left_out.quadruplets.contains(row)).collect();
    if kept.is_empty() {
        return Err(Error::Conflict {
            reason: format!("none of the {} evaluation quadruplets has finite embeddings", data.quadruplets.len()),
            help: "the model breaks down on all of them; check the export with its original framework",
        });
    }
    let set = embedded.quadruplets.select(&kept);
    let mut styles = BTreeMap::<&str, Vec<usize>>::new();
    for (index, &row) in kept.iter().enumerate() {
        if let Some(style) = &data.quadruplets[row].style {
            styles.entry(style).or_default().push(index);
        }
    }
    let by_style = styles.into_iter().map(|(style, rows)| {
        (style.to_owned(), Group { quadruplets: rows.len(), preference: preference(&set, &rows) })
    });
    let all: Vec<usize> = (0..kept.len()).collect();
    let zero_shot = match (data.zero_shot, &embedded.zero_shot) {
        (Some(zero), Some((images, prompts))) => {
            let kept: Vec<usize> = (0..zero.images.len()).filter(|image| !left_out.images.contains(image)).collect();
            if kept.is_empty() {
                return Err(Error::Conflict {
                    reason: format!("none of the {} zero-shot images has a finite embedding", zero.images.len()),
                    help: "the model breaks down on all of them; check the export with its original framework",
                });
            }
            let labels: Vec<usize> = kept.iter().map(|&image| zero.images[image].1).collect();
            let classified = classify(&images.select(&kept), &labels, prompts, zero.templates.len());
            Some(classified.map_err(|source| Error::SafeGround { what: "zero-shot labels".to_owned(), source })?)
        }
        _ => None,
    };
    Ok(Evaluation {
        safeground: preference(&set, &all),
        by_style: by_style.collect(),
        retrieval: retrieval(&set),
        zero_shot,
    })
}
