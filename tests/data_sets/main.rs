//! Data sets in every form, whole and damaged; `data check` and `data split`.

#[path = "../common/mod.rs"]
mod common;

mod check;
mod faults;
mod forms;
mod split;
mod zero_shot;

use std::path::{Path, PathBuf};

use image::{DynamicImage, Rgb, RgbImage};
use tempfile::TempDir;
use uwm_onnx::dataset::{DataSet, Error};

/// A folder that sets are made in.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn shown(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes a file, and the folders it is in.
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Writes an image of a colour of its own.
    fn image(&self, name: &str, color: u8) -> PathBuf {
        self.write(name, png(color))
    }

    /// A manifest of `rows` rows over two concepts, with images; all of a split, or of none.
    fn manifest(&self, name: &str, rows: std::ops::Range<usize>, split: Option<&str>) -> PathBuf {
        let mut text = String::new();
        let folder = name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        for row in rows {
            self.image(&format!("{folder}images/{row}s.png"), 2 * row as u8);
            self.image(&format!("{folder}images/{row}u.png"), 2 * row as u8 + 1);
            let mut line = serde_json::json!({
                "id": row,
                "safe_text": format!("safe {row}"),
                "unsafe_text": format!("unsafe {row}"),
                "safe_image": format!("images/{row}s.png"),
                "unsafe_image": format!("images/{row}u.png"),
                "concept": if row % 2 == 0 { "hate" } else { "theft" },
            });
            if let Some(split) = split {
                line["split"] = split.into();
            }
            text += &format!("{line}\n");
        }
        self.write(name, text)
    }
}

/// A PNG of two by two pixels.
fn png(color: u8) -> Vec<u8> {
    encoded(&DynamicImage::ImageRgb8(RgbImage::from_pixel(2, 2, Rgb([color, 7, 255 - color]))))
}

fn encoded(image: &DynamicImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(vec![]);
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A tar archive of these members.
fn tar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(vec![]);
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    archive.into_inner().unwrap()
}

/// An array as numpy writes it.
fn npy(descr: &str, shape: &str, fortran: bool, data: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// An archive of arrays, as `numpy.savez` or `numpy.savez_compressed` write it.
fn npz(arrays: &[(&str, Vec<u8>)], packed: bool) -> Vec<u8> {
    use std::io::Write;
    use zip::CompressionMethod::{Deflated, Stored};
    let method = if packed { Deflated } else { Stored };
    let options = zip::write::SimpleFileOptions::default().compression_method(method).large_file(true);
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    for (name, bytes) in arrays {
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// What reading a set says is wrong with it, and its code.
fn refusal(path: &Path, split: &str) -> String {
    described(DataSet::read(path, split).map(|set| set.rows.len()))
}

fn described<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    use miette::Diagnostic;
    let error = result.unwrap_err();
    assert!(error.help().is_some());
    format!("{}: {error}", error.code().unwrap())
}
