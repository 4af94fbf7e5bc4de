//! The edit beside other edits of the same layers.

use maud::{Markup, html};

use super::axes::{Marked, Row, Rows};
use super::canvas::{Hue, Mark, drawing};
use super::figures::{AFTER, BEFORE, DRAWN, title_of};
use super::parts::{absent, beside, figure, section, table};
use super::text::short;
use crate::few::cut;
use crate::report::checked::{Checked, Rewritten};

/// Figures that are drawn.
const MOST: usize = 13;

const RANDOM: (Mark, Hue, &str) = (Mark::Cross, Hue::Control, "as many at random");
const OTHER: (Mark, Hue, &str) = (Mark::Diamond, Hue::Special, "another control");

pub fn controls(checked: &Checked) -> Markup {
    let body = match &checked.rewritten {
        Some(rewritten) => compared(rewritten),
        None => absent("No report of `rewrite` was given, which has the controls: other edits of the same layers."),
    };
    section("controls", "Controls", body)
}

fn compared(rewritten: &Rewritten) -> Markup {
    let said = match rewritten.specific {
        Some(true) => "The edit does something that damage alone does not. ",
        Some(false) => "The edit does nothing that damage alone would not do. ",
        None => "",
    };
    if rewritten.after.is_empty() {
        return html! {
            p { (said) (rewritten.sentence.as_deref().unwrap_or_default()) }
            (absent("The report of `rewrite` has no figures to compare."))
        };
    }
    let rank = |figure: &&(String, f64)| DRAWN.iter().position(|name| *name == figure.0).unwrap_or(DRAWN.len());
    let mut drawn: Vec<&(String, f64)> = rewritten.after.iter().collect();
    drawn.sort_by_key(rank);
    let rows = Rows {
        rows: drawn.into_iter().take(MOST).map(|(name, value)| row(rewritten, name, *value)).collect(),
        axis: "percent",
        lanes: 2,
        range: Some([0.0, 100.0]),
    };
    let any = |random: bool| rewritten.controls.iter().any(|(name, _)| is_random(name) == random);
    let marks = [(BEFORE, !rewritten.before.is_empty()), (AFTER, true), (RANDOM, any(true)), (OTHER, any(false))];
    let key: Vec<_> = marks.into_iter().filter_map(|(mark, there)| there.then_some(mark)).collect();
    let title = "The edit and its controls.";
    let caption = "Above, before and after the edit; below, edits of as many weights of the same layers. What they do too \
        is damage, not safety.";
    let plot = drawing(rows.size(), title, |canvas| rows.draw(canvas));
    html! {
        p { (said) (rewritten.sentence.as_deref().unwrap_or_default()) }
        @if rewritten.controls.is_empty() { (absent("No controls were made with the edit.")) }
        (beside(figure(title, caption, &key, plot, html! {}), numbers(rewritten)))
        p.quiet { "From " code { (cut(&rewritten.file.path.display().to_string())) } "." }
    }
}

fn is_random(control: &str) -> bool {
    control.starts_with("random")
}

fn value_of(figures: &[(String, f64)], name: &str) -> Option<f64> {
    figures.iter().find(|(figure, _)| figure == name).map(|(_, value)| *value)
}

fn row(rewritten: &Rewritten, name: &str, after: f64) -> Row {
    let plain = |(mark, hue, _): (Mark, Hue, &str), lane, value| Marked { mark, hue, value, interval: None, lane };
    let before = value_of(&rewritten.before, name);
    let mut marks: Vec<Marked> = before.map(|value| plain(BEFORE, 0.0, value)).into_iter().collect();
    marks.push(plain(AFTER, 0.0, after));
    marks.extend(rewritten.controls.iter().filter_map(|(control, figures)| {
        Some(plain(if is_random(control) { RANDOM } else { OTHER }, 1.0, value_of(figures, name)?))
    }));
    let written = match before {
        Some(before) => format!("{before:.1} → {after:.1}"),
        None => format!("{after:.1}"),
    };
    Row { label: title_of(name).to_owned(), marks, written: vec![written] }
}

fn numbers(rewritten: &Rewritten) -> Markup {
    let controls: Vec<String> = rewritten.controls.iter().map(|(name, _)| short(name, 32)).collect();
    let heads: Vec<&str> =
        ["figure", "before", "after"].into_iter().chain(controls.iter().map(String::as_str)).collect();
    let written = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
    let row = |(name, after): &(String, f64)| {
        let own = [cut(title_of(name)), written(value_of(&rewritten.before, name)), written(Some(*after))];
        let others = rewritten.controls.iter().map(|(_, figures)| written(value_of(figures, name)));
        own.into_iter().chain(others).collect()
    };
    table(&heads, 1, &rewritten.after.iter().map(row).collect::<Vec<_>>())
}
