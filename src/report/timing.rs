//! How long the parts took, as JSON.

use serde_json::{Value, json};

/// Seconds by part, to a thousandth.
pub(super) fn timing(parts: &[(&'static str, f64)]) -> Value {
    let entry = |&(part, seconds): &(&str, f64)| (part.to_owned(), json!((seconds * 1e3).round() / 1e3));
    Value::Object(parts.iter().map(entry).collect())
}
