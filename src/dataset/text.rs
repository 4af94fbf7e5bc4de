//! Texts as samples of a text tower, tokenised by the model's own `tokenizer.json`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use serde_json::Value;
use tokenizers::{PaddingParams, PaddingStrategy, TruncationParams};

use super::error::Error;
use super::{Batch, Samples};
use crate::guard::guard;

const WHAT: &str = "tokenizer.json";

/// A Hugging Face tokenizer that makes rows of one length.
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    length: usize,
}

impl Tokenizer {
    /// Reads `tokenizer.json`; rows get `length` tokens, else the length of the model's `config.json` beside it
    /// (`max_position_embeddings` of the text tower), else the file's own truncation length.
    ///
    /// Padding uses the file's own token; else the `pad_token` of `tokenizer_config.json` beside it; else
    /// `<|endoftext|>`, `[PAD]` or `<pad>`, whichever the vocabulary has.
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
        let text = std::fs::read(path).map_err(|source| Error::Io { what: WHAT, path: path.to_owned(), source })?;
        let mut inner = guard(|| tokenizers::Tokenizer::from_bytes(text).map_err(|e| e.to_string())).map_err(wrong)?;
        let config = beside(path, "config.json")?;
        let own = inner.get_truncation().map(|truncation| truncation.max_length);
        let length = length.or_else(|| position_embeddings(config.as_ref()?)).or(own).ok_or_else(|| {
            wrong("the number of tokens a text gets is nowhere stated; set `text: length:`".to_owned())
        })?;
        if !(2..=65_536).contains(&length) {
            return Err(wrong(format!("a length of {length} tokens a text is outside 2 to 65536")));
        }
        let padding = match inner.get_padding() {
            Some(padding) => padding.clone(),
            None => padding_token(beside(path, "tokenizer_config.json")?.as_ref(), &inner).ok_or_else(|| {
                wrong("it names no padding token, and neither does tokenizer_config.json beside it".to_owned())
            })?,
        };
        inner.with_padding(Some(PaddingParams { strategy: PaddingStrategy::Fixed(length), ..padding }));
        let truncation = inner.get_truncation().cloned().unwrap_or_default();
        inner
            .with_truncation(Some(TruncationParams { max_length: length, ..truncation }))
            .map_err(|e| wrong(e.to_string()))?;
        Ok(Self { path: path.to_owned(), inner, length })
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
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
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

/// A JSON file beside the tokenizer, if there is one.
fn beside(tokenizer: &Path, name: &'static str) -> Result<Option<Value>, Error> {
    let path = tokenizer.with_file_name(name);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::Format {
            what: name,
            path,
            reason: e.to_string(),
            help: "repair or remove the file; it stands beside the tokenizer and may set its length or padding",
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { what: name, path, source }),
    }
}

/// How many tokens the text tower has positions for, as `config.json` says it.
fn position_embeddings(config: &Value) -> Option<usize> {
    let towers = [config.get("text_config"), Some(config)];
    let length = towers.into_iter().flatten().find_map(|tower| tower.get("max_position_embeddings")?.as_u64())?;
    usize::try_from(length).ok()
}

fn padding_token(config: Option<&Value>, tokenizer: &tokenizers::Tokenizer) -> Option<PaddingParams> {
    let named = config.and_then(|config| {
        let token = config.get("pad_token")?;
        Some(token.get("content").unwrap_or(token).as_str()?.to_owned())
    });
    let usual = ["<|endoftext|>", "[PAD]", "<pad>"].map(str::to_owned);
    named.into_iter().chain(usual).find_map(|pad_token| {
        let pad_id = tokenizer.token_to_id(&pad_token)?;
        Some(PaddingParams { pad_id, pad_token, ..PaddingParams::default() })
    })
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
