//! Tables whose cells are parted by commas or tabs: one row a record, under a line of column names.

use std::collections::BTreeSet;
use std::path::Path;

use csv::{ErrorKind, ReaderBuilder, StringRecord};

use super::Found;
use super::columns::{Column, Naming, Record, passed_over};
use crate::dataset::error::Error;
use crate::dataset::read::text_of;
use crate::few::{cut, few};

/// Reads a table of ours.
pub fn read(path: &Path, delimiter: u8) -> Result<Found, Error> {
    let mut found = Found::default();
    records(path, "table", delimiter, Naming::Own, None, &mut found)?;
    Ok(found)
}

/// Adds the rows of a file. In the folder of a split, rows belong to it unless they say otherwise.
pub fn records(
    path: &Path,
    what: &'static str,
    delimiter: u8,
    naming: Naming,
    split: Option<&str>,
    found: &mut Found,
) -> Result<(), Error> {
    let text = text_of(path, what)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let source = found.source(path);
    let wrong = |line: usize, reason| Error::Line { path: path.to_owned(), line, reason, help: naming.help() };
    let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| wrong(1, describe(&e)))?.clone();
    let mut unknown = BTreeSet::new();
    let columns = columns(&header, naming, &mut unknown).map_err(|reason| wrong(1, reason))?;
    for record in reader.records() {
        let record = record.map_err(|e| wrong(line_of(e.position()), describe(&e)))?;
        let number = line_of(record.position());
        let mut row = Record::default();
        for (value, column) in record.iter().zip(&columns) {
            let Some((column, name)) = column else { continue };
            // An empty text is one, and wrong; an empty cell of any other column says nothing.
            if !value.is_empty() || matches!(column, Column::SafeText | Column::UnsafeText) {
                row.set(*column, name, value.to_owned()).map_err(|reason| wrong(number, reason))?;
            }
        }
        found.rows.push(row.row(folder, source, number, split));
    }
    found.notes.extend(passed_over(path, &unknown));
    Ok(())
}

/// What each column is, `None` if it is not used.
fn columns(
    header: &StringRecord,
    naming: Naming,
    unknown: &mut BTreeSet<String>,
) -> Result<Vec<Option<(Column, String)>>, String> {
    let mut columns: Vec<Option<(Column, String)>> = vec![];
    for name in header.iter().map(str::trim) {
        let column = naming.column(name);
        if let Some((_, other)) = columns.iter().flatten().find(|(known, _)| Some(*known) == column) {
            return Err(format!("'{}' and '{}' are the same column", cut(other), cut(name)));
        }
        if column.is_none() {
            unknown.insert(name.to_owned());
        }
        columns.push(column.map(|column| (column, name.to_owned())));
    }
    let has = |column| columns.iter().flatten().any(|(known, _)| *known == column);
    let pairs = [(Column::SafeText, Column::UnsafeText), (Column::SafeImage, Column::UnsafeImage)];
    if pairs.iter().any(|&(safe, not_safe)| has(safe) && has(not_safe)) {
        return Ok(columns);
    }
    let found = few(header.iter());
    Err(format!("it has no two columns of safe and unsafe texts or images; columns found: {found}"))
}

fn line_of(position: Option<&csv::Position>) -> usize {
    position.map_or(1, |position| usize::try_from(position.line()).unwrap_or(usize::MAX))
}

/// What is wrong; the line is told elsewhere.
fn describe(error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} cells, the line of column names {expected_len}")
        }
        _ => error.to_string(),
    }
}
