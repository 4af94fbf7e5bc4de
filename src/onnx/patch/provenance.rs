//! What an edited file says about itself: entries of `metadata_props`, appended behind everything else.

use sha2::{Digest, Sha256};

use super::Patch;
use crate::onnx::model::Model;
use crate::onnx::source::hex;

/// Whether the model carries the mark of an edit.
pub fn is_edited(model: &Model) -> bool {
    edits_of(model) > 0
}

/// How many edits the model carries the marks of.
pub fn edits_of(model: &Model) -> usize {
    (1..).take_while(|&edit| model.metadata(&key(edit, "version")).is_some()).count()
}

/// The name of an entry: `uwm.version` of the first edit, `uwm.2.version` of the second.
pub fn key(edit: usize, name: &str) -> String {
    if edit == 1 { format!("uwm.{name}") } else { format!("uwm.{edit}.{name}") }
}

/// Name and value of each entry for the `edit`-th edit of a file.
pub fn entries(patch: &Patch, patch_bytes: &[u8], edit: usize) -> Vec<(String, String)> {
    let options = serde_json::to_vec(&patch.options).expect("JSON values can be written");
    let mut entries = vec![
        ("version", patch.tool.clone()),
        ("source_sha256", patch.source[0].sha256.clone()),
        ("options_sha256", hex(&Sha256::digest(&options))),
        ("selected", patch.selected().to_string()),
        ("patch_sha256", hex(&Sha256::digest(patch_bytes))),
    ];
    let data: Vec<&str> = patch.source.iter().skip(1).map(|file| file.sha256.as_str()).collect();
    if !data.is_empty() {
        entries.push(("source_data_sha256", data.join(" ")));
    }
    entries.into_iter().map(|(name, value)| (key(edit, name), value)).collect()
}

/// The entries as fields of ModelProto.
pub fn block(patch: &Patch, patch_bytes: &[u8], edit: usize) -> Vec<u8> {
    let mut bytes = vec![];
    for (key, value) in entries(patch, patch_bytes, edit) {
        let entry = crate::onnx::proto::StringStringEntryProto { key, value };
        // ModelProto.metadata_props
        prost::encoding::message::encode(14, &entry, &mut bytes);
    }
    bytes
}
