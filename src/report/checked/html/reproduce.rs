//! How to get the report again.

use maud::{Markup, html};

use super::parts::{section, table};
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
        pre tabindex="0" { code { (reproduce.command_line()) } }
        (table(&["what", "file", "SHA-256"], 3, &rows))
        p.quiet {
            "uwm-onnx " (reproduce.version) "."
            @if let Some(runtime) = &checked.runtime { " " (place_text(runtime)) "." }
            " The same files, options and version give the same report."
        }
    };
    section("reproduce", "How to get this again", body)
}
