//! Texts as samples of a text tower, tokenised by the model's own `tokenizer.json`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use tokenizers::{PaddingParams, PaddingStrategy, PostProcessor};

use super::beside::Beside;
use super::cleaning::Cleaning;
use super::error::Error;
use super::{Batch, Samples, tame};
use crate::guard::guard;
use crate::plain;

const WHAT: &str = "tokenizer.json";
/// Bytes of it that are read at most: those of 250,000 words have 35 MB.
const MOST: u64 = 1 << 28;

/// A Hugging Face tokenizer that makes rows of one length.
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    cleaning: Cleaning,
    length: usize,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, and what stands beside it: rows get `length` tokens, else the length of the model's
    /// `config.json` or `open_clip_config.json`, else that of `tokenizer_config.json`, else the file's own truncation or
    /// padding length. `tokenizer_config.json` and `special_tokens_map.json` also say how texts are padded and cut, and
    /// whether they are lower-cased; `docs/preprocessing.md` has all of it.
    ///
    /// # Errors
    /// If the file is no tokenizer, or length or padding token cannot be told.
    pub fn open(path: &Path, length: Option<usize>) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Format {
            what: WHAT,
            path: path.to_owned(),
            reason,
            help: "give the tokenizer.json of the model (Hugging Face tokenizers format) with --tokenizer or in uwm.yaml",
        };
        let text = plain::read(path, MOST).map_err(|source| Error::Io { what: WHAT, path: path.to_owned(), source })?;
        let mut inner = guard(|| tokenizers::Tokenizer::from_bytes(text).map_err(|e| e.to_string())).map_err(wrong)?;
        tame::check(&inner).map_err(wrong)?;
        let beside = Beside::read(path)?;
        let own = || {
            let padding = inner.get_padding().and_then(|padding| match padding.strategy {
                PaddingStrategy::Fixed(length) => Some(length),
                PaddingStrategy::BatchLongest => None,
            });
            inner.get_truncation().map(|truncation| truncation.max_length).or(padding)
        };
        let length = length.or_else(|| beside.length()).or_else(own).ok_or_else(|| {
            wrong("the number of tokens a text gets is nowhere stated; set `text: length:`".to_owned())
        })?;
        let special = inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if !(2.max(special)..=65_536).contains(&length) {
            return Err(wrong(format!(
                "a length of {length} tokens a text is outside 2 to 65536, or has no place for the {special} special tokens"
            )));
        }
        let padding = beside.padding(inner.get_padding(), |token| inner.token_to_id(token)).map_err(wrong)?;
        let truncation = beside.truncation(inner.get_truncation(), length).map_err(wrong)?;
        let cleaning = beside.cleaning(inner.get_normalizer());
        let normalizer = beside.normalizer(inner.get_normalizer()).map_err(wrong)?;
        inner.with_normalizer(normalizer);
        inner.with_padding(Some(PaddingParams { strategy: PaddingStrategy::Fixed(length), ..padding }));
        inner.with_truncation(Some(truncation)).map_err(|e| wrong(e.to_string()))?;
        Ok(Self { path: path.to_owned(), inner, cleaning, length })
    }

    /// Token ids and attention mask, `[texts, length]` each, special tokens included.
    ///
    /// # Errors
    /// If the tokenizer fails on a text.
    pub fn encode(&self, texts: &[String]) -> Result<(Array2<i64>, Array2<i64>), Error> {
        let failed = |reason: String| Error::Format {
            what: WHAT,
            path: self.path.clone(),
            reason,
            help: "the tokenizer could not encode a text of the data set",
        };
        let texts: Vec<_> = texts.iter().map(|text| self.cleaning.apply(text)).collect();
        let encodings =
            guard(|| self.inner.encode_batch(texts.clone(), true).map_err(|e| e.to_string())).map_err(failed)?;
        let gather = |values: Vec<i64>| {
            Array2::from_shape_vec((texts.len(), self.length), values)
                .map_err(|_| failed(format!("a text did not give {} tokens", self.length)))
        };
        let ids = encodings.iter().flat_map(|e| e.get_ids()).map(|&id| i64::from(id)).collect();
        let mask = encodings.iter().flat_map(|e| e.get_attention_mask()).map(|&m| i64::from(m)).collect();
        Ok((gather(ids)?, gather(mask)?))
    }
}

/// Texts that are tokenised when their batch is asked for.
pub struct Texts<'t> {
    tokenizer: &'t Tokenizer,
    texts: Vec<String>,
}

impl<'t> Texts<'t> {
    /// Texts in the given order.
    pub fn new(tokenizer: &'t Tokenizer, texts: Vec<String>) -> Self {
        Self { tokenizer, texts }
    }
}

impl Samples for Texts<'_> {
    fn len(&self) -> usize {
        self.texts.len()
    }

    fn batch(&self, range: Range<usize>) -> Result<Batch, Error> {
        let (ids, mask) = self.tokenizer.encode(&self.texts[range])?;
        Ok(Batch::Text { ids, mask })
    }

    fn name(&self, index: usize) -> String {
        format!("text {index} ({:?})", self.texts[index])
    }
}
