//! What samples are prepared with: the model's own files.

use super::error::Error;
use super::{Preprocessor, Tokenizer};

/// What texts and images are prepared with, as far as it is known.
#[derive(Default)]
pub struct Preparation {
    /// For texts.
    pub tokenizer: Option<Tokenizer>,
    /// For images.
    pub preprocessor: Option<Preprocessor>,
}

impl Preparation {
    /// For texts.
    ///
    /// # Errors
    /// If it is not known.
    pub fn tokenizer(&self) -> Result<&Tokenizer, Error> {
        self.tokenizer.as_ref().ok_or(Error::Unprepared { what: "tokenizer.json", option: "--tokenizer" })
    }

    /// For images.
    ///
    /// # Errors
    /// If it is not known.
    pub fn preprocessor(&self) -> Result<&Preprocessor, Error> {
        let missing = Error::Unprepared { what: "preprocessor_config.json", option: "--preprocessor" };
        self.preprocessor.as_ref().ok_or(missing)
    }
}
