//! The data sets a rewrite needs: which, read, checked, handed to calibration and evaluation.

use std::path::PathBuf;

use super::Error;
use super::batches::Runner;
use super::calibrate::calibrate;
use super::evaluate::{EvaluationData, evaluate};
use super::site::Site;
use crate::config::{Config, Recipe};
use crate::dataset::{Images, Manifest, Preprocessor, Quadruplet, Samples, Texts, Tokenizer, ZeroShot};
use crate::onnx::{Linear, Modality};
use crate::safeground::Evaluation;
use crate::uwm::Scores;

/// The data sets, read and checked.
pub struct Data {
    tokenizer: Option<Tokenizer>,
    preprocessor: Option<Preprocessor>,
    zero_shot: Option<ZeroShot>,
    /// Pairs to score with.
    pub calibration: Manifest,
    /// Quadruplets to measure on.
    pub evaluation: Option<Manifest>,
    /// What is not measured, and why.
    pub notes: Vec<String>,
}

impl Data {
    /// Reads what the towers need and the configuration names.
    ///
    /// # Errors
    /// If something is missing, broken, or in both splits.
    pub fn load(config: &Config, sites: &[(usize, Site)]) -> Result<Self, Error> {
        let has = |modality| sites.iter().find(|(_, site)| site.modality() == modality).map(|(_, site)| site);
        let missing =
            |site: &Site, what, help| Error::Missing { what, model: site.graph.model.path().to_owned(), help };
        let tokenizer = match has(Modality::Text) {
            None => None,
            Some(site) => {
                let path = config.tokenizer.as_deref();
                let help = "give it with --tokenizer, or put the model's tokenizer.json beside it";
                let length = site.tower.input.dims.get(1).copied().flatten().or(config.text.length);
                Some(Tokenizer::open(path.ok_or_else(|| missing(site, "tokenizer.json", help))?, length)?)
            }
        };
        let preprocessor = match has(Modality::Vision) {
            None => None,
            Some(site) => {
                let path = config.preprocessor.as_deref();
                let help = "give it with --preprocessor, or put the model's preprocessor_config.json beside it";
                Some(Preprocessor::read(path.ok_or_else(|| missing(site, "preprocessor_config.json", help))?)?)
            }
        };
        let calibration = config.calibration.as_ref().ok_or_else(|| {
            missing(&sites[0].1, "calibration data", "give a manifest with --calibration, or name it in uwm.yaml")
        })?;
        let calibration = Manifest::read(&calibration.manifest, calibration.split.as_deref().unwrap_or("calibration"))?;
        let mut notes = vec![];
        let (mut evaluation, mut zero_shot) = (None, None);
        if tokenizer.is_none() || preprocessor.is_none() {
            notes.push("not evaluated: SafeGround compares texts with images, and only one tower was given".to_owned());
        } else if let Some(data) = &config.evaluation {
            let read = Manifest::read(&data.manifest, data.split.as_deref().unwrap_or("evaluation"))?;
            check_disjoint(&calibration, &read)?;
            evaluation = Some(read);
            zero_shot = config.zero_shot.as_deref().map(ZeroShot::read).transpose()?;
            if zero_shot.is_none() {
                notes.push("no zero-shot accuracy: no zero-shot set was given".to_owned());
            }
        } else {
            notes.push(
                "not evaluated: no evaluation data was given (--evaluation, or evaluation in uwm.yaml)".to_owned(),
            );
        }
        Ok(Self { tokenizer, preprocessor, calibration, evaluation, zero_shot, notes })
    }

    /// Scores layers of a tower on the calibration pairs.
    ///
    /// # Errors
    /// Those of [`calibrate`].
    pub fn calibrate(
        &self,
        runner: Runner,
        site: &Site,
        layers: &[Linear],
        recipe: &Recipe,
    ) -> Result<Vec<Scores>, Error> {
        let rows = &self.calibration.rows;
        let run = |safe: &dyn Samples, not_safe: &dyn Samples| calibrate(runner, site, layers, safe, not_safe, recipe);
        match (site.modality(), &self.tokenizer, &self.preprocessor) {
            (Modality::Text, Some(tokenizer), _) => {
                let texts =
                    |pick: fn(&Quadruplet) -> &String| Texts::new(tokenizer, rows.iter().map(pick).cloned().collect());
                run(&texts(|q| &q.safe_text), &texts(|q| &q.unsafe_text))
            }
            (Modality::Vision, _, Some(preprocessor)) => {
                let images = |pick: fn(&Quadruplet) -> &PathBuf| {
                    Images::new(preprocessor, rows.iter().map(pick).cloned().collect())
                };
                run(&images(|q| &q.safe_image), &images(|q| &q.unsafe_image))
            }
            _ => unreachable!("load() read what each tower needs"),
        }
    }

    /// Measures the towers on the evaluation set; `None` where that cannot be done, which `notes` explain.
    ///
    /// # Errors
    /// Those of [`evaluate`].
    pub fn evaluate(&self, runner: Runner, sites: &[(usize, Site)], when: &str) -> Result<Option<Evaluation>, Error> {
        let site = |modality| sites.iter().map(|(_, site)| site).find(|site| site.modality() == modality);
        let (Some(text), Some(vision)) = (site(Modality::Text), site(Modality::Vision)) else { return Ok(None) };
        let (Some(set), Some(tokenizer), Some(preprocessor)) = (&self.evaluation, &self.tokenizer, &self.preprocessor)
        else {
            return Ok(None);
        };
        let data =
            EvaluationData { quadruplets: &set.rows, zero_shot: self.zero_shot.as_ref(), tokenizer, preprocessor };
        evaluate(runner, text, vision, data, when).map(Some)
    }
}

/// Calibration must not meet evaluation.
fn check_disjoint(calibration: &Manifest, evaluation: &Manifest) -> Result<(), Error> {
    let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    let key = |q: &Quadruplet| (real(&q.safe_image), real(&q.unsafe_image), q.safe_text.clone());
    let seen: std::collections::HashSet<_> = calibration.rows.iter().map(key).collect();
    let shared = evaluation.rows.iter().filter(|q| seen.contains(&key(q))).count();
    if shared == 0 {
        return Ok(());
    }
    Err(Error::Conflict {
        reason: format!(
            "{shared} of {} evaluation quadruplets in {} are calibration data too",
            evaluation.rows.len(),
            evaluation.path.display()
        ),
        help: "an edit measured on what it was made from looks better than it is; give each row a split of its own",
    })
}
