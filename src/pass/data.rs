//! The data sets a rewrite needs: which, read, checked, handed to calibration and evaluation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use rayon::prelude::*;
use serde_json::{Value, json};

use super::Error;
use super::batches::Runner;
use super::calibrate::{Averaged, Calibration, Pairs, Wanted, average};
use super::checkpoint::{Checkpoint, Checkpoints};
use super::evaluate::EvaluationData;
use super::site::Site;
use super::splits::{self, Split};
use super::stored::samples;
use crate::config::{Concepts, Config, Recipe};
use crate::dataset::{DataSet, Picture, Preparation, Preprocessor, Quadruplet, Side, Tokenizer};
use crate::onnx::{self, Modality, Source, sha256_of};

/// The data sets, read and checked.
pub struct Data {
    config: Config,
    prepared: Preparation,
    /// Pairs to score with.
    pub calibration: DataSet,
    /// Hashes of the calibration pairs as the towers see them, text first.
    identities: [OnceLock<String>; 2],
}

impl Data {
    /// Reads what the towers need and the configuration names.
    ///
    /// # Errors
    /// If something is missing or broken.
    pub fn load(config: &Config, sites: &[(usize, Site)]) -> Result<Self, Error> {
        let calibration = config.calibration.as_ref().ok_or_else(|| Error::Missing {
            what: "calibration data",
            model: sites[0].1.graph.model.path().to_owned(),
            help: "give a manifest with --calibration, or name it in uwm.yaml",
        })?;
        let calibration = splits::read(config, calibration, "calibration")?;
        let prepared = preparation(config, sites.iter().map(|(_, site)| site), calibration.tensors.is_some())?;
        let identities = [OnceLock::new(), OnceLock::new()];
        Ok(Self { config: config.clone(), prepared, calibration, identities })
    }

    /// The calibration pairs in one pool, or apart by concept.
    pub fn groups(&self, concepts: Concepts) -> Vec<Group> {
        let all = (0..self.calibration.rows.len()).collect();
        if concepts == Concepts::All {
            return vec![Group { concept: None, rows: all }];
        }
        let (names, numbers) = self.concepts();
        let of = |number: usize| all.iter().copied().filter(|&row| numbers[row] == number).collect();
        names.into_iter().enumerate().map(|(number, name)| Group { concept: Some(name), rows: of(number) }).collect()
    }

    /// Names of the calibration pairs' concepts, and the number of each pair's. Pairs that tell none are one too.
    pub fn concepts(&self) -> (Vec<String>, Vec<usize>) {
        let of = |row: &Quadruplet| row.concept.clone().unwrap_or_else(|| NO_CONCEPT.to_owned());
        let names: BTreeSet<String> = self.calibration.rows.iter().map(of).collect();
        let names: Vec<String> = names.into_iter().collect();
        let number = |row| names.binary_search(&of(row)).expect("all names are in the list");
        let numbers = self.calibration.rows.iter().map(number).collect();
        (names, numbers)
    }

    /// Checks that there are concepts where a recipe asks for them.
    ///
    /// # Errors
    /// [`Error::Conflict`] if no calibration pair tells its concept.
    pub fn check_concepts(&self, recipe: &Recipe) -> Result<(), Error> {
        let asked = recipe.concepts != Concepts::All || recipe.scoring.needs_concepts();
        if !asked || self.calibration.rows.iter().any(|row| row.concept.is_some()) {
            return Ok(());
        }
        Err(Error::Conflict {
            reason: format!("{} names no concepts, and the recipe goes by them", self.calibration.path.display()),
            help: "add `concept` to the rows of the manifest, or choose `concepts: all` and a score without concepts",
        })
    }

    /// Does something with some of the calibration pairs, as a tower takes them.
    ///
    /// # Errors
    /// If there are none of its kind.
    pub fn with_pairs<T>(&self, site: &Site, rows: &[usize], work: impl FnOnce(Pairs) -> T) -> Result<T, Error> {
        let numbers = self.concepts().1;
        let concepts: Vec<usize> = rows.iter().map(|&row| numbers[row]).collect();
        let of = |side| samples(site, &self.calibration, side, rows, &self.prepared);
        let (safe, not_safe) = (of(Side::Safe)?, of(Side::Unsafe)?);
        Ok(work(Pairs { safe: &*safe, not_safe: &*not_safe, concepts: &concepts }))
    }

    /// Runs a group of the calibration pairs through a tower; progress is kept in `checkpoints`, under a name of the
    /// group's own.
    ///
    /// # Errors
    /// Those of [`average`].
    pub fn average(
        &self,
        runner: Runner,
        wanted: Wanted,
        group: &Group,
        checkpoints: Option<&Checkpoints>,
    ) -> Result<Averaged, Error> {
        let Wanted { site, layers, scorings, epsilon } = wanted;
        let keep = match checkpoints {
            None => None,
            Some(checkpoints) => {
                let path = checkpoints.of(site.modality(), group.concept.as_ref().map(|_| group.rows[0]));
                let job = self.job(runner, wanted, &group.rows)?;
                Some(move |size: usize| {
                    Checkpoint::new(path.clone(), sha256_of(json!([job, size]).to_string().as_bytes()))
                })
            }
        };
        let keep = keep.as_ref().map(|keep| keep as &dyn Fn(usize) -> Checkpoint);
        self.with_pairs(site, &group.rows, |pairs| {
            average(runner, Calibration { site, layers, pairs, scorings, epsilon }, keep)
        })?
    }

    /// All that a tower's sums depend on, but the batch size.
    fn job(&self, runner: Runner, wanted: Wanted, rows: &[usize]) -> Result<Value, Error> {
        let Wanted { site, layers, scorings, epsilon } = wanted;
        let place = runner.runtime.place();
        let rows = rows.iter().map(|&row| &self.calibration.rows[row]);
        let samples = rows.map(|row| seen(row, site.modality(), &self.calibration, stamp));
        let files: Vec<&str> = site.graph.model.sources().iter().map(Source::sha256).collect();
        Ok(json!({
            "tool": env!("CARGO_PKG_VERSION"),
            "model": files,
            "layers": layers.iter().map(|layer| (&layer.node, layer.uses.iter().map(|used| json!([used.input, used.across, used.codes])).collect::<Vec<_>>(), layer.weight.shape)).collect::<Vec<_>>(),
            "tower": format!("{:?}", site.tower),
            "scorings": scorings,
            "epsilon": epsilon,
            "samples": samples.collect::<Result<Vec<_>, Error>>()?,
            "prepared": self.prepared(site.modality())?,
            "runtime": [place.backend, &place.version, &place.provider, &place.device],
            "skip_bad_samples": runner.limits.skip_bad_samples,
        }))
    }

    /// A hash of the files that the calibration pairs were read from; of several, of their hashes.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn calibration_sha256(&self) -> Result<String, Error> {
        let hashes = self.calibration.sources.iter().map(|path| sha256(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(match hashes.as_slice() {
            [one] => one.clone(),
            several => sha256_of(several.concat().as_bytes()),
        })
    }

    /// A hash of the calibration pairs as a tower sees them, by content, and of what they are prepared with.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn identity(&self, site: &Site) -> Result<&str, Error> {
        let known = &self.identities[usize::from(site.modality() == Modality::Vision)];
        if known.get().is_none() {
            // All images are read for it: once.
            let _ = known.set(self.make_identity(site)?);
        }
        Ok(known.get().map_or("", String::as_str))
    }

    fn make_identity(&self, site: &Site) -> Result<String, Error> {
        let modality = site.modality();
        let rows = &self.calibration.rows;
        let hash = |picture: &Picture| Ok(json!(picture_sha256(picture)?));
        let pairs = rows.par_iter().map(|row| seen(row, modality, &self.calibration, hash));
        let pairs = pairs.collect::<Result<Vec<_>, Error>>()?;
        // Of tensors the rows tell nothing.
        let pairs = match self.calibration.tensors {
            Some(_) => json!([pairs, sha256(&self.calibration.path)?]),
            None => json!(pairs),
        };
        Ok(sha256_of(json!([pairs, self.prepared(modality)?, format!("{:?}", site.tower)]).to_string().as_bytes()))
    }

    /// What samples of a modality are prepared with: files by their hash, and the length of texts.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn prepared(&self, modality: Modality) -> Result<Value, Error> {
        prepared_with(&self.config, modality)
    }

    /// What a tower of a modality sees of a split: texts, and images as they are now.
    ///
    /// # Errors
    /// If a file is not there.
    pub fn content(&self, modality: Modality, on: EvaluationData) -> Result<Value, Error> {
        let rows = on.set.rows.iter().map(|row| seen(row, modality, on.set, stamp));
        let rows = rows.collect::<Result<Vec<_>, Error>>()?;
        let zero_shot = match (on.zero_shot, modality) {
            (None, _) => Value::Null,
            (Some(set), Modality::Text) => json!(set.prompts()),
            (Some(set), Modality::Vision) => {
                json!(set.images.iter().map(|labelled| stamp(&labelled.image)).collect::<Result<Vec<_>, Error>>()?)
            }
        };
        Ok(json!([rows, zero_shot]))
    }

    /// A split with what its samples are prepared with.
    pub fn on<'d>(&'d self, split: &'d Split) -> EvaluationData<'d> {
        EvaluationData { set: &split.quadruplets, zero_shot: split.zero_shot.as_ref(), prepared: &self.prepared }
    }
}

/// What samples of a modality are prepared with: files by their hash, and the length of texts.
///
/// # Errors
/// If one cannot be read.
pub fn prepared_with(config: &Config, modality: Modality) -> Result<Value, Error> {
    let text = modality == Modality::Text;
    let file = if text { &config.tokenizer } else { &config.preprocessor };
    let beside = ["config.json", "tokenizer_config.json", "special_tokens_map.json", "open_clip_config.json"];
    let beside = beside.into_iter().filter(|_| text);
    let beside = beside.filter_map(|name| file.as_ref().map(|path| path.with_file_name(name)));
    let files: Vec<PathBuf> = file.iter().cloned().chain(beside).filter(|path| path.is_file()).collect();
    let files = files.iter().map(|path| sha256(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(json!([files, config.text.length.filter(|_| text)]))
}

/// Reads what the towers' samples are prepared with. Where they are stored as inputs, only what is named is read.
///
/// # Errors
/// If something is missing or broken.
pub fn preparation<'s, 'm: 's>(
    config: &Config,
    sites: impl IntoIterator<Item = &'s Site<'m>>,
    stored: bool,
) -> Result<Preparation, Error> {
    let mut prepared = Preparation::default();
    for site in sites {
        let missing = |what, help| Error::Missing { what, model: site.graph.model.path().to_owned(), help };
        match site.modality() {
            Modality::Text => {
                let length = site.tower.input.dims.get(1).copied().flatten().or(config.text.length);
                let help = "give it with --tokenizer, or put the model's tokenizer.json beside it";
                match &config.tokenizer {
                    Some(path) => prepared.tokenizer = Some(Tokenizer::open(path, length)?),
                    None if stored => {}
                    None => return Err(missing("tokenizer.json", help)),
                }
            }
            Modality::Vision => {
                let help = "give it with --preprocessor, or put the model's preprocessor_config.json beside it";
                match &config.preprocessor {
                    Some(path) => prepared.preprocessor = Some(Preprocessor::read(path)?),
                    None if stored => {}
                    None => return Err(missing("preprocessor_config.json", help)),
                }
            }
        }
    }
    Ok(prepared)
}

/// Some of the calibration pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Their concept, if they were put together by it.
    pub concept: Option<String>,
    /// Their rows in the manifest's split, ascending.
    pub rows: Vec<usize>,
}

/// The concept of pairs that tell none.
const NO_CONCEPT: &str = "(none)";

/// What a tower sees of a row, with what tells an image apart.
fn seen(
    row: &Quadruplet,
    modality: Modality,
    set: &DataSet,
    image: impl Fn(&Picture) -> Result<Value, Error>,
) -> Result<Value, Error> {
    Ok(match (modality, &row.texts, &row.images) {
        _ if set.tensors.is_some() => json!([row.concept, row.id]),
        (Modality::Text, Some(texts), _) => json!([row.concept, texts.safe, texts.not_safe]),
        (Modality::Vision, _, Some(images)) => json!([row.concept, image(&images.safe)?, image(&images.not_safe)?]),
        _ => Value::Null,
    })
}

/// SHA-256 of a file, in hexadecimal.
fn sha256(path: &Path) -> Result<String, Error> {
    let read = |source| onnx::Error::Io { action: "read", path: path.to_owned(), source };
    Ok(Source::open(path).map_err(read)?.sha256().to_owned())
}

/// SHA-256 of an image as it is stored.
fn picture_sha256(picture: &Picture) -> Result<String, Error> {
    match picture {
        Picture::File(path) => sha256(path),
        Picture::Member { .. } => Ok(sha256_of(&picture.read()?)),
    }
}

/// An image as it is now: its name, its size, and when it was changed. Reading all of a large set again would take longer
/// than what is to be saved.
fn stamp(picture: &Picture) -> Result<Value, Error> {
    let path = picture.path();
    let read = |source| onnx::Error::Io { action: "read", path: path.to_owned(), source };
    let metadata = path.metadata().map_err(read)?;
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(json!([picture.to_string(), metadata.len(), changed.map(|time| time.as_nanos().to_string())]))
}
