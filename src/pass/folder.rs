//! Models in a folder as exporters lay them out: which file is which tower, and which are others of its kind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Error, ModelFiles};
use crate::few::few;
use crate::onnx::{self, Modality};

/// Names of a text tower's file.
const TEXT: [&str; 5] = ["text_model", "text_encoder", "textual", "text", "model_text"];
/// Names of a vision tower's file.
const VISION: [&str; 7] =
    ["vision_model", "vision_encoder", "visual", "image_encoder", "image_model", "vision", "model_vision"];
/// Names of a file with all that there is.
const WHOLE: [&str; 3] = ["model", "clip", "clip_model"];
/// What is added for other precisions, without the `_` or `.` before it.
const VARIANTS: [&str; 12] =
    ["fp16", "fp32", "bf16", "quantized", "int8", "uint8", "q8", "q4", "q4f16", "bnb4", "quant", "optimized"];

/// Finds the models in a folder, or in `onnx` below it (the layout of Hugging Face and Optimum): a file for each tower,
/// or one for both; those without a word of precision in their names, or with the one of `variant`.
///
/// # Errors
/// If there are none, or they cannot be told.
pub fn find_models(folder: &Path, variant: Option<&str>) -> Result<ModelFiles, Error> {
    let list = |folder: &Path| -> Result<BTreeMap<String, PathBuf>, Error> {
        let io = |source| Error::Onnx(onnx::Error::Io { action: "list", path: folder.to_owned(), source });
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
            if let Some(stem) = stem.filter(|_| path.extension().is_some_and(|e| e == "onnx") && path.is_file()) {
                files.insert(stem, path);
            }
        }
        Ok(files)
    };
    let below = folder.join("onnx");
    let mut files = if below.is_dir() { list(&below)? } else { BTreeMap::new() };
    if files.is_empty() {
        files = list(folder)?;
    }
    if files.is_empty() {
        // A folder for each: textual/model.onnx, visual/model.onnx.
        for name in TEXT.iter().chain(&VISION) {
            let own = folder.join(name);
            let inside = if own.is_dir() { list(&own)? } else { BTreeMap::new() };
            let renamed = |(stem, path): (String, PathBuf)| Some((stem.replacen("model", name, 1), path));
            files.extend(inside.into_iter().filter(|(stem, _)| stem.starts_with("model")).filter_map(renamed));
        }
    }
    let named = |names: &[&str]| {
        names.iter().find_map(|name| match variant {
            None => files.get(*name),
            Some(variant) => ["_", "."].iter().find_map(|joint| files.get(&format!("{name}{joint}{variant}"))),
        })
    };
    let single = |path: &PathBuf, only| ModelFiles::Single { path: path.clone(), only };
    Ok(match (named(&TEXT), named(&VISION), named(&WHOLE)) {
        (Some(text), Some(vision), _) => ModelFiles::Pair { text: text.clone(), vision: vision.clone() },
        (_, _, Some(whole)) => single(whole, None),
        (Some(text), None, None) => single(text, Some(Modality::Text)),
        (None, Some(vision), None) => single(vision, Some(Modality::Vision)),
        (None, None, None) => match files.values().collect::<Vec<_>>().as_slice() {
            [one] if variant.is_none() => single(one, None),
            several => {
                let names = few(several.iter().map(|path| path.display()));
                return Err(Error::Conflict {
                    reason: match variant {
                        Some(variant) => format!("{}: no model of the variant '{variant}' ({names})", folder.display()),
                        None => {
                            format!("{}: which of its ONNX files to take cannot be told ({names})", folder.display())
                        }
                    },
                    help: "give a file, or one a tower with --text and --vision, or choose a precision with --variant",
                });
            }
        },
    })
}

/// Files beside a model that seem to hold the same weights in another precision: `text_model_fp16.onnx`.
pub fn siblings(model: &Path) -> Vec<PathBuf> {
    let others = others(model).unwrap_or_default();
    others.into_iter().filter(|other| is_sibling(model, other)).collect()
}

/// Whether a file seems to hold the same weights as another, by their names.
pub fn is_sibling(model: &Path, other: &Path) -> bool {
    let base = |path: &Path| {
        let stem = path.file_stem()?.to_str()?.to_owned();
        let cut = VARIANTS.iter().find_map(|variant| stem.strip_suffix(variant)?.strip_suffix(['_', '.', '-']));
        Some(cut.map_or(stem.clone(), str::to_owned))
    };
    base(other).is_some() && base(other) == base(model)
}

/// The other ONNX files in a model's folder, by name.
///
/// # Errors
/// The system's.
pub fn others(model: &Path) -> std::io::Result<Vec<PathBuf>> {
    let folder = onnx::folder_of(model);
    // Of a model in the working folder, names stay as short as they are.
    let path = |name: std::ffi::OsString| model.with_file_name(name);
    let names =
        std::fs::read_dir(folder)?.map(|entry| Ok(path(entry?.file_name()))).collect::<std::io::Result<Vec<_>>>()?;
    let onnx = |path: &PathBuf| path.extension().is_some_and(|e| e == "onnx") && path.file_name() != model.file_name();
    let mut found: Vec<PathBuf> = names.into_iter().filter(onnx).collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn found(names: &[&str], variant: Option<&str>) -> Result<Vec<String>, String> {
        let folder = folder(names);
        let found = find_models(folder.path(), variant).map_err(|error| error.to_string())?;
        let name = |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
        Ok(found.inputs().iter().map(name).collect())
    }

    #[test]
    fn layouts_are_known() {
        let optimum = [
            "config.json",
            "onnx/text_model.onnx",
            "onnx/text_model_fp16.onnx",
            "onnx/vision_model.onnx",
            "onnx/vision_model_fp16.onnx",
            "onnx/model.onnx",
        ];
        let pair = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        assert_eq!(found(&optimum, None).unwrap(), pair("onnx/text_model.onnx", "onnx/vision_model.onnx"));
        assert_eq!(
            found(&optimum, Some("fp16")).unwrap(),
            pair("onnx/text_model_fp16.onnx", "onnx/vision_model_fp16.onnx")
        );
        assert_eq!(found(&["textual.onnx", "visual.onnx"], None).unwrap(), pair("textual.onnx", "visual.onnx"));
        let encoders = ["image_encoder.onnx", "text_encoder.onnx"];
        assert_eq!(found(&encoders, None).unwrap(), pair("text_encoder.onnx", "image_encoder.onnx"));
        assert_eq!(found(&["a/b.txt", "model.onnx", "model_q4.onnx"], None).unwrap(), ["model.onnx"]);
        assert_eq!(found(&["siglip.onnx"], None).unwrap(), ["siglip.onnx"]);
        assert_eq!(found(&["vision_model.onnx", "decoder.onnx"], None).unwrap(), ["vision_model.onnx"]);
        let folders = ["textual/model.onnx", "visual/model.onnx", "visual/model_fp16.onnx"];
        assert_eq!(found(&folders, None).unwrap(), pair("textual/model.onnx", "visual/model.onnx"));
        assert_eq!(found(&folders, Some("fp16")).unwrap(), ["visual/model_fp16.onnx"]);
        assert!(found(&["a.onnx", "b.onnx"], None).unwrap_err().contains("cannot be told"));
        assert!(found(&["model.onnx"], Some("fp16")).unwrap_err().contains("model.onnx"));
        assert!(found(&["readme.md"], None).unwrap_err().contains("(none)"));
    }

    #[test]
    fn siblings_are_the_same_model_in_other_precisions() {
        let folder = folder(&[
            "text_model.onnx",
            "text_model_fp16.onnx",
            "text_model_q4.onnx",
            "vision_model.onnx",
            "text_model_fp16.txt",
        ]);
        let names = |model: &str| -> Vec<String> {
            let found = siblings(&folder.path().join(model));
            found.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("text_model.onnx"), ["text_model_fp16.onnx", "text_model_q4.onnx"]);
        assert_eq!(names("text_model_q4.onnx"), ["text_model.onnx", "text_model_fp16.onnx"]);
        assert!(names("vision_model.onnx").is_empty());
    }
}
