//! What can be found wrong with a set: each kind has a code that stays.

use std::collections::BTreeMap;

use serde::Serialize;

/// Examples of a kind that are kept.
const SHOWN: usize = 10;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The set cannot be used as it is, or results would be wrong.
    Error,
    /// It can be used; one should know.
    Warning,
}

/// What was found, of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its code.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// How often.
    pub count: usize,
    /// In words.
    pub what: &'static str,
    /// The first of them.
    pub examples: Vec<String>,
}

/// A kind, in the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    IdRepeated,
    PartMissing,
    PartsDiffer,
    ImageMissing,
    RowLeftOut,
    ImageBroken,
    ImageTooLarge,
    ImageNotRgb,
    ImagesIdentical,
    TextEmpty,
    TextsIdentical,
    ValuesNotFinite,
    SplitOpen,
    SplitNone,
    ImageOverlap,
    TextOverlap,
    UnsafeTextOverlap,
    ImageRepeated,
    TextRepeated,
}

impl Code {
    fn describe(self) -> (&'static str, Severity, &'static str) {
        use Severity::{Error, Warning};
        match self {
            Self::IdRepeated => ("id-repeated", Error, "ids that a row before has too"),
            Self::PartMissing => {
                ("part-missing", Error, "rows with a safe text or image and no unsafe one, or none at all")
            }
            Self::PartsDiffer => {
                ("parts-differ", Error, "rows that have not the same of texts and images as the first")
            }
            Self::ImageMissing => ("image-missing", Error, "images that are not there"),
            Self::RowLeftOut => ("row-left-out", Warning, "rows that will be left out, whose images are not there"),
            Self::ImageBroken => ("image-broken", Error, "images that cannot be decoded"),
            Self::ImageTooLarge => ("image-too-large", Error, "images over the limit of pixels, which are not decoded"),
            Self::ImageNotRgb => {
                ("image-not-rgb", Warning, "images that are stored in other colours and will be made RGB")
            }
            Self::ImagesIdentical => ("images-identical", Warning, "rows whose safe and unsafe image are the same"),
            Self::TextEmpty => ("text-empty", Error, "texts of nothing but white space"),
            Self::TextsIdentical => ("texts-identical", Warning, "rows whose safe and unsafe text are the same"),
            Self::ValuesNotFinite => ("values-not-finite", Error, "rows of graph inputs that are not finite"),
            Self::SplitOpen => {
                ("split-open", Error, "rows without a split, beside rows with one: they belong to every split")
            }
            Self::SplitNone => {
                ("split-none", Warning, "rows without a split: whoever asks for any split gets them all")
            }
            Self::ImageOverlap => ("image-overlap", Error, "images that another split has too"),
            Self::TextOverlap => ("text-overlap", Error, "safe texts that another split has too"),
            Self::UnsafeTextOverlap => ("unsafe-text-overlap", Warning, "unsafe texts that another split has too"),
            Self::ImageRepeated => ("image-repeated", Warning, "images that a row before in the same split has too"),
            Self::TextRepeated => ("text-repeated", Warning, "texts that a row before in the same split has too"),
        }
    }

    /// Whether it says that splits share something.
    fn overlap(self) -> bool {
        matches!(self, Self::SplitOpen | Self::ImageOverlap | Self::TextOverlap)
    }
}

/// What was found so far.
#[derive(Default)]
pub struct Findings {
    kinds: BTreeMap<Code, (usize, Vec<String>)>,
}

impl Findings {
    /// One more.
    pub fn add(&mut self, code: Code, example: impl FnOnce() -> String) {
        let (count, examples) = self.kinds.entry(code).or_default();
        *count += 1;
        if examples.len() < SHOWN {
            examples.push(example());
        }
    }

    /// All kinds; errors first. That splits share something is only a warning if that is allowed.
    pub fn told(self, allow_overlap: bool) -> Vec<Finding> {
        let finding = |(code, (count, examples)): (Code, (usize, Vec<String>))| {
            let (name, severity, what) = code.describe();
            let severity = if allow_overlap && code.overlap() { Severity::Warning } else { severity };
            Finding { code: name, severity, count, what, examples }
        };
        let mut findings: Vec<Finding> = self.kinds.into_iter().map(finding).collect();
        findings.sort_by_key(|finding| finding.severity == Severity::Warning);
        findings
    }
}
