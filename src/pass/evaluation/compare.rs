//! Embeddings in, figures out: overall, for each concept and style, and for the worst concept.

use std::collections::BTreeMap;

use super::lines::lines;
use super::subject::{Embedded, MadeSide};
use crate::pass::Error;
use crate::pass::Observer;
use crate::pass::evaluate::Bad;
use crate::report::{Absent, Evaluated, FigureGroup, FigureLine, Unwell, Worst};
use crate::safeground::figure::{self, Figure, Over, Ties};
use crate::safeground::health::{Ailment, Part, collapsed, retrieval_at_chance, undefined, zero_shot_at_chance};
use crate::safeground::{Bootstrap, Classified, FEWEST, Quadruplets, classify};

/// The concept or style of rows that tell none.
const NONE: &str = "(none)";

/// What one model shows.
struct Shown {
    figures: Vec<Figure>,
    ties: Vec<Ties>,
    ailments: Vec<Ailment>,
}

/// What is measured: rows that all models have embeddings for.
struct Kept {
    rows: Vec<usize>,
    images: Vec<usize>,
}

/// Compares a model with a baseline, or just measures it. What the embeddings do not tell (data set, runtime, times) is left
/// out.
///
/// # Errors
/// If nothing is left to measure, or the prompts of a zero-shot label cancel out.
pub fn compare(
    model: &Embedded,
    baseline: Option<&Embedded>,
    bootstrap: Bootstrap,
    observer: &dyn Observer,
) -> Result<Evaluated, Error> {
    let all = || std::iter::once(model).chain(baseline);
    let bad =
        all().flat_map(|of| [of.side(0), of.side(1)]).flatten().fold(Bad::default(), |bad, side| bad.or(&side.bad));
    let images = model.tags.right.len();
    let kept = Kept {
        rows: (0..model.rows()).filter(|row| !bad.quadruplets.contains(row)).collect(),
        images: (0..images).filter(|image| !bad.images.contains(image)).collect(),
    };
    if kept.rows.is_empty() {
        let all_bad =
            |of: &&Embedded| of.sides.iter().flatten().any(|side| side.rows.bad.quadruplets.len() == of.rows());
        let who = match (all_bad(&model), baseline.as_ref().is_some_and(all_bad)) {
            (true, false) => " of the model",
            (false, true) => " of the baseline",
            _ => "",
        };
        return Err(Error::Conflict {
            reason: format!("none of the {} quadruplets has finite embeddings{who}", model.rows()),
            help: "it breaks down on all of them; check the export with its original framework",
        });
    }
    let before = baseline.map(|baseline| Shown::of(baseline, &kept)).transpose()?;
    observer.advance(1);
    let mut after = Shown::of(model, &kept)?;
    if let Some(baseline) = baseline {
        after.figures.extend(drift(baseline, model, &kept.rows));
    }
    observer.advance(1);

    let mut ailments = vec![];
    for (who, shown) in [("baseline", before.as_ref()), ("model", Some(&after))] {
        let found = shown.into_iter().flat_map(|shown| &shown.ailments);
        ailments.extend(found.map(|ailment| Unwell { who, ailment: *ailment }));
    }
    let previous = before.as_ref().map(|before| before.figures.as_slice());
    let group = |name: Option<&str>, rows: Option<&[usize]>| {
        let some = |figures: &[Figure]| -> Vec<Figure> {
            match rows {
                None => figures.to_vec(),
                Some(rows) => figures.iter().filter(|f| f.over == Over::Quadruplets).map(|f| f.select(rows)).collect(),
            }
        };
        FigureGroup {
            name: name.map(str::to_owned),
            quadruplets: rows.map_or(kept.rows.len(), <[usize]>::len),
            lines: lines(&some(&after.figures), previous.map(some).as_deref(), bootstrap),
        }
    };
    let parts = |tags: &[Option<String>]| -> Vec<FigureGroup> {
        let mut of = BTreeMap::<&str, Vec<usize>>::new();
        for (item, &row) in kept.rows.iter().enumerate() {
            // Rows that tell none stand together, where others do.
            let tag = tags.get(row).and_then(Option::as_deref);
            of.entry(tag.unwrap_or(NONE)).or_default().push(item);
        }
        if of.keys().all(|tag| *tag == NONE) {
            return vec![];
        }
        of.into_iter().map(|(tag, items)| group(Some(tag), Some(&items))).collect()
    };
    let (overall, concepts, styles) = (group(None, None), parts(&model.tags.concepts), parts(&model.tags.styles));
    Ok(Evaluated {
        model: model.files(),
        baseline: baseline.map(Embedded::files),
        data: None,
        data_sha256: None,
        quadruplets: kept.rows.len(),
        zero_shot_images: if overall.lines.iter().any(|line| line.figure == "zero_shot") {
            kept.images.len()
        } else {
            0
        },
        ailments,
        worst: worst(&overall, &concepts),
        overall,
        concepts,
        styles,
        absent: absent(model),
        ties: after.ties,
        baseline_ties: before.map_or(vec![], |before| before.ties),
        bootstrap,
        notes: bad.note().into_iter().collect(),
        runtime: None,
        timing_s: vec![],
    })
}

impl Shown {
    fn of(embedded: &Embedded, kept: &Kept) -> Result<Self, Error> {
        let rows = &kept.rows;
        let sides = [embedded.side(0), embedded.side(1)]
            .map(|side| side.map(|side| [side.safe.select(rows), side.not_safe.select(rows)]));
        let mut shown = Self { figures: vec![], ties: vec![], ailments: vec![] };
        for (side, parts) in embedded.sides.iter().zip(PARTS) {
            shown.ailments.extend(side.iter().flat_map(|side| ailments(side, parts, kept)));
        }
        if let [Some([t_s, t_u]), Some([v_s, v_u])] = &sides {
            let set = Quadruplets {
                safe_text: t_s.clone(),
                unsafe_text: t_u.clone(),
                safe_image: v_s.clone(),
                unsafe_image: v_u.clone(),
            };
            let (figures, ties, ranked) = figure::of_quadruplets(&set);
            shown.add(figures, ties);
            shown.ailments.extend(retrieval_at_chance(&ranked));
            if let Some((classified, labels)) = classified(embedded, kept)? {
                let (figures, ties) = figure::of_images(&classified);
                shown.add(figures, ties);
                shown.ailments.extend(zero_shot_at_chance(&classified, labels));
            }
        }
        let alone = sides.iter().flatten().count() == 1;
        for (text, side) in [true, false].into_iter().zip(&sides) {
            if let Some([safe, not_safe]) = side {
                let (figures, ties) = figure::of_pairs(text, [safe, not_safe], alone);
                shown.add(figures, ties);
            }
        }
        Ok(shown)
    }

    fn add(&mut self, figures: Vec<Figure>, ties: Vec<Ties>) {
        self.figures.extend(figures);
        self.ties.extend(ties);
    }
}

/// Of what the embeddings of either tower are: safe, unsafe, zero-shot.
const PARTS: [[Part; 3]; 2] =
    [[Part::SafeTexts, Part::UnsafeTexts, Part::Prompts], [Part::SafeImages, Part::UnsafeImages, Part::ZeroShotImages]];

/// What is wrong with the embeddings of one tower.
fn ailments(side: &MadeSide, [safe, not_safe, zero_shot]: [Part; 3], kept: &Kept) -> Vec<Ailment> {
    let rows = &side.rows;
    let mut found = side.ailments.clone();
    found.extend(undefined(safe, rows.bad.quadruplets.len(), rows.safe.rows().nrows()));
    found.extend(collapsed(safe, &rows.safe.select(&kept.rows)));
    found.extend(collapsed(not_safe, &rows.not_safe.select(&kept.rows)));
    found.extend(rows.zero_shot.as_ref().and_then(|rows| match zero_shot {
        Part::ZeroShotImages => collapsed(zero_shot, &rows.select(&kept.images)),
        _ => collapsed(zero_shot, rows),
    }));
    found
}

/// How the zero-shot images were classified, and among how many labels.
fn classified(embedded: &Embedded, kept: &Kept) -> Result<Option<(Vec<Classified>, usize)>, Error> {
    let zero_shot = |which| embedded.side(which).and_then(|side| side.zero_shot.as_ref());
    let (Some(prompts), Some(images)) = (zero_shot(0), zero_shot(1)) else { return Ok(None) };
    let tags = &embedded.tags;
    if tags.templates == 0 || kept.images.is_empty() {
        return Ok(None);
    }
    let right: Vec<usize> = kept.images.iter().map(|&image| tags.right[image]).collect();
    let labels = prompts.rows().nrows() / tags.templates;
    let found = classify(&images.select(&kept.images), &right, prompts, tags.templates);
    let failed = |source| Error::SafeGround { what: "zero-shot labels".to_owned(), source };
    found.map(|found| Some((found, labels))).map_err(failed)
}

/// How far the safe inputs moved in each tower that is not the same.
fn drift(before: &Embedded, after: &Embedded, rows: &[usize]) -> Vec<Figure> {
    let mut figures = vec![];
    for (text, which) in [(true, 0), (false, 1)] {
        let (Some(before), Some(after)) = (before.side(which), after.side(which)) else { continue };
        let alike = before.safe.rows().ncols() == after.safe.rows().ncols();
        if alike && !std::sync::Arc::ptr_eq(before, after) {
            figures.extend(figure::of_drift(text, &before.safe.select(rows), &after.safe.select(rows)));
        }
    }
    figures
}

/// Of each figure that has a good end, the concept that is farthest from it, among those with items enough to tell.
fn worst(overall: &FigureGroup, concepts: &[FigureGroup]) -> Vec<Worst> {
    let mut enough: Vec<&FigureGroup> = concepts.iter().filter(|concept| concept.quadruplets >= FEWEST).collect();
    if enough.is_empty() {
        enough = concepts.iter().collect();
    }
    let of = |figure: &'static str| {
        let badness =
            |line: &FigureLine| if figure.contains("unsafe@1") { -line.value.value } else { line.value.value };
        let lines = enough
            .iter()
            .filter_map(|concept| Some((*concept, concept.lines.iter().find(|line| line.figure == figure)?)));
        let lines: Vec<_> = lines.collect();
        let (concept, line) = lines.iter().min_by(|(_, a), (_, b)| badness(a).total_cmp(&badness(b)))?;
        let as_bad = lines.iter().filter(|(_, other)| badness(other) == badness(line)).count() - 1;
        Some(Worst { concept: concept.name.clone().unwrap_or_default(), as_bad, line: (*line).clone() })
    };
    // How near partners are is neither good nor bad.
    overall.lines.iter().filter(|line| !line.figure.ends_with("cosine")).filter_map(|line| of(line.figure)).collect()
}

/// Figures that could not be had, and why.
fn absent(model: &Embedded) -> Vec<Absent> {
    let (both, zero_shot) = figure::names_of_both();
    let reasons: Vec<&str> = model.absent.iter().flatten().map(String::as_str).collect();
    if !reasons.is_empty() {
        let figures = both.into_iter().chain(zero_shot).collect();
        return vec![Absent { figures, reason: reasons.join("; ") }];
    }
    let zero_shot_there = (0..2).all(|which| model.side(which).is_some_and(|side| side.zero_shot.is_some()));
    match zero_shot_there {
        true => vec![],
        false => vec![Absent { figures: zero_shot.to_vec(), reason: "no zero-shot set was given".to_owned() }],
    }
}
