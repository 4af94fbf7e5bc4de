//! External data: the files beside a model that hold tensor values, and which of them may be read.
//!
//! A model names such files by relative locations (ONNX IR specification, "External Tensor Data"). A model comes
//! from the internet, so a location is not believed: it must lead to a regular file in the model's own folder.

use std::path::{Component, Path, PathBuf};

use super::source::Source;

/// Checks a location as text: relative, and going down only, by the rules of every system.
///
/// # Errors
/// What is wrong with it.
pub fn check_location(location: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("its external data location '{location}' {why}"));
    if location.is_empty() {
        return refuse("is empty");
    }
    if location.contains(['\\', '\0']) || location.as_bytes().get(1) == Some(&b':') {
        return refuse("holds a backslash, a NUL or a drive letter");
    }
    let mut named = false;
    for component in Path::new(location).components() {
        match component {
            Component::Normal(_) => named = true,
            Component::CurDir => {}
            Component::ParentDir => return refuse("goes up with '..'"),
            Component::RootDir | Component::Prefix(_) => return refuse("is absolute"),
        }
    }
    if named && !location.ends_with('/') { Ok(()) } else { refuse("names no file") }
}

/// The location without `.` and doubled slashes: the same for all spellings of one path.
pub fn normal(location: &str) -> PathBuf {
    Path::new(location).components().filter(|part| *part != Component::CurDir).collect()
}

/// Opens the file at `location` of the model at `model`.
///
/// Links are followed as long as the end is in the folder the model was opened in, or in the folder where the model
/// itself really is: caches (Hugging Face's) keep a folder of links into a folder of blobs.
///
/// # Errors
/// Why the file may not or cannot be read.
pub fn open(model: &Path, location: &str) -> Result<Source, String> {
    check_location(location)?;
    let failed = |what: String| format!("its external data file '{location}' {what}");
    let logical = super::output::folder_of(model).to_owned();
    let real_model = model.canonicalize().map_err(|e| failed(format!("cannot be looked for: {e}")))?;
    let real = super::output::folder_of(&real_model).to_owned();
    let found = [&logical, &real].iter().map(|folder| folder.join(location)).find(|path| path.exists());
    let path = found.ok_or_else(|| failed(format!("is missing in {}", logical.display())))?;
    let end = path.canonicalize().map_err(|e| failed(format!("cannot be resolved: {e}")))?;
    let logical = logical.canonicalize().map_err(|e| failed(format!("cannot be resolved: {e}")))?;
    if !end.starts_with(&logical) && !end.starts_with(&real) {
        return Err(failed(format!("is a link to {}, outside the model's folder", end.display())));
    }
    let metadata = end.metadata().map_err(|e| failed(format!("cannot be read: {e}")))?;
    if !metadata.is_file() {
        // Before it is opened: a FIFO would wait for ever.
        return Err(failed("is not a regular file".to_owned()));
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(&metadata) > 1 {
        // What onnx.checker refuses too: by a hard link, an unpacked archive shows a file of another folder.
        return Err(failed("has other hard links, which may be files outside the model's folder; copy it".to_owned()));
    }
    Source::open(&end).map_err(|e| failed(format!("cannot be read: {e}")))
}

/// A decimal number of an `external_data` entry.
///
/// # Errors
/// If it is none.
pub fn number(key: &str, value: &str) -> Result<usize, String> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|_| digits).ok_or_else(|| format!("its external data {key} '{value}' is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_that_could_leave_the_folder_are_refused() {
        for bad in [
            "",
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a/../x",
            "./../x",
            "C:x",
            "C:/x",
            "\\\\host\\x",
            "a\\..\\x",
            "x\0",
            "//host/x",
            ".",
            "./",
            "x/",
        ] {
            assert!(check_location(bad).is_err(), "{bad:?}");
        }
        for good in ["x", "./x", "a/b.data", "a//b", "..x", "x..", "weights é.bin", "a/.../b"] {
            assert_eq!(check_location(good), Ok(()), "{good:?}");
        }
        assert_eq!(normal("./a//b"), normal("a/./b"));
    }

    #[test]
    fn numbers_are_plain_decimals() {
        assert_eq!(number("offset", "4096"), Ok(4096));
        for bad in ["", "-1", "+1", "0x10", " 1", "1e3", "99999999999999999999999"] {
            assert!(number("offset", bad).is_err(), "{bad:?}");
        }
    }
}
