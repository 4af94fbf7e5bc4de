//! The data sets a rewrite needs: which, read, checked, handed to calibration and evaluation.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::Error;
use super::batches::Runner;
use super::calibrate::{Calibrated, Calibration, calibrate};
use super::checkpoint::{Checkpoint, Checkpoints};
use super::evaluate::{EmbeddedData, EvaluationData, embed, measure};
use super::site::Site;
use crate::config::{Config, Recipe};
use crate::dataset::{Images, Manifest, Preprocessor, Quadruplet, Samples, Texts, Tokenizer, ZeroShot};
use crate::onnx::{self, Linear, Modality, Source, sha256_of};
use crate::report::BeforeAfter;
use crate::safeground::Evaluation;

/// The data sets, read and checked.
pub struct Data {
    config: Config,
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
            notes.push("not evaluated: SafeGround compares texts with images, and there is only one tower".to_owned());
        } else if let Some((_, site)) = sites.iter().find(|(_, site)| !site.tower.pooled) {
            notes.push(format!(
                "not evaluated: the {} tower ends in '{}', which is a row a token and no embedding",
                site.modality(),
                site.tower.embedding
            ));
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
        Ok(Self { config: config.clone(), tokenizer, preprocessor, calibration, evaluation, zero_shot, notes })
    }

    /// Scores layers of a tower on the calibration pairs; progress is kept in `checkpoints`.
    ///
    /// # Errors
    /// Those of [`calibrate`].
    pub fn calibrate(
        &self,
        runner: Runner,
        site: &Site,
        layers: &[Linear],
        recipe: &Recipe,
        checkpoints: Option<&Checkpoints>,
    ) -> Result<Calibrated, Error> {
        let keep = match checkpoints {
            None => None,
            Some(checkpoints) => {
                let path = checkpoints.of(site.modality());
                let job = self.job(runner, site, layers, recipe)?;
                Some(move |size: usize| {
                    Checkpoint::new(path.clone(), sha256_of(json!([job, size]).to_string().as_bytes()))
                })
            }
        };
        let keep = keep.as_ref().map(|keep| keep as &dyn Fn(usize) -> Checkpoint);
        let rows = &self.calibration.rows;
        let run = |safe: &dyn Samples, not_safe: &dyn Samples| {
            calibrate(runner, Calibration { site, layers, safe, not_safe, recipe }, keep)
        };
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

    /// All that a tower's sums depend on, but the batch size.
    fn job(&self, runner: Runner, site: &Site, layers: &[Linear], recipe: &Recipe) -> Result<Value, Error> {
        let place = runner.runtime.place();
        let text = site.modality() == Modality::Text;
        let samples = self.calibration.rows.iter().map(|row| match text {
            true => Ok(json!([row.safe_text, row.unsafe_text])),
            false => Ok(json!([stamp(&row.safe_image)?, stamp(&row.unsafe_image)?])),
        });
        let preparing = if text { &self.config.tokenizer } else { &self.config.preprocessor };
        let beside = ["config.json", "tokenizer_config.json"].into_iter().filter(|_| text);
        let beside = beside.filter_map(|name| preparing.as_ref().map(|path| path.with_file_name(name)));
        let preparing: Vec<PathBuf> = preparing.iter().cloned().chain(beside).filter(|path| path.is_file()).collect();
        let files: Vec<&str> = site.graph.model.sources().iter().map(Source::sha256).collect();
        Ok(json!({
            "tool": env!("CARGO_PKG_VERSION"),
            "model": files,
            "layers": layers.iter().map(|layer| (&layer.node, layer.uses.iter().map(|used| json!([used.input, used.across, used.codes])).collect::<Vec<_>>(), layer.weight.shape)).collect::<Vec<_>>(),
            "tower": format!("{:?}", site.tower),
            "epsilon": recipe.epsilon,
            "samples": samples.collect::<Result<Vec<_>, Error>>()?,
            "prepared_by": preparing.iter().map(|path| sha256(path)).collect::<Result<Vec<_>, _>>()?,
            "length": self.config.text.length.filter(|_| text),
            "runtime": [place.backend, &place.version, &place.provider, &place.device],
            "skip_bad_samples": runner.limits.skip_bad_samples,
        }))
    }

    /// Embeds the evaluation set with the towers; `None` where that cannot be done, which `notes` explain.
    ///
    /// # Errors
    /// Those of [`embed`].
    pub fn embed(&self, runner: Runner, sites: &[(usize, Site)], when: &str) -> Result<Option<EmbeddedData>, Error> {
        let site = |modality| sites.iter().map(|(_, site)| site).find(|site| site.modality() == modality);
        match (site(Modality::Text), site(Modality::Vision), self.evaluation_data()) {
            (Some(text), Some(vision), Some(data)) => embed(runner, text, vision, data, when).map(Some),
            _ => Ok(None),
        }
    }

    /// Measures both models on what both have embeddings for, which is noted if it is not all; and on how many
    /// quadruplets that was.
    ///
    /// # Errors
    /// Those of [`measure`].
    pub fn compare(
        &mut self,
        before: &EmbeddedData,
        after: &EmbeddedData,
    ) -> Result<Option<(BeforeAfter<Evaluation>, usize)>, Error> {
        let left_out = before.bad.or(&after.bad);
        let Some(data) = self.evaluation_data() else { return Ok(None) };
        let measured =
            BeforeAfter { before: measure(before, data, &left_out)?, after: measure(after, data, &left_out)? };
        let kept = data.quadruplets.len() - left_out.quadruplets.len();
        self.notes.extend(left_out.note());
        Ok(Some((measured, kept)))
    }

    fn evaluation_data(&self) -> Option<EvaluationData<'_>> {
        Some(EvaluationData {
            quadruplets: &self.evaluation.as_ref()?.rows,
            zero_shot: self.zero_shot.as_ref(),
            tokenizer: self.tokenizer.as_ref()?,
            preprocessor: self.preprocessor.as_ref()?,
        })
    }
}

/// SHA-256 of a file, in hexadecimal.
fn sha256(path: &Path) -> Result<String, Error> {
    let read = |source| onnx::Error::Io { action: "read", path: path.to_owned(), source };
    Ok(Source::open(path).map_err(read)?.sha256().to_owned())
}

/// An image as it is now: its name, its size, and when it was changed. Reading all of a large set again would take longer
/// than what is to be saved.
fn stamp(path: &Path) -> Result<Value, Error> {
    let read = |source| onnx::Error::Io { action: "read", path: path.to_owned(), source };
    let metadata = path.metadata().map_err(read)?;
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(json!([path.display().to_string(), metadata.len(), changed.map(|time| time.as_nanos().to_string())]))
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
