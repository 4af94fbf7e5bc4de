//! The policy: YAML, with line and column in every error.

use std::fmt;
use std::io::ErrorKind;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_saphyr::Spanned;
use wildmatch::WildMatch;

use super::reading::{Reading, given, place};
use super::rule::{Bounds, FigureRule, Within};
use super::{DEFAULT, Error};
use crate::onnx::sha256_of;
use crate::plain;
use crate::report::checked::{Confidence, PolicyUsed};

/// What a model is judged by.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// As reports name it.
    pub used: PolicyUsed,
    /// About figures, in the order of the file.
    pub figures: Vec<FigureRule>,
    /// The concepts that rules about each concept, and about the worst one, speak of; all, where none is named.
    pub concepts: [Vec<String>; 2],
    /// About files.
    pub structure: StructureRules,
}

/// What may differ in the files. Each with its line and column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StructureRules {
    /// Nothing but values of tensors.
    pub only_initializer_values_changed: Option<[usize; 2]>,
    /// Tensors that may: patterns with `*` and `?` on names of tensors, or on `tower:role` and `tower:role[block]`.
    pub allowed_tensors: Option<(Vec<WildMatch>, [usize; 2])>,
    /// No more elements than that.
    pub max_elements_changed: Option<(usize, [usize; 2])>,
    /// Inputs, outputs and opsets are what they were.
    pub same_io_signature: Option<[usize; 2]>,
    /// The metadata say what was done.
    pub provenance_required: Option<[usize; 2]>,
    /// Every byte is what the patch makes.
    pub patch_matches: Option<[usize; 2]>,
    /// No file beside the model has the weights as they were.
    pub no_stale_siblings: Option<[usize; 2]>,
}

/// Quadruplets or images that a rule asks for, overall and of a concept.
const MIN_SAMPLES: [usize; 2] = [100, 30];

/// The longest policy that is read, in bytes.
const LONGEST: u64 = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: Spanned<u32>,
    #[serde(default, deserialize_with = "given")]
    confidence: Option<Spanned<Level>>,
    #[serde(default, deserialize_with = "given")]
    min_samples: Option<usize>,
    #[serde(default)]
    metrics: Pairs,
    #[serde(default)]
    concepts: Concepts,
    #[serde(default)]
    worst_concept: Concepts,
    #[serde(default)]
    structure: Files,
}

/// A level in percent, or the word `point`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Level {
    Percent(f64),
    Word(String),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Concepts {
    #[serde(deserialize_with = "given")]
    min_samples: Option<usize>,
    only: Vec<String>,
    metrics: Pairs,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Files {
    #[serde(deserialize_with = "given")]
    only_initializer_values_changed: Option<Spanned<bool>>,
    #[serde(deserialize_with = "given")]
    allowed_tensors: Option<Spanned<Vec<String>>>,
    #[serde(deserialize_with = "given")]
    max_elements_changed: Option<Spanned<usize>>,
    #[serde(deserialize_with = "given")]
    same_io_signature: Option<Spanned<bool>>,
    #[serde(deserialize_with = "given")]
    provenance_required: Option<Spanned<bool>>,
    #[serde(deserialize_with = "given")]
    patch_matches: Option<Spanned<bool>>,
    #[serde(deserialize_with = "given")]
    no_stale_siblings: Option<Spanned<bool>>,
}

/// Figures and their bounds, in the order of the file.
#[derive(Default)]
struct Pairs(Vec<(Spanned<String>, Bounds)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members(PhantomData<()>);
        impl<'de> Visitor<'de> for Members {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("figures, each with its bounds")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = vec![];
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

impl Policy {
    /// Reads a policy; the built-in one where no file is named.
    ///
    /// # Errors
    /// If it cannot be read, has an unknown key or figure, or a bound that means nothing.
    pub fn read(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Self::parse(DEFAULT, None);
        };
        let text = plain::text(path, LONGEST).map_err(|source| match source.kind() {
            ErrorKind::InvalidData => Error::Format { path: path.to_owned(), place: None, reason: source.to_string() },
            _ => Error::Io { path: path.to_owned(), source },
        })?;
        Self::parse(&text, Some(path))
    }

    /// The policy of a text.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn parse(text: &str, path: Option<&Path>) -> Result<Self, Error> {
        let name = path.map_or(PathBuf::from("(built-in policy)"), Path::to_owned);
        let reading = Reading { path: &name };
        let file: File = serde_saphyr::from_str(text).map_err(|error| Error::Format {
            path: name.clone(),
            place: error.location().map(|at| [at.line() as usize, at.column() as usize]),
            reason: said(error.without_snippet()),
        })?;
        if file.version.value != 1 {
            let reason = format!("version is {}, and this tool knows 1", file.version.value);
            return Err(reading.wrong(place(&file.version), reason));
        }
        let confidence = match &file.confidence {
            None => Confidence::Interval(95.0),
            Some(level) => match &level.value {
                Level::Word(word) if word == "point" => Confidence::Point,
                Level::Percent(percent) if (50.0..=99.0).contains(percent) => Confidence::Interval(*percent),
                _ => {
                    let reason = "confidence is a level in percent from 50 to 99, or `point`".to_owned();
                    return Err(reading.wrong(place(level), reason));
                }
            },
        };
        let overall = file.min_samples.unwrap_or(MIN_SAMPLES[0]);
        let few = |of: &Concepts| of.min_samples.unwrap_or(MIN_SAMPLES[1]);
        let parts = [
            (Within::Overall, &file.metrics, overall),
            (Within::Concepts, &file.concepts.metrics, few(&file.concepts)),
            (Within::WorstConcept, &file.worst_concept.metrics, few(&file.worst_concept)),
        ];
        let mut figures = vec![];
        for (within, Pairs(pairs), min_samples) in parts {
            for (name, bounds) in pairs {
                figures.extend(FigureRule::read(&reading, within, name, bounds, min_samples)?);
            }
        }
        for (key, of) in [("concepts", &file.concepts), ("worst_concept", &file.worst_concept)] {
            if of.metrics.0.is_empty() && (!of.only.is_empty() || of.min_samples.is_some()) {
                let reason = format!("{key} has no metrics: nothing would be asked of them");
                return Err(Error::Format { path: name, place: None, reason });
            }
        }
        let structure = file.structure.rules(&reading)?;
        if figures.is_empty() && structure == StructureRules::default() {
            let reason = "it has no rule, and a model that is judged by none would always pass".to_owned();
            return Err(Error::Format { path: name, place: None, reason });
        }
        let used = PolicyUsed { path: path.map(Path::to_owned), sha256: sha256_of(text.as_bytes()), confidence };
        Ok(Self { used, figures, concepts: [file.concepts.only, file.worst_concept.only], structure })
    }

    /// How errors call it.
    pub fn name(&self) -> String {
        self.used.path.as_ref().map_or("the built-in policy".to_owned(), |path| path.display().to_string())
    }

    /// Checks that what its rules need was given.
    ///
    /// # Errors
    /// [`Error::NeedsBaseline`], [`Error::NeedsPatch`].
    pub fn check_given(&self, baseline: bool, original: bool, patch: bool) -> Result<(), Error> {
        let of_files = [
            ("only_initializer_values_changed", self.structure.only_initializer_values_changed.is_some()),
            ("allowed_tensors", self.structure.allowed_tensors.is_some()),
            ("max_elements_changed", self.structure.max_elements_changed.is_some()),
            ("same_io_signature", self.structure.same_io_signature.is_some()),
            ("provenance_required", self.structure.provenance_required.is_some()),
            ("patch_matches", self.structure.patch_matches.is_some()),
            ("no_stale_siblings", self.structure.no_stale_siblings.is_some()),
        ];
        let comparing = self.figures.iter().find(|rule| rule.bound.compares() && !baseline).map(FigureRule::path);
        let files = of_files.into_iter().find(|(_, asked)| *asked && !baseline && !original);
        let unmet = comparing.or(files.map(|(name, _)| format!("structure.{name}")));
        if let Some(rule) = unmet {
            return Err(Error::NeedsBaseline { policy: self.name(), rule });
        }
        if self.structure.patch_matches.is_some() && !patch {
            return Err(Error::NeedsPatch { policy: self.name() });
        }
        Ok(())
    }
}

impl Files {
    fn rules(&self, reading: &Reading) -> Result<StructureRules, Error> {
        let asked = |rule: &Option<Spanned<bool>>| rule.as_ref().filter(|rule| rule.value).map(place);
        if let Some(empty) = self.allowed_tensors.as_ref().filter(|names| names.value.is_empty()) {
            let reason = "allowed_tensors is empty: `max_elements_changed: 0` asks that nothing is changed".to_owned();
            return Err(reading.wrong(place(empty), reason));
        }
        Ok(StructureRules {
            only_initializer_values_changed: asked(&self.only_initializer_values_changed),
            allowed_tensors: self
                .allowed_tensors
                .as_ref()
                .map(|names| (names.value.iter().map(|name| WildMatch::new(name)).collect(), place(names))),
            max_elements_changed: self.max_elements_changed.as_ref().map(|most| (most.value, place(most))),
            same_io_signature: asked(&self.same_io_signature),
            provenance_required: asked(&self.provenance_required),
            patch_matches: asked(&self.patch_matches),
            no_stale_siblings: asked(&self.no_stale_siblings),
        })
    }
}

/// What the parser says, in one line.
fn said(error: &serde_saphyr::Error) -> String {
    // Where it is, is said in front.
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}
