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
use super::splits::Split;
use crate::config::{Concepts, Config, Recipe};
use crate::dataset::{Images, Manifest, Preprocessor, Quadruplet, Texts, Tokenizer, ZeroShot};
use crate::onnx::{self, Modality, Source, sha256_of};

/// The data sets, read and checked.
pub struct Data {
    config: Config,
    tokenizer: Option<Tokenizer>,
    preprocessor: Option<Preprocessor>,
    /// Pairs to score with.
    pub calibration: Manifest,
    /// Hashes of the calibration pairs as the towers see them, text first.
    identities: [OnceLock<String>; 2],
}

impl Data {
    /// Reads what the towers need and the configuration names.
    ///
    /// # Errors
    /// If something is missing or broken.
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
        let identities = [OnceLock::new(), OnceLock::new()];
        Ok(Self { config: config.clone(), tokenizer, preprocessor, calibration, identities })
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

    /// Does something with some of the calibration pairs, in a tower's modality.
    pub fn with_pairs<T>(&self, modality: Modality, rows: &[usize], work: impl FnOnce(Pairs) -> T) -> T {
        let numbers = self.concepts().1;
        let concepts: Vec<usize> = rows.iter().map(|&row| numbers[row]).collect();
        let of = || rows.iter().map(|&row| &self.calibration.rows[row]);
        match (modality, &self.tokenizer, &self.preprocessor) {
            (Modality::Text, Some(tokenizer), _) => {
                let texts = |pick: fn(&Quadruplet) -> &String| Texts::new(tokenizer, of().map(pick).cloned().collect());
                let (safe, not_safe) = (texts(|q| &q.safe_text), texts(|q| &q.unsafe_text));
                work(Pairs { safe: &safe, not_safe: &not_safe, concepts: &concepts })
            }
            (Modality::Vision, _, Some(preprocessor)) => {
                let images =
                    |pick: fn(&Quadruplet) -> &PathBuf| Images::new(preprocessor, of().map(pick).cloned().collect());
                let (safe, not_safe) = (images(|q| &q.safe_image), images(|q| &q.unsafe_image));
                work(Pairs { safe: &safe, not_safe: &not_safe, concepts: &concepts })
            }
            _ => unreachable!("load() read what each tower needs"),
        }
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
        self.with_pairs(site.modality(), &group.rows, |pairs| {
            average(runner, Calibration { site, layers, pairs, scorings, epsilon }, keep)
        })
    }

    /// All that a tower's sums depend on, but the batch size.
    fn job(&self, runner: Runner, wanted: Wanted, rows: &[usize]) -> Result<Value, Error> {
        let Wanted { site, layers, scorings, epsilon } = wanted;
        let place = runner.runtime.place();
        let text = site.modality() == Modality::Text;
        let rows = rows.iter().map(|&row| &self.calibration.rows[row]);
        let samples = rows.map(|row| match text {
            true => Ok(json!([row.concept, row.safe_text, row.unsafe_text])),
            false => Ok(json!([row.concept, stamp(&row.safe_image)?, stamp(&row.unsafe_image)?])),
        });
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
        let pairs = rows.par_iter().map(|row| match modality {
            Modality::Text => Ok(json!([row.concept, row.safe_text, row.unsafe_text])),
            Modality::Vision => Ok(json!([row.concept, sha256(&row.safe_image)?, sha256(&row.unsafe_image)?])),
        });
        let pairs = pairs.collect::<Result<Vec<_>, Error>>()?;
        Ok(sha256_of(json!([pairs, self.prepared(modality)?, format!("{:?}", site.tower)]).to_string().as_bytes()))
    }

    /// What samples of a modality are prepared with: files by their hash, and the length of texts.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn prepared(&self, modality: Modality) -> Result<Value, Error> {
        let text = modality == Modality::Text;
        let file = if text { &self.config.tokenizer } else { &self.config.preprocessor };
        let beside = ["config.json", "tokenizer_config.json"].into_iter().filter(|_| text);
        let beside = beside.filter_map(|name| file.as_ref().map(|path| path.with_file_name(name)));
        let files: Vec<PathBuf> = file.iter().cloned().chain(beside).filter(|path| path.is_file()).collect();
        let files = files.iter().map(|path| sha256(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!([files, self.config.text.length.filter(|_| text)]))
    }

    /// What a tower of a modality sees of a split: texts, and images as they are now.
    ///
    /// # Errors
    /// If a file is not there.
    pub fn content(&self, modality: Modality, on: EvaluationData) -> Result<Value, Error> {
        let zero_shot = on.zero_shot;
        Ok(match modality {
            Modality::Text => json!([
                on.quadruplets.iter().map(|row| [&row.safe_text, &row.unsafe_text]).collect::<Vec<_>>(),
                zero_shot.map(ZeroShot::prompts)
            ]),
            Modality::Vision => {
                let rows = on.quadruplets.iter().flat_map(|row| [&row.safe_image, &row.unsafe_image]);
                let images = zero_shot.into_iter().flat_map(|set| set.images.iter().map(|labelled| &labelled.image));
                let stamps = |paths: &mut dyn Iterator<Item = &PathBuf>| {
                    paths.map(|path| stamp(path)).collect::<Result<Vec<_>, Error>>()
                };
                json!([stamps(&mut { rows })?, stamps(&mut { images })?])
            }
        })
    }

    /// A split with what its samples are prepared with; `None` where one of the towers is not there.
    pub fn on<'d>(&'d self, split: &'d Split) -> Option<EvaluationData<'d>> {
        Some(EvaluationData {
            quadruplets: &split.quadruplets.rows,
            zero_shot: split.zero_shot.as_ref(),
            tokenizer: self.tokenizer.as_ref()?,
            preprocessor: self.preprocessor.as_ref()?,
        })
    }
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
