//! A set looked through without a model: what is there, and what is wrong with it.

mod contents;
mod findings;
mod pictures;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use serde::Serialize;

use contents::{At, Contents, Seen};
use findings::{Code, Findings};
pub use findings::{Finding, Severity};
use pictures::{Looked, Trouble};

use super::error::Error;
use super::forms::{Folders, Form, Found, Place};
use super::kind::Side;
use super::limits::MOST_PIXELS;
use super::picture::Picture;
use super::{Kind, TensorSet};
use crate::few::{cut, few};

/// What is looked for.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// Only these splits; all if none is named.
    pub splits: Vec<String>,
    /// Pixels of an image that are decoded at most.
    pub most_pixels: u64,
    /// Splits may share something.
    pub allow_overlap: bool,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { splits: vec![], most_pixels: MOST_PIXELS, allow_overlap: false }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// The sets.
    pub sets: Vec<CheckedSet>,
    /// How much there is of each split.
    pub splits: Vec<SplitCount>,
    /// The images.
    pub pictures: Pictures,
    /// What is wrong, errors first.
    pub findings: Vec<Finding>,
}

/// A set that was looked through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedSet {
    /// Where it is.
    pub path: String,
    /// How it is stored.
    pub form: &'static str,
    /// Rows of the splits that were looked at.
    pub rows: usize,
    /// What its reader left out.
    pub notes: Vec<String>,
}

/// How much there is of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitCount {
    /// Its name; of rows that name none, the set's.
    pub split: String,
    /// All rows.
    pub rows: usize,
    /// Rows with texts.
    pub texts: usize,
    /// Rows with images.
    pub images: usize,
    /// Rows by concept.
    pub concepts: BTreeMap<String, usize>,
}

/// How many images there are, each counted once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pictures {
    /// All that rows name.
    pub named: usize,
    /// Those that can be decoded.
    pub readable: usize,
    /// These by how their pixels are stored.
    pub colors: BTreeMap<String, usize>,
    /// And by how they are encoded.
    pub formats: BTreeMap<String, usize>,
}

struct Open {
    path: PathBuf,
    form: Form,
    found: Found,
}

/// Sets that were read and are to be looked through.
pub struct Checkup {
    sets: Vec<Open>,
    options: CheckOptions,
    pictures: Vec<Picture>,
    numbers: HashMap<Picture, usize>,
}

impl Checkup {
    /// Reads the rows.
    ///
    /// # Errors
    /// If a file cannot be read or parsed, or there are no rows.
    pub fn open(paths: &[PathBuf], folders: &Folders, options: CheckOptions) -> Result<Self, Error> {
        let mut sets = vec![];
        let mut known = BTreeSet::new();
        for path in paths {
            let form = Form::of(path)?;
            let mut found = form.read(path, folders, None)?;
            known.extend(found.rows.iter().filter_map(|row| row.split.clone()));
            let keep = |split: &Option<String>| {
                let Some(split) = split else { return true };
                options.splits.is_empty() || options.splits.iter().any(|asked| form.own_name(asked) == *split)
            };
            let rows: Vec<usize> = (0..found.rows.len()).filter(|&row| keep(&found.rows[row].split)).collect();
            if rows.len() < found.rows.len() {
                found.tensors = found.tensors.map(|tensors| tensors.select(&rows));
                found.rows.retain(|row| keep(&row.split));
            }
            sets.push(Open { path: path.clone(), form, found });
        }
        let empty = |split: &str| Error::EmptySplit {
            path: paths.first().cloned().unwrap_or_default(),
            split: split.to_owned(),
            found: few(&known),
        };
        let has = |asked: &String| {
            let of = |set: &Open| {
                let own = set.form.own_name(asked);
                set.found.rows.iter().any(|row| row.split.as_deref().is_none_or(|split| split == own))
            };
            sets.iter().any(of)
        };
        if let Some(split) = options.splits.iter().find(|split| !has(split)) {
            return Err(empty(split));
        }
        if sets.iter().all(|set| set.found.rows.is_empty()) {
            return Err(empty("any"));
        }
        let (mut pictures, mut numbers) = (vec![], HashMap::new());
        let rows = sets.iter().flat_map(|set| &set.found.rows);
        for picture in rows.flat_map(|row| row.images.iter().flatten()) {
            // Captions share images in some sets.
            if !numbers.contains_key(picture) {
                numbers.insert(picture.clone(), pictures.len());
                pictures.push(picture.clone());
            }
        }
        Ok(Self { sets, options, pictures, numbers })
    }

    /// How many images will be looked at.
    pub fn pictures(&self) -> usize {
        self.pictures.len()
    }

    /// Looks through all. `tick` is called for each image and tells whether to go on; `None` if it did not.
    pub fn run(self, tick: &(dyn Fn() -> bool + Sync)) -> Option<Checked> {
        let looked = pictures::look(&self.pictures, self.options.most_pixels, tick)?;
        let mut walk = Walk::default();
        for (number, set) in self.sets.iter().enumerate() {
            self.walk(number, set, &looked, &mut walk);
        }
        let mut pictures = Pictures { named: self.pictures.len(), ..Pictures::default() };
        for image in looked.iter().filter_map(|looked| looked.as_ref().ok()) {
            pictures.readable += 1;
            *pictures.colors.entry(image.probe.color.clone()).or_default() += 1;
            *pictures.formats.entry(image.probe.format.clone()).or_default() += 1;
        }
        for (picture, image) in self.pictures.iter().zip(&looked) {
            match image {
                Ok(image) if !image.probe.is_rgb() => {
                    walk.findings.add(Code::ImageNotRgb, || format!("{picture} ({})", image.probe.color));
                }
                Err(Trouble::Broken(reason)) => {
                    walk.findings.add(Code::ImageBroken, || format!("{picture}: {}", cut(reason)));
                }
                Err(Trouble::TooLarge(width, height)) => {
                    walk.findings.add(Code::ImageTooLarge, || format!("{picture}: {width} x {height}"));
                }
                _ => {}
            }
        }
        let set = |set: &Open| CheckedSet {
            path: set.path.display().to_string(),
            form: set.form.name(),
            rows: set.found.rows.len(),
            notes: set.found.notes.clone(),
        };
        Some(Checked {
            sets: self.sets.iter().map(set).collect(),
            splits: walk.splits,
            pictures,
            findings: walk.findings.told(self.options.allow_overlap),
        })
    }

    /// Goes through the rows of a set.
    fn walk(&self, number: usize, set: &Open, looked: &[Looked], walk: &mut Walk) {
        let rows = &set.found.rows;
        let tensors = set.found.tensors.as_ref();
        let stored = |kind| tensors.is_some_and(|tensors| tensors.has(kind));
        let named = rows.iter().filter(|row| row.split.is_some()).count();
        let (mut ids, mut first) = (HashSet::new(), None);
        for (index, row) in rows.iter().enumerate() {
            let at = (number, index);
            let label = || self.label(at);
            if !ids.insert(&row.id) {
                walk.findings.add(Code::IdRepeated, || format!("{}: '{}'", label(), cut(&row.id)));
            }
            if row.split.is_none() {
                walk.findings.add(if named > 0 { Code::SplitOpen } else { Code::SplitNone }, label);
            }
            let sides = [row.texts.each_ref().map(Option::is_some), row.images.each_ref().map(Option::is_some)];
            let nothing = tensors.is_none() && sides == [[false; 2]; 2];
            if nothing || sides.iter().any(|[safe, not_safe]| safe != not_safe) {
                walk.findings.add(Code::PartMissing, label);
            } else if *first.get_or_insert(sides) != sides {
                walk.findings.add(Code::PartsDiffer, label);
            }
            let unnamed = || format!("{} (no split)", set.path.display());
            let split = walk.split(row.split.clone().unwrap_or_else(unnamed));
            let count = &mut walk.splits[split];
            count.rows += 1;
            count.texts += usize::from(sides[0] == [true; 2] || stored(Kind::Text));
            count.images += usize::from(sides[1] == [true; 2] || stored(Kind::Image));
            *count.concepts.entry(row.concept.clone().unwrap_or_else(|| "(none)".to_owned())).or_default() += 1;
            self.texts(&row.texts, split, at, walk);
            self.images(set, &row.images, looked, split, at, walk);
            if let Some(tensors) = tensors {
                self.tensors(tensors, split, at, walk);
            }
        }
    }

    fn texts(&self, texts: &[Option<String>; 2], split: usize, at: At, walk: &mut Walk) {
        let label = || self.label(at);
        let codes = [Code::TextOverlap, Code::UnsafeTextOverlap];
        for ((text, code), side) in texts.iter().zip(codes).zip([Side::Safe, Side::Unsafe]) {
            match text {
                None => {}
                Some(text) if text.trim().is_empty() => walk.findings.add(Code::TextEmpty, label),
                Some(text) => {
                    let seen = walk.texts[side as usize].see(Content::Text(text.clone()), split, at);
                    self.tell(seen, [Code::TextRepeated, code], at, walk);
                }
            }
        }
        if texts[0].is_some() && texts[0] == texts[1] {
            walk.findings.add(Code::TextsIdentical, label);
        }
    }

    fn images(
        &self,
        set: &Open,
        images: &[Option<Picture>; 2],
        looked: &[Looked],
        split: usize,
        at: At,
        walk: &mut Walk,
    ) {
        let mut hashes = [None; 2];
        let mut missing = None;
        for (picture, hash) in images.iter().zip(&mut hashes) {
            let Some(picture) = picture else { continue };
            match &looked[self.numbers[picture]] {
                Err(Trouble::Missing) => missing = missing.or(Some(picture)),
                Err(_) => {}
                Ok(image) => *hash = Some(image.sha256),
            }
        }
        if let Some(picture) = missing {
            let code = if set.form.leaves_out() { Code::RowLeftOut } else { Code::ImageMissing };
            walk.findings.add(code, || format!("{}: {picture}", self.label(at)));
        }
        for hash in hashes.iter().flatten() {
            let seen = walk.images.see(Content::Hash(*hash), split, at);
            self.tell(seen, [Code::ImageRepeated, Code::ImageOverlap], at, walk);
        }
        if hashes[0].is_some() && hashes[0] == hashes[1] {
            walk.findings.add(Code::ImagesIdentical, || self.label(at));
        }
    }

    fn tensors(&self, tensors: &TensorSet, split: usize, at: At, walk: &mut Walk) {
        let mut finite = true;
        for kind in [Kind::Text, Kind::Image] {
            let hashes = [Side::Safe, Side::Unsafe].map(|side| tensors.sha256(kind, side, at.1));
            for (side, hash) in hashes.iter().enumerate() {
                let Some((hash, row_finite)) = hash else { continue };
                finite &= row_finite;
                let overlap = if side == 0 { Code::TextOverlap } else { Code::UnsafeTextOverlap };
                let (seen, codes) = match kind {
                    Kind::Text => {
                        (walk.texts[side].see(Content::Hash(*hash), split, at), [Code::TextRepeated, overlap])
                    }
                    Kind::Image => {
                        (walk.images.see(Content::Hash(*hash), split, at), [Code::ImageRepeated, Code::ImageOverlap])
                    }
                };
                self.tell(seen, codes, at, walk);
            }
            if hashes[0].is_some() && hashes[0] == hashes[1] {
                let code = if kind == Kind::Text { Code::TextsIdentical } else { Code::ImagesIdentical };
                walk.findings.add(code, || self.label(at));
            }
        }
        if !finite {
            walk.findings.add(Code::ValuesNotFinite, || self.label(at));
        }
    }

    /// Writes down that a content came up before.
    fn tell(&self, seen: Seen, [again, elsewhere]: [Code; 2], at: At, walk: &mut Walk) {
        let (code, before) = match seen {
            Seen::New => return,
            Seen::Again(before) => (again, before),
            Seen::Elsewhere(before) => (elsewhere, before),
        };
        walk.findings.add(code, || format!("{}, as {}", self.label(at), self.label(before)));
    }

    /// What to call a row.
    fn label(&self, (set, row): At) -> String {
        let found = &self.sets[set].found;
        let row = &found.rows[row];
        let path = found.sources[row.source].display();
        match &row.place {
            Place::Line(line) => format!("{path}:{line}"),
            Place::Named(name) => format!("{path}, {}", cut(name)),
        }
    }
}

/// A text, or the hash of something larger.
#[derive(PartialEq, Eq, Hash)]
enum Content {
    Text(String),
    Hash([u8; 32]),
}

/// What the walk through all rows has seen.
#[derive(Default)]
struct Walk {
    findings: Findings,
    splits: Vec<SplitCount>,
    texts: [Contents<Content>; 2],
    images: Contents<Content>,
}

impl Walk {
    /// The number of a split.
    fn split(&mut self, name: String) -> usize {
        let known = self.splits.iter().position(|count| count.split == name);
        known.unwrap_or_else(|| {
            self.splits.push(SplitCount { split: name, rows: 0, texts: 0, images: 0, concepts: BTreeMap::new() });
            self.splits.len() - 1
        })
    }
}
