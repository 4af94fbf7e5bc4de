//! Lines of JSON: one row each.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::Found;
use super::columns::{Column, Naming, Record, passed_over};
use crate::dataset::error::Error;
use crate::dataset::read::text_of;

/// Reads a manifest of ours, whose rows have an id.
pub fn read(path: &Path) -> Result<Found, Error> {
    let mut found = Found::default();
    lines(path, "manifest", Naming::Own, None, &mut found)?;
    Ok(found)
}

/// Adds the rows of a file. In the folder of a split, rows belong to it unless they say otherwise.
pub fn lines(
    path: &Path,
    what: &'static str,
    naming: Naming,
    split: Option<&str>,
    found: &mut Found,
) -> Result<(), Error> {
    let text = text_of(path, what)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let source = found.source(path);
    let mut unknown = BTreeSet::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = number + 1;
        let wrong = |reason| Error::Line { path: path.to_owned(), line: number, reason, help: help(naming) };
        let Pairs(pairs) = serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?;
        let mut record = Record::default();
        for (name, value) in pairs {
            let Some(column) = naming.column(&name) else {
                unknown.insert(name);
                continue;
            };
            if let Some(value) = cell(column, &name, value).map_err(wrong)? {
                record.set(column, &name, value).map_err(wrong)?;
            }
        }
        if naming == Naming::Own && !record.has(Column::Id) {
            return Err(wrong("it has no id".to_owned()));
        }
        found.rows.push(record.row(folder, source, number, split));
    }
    found.notes.extend(passed_over(path, &unknown));
    Ok(())
}

/// What to do where a line is wrong.
fn help(naming: Naming) -> &'static str {
    match naming {
        Naming::Own => {
            "each line is one JSON object with id, safe_text, unsafe_text, safe_image, unsafe_image and optionally concept, split, style, sensitive; image paths are relative to the manifest"
        }
        Naming::ImageFolder => naming.help(),
    }
}

/// What stands in a column; nothing for `null`.
fn cell(column: Column, name: &str, value: Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) if column == Column::Id => Ok(Some(number.to_string())),
        Value::Bool(value) if column == Column::Sensitive => Ok(Some(value.to_string())),
        other if column == Column::Id => Err(format!("id is {other}, neither text nor number")),
        other => Err(format!("{name} is {other}, not text")),
    }
}

/// The members of an object in their order, also such as come twice.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = vec![];
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
