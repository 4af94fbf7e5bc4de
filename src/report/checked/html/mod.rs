//! A check as one page that needs nothing else: no network, no other file.
//!
//! What names hold cannot become part of the page: `maud` and `plotters` escape, and the page allows itself no style and
//! no script but its own, by their hashes.

mod axes;
mod canvas;
mod controls;
mod edit;
mod examples;
mod figures;
mod frontier;
mod parts;
mod reproduce;
mod scatter;
mod scores;
#[cfg(test)]
mod tests;
mod text;
mod verdict;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::{Checked, words};
use crate::few::cut;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Sections by their anchors.
const SECTIONS: [(&str, &str); 10] = [
    ("rules", "Rules"),
    ("figures", "Figures"),
    ("scatter", "Preference"),
    ("concepts", "Concepts"),
    ("edit", "Edit"),
    ("scores", "Scores"),
    ("controls", "Controls"),
    ("frontier", "Frontier"),
    ("examples", "Examples"),
    ("reproduce", "Reproduce"),
];

impl Checked {
    /// One page of HTML with everything, for a screen or paper.
    pub fn to_html(&self) -> String {
        let model = cut(&words::paths(&self.model));
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                (head(&format!("{}: {model}", self.verdict())))
                body {
                    header {
                        div {
                            p.eyebrow { "uwm-onnx check" }
                            h1 { (model) }
                            @if !self.baseline.is_empty() {
                                p.quiet { "compared with " (cut(&words::paths(&self.baseline))) }
                            }
                        }
                        button #theme type="button" { "Light or dark" }
                    }
                    (verdict::banner(self))
                    nav aria-label="Sections" { @for (id, title) in SECTIONS { a href={ "#" (id) } { (title) } } }
                    main {
                        (verdict::notes(self))
                        (verdict::rules(self))
                        (figures::figures(self))
                        (scatter::scatter(self))
                        (figures::concepts(self))
                        (edit::edit(self))
                        (scores::scores(self))
                        (controls::controls(self))
                        (frontier::frontier(self))
                        (examples::examples(self))
                        (reproduce::reproduce(self))
                    }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        text::visible(&page.into_string())
    }
}

fn head(title: &str) -> Markup {
    let policy = format!(
        "default-src 'none'; img-src data:; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        source(STYLE),
        source(SCRIPT)
    );
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(policy);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="referrer" content="no-referrer";
            title { (title) }
            link rel="icon" href="data:,";
            style { (PreEscaped(STYLE)) }
        }
    }
}

/// An inline text, as a content security policy names it.
fn source(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}
