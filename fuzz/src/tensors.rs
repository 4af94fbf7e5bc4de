//! Safetensors files around fuzzed parts, so that these need not be found behind lengths and offsets that must fit.

use std::collections::HashMap;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// A tensor: name, type, shape, bytes.
pub type Part<'b> = (String, Dtype, Vec<usize>, &'b [u8]);

/// A file with a metadata entry and these tensors, which have all the bytes that their shapes ask for; `None` if some have
/// not.
pub fn file(key: &str, json: Option<&[u8]>, parts: &[Part]) -> Option<Vec<u8>> {
    let views = parts.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).ok()?;
        Some((name, view))
    });
    let views: Vec<_> = views.collect::<Option<_>>()?;
    let metadata = json.map(|json| HashMap::from([(key.to_owned(), String::from_utf8_lossy(json).into_owned())]));
    safetensors::serialize(views, metadata).ok()
}

/// Bytes as a row of elements, without what is over.
pub fn row(name: String, dtype: Dtype, bytes: &[u8]) -> Part<'_> {
    let size = dtype.bitsize() / 8;
    let count = bytes.len() / size;
    (name, dtype, vec![count], &bytes[..count * size])
}
