//! Measuring a pair of towers on an evaluation set.

use std::collections::BTreeMap;

use super::Error;
use super::batches::Runner;
use super::embed::Embedder;
use super::site::Site;
use crate::dataset::{Images, Preprocessor, Quadruplet, Texts, Tokenizer, ZeroShot};
use crate::safeground::{Evaluation, Group, Quadruplets, classify, preference, retrieval};

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

/// Embeds the data with both towers and computes every metric. `when` is shown as progress.
///
/// # Errors
/// If data or runtime fail, or embeddings are not comparable.
pub fn evaluate(
    runner: Runner,
    text: &Site,
    vision: &Site,
    data: EvaluationData,
    when: &str,
) -> Result<Evaluation, Error> {
    let rows = data.quadruplets;
    let texts = |pick: fn(&Quadruplet) -> &String| Texts::new(data.tokenizer, rows.iter().map(pick).cloned().collect());
    let images = |pick: fn(&Quadruplet) -> &std::path::PathBuf| {
        Images::new(data.preprocessor, rows.iter().map(pick).cloned().collect())
    };
    let stage = |what: &str| format!("{when}: {what}");

    let safe_text = texts(|q| &q.safe_text);
    let embedder = Embedder::new(runner, text, &safe_text)?;
    let safe_text = embedder.embed(&stage("safe texts"), &safe_text)?;
    let unsafe_text = embedder.embed(&stage("unsafe texts"), &texts(|q| &q.unsafe_text))?;
    let prompts = match data.zero_shot {
        Some(set) => Some(embedder.embed(&stage("zero-shot prompts"), &Texts::new(data.tokenizer, set.prompts()))?),
        None => None,
    };

    let safe_image = images(|q| &q.safe_image);
    let embedder = Embedder::new(runner, vision, &safe_image)?;
    let safe_image = embedder.embed(&stage("safe images"), &safe_image)?;
    let unsafe_image = embedder.embed(&stage("unsafe images"), &images(|q| &q.unsafe_image))?;

    let of = |what: &str| {
        let what = stage(what);
        move |source| Error::SafeGround { what, source }
    };
    let set = Quadruplets { safe_text, unsafe_text, safe_image, unsafe_image };
    set.check().map_err(of("embeddings"))?;
    let zero_shot = match (data.zero_shot, prompts) {
        (Some(zero), Some(prompts)) => {
            let (paths, labels): (Vec<_>, Vec<_>) = zero.images.iter().cloned().unzip();
            let images = embedder.embed(&stage("zero-shot images"), &Images::new(data.preprocessor, paths))?;
            Some(classify(&images, &labels, &prompts, zero.templates.len()).map_err(of("zero-shot labels"))?)
        }
        _ => None,
    };
    let mut styles = BTreeMap::<&str, Vec<usize>>::new();
    for (index, row) in rows.iter().enumerate() {
        if let Some(style) = &row.style {
            styles.entry(style).or_default().push(index);
        }
    }
    let by_style = styles.into_iter().map(|(style, rows)| {
        (style.to_owned(), Group { quadruplets: rows.len(), preference: preference(&set, &rows) })
    });
    let all: Vec<usize> = (0..rows.len()).collect();
    Ok(Evaluation {
        safeground: preference(&set, &all),
        by_style: by_style.collect(),
        retrieval: retrieval(&set),
        zero_shot,
    })
}
