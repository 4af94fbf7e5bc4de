//! Where a content comes up: once, again in the same split, or in another one.

use std::collections::HashMap;
use std::hash::Hash;

/// A row, by set and number.
pub type At = (usize, usize);

/// The first place of each content in each split.
pub struct Contents<K> {
    first: HashMap<K, Vec<(usize, At)>>,
}

/// What is known of a content that comes up.
pub enum Seen {
    /// It is new.
    New,
    /// It was in that row of the same split.
    Again(At),
    /// It was in that row of another split, and is new in this one.
    Elsewhere(At),
}

impl<K> Default for Contents<K> {
    fn default() -> Self {
        Self { first: HashMap::new() }
    }
}

impl<K: Hash + Eq> Contents<K> {
    /// A content comes up in a row of a split.
    pub fn see(&mut self, content: K, split: usize, at: At) -> Seen {
        let places = self.first.entry(content).or_default();
        if let Some((_, row)) = places.iter().find(|(own, _)| *own == split) {
            // Both sides of a row are compared elsewhere.
            return if *row == at { Seen::New } else { Seen::Again(*row) };
        }
        places.push((split, at));
        match places.as_slice() {
            [(_, row), _, ..] => Seen::Elsewhere(*row),
            _ => Seen::New,
        }
    }
}
