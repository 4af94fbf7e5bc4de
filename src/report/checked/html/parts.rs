//! What sections are made of.

use maud::{Markup, html};

use super::canvas::{Hue, Mark, sign};

/// Rows of a table that are shown.
const MOST_ROWS: usize = 200;

/// A section with an anchor.
pub fn section(id: &str, title: &str, body: Markup) -> Markup {
    html! {
        section id=(id) aria-labelledby={ (id) "-title" } {
            h2 id={ (id) "-title" } { a href={ "#" (id) } { (title) } }
            (body)
        }
    }
}

/// Why a section has nothing to show.
pub fn absent(why: &str) -> Markup {
    html! { p.absent { (prose(why)) } }
}

/// Words in which commands stand between backticks.
pub fn prose(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A plot, what it shows, the key to its marks, and its numbers.
pub fn figure(title: &str, caption: &str, key: &[(Mark, Hue, &str)], plot: Markup, numbers: Markup) -> Markup {
    html! {
        figure {
            figcaption {
                strong { (title) }
                @if !caption.is_empty() { " " (caption) }
            }
            (signs(key))
            (plot)
            div { (numbers) }
        }
    }
}

/// What marks stand for.
pub fn signs(key: &[(Mark, Hue, &str)]) -> Markup {
    html! { ul.key { @for (mark, hue, what) in key { li { (sign(*mark, *hue)) (what) } } } }
}

/// A plot alone in its section, with its numbers beside it.
pub fn beside(figure: Markup, table: Markup) -> Markup {
    html! { div.pair { (figure) details open { summary { "Numbers" } (table) } } }
}

/// A table that is folded away.
pub fn folded(summary: &str, table: Markup) -> Markup {
    html! { details { summary { (summary) } (table) } }
}

/// A table in a box of its own, which scrolls sideways where it is too wide. The first `names` columns are words, the
/// others numbers.
pub fn table(heads: &[&str], names: usize, rows: &[Vec<String>]) -> Markup {
    let class = |column: usize| (column >= names).then_some("number");
    html! {
        div.scroll tabindex="0" role="group" aria-label="table" {
            table {
                thead {
                    tr {
                        @for (column, head) in heads.iter().enumerate() {
                            th scope="col" class=[class(column)] { (head) }
                        }
                    }
                }
                tbody {
                    @for row in rows.iter().take(MOST_ROWS) {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                @if column == 0 { th scope="row" { (cell) } }
                                @else { td class=[class(column)] { (cell) } }
                            }
                        }
                    }
                }
            }
        }
        @if rows.len() > MOST_ROWS { p.absent { "and " (rows.len() - MOST_ROWS) " more" } }
    }
}
