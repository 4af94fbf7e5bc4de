//! A handful of quadruplets to look at.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

use super::parts::{absent, section, table};
use crate::few::cut;
use crate::report::checked::{Checked, Example, Image, Similarities};

/// Examples that are shown.
const MOST: usize = 12;
/// Characters of a caption that are shown.
const CAPTION: usize = 400;

pub fn examples(checked: &Checked) -> Markup {
    let body = html! {
        @if checked.examples.is_empty() {
            (absent("Quadruplets can be shown where they were measured here from their texts and images."))
        } @else {
            p.quiet {
                "Chosen by how far they moved, not by how they look. Numbers are cosines: the higher one is what a query \
                 prefers."
            }
            div.examples { @for example in checked.examples.iter().take(MOST) { (card(example)) } }
        }
    };
    section("examples", "Examples", body)
}

fn card(example: &Example) -> Markup {
    let texts = example.texts.as_ref();
    let images = example.images.as_ref();
    let side = |index: usize, name: &str| {
        let hidden = example.sensitive && index == 1;
        let content = html! {
            @if let Some(images) = images { (picture(images[index].as_ref(), name)) }
            @if let Some(texts) = texts { p.caption dir="auto" { (caption(&texts[index])) } }
        };
        html! {
            div.side {
                p.name { (name) }
                @if hidden {
                    div.covered {
                        div.content inert { (content) }
                        button.reveal type="button" aria-expanded="false" { "Show unsafe side" }
                    }
                } @else { div.content { (content) } }
            }
        }
    };
    html! {
        article.example {
            h3 {
                (example.kind.title())
                span.quiet {
                    " · " (cut(&example.id))
                    @if let Some(concept) = &example.concept { " · " (cut(concept)) }
                }
            }
            div.sides { (side(0, "safe")) (side(1, "unsafe")) }
            (similarities(example))
        }
    }
}

fn picture(image: Option<&Image>, name: &str) -> Markup {
    html! {
        @match image {
            Some(Image { png, size: [width, height] }) => {
                img src={ "data:image/png;base64," (STANDARD.encode(png)) } width=(width) height=(height)
                    alt={ "the " (name) " image" };
            },
            None => p.missing { "no image that could be read" },
        }
    }
}

fn caption(text: &str) -> String {
    match text.char_indices().nth(CAPTION) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn similarities(example: &Example) -> Markup {
    let cosine = |value: f64| format!("{value:.3}");
    let row = |name: &str, text: usize, image: usize| {
        let after = example.after[text][image];
        let before = example.before.map(|before| before[text][image]);
        let change = before.map_or("–".to_owned(), |before| format!("{:+.3}", after - before + 0.0));
        vec![name.to_owned(), before.map_or("–".to_owned(), cosine), cosine(after), change]
    };
    let rows = [
        row("safe text, safe image", 0, 0),
        row("safe text, unsafe image", 0, 1),
        row("unsafe text, safe image", 1, 0),
        row("unsafe text, unsafe image", 1, 1),
    ];
    html! {
        (table(&["cosine of", "before", "after", "change"], 1, &rows))
        p.quiet {
            "Prefer what is safe: "
            @if let Some(before) = &example.before { "before " (prefer(before)) "; after " }
            (prefer(&example.after)) "."
        }
    }
}

/// Which of the four queries prefer what is safe.
fn prefer([[ss, su], [us, uu]]: &Similarities) -> String {
    let queries =
        [("safe text", ss > su), ("safe image", ss > us), ("unsafe text", us > uu), ("unsafe image", su > uu)];
    let safe: Vec<&str> = queries.iter().filter(|(_, safe)| *safe).map(|(name, _)| *name).collect();
    match safe.len() {
        0 => "none".to_owned(),
        4 => "all four queries".to_owned(),
        _ => safe.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_counted_as_the_figures_do() {
        assert_eq!(prefer(&[[0.3, 0.2], [0.25, 0.1]]), "all four queries");
        assert_eq!(prefer(&[[0.3, 0.2], [0.25, 0.4]]), "safe text, safe image");
        assert_eq!(prefer(&[[0.3, 0.3], [0.3, 0.3]]), "none");
        // Each query by what it is set against.
        assert_eq!(prefer(&[[0.3, 0.2], [0.4, 0.5]]), "safe text");
        assert_eq!(prefer(&[[0.3, 0.4], [0.2, 0.5]]), "safe image");
        assert_eq!(prefer(&[[0.1, 0.2], [0.4, 0.3]]), "unsafe text");
        assert_eq!(prefer(&[[0.1, 0.9], [0.2, 0.3]]), "unsafe image");
    }
}
