//! Data sets, in every form.

use std::path::Path;

use uwm_onnx::dataset::{CheckOptions, DataSet, Folders, Kind, Side};
use uwm_onnx::pass::{DataCheckJob, Unobserved, check_data};

use super::folder::Folder;
use super::parts;

/// What a set is called, by its form; where it is in a folder, what the folder is called.
const FORMS: [(&str, &str); 9] = [
    ("set.jsonl", "set.jsonl"),
    ("set.csv", "set.csv"),
    ("set.tsv", "set.tsv"),
    ("lines/metadata.jsonl", "lines"),
    ("cells/metadata.csv", "cells"),
    ("set.tar", "set.tar"),
    ("set.npz", "set.npz"),
    ("set.safetensors", "set.safetensors"),
    ("visu/ViSU-Text_validation.json", "visu"),
];

/// A PNG of one pixel.
const IMAGE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82";

thread_local! {
    static FOLDER: Folder = Folder::with(|folder| {
        for at in ["", "lines/", "cells/", "visu/"] {
            ["a.png", "b.png"].iter().for_each(|name| _ = folder.write(&format!("{at}{name}"), IMAGE));
        }
    });
}

/// A digit that names the form, and the set.
pub fn manifest(bytes: &[u8]) {
    let Some((form, _)) = parts(bytes) else { return };
    let (file, set) = FORMS[usize::from(form.wrapping_sub(b'0')) % FORMS.len()];
    FOLDER.with(|folder| {
        folder.write(file, &bytes[1..]);
        read(&folder.path().join(set));
    });
}

fn read(path: &Path) {
    let job =
        DataCheckJob { sets: vec![path.to_owned()], folders: Folders::default(), options: CheckOptions::default() };
    if let Ok(checked) = check_data(&job, &Unobserved) {
        let _ = (checked.to_text(), checked.to_json());
    }
    _ = DataSet::read(path, "validation");
    let Ok(set) = DataSet::read_all(path, &Folders::default()) else { return };
    for (kind, side) in [(Kind::Text, Side::Safe), (Kind::Image, Side::Unsafe)] {
        set.distinct(kind, side);
        if let Some(tensors) = &set.tensors {
            let rows: Vec<usize> = (0..set.rows.len()).collect();
            tensors.inputs(kind, side, &rows);
        }
    }
}
