//! The splits that models are measured on: what to choose by, and what to report.

use std::collections::HashSet;

use super::site::Site;
use super::{Error, notes};
use crate::config::{Config, DataRef};
use crate::dataset::{DataSet, Folders, Picture, Quadruplet, ZeroShot};
use crate::onnx::Modality;

/// Quadruplets to measure on, and the zero-shot images that go with them.
pub struct Split {
    /// Its name, for people.
    pub name: &'static str,
    /// The quadruplets.
    pub quadruplets: DataSet,
    /// The zero-shot set, if there is one.
    pub zero_shot: Option<ZeroShot>,
}

/// Reads the split of a set that is named, or the one it is usually for.
///
/// # Errors
/// Those of [`DataSet::read_with`].
pub fn read(config: &Config, data: &DataRef, usual: &str) -> Result<DataSet, Error> {
    let folders = Folders { coco: config.coco_images.clone(), generated: config.generated_images.clone() };
    Ok(DataSet::read_with(&data.manifest, data.split.as_deref().unwrap_or(usual), &folders)?)
}

/// What the result is measured on; `None` where that cannot be done, which `notes` explain.
///
/// # Errors
/// If data are missing, broken or calibration data too.
pub fn evaluation(
    config: &Config,
    sites: &[(usize, Site)],
    calibration: &DataSet,
    notes: &mut Vec<String>,
) -> Result<Option<Split>, Error> {
    if let Some(reason) = unfit(sites) {
        notes.push(format!("not evaluated: {reason}"));
        return Ok(None);
    }
    let Some(data) = &config.evaluation else {
        notes.push("not evaluated: no evaluation data was given (--evaluation, or evaluation in uwm.yaml)".to_owned());
        return Ok(None);
    };
    let name = data.split.as_deref().unwrap_or(EVALUATION);
    let quadruplets = read(config, data, EVALUATION)?;
    check_disjoint(calibration, "calibration", &quadruplets, EVALUATION)?;
    let zero_shot = config.zero_shot.as_deref().map(|path| ZeroShot::read(path)?.of(name)).transpose()?;
    notes::add(notes, quadruplets.notes.iter().chain(zero_shot.iter().flat_map(|set| &set.notes)).cloned());
    if zero_shot.is_none() {
        notes.push(NO_ZERO_SHOT.to_owned());
    }
    Ok(Some(Split { name: EVALUATION, quadruplets, zero_shot }))
}

/// What to choose by and what to report, which share nothing: zero-shot images that name no split are dealt out, of
/// each label every second one to choose by.
///
/// # Errors
/// If one of them cannot be had, or they or the calibration data overlap.
pub fn validation_and_evaluation(
    config: &Config,
    sites: &[(usize, Site)],
    calibration: &DataSet,
    notes: &mut Vec<String>,
) -> Result<[Split; 2], Error> {
    if let Some(reason) = unfit(sites) {
        let help = "a sweep measures what it tries: give both towers, with their embeddings";
        return Err(Error::Conflict { reason: format!("nothing can be measured: {reason}"), help });
    }
    let missing = |what, help| Error::Missing { what, model: sites[0].1.graph.model.path().to_owned(), help };
    let evaluation = config.evaluation.as_ref().ok_or_else(|| {
        missing("evaluation data", "give a manifest with --evaluation, or name it in uwm.yaml; a sweep reports on it")
    })?;
    let validation = config.validation.clone().unwrap_or_else(|| DataRef { split: None, ..evaluation.clone() });
    let names = [&validation, evaluation].map(|data| data.split.clone());
    let [validation_name, evaluation_name] =
        [names[0].as_deref().unwrap_or(VALIDATION), names[1].as_deref().unwrap_or(EVALUATION)];
    let chosen_by = read(config, &validation, VALIDATION)?;
    let reported = read(config, evaluation, EVALUATION)?;
    check_disjoint(calibration, "calibration", &chosen_by, VALIDATION)?;
    check_disjoint(calibration, "calibration", &reported, EVALUATION)?;
    check_disjoint(&chosen_by, VALIDATION, &reported, EVALUATION)?;
    notes::add(notes, [&chosen_by, &reported].into_iter().flat_map(|set| set.notes.iter().cloned()));
    let zero_shot = match &config.zero_shot {
        None => {
            notes.push(NO_ZERO_SHOT.to_owned());
            [None, None]
        }
        Some(path) => {
            let [on, by] = ZeroShot::read(path)?.divided([evaluation_name, validation_name])?;
            notes::add(notes, on.notes.iter().cloned());
            [Some(by), Some(on)]
        }
    };
    let [by, on] = zero_shot;
    Ok([
        Split { name: VALIDATION, quadruplets: chosen_by, zero_shot: by },
        Split { name: EVALUATION, quadruplets: reported, zero_shot: on },
    ])
}

pub const EVALUATION: &str = "evaluation";
const VALIDATION: &str = "validation";
const NO_ZERO_SHOT: &str = "no zero-shot accuracy: no zero-shot set was given";

/// Why nothing can be measured with these towers.
fn unfit(sites: &[(usize, Site)]) -> Option<String> {
    let has = |modality| sites.iter().any(|(_, site)| site.modality() == modality);
    if !has(Modality::Text) || !has(Modality::Vision) {
        return Some("SafeGround compares texts with images, and there is only one tower".to_owned());
    }
    let (_, site) = sites.iter().find(|(_, site)| !site.tower.pooled)?;
    let (tower, end) = (site.modality(), &site.tower.embedding);
    Some(format!("the {tower} tower ends in '{end}', which is a row a token and no embedding"))
}

/// What is chosen or made with some data must not be measured on the same.
fn check_disjoint(first: &DataSet, of: &str, second: &DataSet, and: &str) -> Result<(), Error> {
    let key = |set: &DataSet, row: &Quadruplet| {
        let stored = set.tensors.as_ref().map(|_| (set.path.clone(), row.id.clone()));
        let images = row.images.as_ref().map(|images| images.both().map(Picture::real));
        // Where there are images, a caption that was put otherwise makes no other quadruplet of the safe one.
        let texts =
            row.texts.as_ref().map(|texts| (texts.safe.clone(), images.is_none().then(|| texts.not_safe.clone())));
        (stored, images, texts)
    };
    let seen: HashSet<_> = first.rows.iter().map(|row| key(first, row)).collect();
    let shared = second.rows.iter().filter(|row| seen.contains(&key(second, row))).count();
    if shared == 0 {
        return Ok(());
    }
    let (all, path) = (second.rows.len(), second.path.display());
    Err(Error::Conflict {
        reason: format!("{shared} of {all} {and} quadruplets in {path} are {of} data too"),
        help: "an edit measured on what it was made from looks better than it is; give each row a split of its own",
    })
}
