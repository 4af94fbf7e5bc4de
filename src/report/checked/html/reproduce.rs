//! How to get the report again, and what was left out of it.

use maud::{Markup, html};

use super::parts::{section, table};
use super::text::command_line;
use crate::few::cut;
use crate::report::checked::Checked;
use crate::report::doctor::place_text;

pub fn reproduce(checked: &Checked) -> Markup {
    let reproduce = &checked.reproduce;
    let file = |what: &str, path: String, hash: &str| vec![what.to_owned(), path, hash.to_owned()];
    let mut rows: Vec<Vec<String>> = reproduce
        .files
        .iter()
        .map(|(what, file_id)| file(what, file_id.path.display().to_string(), &file_id.sha256))
        .collect();
    if !reproduce.files.iter().any(|(what, _)| *what == "policy") {
        let path = checked.policy.path.as_ref().map_or("built in".to_owned(), |path| path.display().to_string());
        rows.push(file("policy", path, &checked.policy.sha256));
    }
    let body = html! {
        pre tabindex="0" { code { (command_line(&reproduce.command)) } }
        (table(&["what", "file", "SHA-256"], 3, &rows))
        p.quiet {
            "uwm-onnx " (reproduce.version) "."
            @if let Some(runtime) = &checked.runtime { " " (place_text(runtime)) "." }
            " The same files, options and version give the same report."
        }
    };
    section("reproduce", "How to get this again", body)
}

/// What was left out, and why.
pub fn notes(checked: &Checked) -> Markup {
    let measured = checked.evaluated.iter().flat_map(|evaluated| &evaluated.notes);
    let notes: Vec<&String> = checked.notes.iter().chain(measured).collect();
    html! {
        @if !notes.is_empty() {
            (section("notes", "Notes", html! { ul { @for note in notes { li { (cut(note)) } } } }))
        }
    }
}
