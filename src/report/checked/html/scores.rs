//! How scores are spread, and from where on they were selected.

use maud::{Markup, html};

use super::axes::{Axis, WIDTH, frame};
use super::canvas::{Align, Canvas, Drawn, Hue, Mark, drawing};
use super::parts::{absent, figure, folded, section, signs, table};
use super::text::short;
use crate::few::cut;
use crate::report::checked::{Checked, ScoredLayer};

/// Layers that are drawn.
const MOST: usize = 6;
const SIZE: [f64; 2] = [WIDTH, 240.0];
const ACROSS: [f64; 2] = [44.0, 408.0];
const UP: [f64; 2] = [200.0, 32.0];

const KEY: [(Mark, Hue, &str); 3] = [
    (Mark::Bar, Hue::Before, "elements, the highest bar as 100"),
    (Mark::Rule, Hue::After, "percent of the sum of scores from there on"),
    (Mark::Triangle, Hue::Special, "least score that was selected"),
];

pub fn scores(checked: &Checked) -> Markup {
    let Some(rewritten) = &checked.rewritten else {
        return section(
            "scores",
            "Scores",
            absent("No report of `rewrite` was given, which has the scores of the edit."),
        );
    };
    // A layer without a bin has nothing to show.
    let mut layers: Vec<&ScoredLayer> = rewritten.scores.iter().filter(|layer| !layer.counts.is_empty()).collect();
    if layers.is_empty() {
        return section("scores", "Scores", absent("The report of `rewrite` has no scores: an aimed edit has none."));
    }
    layers.sort_by_key(|layer| layer.threshold.is_none());
    let all = layers.len();
    let row = |layer: &&ScoredLayer| {
        let power = |exponent: f64| format!("{:.1e}", 10_f64.powf(exponent));
        let [low, high] = layer.range.map(power);
        vec![
            name(layer),
            cut(&layer.initializer),
            low,
            high,
            layer.threshold.map_or("nothing selected".to_owned(), power),
            layer.selected.to_string(),
            format!("{:.2}", 100.0 * layer.selected as f64 / elements(layer).max(1) as f64),
            layer.zero.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = layers.iter().map(row).collect();
    let heads = ["layer", "weight", "least", "greatest", "selected from", "selected", "of elements, %", "score 0"];
    let few = if all > MOST { format!(" {MOST} of {all} layers are drawn; the table has all.") } else { String::new() };
    let body = html! {
        p.quiet {
            "What made the edit: each weight's score, on a logarithmic scale, and the threshold above which weights were \
             changed." (few)
        }
        (signs(&KEY))
        div.plots { @for layer in layers.iter().take(MOST) { (plot(layer)) } }
        (folded("Numbers", table(&heads, 2, &rows)))
    };
    section("scores", "Scores", body)
}

fn name(layer: &ScoredLayer) -> String {
    let block = layer.block.map_or(String::new(), |block| format!(" {block}"));
    format!("{} {}{block}", layer.tower, short(&layer.role, 24))
}

fn plot(layer: &ScoredLayer) -> Markup {
    let title = format!("{}.", name(layer));
    let highest = layer.counts.iter().max().unwrap_or(&0);
    let all = elements(layer);
    let selected = match (layer.selected, layer.threshold) {
        (0, _) | (_, None) => "Nothing was selected.".to_owned(),
        (selected, Some(_)) => {
            format!("Selected: {selected} of {all} elements ({:.2} %).", 100.0 * selected as f64 / all.max(1) as f64)
        }
    };
    let none = if layer.zero == 0 { String::new() } else { format!(" {} score 0 and are in no bar.", layer.zero) };
    let caption = format!("{selected}{none} Highest bar: {highest}.");
    let drawn = drawing(SIZE, &format!("{title} {caption}"), |canvas| draw(canvas, layer));
    figure(&title, &caption, &[], drawn, html! {})
}

/// Where a bin begins and ends.
fn ends(layer: &ScoredLayer, bin: usize) -> [f64; 2] {
    let [low, high] = layer.range;
    let at = |bin: usize| low + (high - low) * bin as f64 / layer.counts.len() as f64;
    [at(bin), at(bin + 1)]
}

/// Elements of a layer.
fn elements(layer: &ScoredLayer) -> u64 {
    layer.counts.iter().fold(layer.zero, |all, count| all.saturating_add(*count))
}

fn draw(canvas: &Canvas, layer: &ScoredLayer) -> Drawn {
    let [low, high] = layer.range.map(|end| if end.is_finite() { end.clamp(-400.0, 400.0) } else { 0.0 });
    let x = Axis::new([low, high.max(low + 0.01)], ACROSS);
    let y = Axis::new([0.0, 100.0], UP);
    frame(canvas, &x, &y, ["decimal logarithm of the score", "percent"])?;
    let highest = *layer.counts.iter().max().unwrap_or(&1) as f64;
    for (bin, count) in layer.counts.iter().enumerate() {
        let [left, right] = ends(layer, bin).map(|end| x.at(end));
        let top = y.at(100.0 * *count as f64 / highest.max(1.0));
        canvas.fill([[left + 0.5, top], [right - 0.5, UP[0]]], Hue::Before, 0.55)?;
    }
    let mut above = 0.0;
    let mut curve = vec![[x.at(high), y.at(0.0)]];
    for bin in (0..layer.counts.len()).rev() {
        above += layer.mass.get(bin).unwrap_or(&0.0);
        curve.push([x.at(ends(layer, bin)[0]), y.at(100.0 * above)]);
    }
    canvas.line(&curve, Hue::After, 2.0)?;
    let Some(threshold) = layer.threshold.map(|threshold| x.at(threshold)) else { return Ok(()) };
    canvas.line(&[[threshold, UP[0]], [threshold, UP[1] - 4.0]], Hue::Special, 1.5)?;
    canvas.mark(Mark::Triangle, [threshold, UP[0] + 1.0], Hue::Special, 4.5, 1.0)?;
    let (across, align) =
        if threshold < 300.0 { (threshold + 5.0, Align::Left) } else { (threshold - 5.0, Align::Right) };
    canvas.text("selected →", [across, UP[1] - 8.0], align, Hue::Ink)
}
