//! The forms in which sets are stored: the one place that tells them apart, and a reader each, which gives the rows of all
//! splits as they are written.

mod columns;
mod image_folder;
mod jsonl;
mod npy;
mod npz;
mod stored;
mod table;
mod visu;
mod web;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::picture::Picture;
use super::tensors::TensorSet;

pub use web::{IMAGES, Member, members};

/// Where ViSU's images are, if not beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders {
    /// COCO's images.
    pub coco: Option<PathBuf>,
    /// The generated images.
    pub generated: Option<PathBuf>,
}

/// A way to store a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Lines of JSON.
    Lines,
    /// Cells parted by this.
    Table(u8),
    /// Hugging Face's.
    ImageFolder,
    /// An archive of samples, or a folder of such.
    Web,
    /// ViSU as it is published.
    Visu,
    /// Arrays of numpy.
    Npz,
    /// Tensors.
    Safetensors,
}

/// Where a row is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line.
    Line(usize),
    /// Something with a name.
    Named(String),
}

/// A row as it is written: nothing about it is checked.
#[derive(Debug, Clone)]
pub struct Row {
    /// Which of the sources it is in.
    pub source: usize,
    /// Where in there.
    pub place: Place,
    /// Its name.
    pub id: String,
    /// Safe and unsafe.
    pub texts: [Option<String>; 2],
    /// Safe and unsafe.
    pub images: [Option<Picture>; 2],
    /// What makes the partner unsafe.
    pub concept: Option<String>,
    /// A kind of scene.
    pub style: Option<String>,
    /// The split it belongs to.
    pub split: Option<String>,
    /// Whether its unsafe side is to be hidden from who did not ask to see it.
    pub sensitive: Option<bool>,
}

/// What a reader found.
#[derive(Debug, Default)]
pub struct Found {
    /// All rows.
    pub rows: Vec<Row>,
    /// What the rows stand for, where they are stored as graph inputs.
    pub tensors: Option<TensorSet>,
    /// The files they were read from.
    pub sources: Vec<PathBuf>,
    /// Splits that are there, and were not asked for and not read.
    pub splits: BTreeSet<String>,
    /// What was left out.
    pub notes: Vec<String>,
}

impl Found {
    /// The number of a source, which is new.
    fn source(&mut self, path: &Path) -> usize {
        self.sources.push(path.to_owned());
        self.sources.len() - 1
    }
}

impl Form {
    /// What a path is.
    ///
    /// # Errors
    /// [`Error::Form`] if it is none of the known ones, or could be several.
    pub fn of(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            return Self::of_folder(path);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        let packed = ["tar.gz", "tgz", "tar.zst", "tar.xz", "tar.bz2"];
        let refuse = |reason: String| Err(Error::Form { path: path.to_owned(), reason });
        match ending {
            "jsonl" | "ndjson" => Ok(Self::Lines),
            "csv" => Ok(Self::Table(b',')),
            "tsv" => Ok(Self::Table(b'\t')),
            "tar" => Ok(Self::Web),
            "npz" => Ok(Self::Npz),
            "safetensors" => Ok(Self::Safetensors),
            _ if visu::split_of(path).is_some() => Ok(Self::Visu),
            _ if packed.iter().any(|packed| name.ends_with(packed)) => refuse(
                "images are read out of the archive in place, and a packed one has none: unpack it to .tar".into(),
            ),
            // What is not there has no form either.
            _ => match path.metadata() {
                Err(source) => Err(Error::Io { what: "data set", path: path.to_owned(), source }),
                Ok(_) if ending.is_empty() => refuse("its name has no ending".to_owned()),
                Ok(_) => refuse(format!("files that end in .{ending} are not read")),
            },
        }
    }

    fn of_folder(path: &Path) -> Result<Self, Error> {
        let names = entries(path)?;
        let tar = |name: &String| name.to_lowercase().ends_with(".tar");
        let mut forms = vec![];
        if image_folder::is_one(path)? {
            forms.push((Self::ImageFolder, "metadata.jsonl or metadata.csv"));
        }
        if names.iter().any(|name| visu::split_of(Path::new(name)).is_some()) {
            forms.push((Self::Visu, "ViSU-Text_*.json"));
        }
        if names.iter().any(tar) {
            forms.push((Self::Web, ".tar files"));
        }
        let refuse = |reason| Err(Error::Form { path: path.to_owned(), reason });
        match forms.as_slice() {
            [(Self::Web, _)] if !names.iter().all(tar) => {
                refuse("it has .tar files and others, and shards are alone in their folder".to_owned())
            }
            [(form, _)] => Ok(*form),
            [] => {
                refuse("the folder has no metadata.jsonl or metadata.csv, no ViSU-Text_*.json and no .tar files".into())
            }
            [(_, one), (_, other), ..] => refuse(format!("the folder has both {one} and {other}")),
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lines => "JSON lines",
            Self::Table(b'\t') => "TSV",
            Self::Table(_) => "CSV",
            Self::ImageFolder => "imagefolder",
            Self::Web => "tar",
            Self::Visu => "ViSU",
            Self::Npz => "npz",
            Self::Safetensors => "safetensors",
        }
    }

    /// What it calls a split that is asked for by our name.
    pub fn own_name(self, split: &str) -> &str {
        if self == Self::Visu { visu::own_name(split) } else { split }
    }

    /// Whether rows whose images are missing are left out; otherwise they are an error.
    pub fn leaves_out(self) -> bool {
        self == Self::Visu
    }

    /// All rows, those of other splits than the `wanted` one perhaps not.
    ///
    /// # Errors
    /// If a file cannot be read, or is not what it should be.
    pub fn read(self, path: &Path, folders: &Folders, wanted: Option<&str>) -> Result<Found, Error> {
        match self {
            Self::Lines => jsonl::read(path),
            Self::Table(delimiter) => table::read(path, delimiter),
            Self::ImageFolder => image_folder::read(path),
            Self::Web => web::read(path),
            Self::Visu => visu::read(path, folders, wanted),
            Self::Npz => npz::read(path),
            Self::Safetensors => stored::read(path),
        }
    }

    /// That a row is wrong.
    pub fn wrong(self, source: &Path, place: &Place, reason: String) -> Error {
        let path = source.to_owned();
        let help = match self {
            Self::Lines => {
                "each line is one JSON object with id, safe_text, unsafe_text, safe_image, unsafe_image and optionally concept, split, style; image paths are relative to the manifest"
            }
            Self::Table(_) => columns::Naming::Own.help(),
            Self::ImageFolder => columns::Naming::ImageFolder.help(),
            Self::Web => web::HELP,
            Self::Visu | Self::Npz | Self::Safetensors => "mend the file, or leave the row out",
        };
        match place {
            Place::Line(line) => Error::Line { path, line: *line, reason, help },
            Place::Named(row) => Error::Row { path, row: row.clone(), reason, help },
        }
    }
}

/// Names in a folder in their order, hidden ones left aside.
pub(super) fn entries(path: &Path) -> Result<Vec<String>, Error> {
    let io = |source| Error::Io { what: "folder", path: path.to_owned(), source };
    let mut names = vec![];
    for entry in path.read_dir().map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        // A name that is no text cannot be in a message, and is none that is looked for.
        names.extend(name.to_str().filter(|name| !name.starts_with('.')).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}
