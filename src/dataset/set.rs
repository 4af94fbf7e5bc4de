//! A set of quadruplets, however it was stored.

use std::collections::HashMap;
use std::path::PathBuf;

use super::error::Error;
use super::picture::Picture;
use super::tensors::TensorSet;
use super::{Images, Kind, Preparation, Samples, Side, Texts};

/// Something harmless and its unsafe partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair<T> {
    /// The harmless one.
    pub safe: T,
    /// Its unsafe partner.
    pub not_safe: T,
}

impl<T> Pair<T> {
    /// One of the two.
    pub fn of(&self, side: Side) -> &T {
        match side {
            Side::Safe => &self.safe,
            Side::Unsafe => &self.not_safe,
        }
    }

    /// Both, the safe one first.
    pub fn both(&self) -> [&T; 2] {
        [&self.safe, &self.not_safe]
    }
}

/// Safe text, unsafe text, safe image, unsafe image (`method.md` section 1), or one of the two pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quadruplet {
    /// Its name.
    pub id: String,
    /// Captions.
    pub texts: Option<Pair<String>>,
    /// Images of the captions.
    pub images: Option<Pair<Picture>>,
    /// What makes the partner unsafe.
    pub concept: Option<String>,
    /// A tag by which an evaluation can tell kinds of scenes apart.
    pub style: Option<String>,
    /// The split it belongs to; to every one if none is named.
    pub split: Option<String>,
    /// Whether its unsafe side is to be hidden from who did not ask to see it; not known, if the set does not say.
    pub sensitive: Option<bool>,
}

/// What makes two rows' items the same.
#[derive(PartialEq, Eq, Hash)]
enum Item<'r> {
    Text(&'r str),
    Image(&'r Picture),
    Row(usize),
}

/// The quadruplets of a split.
#[derive(Debug, Clone)]
pub struct DataSet {
    /// Where it was read from.
    pub path: PathBuf,
    /// In the order of the source; all have the same parts.
    pub rows: Vec<Quadruplet>,
    /// What the rows stand for, where they are stored as graph inputs.
    pub tensors: Option<TensorSet>,
    /// The files that its rows were read from; not those of the images.
    pub sources: Vec<PathBuf>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

impl DataSet {
    /// Whether its rows have texts or images, as such or as graph inputs.
    pub fn has(&self, kind: Kind) -> bool {
        match (&self.tensors, kind) {
            (Some(tensors), kind) => tensors.has(kind),
            (None, Kind::Text) => self.rows.iter().all(|row| row.texts.is_some()),
            (None, Kind::Image) => self.rows.iter().all(|row| row.images.is_some()),
        }
    }

    /// Samples of some rows, ready for a tower; not of such that are stored as graph inputs.
    ///
    /// # Errors
    /// If there are none of that kind, or nothing to prepare them with.
    pub fn samples<'s>(
        &'s self,
        kind: Kind,
        side: Side,
        rows: &[usize],
        with: &'s Preparation,
    ) -> Result<Box<dyn Samples + 's>, Error> {
        let of = || rows.iter().map(|&row| &self.rows[row]);
        match kind {
            Kind::Text => {
                let texts = of().map(|row| Some(row.texts.as_ref()?.of(side).clone())).collect::<Option<_>>();
                Ok(Box::new(Texts::new(with.tokenizer()?, texts.ok_or_else(|| self.without(kind))?)))
            }
            Kind::Image => {
                let images = of().map(|row| Some(row.images.as_ref()?.of(side).clone())).collect::<Option<_>>();
                Ok(Box::new(Images::new(with.preprocessor()?, images.ok_or_else(|| self.without(kind))?)))
            }
        }
    }

    /// The rows whose item of a kind and side no row before them has, and for each row the place of its own among these.
    /// Of stored inputs every row is one.
    pub fn distinct(&self, kind: Kind, side: Side) -> (Vec<usize>, Vec<usize>) {
        let mut seen = HashMap::new();
        let (mut rows, mut places) = (vec![], vec![]);
        for (index, row) in self.rows.iter().enumerate() {
            let item = match kind {
                _ if self.tensors.is_some() => Item::Row(index),
                Kind::Text => row.texts.as_ref().map_or(Item::Row(index), |texts| Item::Text(texts.of(side))),
                Kind::Image => row.images.as_ref().map_or(Item::Row(index), |images| Item::Image(images.of(side))),
            };
            let place = *seen.entry(item).or_insert(rows.len());
            if place == rows.len() {
                rows.push(index);
            }
            places.push(place);
        }
        (rows, places)
    }

    /// Checks that its rows have texts or images.
    ///
    /// # Errors
    /// If not.
    pub fn check_has(&self, kind: Kind) -> Result<(), Error> {
        if self.has(kind) { Ok(()) } else { Err(self.without(kind)) }
    }

    /// The error that says that it lacks a kind.
    pub fn without(&self, kind: Kind) -> Error {
        Error::Without { path: self.path.clone(), what: kind.plural() }
    }
}
