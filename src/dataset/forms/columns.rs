//! The columns of a row, by the names that lines of JSON and tables have for them.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Place, Row};
use crate::dataset::picture::Picture;
use crate::few::{cut, few};

/// A column that is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Id,
    SafeText,
    UnsafeText,
    SafeImage,
    UnsafeImage,
    Concept,
    Style,
    Split,
    Sensitive,
}

/// Who named the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// We.
    Own,
    /// Hugging Face's `imagefolder`, where columns of images end in `file_name`.
    ImageFolder,
}

impl Naming {
    /// The column of that name.
    pub fn column(self, name: &str) -> Option<Column> {
        Some(match (self, name) {
            (_, "id") => Column::Id,
            (_, "safe_text") => Column::SafeText,
            (_, "unsafe_text") => Column::UnsafeText,
            (_, "concept") => Column::Concept,
            (_, "style") => Column::Style,
            (_, "split") => Column::Split,
            (_, "sensitive") => Column::Sensitive,
            (Self::Own, "safe_image") => Column::SafeImage,
            (Self::Own, "unsafe_image") => Column::UnsafeImage,
            (Self::ImageFolder, "safe_image_file_name" | "safe_file_name" | "file_name") => Column::SafeImage,
            (Self::ImageFolder, "unsafe_image_file_name" | "unsafe_file_name") => Column::UnsafeImage,
            _ => return None,
        })
    }

    /// What to do where columns are wrong.
    pub fn help(self) -> &'static str {
        match self {
            Self::Own => {
                "columns are safe_text and unsafe_text, safe_image and unsafe_image (paths relative to the file), or both, and optionally id, concept, split, style, sensitive"
            }
            Self::ImageFolder => {
                "columns are safe_image_file_name and unsafe_image_file_name (paths relative to the metadata file), safe_text and unsafe_text, or both, and optionally id, concept, split, style, sensitive; a single file_name is the safe image"
            }
        }
    }
}

/// What is in the columns of one row.
#[derive(Default)]
pub struct Record {
    values: [Option<String>; 9],
}

impl Record {
    /// Puts a value into a column.
    ///
    /// # Errors
    /// If there is one already, or it is none for that column.
    pub fn set(&mut self, column: Column, name: &str, value: String) -> Result<(), String> {
        if column == Column::Sensitive && !["true", "false"].contains(&&*value) {
            return Err(format!("{name} is '{}', neither true nor false", cut(&value)));
        }
        match self.values[column as usize].replace(value) {
            None => Ok(()),
            Some(_) => Err(format!("'{name}' is given twice, or another name of the same column too")),
        }
    }

    /// Whether there is something in a column.
    pub fn has(&self, column: Column) -> bool {
        self.values[column as usize].is_some()
    }

    /// The row of a line. Where it has no id, it is called by the line's number; in the folder of a split it belongs to that,
    /// unless it says otherwise. Images lie in `folder`.
    pub fn row(mut self, folder: &Path, source: usize, line: usize, split: Option<&str>) -> Row {
        let mut take = |column: Column| self.values[column as usize].take();
        let number = || split.map_or(line.to_string(), |split| format!("{split}/{line}"));
        let id = take(Column::Id).unwrap_or_else(number);
        let texts = [take(Column::SafeText), take(Column::UnsafeText)];
        let images = [take(Column::SafeImage), take(Column::UnsafeImage)];
        let images = images.map(|image| image.map(|image| Picture::File(folder.join(image))));
        let [concept, style, own] = [Column::Concept, Column::Style, Column::Split].map(&mut take);
        let split = own.or_else(|| split.map(str::to_owned));
        let sensitive = take(Column::Sensitive).map(|value| value == "true");
        Row { source, place: Place::Line(line), id, texts, images, concept, style, split, sensitive }
    }
}

/// Says which columns were passed over.
pub fn passed_over(path: &Path, unknown: &BTreeSet<String>) -> Option<String> {
    let columns = if unknown.len() == 1 { "column is" } else { "columns are" };
    let all = unknown.len();
    (all > 0).then(|| format!("{}: {all} {columns} not used: {}", path.display(), few(unknown)))
}
