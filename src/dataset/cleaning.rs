//! What is done to a text before it is tokenised, where tokenizer.json does not do it.

use std::borrow::Cow;

/// Steps, none of which need be taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleaning {
    /// Underscores become spaces; open_clip's `canonicalize_text` only.
    pub underscores: bool,
    /// Lower case.
    pub lower: bool,
    /// ASCII punctuation is left out; white space becomes single spaces, none at the ends. SigLIP was trained so.
    pub canonical: bool,
}

impl Cleaning {
    /// The text cleaned.
    pub fn apply(self, text: &str) -> Cow<'_, str> {
        let mut text = Cow::Borrowed(text);
        if self.underscores {
            text = text.replace('_', " ").into();
        }
        if self.lower {
            text = text.to_lowercase().into();
        }
        if self.canonical {
            let kept: String = text.chars().filter(|c| !c.is_ascii_punctuation()).collect();
            text = kept.split_whitespace().collect::<Vec<_>>().join(" ").into();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cleaned_as_in_python() {
        let all = Cleaning { underscores: true, lower: true, canonical: true };
        assert_eq!(all.apply("  \"A_photo\", of\n\u{a0}a DOG… ΟΔΟΣ İ!"), "a photo of a dog… οδος i\u{307}");
        assert_eq!(Cleaning { canonical: true, ..Cleaning::default() }.apply("A_b."), "Ab");
        assert_eq!(Cleaning::default().apply(" A_b. "), " A_b. ");
    }
}
