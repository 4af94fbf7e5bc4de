//! What stands beside a `tokenizer.json` and says how its texts are cleaned, cut and padded, as transformers heeds it.

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::utils::padding::PaddingDirection;
use tokenizers::utils::truncation::TruncationDirection;
use tokenizers::{NormalizerWrapper, PaddingParams, TruncationParams};

use super::cleaning::Cleaning;
use super::error::Error;
use crate::plain;

/// Bytes of such a file that are read at most.
const MOST: u64 = 1 << 26;

/// The files, as far as they are there.
pub struct Beside {
    model: Value,
    open_clip: Value,
    tokenizer: Value,
    special: Value,
}

impl Beside {
    /// Reads what stands beside `tokenizer`.
    ///
    /// # Errors
    /// If a file cannot be read, or is no JSON.
    pub fn read(tokenizer: &Path) -> Result<Self, Error> {
        let read = |name| read(tokenizer, name);
        Ok(Self {
            model: read("config.json")?,
            open_clip: read("open_clip_config.json")?,
            tokenizer: read("tokenizer_config.json")?,
            special: read("special_tokens_map.json")?,
        })
    }

    /// How many tokens a text gets: as many as the text tower has positions for, else as the tokenizer says.
    pub fn length(&self) -> Option<usize> {
        let towers = [&self.model["text_config"], &self.model];
        let length = towers.into_iter().find_map(positions).or_else(|| {
            let tower = self.open_clip["model_cfg"].get("text_cfg")?;
            tower.get("context_length").map_or(Some(77), Value::as_u64)
        });
        // transformers writes 10^30 for "not known".
        let own = self.tokenizer["model_max_length"].as_u64().filter(|&length| length < 1_000_000);
        usize::try_from(length.or(own)?).ok()
    }

    /// How texts are padded. `own` is what tokenizer.json says itself, `id` looks up a token.
    ///
    /// # Errors
    /// A sentence, if there is no padding token, or no such side.
    pub fn padding(
        &self,
        own: Option<&PaddingParams>,
        id: impl Fn(&str) -> Option<u32>,
    ) -> Result<PaddingParams, String> {
        let named = [&self.tokenizer, &self.special].map(|file| {
            let token = file.get("pad_token")?;
            token.get("content").unwrap_or(token).as_str()
        });
        let usual: &[&str] = if self.is_siglip() { &["</s>"] } else { &["<|endoftext|>", "[PAD]", "<pad>"] };
        let own_token = own.map(|own| own.pad_token.as_str());
        let mut candidates = named.into_iter().chain([own_token]).flatten().chain(usual.iter().copied());
        let (token, pad_id) = candidates
            .find_map(|token| Some((token.to_owned(), id(token)?)))
            .or_else(|| own.map(|own| (own.pad_token.clone(), own.pad_id)))
            .ok_or("it names no padding token, and neither does tokenizer_config.json beside it")?;
        let direction = match (self.side("padding_side")?, own) {
            (Some(Side::Left), _) => PaddingDirection::Left,
            (Some(Side::Right), _) => PaddingDirection::Right,
            (None, Some(own)) => own.direction,
            // Classes that pad on the left unless told otherwise.
            (None, None) if matches!(self.class(), "Gemma" | "Llama" | "Siglip2") => PaddingDirection::Left,
            (None, None) => PaddingDirection::Right,
        };
        let pad_type_id = own.map_or(0, |own| own.pad_type_id);
        Ok(PaddingParams { direction, pad_id, pad_token: token, pad_type_id, ..PaddingParams::default() })
    }

    /// From which end texts that are too long are cut. Special tokens stay on either.
    ///
    /// # Errors
    /// A sentence, if there is no such side.
    pub fn truncation(&self, own: Option<&TruncationParams>, length: usize) -> Result<TruncationParams, String> {
        let direction = match self.side("truncation_side")? {
            Some(Side::Left) => TruncationDirection::Left,
            Some(Side::Right) => TruncationDirection::Right,
            None => own.map_or(TruncationDirection::Right, |own| own.direction),
        };
        Ok(TruncationParams { max_length: length, direction, ..TruncationParams::default() })
    }

    /// What is to be done to texts besides, given what tokenizer.json does.
    pub fn cleaning(&self, own: Option<&NormalizerWrapper>) -> Cleaning {
        let clean = self.open_clip["model_cfg"]["text_cfg"]["tokenizer_kwargs"]["clean"].as_str();
        let canonicalize = clean == Some("canonicalize");
        // A tokenizer.json that was made for this leaves out punctuation itself.
        if document(own).is_some_and(|own| removes(&own)) {
            return Cleaning::default();
        }
        Cleaning {
            underscores: canonicalize,
            lower: matches!(clean, Some("canonicalize" | "lower")) || (self.is_siglip() && self.lowers()),
            canonical: canonicalize || self.is_siglip(),
        }
    }

    /// The normaliser in place of tokenizer.json's: the same, and lower case where the class takes it.
    ///
    /// # Errors
    /// A sentence, if the library does not take it.
    pub fn normalizer(&self, own: Option<&NormalizerWrapper>) -> Result<Option<NormalizerWrapper>, String> {
        let mut document = document(own);
        if !self.lowers() || document.as_ref().is_some_and(lowers) {
            return Ok(own.cloned());
        }
        if !document.as_mut().is_some_and(made_lower) {
            let steps: Vec<Value> = [json!({"type": "Lowercase"})].into_iter().chain(document).collect();
            document = Some(json!({"type": "Sequence", "normalizers": steps}));
        }
        document.map(serde_json::from_value).transpose().map_err(|e| e.to_string())
    }

    /// Whether the tokenizer's class takes lower case. SigLIP's do unless told otherwise.
    fn lowers(&self) -> bool {
        self.tokenizer["do_lower_case"].as_bool().unwrap_or(matches!(self.class(), "Siglip" | "Siglip2"))
    }

    fn is_siglip(&self) -> bool {
        self.class() == "Siglip"
    }

    /// The tokenizer's class without `Tokenizer` or `TokenizerFast`.
    fn class(&self) -> &str {
        let class = self.tokenizer["tokenizer_class"].as_str().unwrap_or_default();
        class.strip_suffix("Fast").unwrap_or(class).trim_end_matches("Tokenizer")
    }

    fn side(&self, key: &str) -> Result<Option<Side>, String> {
        match &self.tokenizer[key] {
            Value::Null => Ok(None),
            Value::String(side) if side == "left" => Ok(Some(Side::Left)),
            Value::String(side) if side == "right" => Ok(Some(Side::Right)),
            other => Err(format!("{key} {other} in tokenizer_config.json is neither left nor right")),
        }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// A JSON file beside the tokenizer; null if there is none.
fn read(tokenizer: &Path, name: &'static str) -> Result<Value, Error> {
    let path = tokenizer.with_file_name(name);
    match plain::read(&path, MOST) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| Error::Format {
            what: name,
            path,
            reason: e.to_string(),
            help: "repair or remove the file; it stands beside the tokenizer and may set its length, padding or lower case",
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Value::Null),
        Err(source) => Err(Error::Io { what: name, path, source }),
    }
}

/// How many tokens a text tower has positions for. RoBERTa and its kin begin to count behind the padding token.
fn positions(tower: &Value) -> Option<u64> {
    let length = tower.get("max_position_embeddings")?.as_u64()?;
    let kind = tower["model_type"].as_str().unwrap_or_default();
    let skipped = ["roberta", "camembert", "altclip_text"].iter().any(|kin| kind.contains(kin));
    Some(if skipped {
        length.saturating_sub(tower["pad_token_id"].as_u64().unwrap_or(1).saturating_add(1))
    } else {
        length
    })
}

/// A normaliser as JSON, which unlike the library's type can be looked into.
fn document(normalizer: Option<&NormalizerWrapper>) -> Option<Value> {
    serde_json::to_value(normalizer?).ok()
}

/// Whether a normaliser, or one of those in it, is such a one.
fn any(normalizer: &Value, is: fn(&Value) -> bool) -> bool {
    is(normalizer) || normalizer["normalizers"].as_array().is_some_and(|inner| inner.iter().any(|inner| any(inner, is)))
}

fn lowers(normalizer: &Value) -> bool {
    any(normalizer, |n| n["type"] == "Lowercase" || (n["type"] == "BertNormalizer" && n["lowercase"] == true))
}

/// Whether something is replaced by nothing, which can only be punctuation.
fn removes(normalizer: &Value) -> bool {
    any(normalizer, |n| n["type"] == "Replace" && n["content"] == "")
}

/// A BERT normaliser takes lower case itself, and with it the accents off, as `BertTokenizerFast` sets it.
fn made_lower(normalizer: &mut Value) -> bool {
    if normalizer["type"] == "BertNormalizer" {
        normalizer["lowercase"] = Value::Bool(true);
        return true;
    }
    let inner = normalizer.get_mut("normalizers").and_then(Value::as_array_mut);
    inner.is_some_and(|inner| inner.iter_mut().any(made_lower))
}
