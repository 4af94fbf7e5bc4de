//! Attacks by archives: data sets that are small to download and large to open.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use tempfile::TempDir;
use zip::CompressionMethod::Deflated;
use zip::write::SimpleFileOptions;

use crate::run;

fn refused(name: &str, bytes: impl AsRef<[u8]>, words: &str) {
    let (folder, path) = written(name, bytes);
    let said = run(&["data", "check", path.to_str().unwrap()]);
    said.is(3, words).says_little(words);
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "{words}: something was unpacked");
}

fn written(name: &str, bytes: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// An array of numpy: a header, and numbers of one byte.
fn npy(shape: &str, data: usize) -> Vec<u8> {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

fn npz(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(Deflated);
    let mut archive = zip::ZipWriter::new(Cursor::new(vec![]));
    for (name, bytes) in members {
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Writes over the fields of a zip archive's directory, entry by entry: `change` gets the 46 bytes before the name.
fn with_directory(mut zip: Vec<u8>, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let starts: Vec<usize> = (0..zip.len() - 4).filter(|&at| zip[at..].starts_with(b"PK\x01\x02")).collect();
    for at in starts {
        change(&mut zip[at..at + 46]);
    }
    zip
}

const NAMES: [&str; 2] = ["safe_text.ids.npy", "unsafe_text.ids.npy"];

/// Attack 20: Zip bombs: an archive of a few hundred kilobytes that is gigabytes of numbers.
#[test]
fn zip_bombs() {
    let ids = NAMES.map(|name| (name, npy("(1, 201326592)", 192 << 20)));
    let bomb = npz(&ids);
    assert!(bomb.len() < 1 << 20);
    refused("set.npz", &bomb, "unpacks from");
    // It says that it is small: then no more is read than it says.
    let small = with_directory(bomb.clone(), |entry| entry[24..28].copy_from_slice(&1000_u32.to_le_bytes()));
    refused("set.npz", &small, "has 1000 bytes where its shape takes 201326592");
    // It says that it was as large before it was packed.
    let packed = with_directory(bomb, |entry| entry[20..24].copy_from_slice(&(180_u32 << 20).to_le_bytes()));
    refused("set.npz", &packed, "set.npz");
}

/// Attack 21: A zip archive whose members overlap: all are the same bytes, which are unpacked for each again.
#[test]
fn members_that_overlap() {
    let one = npy("(1, 66060288)", 63 << 20);
    let names: Vec<String> = (0..200).map(|k| format!("safe_text.{k:03}.npy")).collect();
    let members: Vec<(&str, Vec<u8>)> =
        names.iter().map(|name| (&**name, if *name == names[0] { one.clone() } else { vec![] })).collect();
    let zip = npz(&members);
    let first = zip.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    let sizes: [u8; 12] = zip[first + 16..first + 28].try_into().unwrap();
    let overlapping = with_directory(zip, |entry| {
        // The first one's checksum, sizes and place.
        entry[16..28].copy_from_slice(&sizes);
        entry[42..46].fill(0);
    });
    assert!(overlapping.len() < 1 << 20);
    refused("set.npz", overlapping, "set.npz");
}

/// Attack 22: Directories of zip archives that lie: places outside the file, counts that are not, names that lead elsewhere.
#[test]
fn directories_that_lie() {
    let whole = npz(&NAMES.map(|name| (name, npy("(1, 4)", 4))));
    refused("set.npz", with_directory(whole.clone(), |entry| entry[42..46].fill(0xfe)), "set.npz");
    refused("set.npz", with_directory(whole.clone(), |entry| entry[28..32].fill(0xff)), "set.npz");
    let end = whole.windows(4).position(|window| window == b"PK\x05\x06").unwrap();
    // Counts, and the directory's size and place: refused, or the directory is found all the same.
    for at in [8, 12, 16] {
        let mut lying = whole.clone();
        lying[end + at..end + at + 4].fill(0xee);
        let (_folder, path) = written("set.npz", lying);
        let said = run(&["data", "check", path.to_str().unwrap()]);
        assert!(matches!(said.code, Some(0 | 3)), "{:?} {}", said.code, said.text());
    }
    refused("set.npz", npz(&[("../../safe_text.ids.npy", npy("(1, 4)", 4))]), "no array of such a name");
    // Headers of arrays: shapes that overflow, headers without end.
    for shape in ["(18446744073709551615, 18446744073709551615)", "(1, 9223372036854775807)", "(-1, 4)", "(1, 1e9)"] {
        refused("set.npz", npz(&[(NAMES[0], npy(shape, 4))]), "set.npz");
    }
    let axes = format!("({})", "1, ".repeat(10_000));
    refused("set.npz", npz(&[(NAMES[0], npy(&axes, 1))]), "set.npz");
    let mut endless = b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec();
    endless.extend([b'('; 100]);
    refused("set.npz", npz(&[(NAMES[0], endless)]), "its header has 4294967295 bytes");
}

fn header(name: &[u8], size: u64, kind: tar::EntryType) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(kind);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Attack 23: Tar archives: sizes beyond the end, files with holes, names that lead out, links, devices. Nothing is
/// unpacked.
#[test]
fn tar_archives_that_lie() {
    use tar::EntryType;
    for size in [1 << 20, 1 << 40, u64::MAX >> 1, u64::MAX] {
        refused("set.tar", header(b"1.safe.txt", size, EntryType::Regular), "set.tar");
        refused("set.tar", header(b"././@LongLink", size, EntryType::GNULongName), "set.tar");
        refused("set.tar", header(b"pax", size, EntryType::XHeader), "set.tar");
    }
    refused("set.tar", header(b"1.safe.txt", 0, EntryType::GNUSparse), "sparse");
    for name in ["../1.safe.txt", "/etc/passwd", "a/../../b.safe.txt", "..", "a\\b.safe.txt"] {
        let entry = header(name.as_bytes(), 0, EntryType::Regular);
        refused("set.tar", [entry, vec![0; 1024]].concat(), "leads out of the archive");
    }
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Block, EntryType::Fifo] {
        let entry = header(b"1.safe.txt", 0, kind);
        refused("set.tar", [entry, vec![0; 1024]].concat(), "set.tar");
    }
    // A record that says the size of the next member, holes, and a name of its own; records that are none.
    for record in ["18 size=99999999\n", "22 GNU.sparse.major=1\n", "18 path=../../a.b\n", "99999999999 path=a\n", "no"]
    {
        let mut archive = header(b"pax", record.len() as u64, EntryType::XHeader);
        archive.extend(record.as_bytes());
        archive.resize(1024, 0);
        archive.extend(header(b"1.safe.txt", 0, EntryType::Regular));
        archive.resize(4096, 0);
        refused("set.tar", archive, "set.tar");
    }
}

/// Attack 24: A hundred thousand members.
#[test]
fn many_members() {
    let mut archive: Vec<u8> =
        (0..100_000).flat_map(|k| header(format!("{k}.x").as_bytes(), 0, tar::EntryType::Regular)).collect();
    archive.resize(archive.len() + 1024, 0);
    refused("set.tar", archive, "set.tar");
    let names: Vec<String> = (0..60_000).map(|k| format!("{k}.npy")).collect();
    let members: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (&**name, npy("(1,)", 1))).collect();
    refused("set.npz", npz(&members), "no array of such a name");
}
