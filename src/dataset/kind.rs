//! What samples are, and which of a pair.

/// What a tower embeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Texts.
    Text,
    /// Images.
    Image,
}

impl Kind {
    /// In words, of several.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Text => "texts",
            Self::Image => "images",
        }
    }
}

/// Which of the two partners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The harmless one.
    Safe,
    /// Its unsafe partner.
    Unsafe,
}
