//! Measuring a pair of towers on an evaluation set: first everything is embedded, then it is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Error;
use super::batches::Runner;
use super::embed::Embedder;
use super::site::Site;
use super::stored::{kind, samples};
use crate::dataset::{DataSet, Images, Preparation, Samples, Side, Texts, ZeroShot};
use crate::onnx::{Modality, Replaced};
use crate::safeground::figure::{self, Figure};
use crate::safeground::health::{Ailment, Part, collapsed, retrieval_at_chance};
use crate::safeground::{
    Accuracy, Classified, Embeddings, Evaluation, Group, Preference, Quadruplets, Ranked, check_widths, classify,
    outcomes, retrieval,
};

/// What to measure on.
#[derive(Clone, Copy)]
pub struct EvaluationData<'d> {
    /// The quadruplets.
    pub set: &'d DataSet,
    /// The zero-shot set, if there is one.
    pub zero_shot: Option<&'d ZeroShot>,
    /// For its texts and images.
    pub prepared: &'d Preparation,
}

/// The evaluation data as two towers embed them.
#[derive(Debug, Clone)]
pub struct EmbeddedData {
    /// By the text tower.
    pub text: Arc<EmbeddedSide>,
    /// By the vision tower.
    pub image: Arc<EmbeddedSide>,
}

/// One modality of the evaluation data, embedded. Towers know nothing of each other: sides of any two edits go together.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddedSide {
    /// The safe items of the quadruplets.
    pub safe: Embeddings,
    /// The unsafe ones.
    pub not_safe: Embeddings,
    /// Prompts or images of the zero-shot set, if there is one.
    pub zero_shot: Option<Embeddings>,
    /// What there is no embedding for.
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

/// Embeds one modality of the data with its tower, as it is or with other weights. `when` is shown as progress.
///
/// # Errors
/// If data or runtime fail.
pub fn embed_side(
    runner: Runner,
    site: &Site,
    weights: Option<&Replaced>,
    data: EvaluationData,
    when: &str,
) -> Result<EmbeddedSide, Error> {
    let stage = |what: &str| format!("{when}: {what}");
    let items = kind(site.modality()).plural();
    // What several rows share is embedded once: in another batch its last bits may differ, and a tie would be none.
    let distinct = |side| data.set.distinct(kind(site.modality()), side);
    let (rows, places) = distinct(Side::Safe);
    let first = samples(site, data.set, Side::Safe, &rows, data.prepared)?;
    let embedder = Embedder::with(runner, site, weights, &*first)?;
    let safe = embedder.embed(&stage(&format!("safe {items}")), &*first)?.at(&places);
    let (rows, places) = distinct(Side::Unsafe);
    let second = samples(site, data.set, Side::Unsafe, &rows, data.prepared)?;
    let not_safe = embedder.embed(&stage(&format!("unsafe {items}")), &*second)?.at(&places);
    let mut bad = Bad::default();
    // Stored inputs may be of another size than what is prepared here.
    let again = |embedder, like: &dyn Samples| match data.set.tensors {
        Some(_) => Embedder::with(runner, site, weights, like),
        None => Ok(embedder),
    };
    let zero_shot = match (data.zero_shot, site.modality()) {
        (None, _) => None,
        (Some(set), Modality::Text) => {
            let texts = Texts::new(data.prepared.tokenizer()?, set.prompts());
            let embedder = again(embedder, &texts)?;
            Some(prompts(&embedder, &stage("zero-shot prompts"), &texts)?)
        }
        (Some(set), Modality::Vision) => {
            let pictures = set.images.iter().map(|labelled| labelled.image.clone()).collect();
            let images = Images::new(data.prepared.preprocessor()?, pictures);
            let embedder = again(embedder, &images)?;
            let images = embedder.embed(&stage("zero-shot images"), &images)?;
            bad.images = images.bad;
            Some(images.rows)
        }
    };
    bad.quadruplets = &safe.bad | &not_safe.bad;
    Ok(EmbeddedSide { safe: safe.rows, not_safe: not_safe.rows, zero_shot, bad })
}

/// Embeds the data with both towers.
///
/// # Errors
/// Those of [`embed_side`]; if the towers share no space.
pub fn embed(
    runner: Runner,
    [text, vision]: [&Site; 2],
    data: EvaluationData,
    when: &str,
) -> Result<EmbeddedData, Error> {
    // One model at a time.
    let text = embed_side(runner, text, None, data, when)?;
    let image = embed_side(runner, vision, None, data, when)?;
    EmbeddedData::new(Arc::new(text), Arc::new(image))
}

/// Signs that a model does not work at all, as far as its embeddings show them.
pub fn ailments(model: &EmbeddedData) -> Vec<Ailment> {
    let bad = model.bad();
    let kept: Vec<usize> = (0..model.text.safe.rows().nrows()).filter(|row| !bad.quadruplets.contains(row)).collect();
    let set = model.quadruplets(&kept);
    let parts = [
        (Part::SafeTexts, &set.safe_text),
        (Part::UnsafeTexts, &set.unsafe_text),
        (Part::SafeImages, &set.safe_image),
        (Part::UnsafeImages, &set.unsafe_image),
    ];
    let collapsed = parts.into_iter().filter_map(|(part, rows)| collapsed(part, rows));
    collapsed.chain(retrieval_at_chance(&Ranked::of(&set))).collect()
}

/// Measurements of several models on the same samples.
pub struct Measurements {
    /// A model each.
    pub of: Vec<Evaluation>,
    /// How many quadruplets.
    pub quadruplets: usize,
    /// What no model was measured on.
    pub left_out: Bad,
}

/// Measures models on what all have embeddings for.
///
/// # Errors
/// Those of [`measure`].
pub fn measure_all(runner: Runner, models: &[&EmbeddedData], data: EvaluationData) -> Result<Measurements, Error> {
    let left_out = models.iter().fold(Bad::default(), |all, model| all.or(&model.bad()));
    let each: Vec<_> = (0..models.len()).map(|model| model..model + 1).collect();
    let mut of = vec![];
    runner.over(
        "comparing models",
        &each,
        rayon::current_num_threads(),
        |model| measure(models[model.start], data, &left_out),
        |_, evaluation| {
            of.push(evaluation);
            Ok(())
        },
    )?;
    Ok(Measurements { of, quadruplets: data.set.rows.len() - left_out.quadruplets.len(), left_out })
}

impl EmbeddedData {
    /// The sides of a text and a vision tower, checked to share a space.
    ///
    /// # Errors
    /// If they do not.
    pub fn new(text: Arc<EmbeddedSide>, image: Arc<EmbeddedSide>) -> Result<Self, Error> {
        let joined = Self { text, image };
        let failed = |source| Error::SafeGround { what: "embeddings".to_owned(), source };
        check_widths(&joined.text.safe, &joined.image.safe).map_err(failed)?;
        Ok(joined)
    }

    /// What either side has no embedding for.
    pub fn bad(&self) -> Bad {
        self.text.bad.or(&self.image.bad)
    }

    /// The quadruplets at `rows`.
    pub fn quadruplets(&self, rows: &[usize]) -> Quadruplets {
        Quadruplets {
            safe_text: self.text.safe.select(rows),
            unsafe_text: self.text.not_safe.select(rows),
            safe_image: self.image.safe.select(rows),
            unsafe_image: self.image.not_safe.select(rows),
        }
    }
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

/// Every figure of embedded data, a value an item, without what `left_out` holds.
///
/// # Errors
/// If the prompts of a zero-shot label cancel out.
pub fn figures(embedded: &EmbeddedData, data: EvaluationData, left_out: &Bad) -> Result<Vec<Figure>, Error> {
    let kept: Vec<usize> = (0..data.set.rows.len()).filter(|row| !left_out.quadruplets.contains(row)).collect();
    let mut figures = figure::of_quadruplets(&embedded.quadruplets(&kept)).0;
    figures.extend(classified(embedded, data, left_out)?.iter().flat_map(|images| figure::of_images(images).0));
    Ok(figures)
}

/// How the zero-shot images were classified, if there is a set for it.
fn classified(embedded: &EmbeddedData, data: EvaluationData, left_out: &Bad) -> Result<Option<Vec<Classified>>, Error> {
    let (Some(zero), Some(images), Some(prompts)) =
        (data.zero_shot, &embedded.image.zero_shot, &embedded.text.zero_shot)
    else {
        return Ok(None);
    };
    let kept: Vec<usize> = (0..zero.images.len()).filter(|image| !left_out.images.contains(image)).collect();
    if kept.is_empty() {
        return Err(Error::Conflict {
            reason: format!("none of the {} zero-shot images has a finite embedding", zero.images.len()),
            help: "the model breaks down on all of them; check the export with its original framework",
        });
    }
    let labels: Vec<usize> = kept.iter().map(|&image| zero.images[image].label).collect();
    let found = classify(&images.select(&kept), &labels, prompts, zero.templates.len());
    found.map(Some).map_err(|source| Error::SafeGround { what: "zero-shot labels".to_owned(), source })
}

/// Computes every metric of embedded data, without what `left_out` holds.
///
/// # Errors
/// If nothing is left, or the prompts of a zero-shot label cancel out.
pub fn measure(embedded: &EmbeddedData, data: EvaluationData, left_out: &Bad) -> Result<Evaluation, Error> {
    let kept: Vec<usize> = (0..data.set.rows.len()).filter(|row| !left_out.quadruplets.contains(row)).collect();
    if kept.is_empty() {
        return Err(Error::Conflict {
            reason: format!("none of the {} evaluation quadruplets has finite embeddings", data.set.rows.len()),
            help: "the model breaks down on all of them; check the export with its original framework",
        });
    }
    let set = embedded.quadruplets(&kept);
    let mut styles = BTreeMap::<&str, Vec<usize>>::new();
    for (index, &row) in kept.iter().enumerate() {
        if let Some(style) = &data.set.rows[row].style {
            styles.entry(style).or_default().push(index);
        }
    }
    let outcomes = outcomes(&set);
    let by_style = styles.into_iter().map(|(style, rows)| {
        let preference = Preference::of(rows.iter().map(|&row| &outcomes[row]).collect::<Vec<_>>());
        (style.to_owned(), Group { quadruplets: rows.len(), preference })
    });
    let zero_shot = classified(embedded, data, left_out)?.map(|images| Accuracy::of(&images));
    Ok(Evaluation {
        safeground: Preference::of(&outcomes),
        by_style: by_style.collect(),
        outcomes,
        retrieval: retrieval(&set),
        zero_shot,
    })
}
