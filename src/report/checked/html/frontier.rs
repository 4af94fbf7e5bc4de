//! What a sweep found: how safe for how much knowledge.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::axes::{Axis, WIDTH, frame};
use super::canvas::{Canvas, Drawn, Hue, Mark, drawing};
use super::parts::{absent, beside, figure, section, table};
use super::text::short;
use crate::few::cut;
use crate::report::checked::{Checked, SweptFrontier};

const SIZE: [f64; 2] = [WIDTH, 320.0];
const ACROSS: [f64; 2] = [44.0, 408.0];
const UP: [f64; 2] = [280.0, 32.0];
/// Frontiers, and other points of each, that are drawn.
const MOST: [usize; 2] = [8, 1000];

type Series<'a> = (Mark, Hue, &'static str, &'a [[f64; 2]]);

pub fn frontier(checked: &Checked) -> Markup {
    let rest = checked.frontiers.len().saturating_sub(MOST[0]);
    let body = html! {
        @if checked.frontiers.is_empty() { (absent("No sweep was given.")) } @else {
            p.quiet {
                "What other recipes come to: the frontier on the evaluation split, from a sweep. A recipe below it gives \
                 away knowledge for nothing."
            }
            @for frontier in checked.frontiers.iter().take(MOST[0]) { (plot(frontier)) }
            @if rest > 0 { (absent(&format!("and {rest} more frontiers"))) }
        }
    };
    section("frontier", "Frontier", body)
}

fn plot(swept: &SweptFrontier) -> Markup {
    let unedited: Vec<[f64; 2]> = swept.unedited.into_iter().collect();
    let all: [Series; 4] = [
        (Mark::Ring, Hue::Before, "all recipes, validation", &swept.others),
        (Mark::Disc, Hue::After, "frontier, evaluation", &swept.frontier),
        (Mark::Cross, Hue::Control, "as many at random", &swept.random),
        (Mark::Triangle, Hue::Special, "the model as it was", &unedited),
    ];
    let series: Vec<Series> = all.into_iter().filter(|(_, _, _, points)| !points.is_empty()).collect();
    let key: Vec<(Mark, Hue, &str)> = series.iter().map(|(mark, hue, what, _)| (*mark, *hue, *what)).collect();
    let [across, up] = [0, 1].map(|axis: usize| short(&swept.axes[axis], 40));
    let title = format!("{up} against {across}.");
    let rows: Vec<Vec<String>> = series
        .iter()
        .filter(|(mark, ..)| *mark != Mark::Ring)
        .flat_map(|(_, _, what, points)| {
            points.iter().map(|[x, y]| vec![(*what).to_owned(), format!("{x:.1}"), format!("{y:.1}")])
        })
        .collect();
    let plot = figure(
        &title,
        &format!("Percent; from {}.", cut(&swept.file.display().to_string())),
        &key,
        drawing(SIZE, &title, |canvas| draw(canvas, swept, &series, [&across, &up])),
        html! {},
    );
    beside(plot, table(&["what", &across, &up], 1, &rows))
}

fn draw(canvas: &Canvas, swept: &SweptFrontier, series: &[Series], titles: [&str; 2]) -> Drawn {
    // What lies far behind the frontier would only make it small.
    let shown = |axis: usize| {
        let near = series.iter().filter(|(mark, ..)| *mark != Mark::Ring || swept.frontier.is_empty());
        near.flat_map(|(.., points)| *points).map(move |point| point[axis])
    };
    let (x, y) = (Axis::around(shown(0), ACROSS), Axis::around(shown(1), UP));
    frame(canvas, &x, &y, [&format!("{} (%) →", titles[0]), &format!("↑ {} (%)", titles[1])])?;
    for (mark, hue, _, points) in series {
        let (radius, most) = if *mark == Mark::Ring { (2.5, MOST[1]) } else { (4.0, usize::MAX) };
        let mut drawn = BTreeSet::new();
        let within: Vec<[f64; 2]> = points
            .iter()
            .filter(|[across, up]| x.holds(*across) && y.holds(*up))
            .map(|[across, up]| [x.at(*across), y.at(*up)])
            .filter(|at| drawn.insert(at.map(|pixels| (pixels * 2.0).round() as i64)))
            .take(most)
            .collect();
        if *mark == Mark::Disc {
            canvas.line(&within, *hue, 1.5)?;
        }
        within.into_iter().try_for_each(|at| canvas.mark(*mark, at, *hue, radius, 1.0))?;
    }
    Ok(())
}
