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
    let panel = |points: &[[f32; 2]], counts: [usize; 4], (mark, hue, when): (Mark, Hue, &str)| {
        let shares = shares(counts);
        let label = format!("Safe against unsafe preference, {when}: {}", shares.join(", "));
        let plot = drawing(SIZE, &label, |canvas| draw(canvas, [&x, &y], points, &shares, (mark, hue)));
        let title = if when == "before" { "Before." } else { "After." };
        figure(title, "", &[(mark, hue, "a quadruplet")], plot, html! {})
    };
    let row = |(index, name): (usize, &str)| {
        let before = scatter.before.map_or("–".to_owned(), |counts| counts[index].to_string());
        vec![name.to_owned(), before, scatter.after[index].to_string()]
    };
    let rows: Vec<Vec<String>> = Scatter::QUADRANTS.into_iter().enumerate().map(row).collect();
    let drawn = match scatter.points.len() {
        drawn if drawn == scatter.of => format!("All {drawn} quadruplets are drawn."),
        drawn => format!("{drawn} of {} quadruplets are drawn, evenly taken; all are counted.", scatter.of),
    };
    html! {
        p.quiet { (WORDS) " " (drawn) }
        div.plots {
            @if let Some((before, counts)) = before.as_deref().zip(scatter.before) { (panel(before, counts, BEFORE)) }
            (panel(&after, scatter.after, AFTER))
        }
        (folded("Numbers", table(&["quadrant", "before", "after"], 1, &rows)))
    }
}

/// What each quadrant holds, in words.
fn shares(counts: [usize; 4]) -> [String; 4] {
    let all = counts.iter().sum::<usize>().max(1) as f64;
    std::array::from_fn(|index| format!("{} {:.1} %", Scatter::QUADRANTS[index], 100.0 * counts[index] as f64 / all))
}

fn draw(
    canvas: &Canvas,
    [x, y]: [&Axis; 2],
    points: &[[f32; 2]],
    shares: &[String; 4],
    (mark, hue): (Mark, Hue),
) -> Drawn {
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
    for (index, text) in shares.iter().enumerate() {
        let (right, top) = (index % 2 == 1, index >= 2);
        let (across, align) = if right { (ACROSS[1] - 6.0, Align::Right) } else { (ACROSS[0] + 6.0, Align::Left) };
        let up = if top { UP[1] + 11.0 } else { UP[0] - 11.0 };
        canvas.text(text, [across, up], align, Hue::Ink)?;
    }
    Ok(())
}
