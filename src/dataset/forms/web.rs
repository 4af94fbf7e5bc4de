//! Tar archives in the way of WebDataset: the members of a sample share a name up to the first dot.
//!
//! Nothing is unpacked and nothing is followed: images are read where they lie in the archive.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Read, Seek};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::{Found, Place, Row, entries};
use crate::dataset::error::Error;
use crate::dataset::picture::Picture;
use crate::few::{cut, few};
use crate::plain;

/// What to do where an archive is wrong.
pub const HELP: &str = "members are KEY.safe.jpg (or .png, ...), KEY.unsafe.jpg, KEY.safe.txt, KEY.unsafe.txt and KEY.json with concept, style, split, sensitive; all plain files with relative names, as tar writes them without --sparse";
const WHAT: &str = "tar archive";
/// Bytes of a text, an object or a name that are read at most.
const MOST_TEXT: u64 = 1 << 20;

/// A plain file in an archive.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name up to the first dot of the last part.
    pub key: String,
    /// What comes after, in lower case.
    pub ending: String,
    /// Where it is.
    pub picture: Picture,
    /// Its text, if it was to be read.
    pub text: Option<String>,
}

#[derive(Deserialize)]
struct Object {
    safe_text: Option<String>,
    unsafe_text: Option<String>,
    concept: Option<String>,
    style: Option<String>,
    split: Option<String>,
    sensitive: Option<bool>,
}

/// Reads an archive, or those of a folder.
pub fn read(path: &Path) -> Result<Found, Error> {
    let mut found = Found::default();
    let several = path.is_dir();
    let archives: Vec<PathBuf> = match several {
        true => entries(path)?.into_iter().map(|name| path.join(name)).collect(),
        false => vec![path.to_owned()],
    };
    for archive in archives {
        let source = found.source(&archive);
        let stem = archive.file_stem().unwrap_or_default().to_string_lossy();
        let (mut samples, mut keys) = (Vec::<Row>::new(), HashMap::new());
        let mut others = BTreeMap::<String, usize>::new();
        for member in members(&archive, |ending| ending.ends_with("txt") || ending == "json", &mut found.notes)? {
            let at = *keys.entry(member.key.clone()).or_insert_with(|| {
                samples.push(Row {
                    source,
                    place: Place::Named(format!("sample '{}'", cut(&member.key))),
                    // Shards may number their samples alike.
                    id: if several { format!("{stem}/{}", member.key) } else { member.key.clone() },
                    texts: [None, None],
                    images: [None, None],
                    concept: None,
                    style: None,
                    split: None,
                    sensitive: None,
                });
                samples.len() - 1
            });
            let ending = member.ending.clone();
            if !put(&mut samples[at], member).map_err(|reason| wrong(&archive, reason))? {
                *others.entry(ending).or_default() += 1;
            }
        }
        if !others.is_empty() {
            let endings = few(others.iter().map(|(ending, count)| format!("{count} .{ending}")));
            found.notes.push(format!("{}: members that are not used: {endings}", archive.display()));
        }
        // A sample of which nothing is used is none.
        let nothing = |row: &Row| row.texts == [None, None] && row.images == [None, None];
        samples.retain(|row| !(nothing(row) && row.concept.is_none() && row.split.is_none()));
        found.rows.append(&mut samples);
    }
    Ok(found)
}

/// Puts a member where it belongs; whether it belongs anywhere.
fn put(row: &mut Row, member: Member) -> Result<bool, String> {
    let Member { key, ending, picture, text } = member;
    let twice = |what: &str| Err(format!("the sample '{}' has two {what}", cut(&key)));
    let (side, kind) = match ending.split_once('.') {
        Some(("safe", kind)) => (0, kind),
        Some(("unsafe", kind)) => (1, kind),
        _ if ending == "json" => {
            let object: Object = serde_json::from_str(&text.unwrap_or_default())
                .map_err(|e| format!("{picture} is not an object as it should be: {e}"))?;
            for (side, text) in [object.safe_text, object.unsafe_text].into_iter().enumerate() {
                if text.is_some() && row.texts[side].is_some() {
                    return twice("texts of one side");
                }
                row.texts[side] = text.or(row.texts[side].take());
            }
            (row.concept, row.style, row.split) = (object.concept, object.style, object.split);
            row.sensitive = object.sensitive;
            return Ok(true);
        }
        _ => return Ok(false),
    };
    match kind {
        "txt" if row.texts[side].is_some() => return twice("texts of one side"),
        // Editors end a file with a line's end.
        "txt" => row.texts[side] = text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()),
        kind if !IMAGES.contains(&kind) => return Ok(false),
        _ if row.images[side].is_some() => return twice("images of one side"),
        _ => row.images[side] = Some(picture),
    }
    Ok(true)
}

/// Endings of images; whether one can be decoded is seen when it is read.
pub const IMAGES: [&str; 10] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "avif"];

fn wrong(archive: &Path, reason: String) -> Error {
    Error::Format { what: WHAT, path: archive.to_owned(), reason, help: HELP }
}

/// The plain files in an archive, in their order; of those whose ending is `wanted` the text is read. Links and the like
/// are counted in `notes`.
///
/// # Errors
/// If the archive is broken, or holds what none should.
pub fn members(archive: &Path, wanted: impl Fn(&str) -> bool, notes: &mut Vec<String>) -> Result<Vec<Member>, Error> {
    let io = |source| Error::Io { what: WHAT, path: archive.to_owned(), source };
    let file = plain::open(archive).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let shared: Arc<Path> = archive.into();
    let mut reader = Archive::new(file);
    let (mut found, mut names, mut passed) = (vec![], HashSet::new(), BTreeMap::<&str, usize>::new());
    // The name that a member of its own gave to the next.
    let mut long: Option<Vec<u8>> = None;
    // Raw, since the crate would read names of any length.
    for entry in reader.entries_with_seek().map_err(io)?.raw(true) {
        let mut entry = entry.map_err(|e| wrong(archive, e.to_string()))?;
        let (offset, size) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(size).is_none_or(|end| end > length) {
            let name = shown(&entry.path_bytes());
            return Err(wrong(archive, format!("it ends within the member '{name}'")));
        }
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => {
                let mut name = text(&mut entry, size).map_err(|reason| wrong(archive, reason))?;
                name.retain(|byte| *byte != 0);
                long = Some(name);
                continue;
            }
            EntryType::XHeader => {
                let records = text(&mut entry, size).map_err(|reason| wrong(archive, reason))?;
                long = pax_name(&records).map_err(|reason| wrong(archive, reason))?.or(long);
                continue;
            }
            EntryType::XGlobalHeader | EntryType::GNULongLink => continue,
            _ => {}
        }
        let name = long.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        match kind {
            // Of a folder, as old archives have it.
            EntryType::Regular if name.ends_with(b"/") => continue,
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Directory => continue,
            EntryType::GNUSparse => {
                return Err(wrong(archive, format!("the member '{}' is sparse", shown(&name))));
            }
            EntryType::Link | EntryType::Symlink => {
                *passed.entry("links").or_default() += 1;
                continue;
            }
            _ => {
                *passed.entry("special files").or_default() += 1;
                continue;
            }
        }
        let name = checked(name).map_err(|reason| wrong(archive, reason))?;
        let (key, ending) = parted(&name);
        let ending = ending.to_lowercase();
        let text = match wanted(&ending) {
            true => {
                let bytes = text(&mut entry, size).map_err(|reason| wrong(archive, reason))?;
                let text = String::from_utf8(bytes);
                Some(text.map_err(|_| wrong(archive, format!("the member '{}' is not UTF-8", cut(&name))))?)
            }
            false => None,
        };
        let key = key.to_owned();
        if !names.insert(name.clone()) {
            return Err(wrong(archive, format!("the member '{}' is there twice", cut(&name))));
        }
        let picture = Picture::Member { archive: shared.clone(), name, offset, size };
        found.push(Member { key, ending, picture, text });
    }
    if !passed.is_empty() {
        let passed = few(passed.iter().map(|(what, count)| format!("{count} {what}")));
        notes.push(format!("{}: members that were passed over: {passed}", archive.display()));
    }
    Ok(found)
}

/// The content of a small member.
fn text<R: Read + Seek>(entry: &mut Entry<R>, size: u64) -> Result<Vec<u8>, String> {
    if size > MOST_TEXT {
        let name = shown(&entry.path_bytes());
        return Err(format!("the member '{name}' has {size} bytes, and of a text more than {MOST_TEXT} are not read"));
    }
    let mut bytes = vec![];
    entry.take(size).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes)
}

/// The name in the records before a member.
fn pax_name(records: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut name = None;
    for record in PaxExtensions::new(records) {
        let record = record.map_err(|e| e.to_string())?;
        match record.key_bytes() {
            b"path" => name = Some(record.value_bytes().to_owned()),
            b"size" => return Err("a member tells its size in a record of its own, as those over 8 GiB do".to_owned()),
            key if key.starts_with(b"GNU.sparse") => return Err("a member is sparse".to_owned()),
            _ => {}
        }
    }
    Ok(name)
}

/// A name that leads nowhere else.
fn checked(name: Vec<u8>) -> Result<String, String> {
    let name = String::from_utf8(name).map_err(|e| format!("the name '{}' is not UTF-8", shown(e.as_bytes())))?;
    let plain = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    if name.is_empty() || name.contains(['\0', '\\']) || !Path::new(&name).components().all(plain) {
        return Err(format!("the name '{}' leads out of the archive", cut(&name)));
    }
    Ok(name.strip_prefix("./").unwrap_or(&name).to_owned())
}

/// A name before and after the first dot of its last part.
fn parted(name: &str) -> (&str, &str) {
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[last..].find('.') {
        Some(dot) => (&name[..last + dot], &name[last + dot + 1..]),
        None => (name, ""),
    }
}

fn shown(name: &[u8]) -> String {
    cut(&String::from_utf8_lossy(name)).replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parted_at_the_first_dot_of_their_last_part() {
        assert_eq!(parted("a.b/0001.safe.jpg"), ("a.b/0001", "safe.jpg"));
        assert_eq!(parted("0001"), ("0001", ""));
        assert_eq!(parted(".hidden"), ("", "hidden"));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let checked = |name: &str| checked(name.as_bytes().to_owned());
        assert_eq!(checked("./a/b.txt").unwrap(), "a/b.txt");
        for name in ["../a", "a/../../b", "/a", "", "a\\b"] {
            assert!(checked(name).is_err(), "{name}");
        }
    }
}
