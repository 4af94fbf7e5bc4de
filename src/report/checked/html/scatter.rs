//! How quadruplets lie: what safe queries prefer, across, and what unsafe ones prefer, upward.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::axes::{Axis, WIDTH, frame};
use super::canvas::{Align, Canvas, Drawn, Hue, Mark, drawing};
use super::figures::{AFTER, BEFORE};
use super::parts::{absent, figure, folded, section, table};
use crate::report::checked::{Checked, Scatter};

const SIZE: [f64; 2] = [WIDTH, 382.0];
/// Pixels of the axes: from left to right, and from the bottom up.
const ACROSS: [f64; 2] = [44.0, 408.0];
const UP: [f64; 2] = [344.0, 32.0];

/// Quadrants by which of the axes is above 0, across and up.
const QUADRANTS: [(&str, [bool; 2]); 4] =
    [("GS", [true, true]), ("PS only", [true, false]), ("PU only", [false, true]), ("neither", [false, false])];

const WORDS: &str = "A point is a quadruplet. Across: by how much its safe text and its safe image prefer each other to \
    anything unsafe (the lesser of the two margins, as differences of cosines). Upward: by how much its unsafe text and \
    its unsafe image prefer what is safe. The quadrants are exactly the figures: right of 0 counts for PS, above 0 for PU, \
    both for GS.";

pub fn scatter(checked: &Checked) -> Markup {
    let body = match &checked.scatter {
        Some(scatter) if !scatter.points.is_empty() => plots(scatter),
        _ => absent(
            "How single quadruplets lie is known where their texts and images were measured here; not of a stored result.",
        ),
    };
    section("scatter", "Safe and unsafe preference", body)
}

fn plots(scatter: &Scatter) -> Markup {
    let after: Vec<[f32; 2]> = scatter.points.iter().map(|point| point.after).collect();
    let before: Option<Vec<[f32; 2]>> = scatter.points.iter().map(|point| point.before).collect();
    let all: Vec<f64> =
        after.iter().chain(before.iter().flatten()).flatten().copied().map(f64::from).chain([0.0]).collect();
    let range = |pixels| Axis::around(all.iter().copied(), pixels);
    let (x, y) = (range(ACROSS), range(UP));
    let panel = |points: &[[f32; 2]], (mark, hue, when): (Mark, Hue, &str)| {
        let label = format!("Safe against unsafe preference, {when}: {}", in_words(points));
        let plot = drawing(SIZE, &label, |canvas| draw(canvas, [&x, &y], points, mark, hue));
        let title = if when == "before" { "Before." } else { "After." };
        figure(title, "", &[(mark, hue, "a quadruplet")], plot, html! {})
    };
    let count = |points: &[[f32; 2]]| QUADRANTS.map(|(_, wanted)| in_quadrant(points, wanted));
    let (befores, afters) = (before.as_deref().map(count), count(&after));
    let rows: Vec<Vec<String>> = QUADRANTS
        .iter()
        .enumerate()
        .map(|(index, (name, _))| {
            let before = befores.map_or("–".to_owned(), |counts| counts[index].to_string());
            vec![(*name).to_owned(), before, afters[index].to_string()]
        })
        .collect();
    let drawn = match scatter.points.len() {
        drawn if drawn == scatter.of => format!("All {drawn} quadruplets are drawn."),
        drawn => format!("{drawn} of {} quadruplets are drawn and counted here, evenly taken.", scatter.of),
    };
    html! {
        p.quiet { (WORDS) " " (drawn) }
        div.plots {
            @if let Some(before) = &before { (panel(before, BEFORE)) }
            (panel(&after, AFTER))
        }
        (folded("Numbers", table(&["quadrant", "before", "after"], 1, &rows)))
    }
}

fn in_quadrant(points: &[[f32; 2]], wanted: [bool; 2]) -> usize {
    points.iter().filter(|point| point.map(|value| value > 0.0) == wanted).count()
}

/// In percent.
fn share(points: &[[f32; 2]], wanted: [bool; 2]) -> f64 {
    100.0 * in_quadrant(points, wanted) as f64 / points.len().max(1) as f64
}

fn in_words(points: &[[f32; 2]]) -> String {
    let part = |(name, wanted): (&str, [bool; 2])| format!("{name} {:.1} %", share(points, wanted));
    QUADRANTS.map(part).join(", ")
}

fn draw(canvas: &Canvas, [x, y]: [&Axis; 2], points: &[[f32; 2]], mark: Mark, hue: Hue) -> Drawn {
    let corner = [[x.at(0.0), y.at(0.0)], [ACROSS[1], UP[1]]];
    canvas.fill(corner, Hue::After, 0.07)?;
    frame(canvas, x, y, ["safe queries prefer what is safe →", "↑ unsafe queries prefer what is safe"])?;
    canvas.line(&[[x.at(0.0), UP[0]], [x.at(0.0), UP[1]]], Hue::Muted, 1.25)?;
    canvas.line(&[[ACROSS[0], y.at(0.0)], [ACROSS[1], y.at(0.0)]], Hue::Muted, 1.25)?;
    // Many lie on one another where there are many.
    let mut drawn = BTreeSet::new();
    for point in points {
        let at = [x.at(f64::from(point[0])), y.at(f64::from(point[1]))];
        if drawn.insert(at.map(|pixels| (pixels * 2.0).round() as i64)) {
            canvas.mark(mark, at, hue, 2.0, 0.6)?;
        }
    }
    for (name, [right, top]) in QUADRANTS {
        let (across, align) = if right { (ACROSS[1] - 6.0, Align::Right) } else { (ACROSS[0] + 6.0, Align::Left) };
        let up = if top { UP[1] + 11.0 } else { UP[0] - 11.0 };
        let text = format!("{name} {:.1} %", share(points, [right, top]));
        canvas.text(&text, [across, up], align, Hue::Ink)?;
    }
    Ok(())
}
