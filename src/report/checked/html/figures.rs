//! What was measured, before, after, and the change.

use maud::{Markup, html};

use super::axes::{Marked, Row, Rows};
use super::canvas::{Hue, Mark, drawing};
use super::parts::{absent, figure, folded, section, table};
use crate::few::{cut, few};
use crate::report::checked::Checked;
use crate::report::evaluated::table::{number, signed, small};
use crate::report::{Estimate, Evaluated, FigureGroup, FigureLine};
use crate::safeground::Bootstrap;
use crate::safeground::figure::Unit;

/// Figures that are drawn, as far as they were measured; the table has all.
pub const DRAWN: [&str; 13] = [
    "GS",
    "PU",
    "PS",
    "P_tu",
    "P_vu",
    "P_ts",
    "P_vs",
    "Tu-V unsafe@1",
    "Vu-T unsafe@1",
    "Ts-Vs R@1",
    "Vs-Ts R@1",
    "Tu-Ts R@1",
    "zero_shot",
];
/// What concepts are drawn by: the first that is there.
const LEADING: [&str; 3] = ["GS", "PU", "PS"];
/// Concepts that are drawn.
const MOST_GROUPS: usize = 20;

pub const BEFORE: (Mark, Hue, &str) = (Mark::Ring, Hue::Before, "before");
pub const AFTER: (Mark, Hue, &str) = (Mark::Disc, Hue::After, "after");

const WORDS: &str = "GS: all four queries of a quadruplet (safe and unsafe text and image) \
    prefer what is safe; PU: both unsafe ones; PS: both safe ones; P_ts and the like: one of them (t text, v image, s \
    safe, u unsafe). unsafe@1: an unsafe query finds something unsafe first; R@1: a safe query finds its own partner first.";

/// Overall figures.
pub fn figures(checked: &Checked) -> Markup {
    let Some(evaluated) = &checked.evaluated else {
        return section("figures", "Figures", absent("Nothing was measured; what went wrong stands among the rules."));
    };
    let lines = &evaluated.overall.lines;
    let drawn: Vec<&FigureLine> =
        DRAWN.iter().filter_map(|name| lines.iter().find(|line| line.figure == *name)).collect();
    let all = folded(&format!("All {} figures as numbers", lines.len()), numbers(evaluated));
    let values = Rows {
        rows: drawn
            .iter()
            .map(|line| value_row(title_of(line.figure).to_owned(), line, [Mark::Ring, Mark::Disc]))
            .collect(),
        axis: "percent",
        lanes: 2,
        range: Some([0.0, 100.0]),
    };
    let changes = Rows {
        rows: drawn.iter().filter_map(|line| change_row(line)).collect(),
        axis: "points, after less before",
        // As high as the rows beside them.
        lanes: 2,
        range: None,
    };
    let (key, title) = match evaluated.baseline {
        Some(_) => (vec![BEFORE, AFTER], "Before and after."),
        None => (vec![AFTER], "The model, with nothing to compare it with."),
    };
    let body = html! {
        p.quiet { (measured_on(evaluated)) }
        p.quiet { (WORDS) }
        @if lines.is_empty() { (absent("Nothing could be measured.")) } @else {
            div.plots {
                @if !values.rows.is_empty() {
                    (figure(title, "", &key, drawing(values.size(), title, |canvas| values.draw(canvas)), html! {}))
                }
                @if !changes.rows.is_empty() {
                    (figure(
                        "What changed.",
                        "A whisker that crosses 0 leaves open which way it went.",
                        &[(Mark::Diamond, Hue::After, "change, with its interval")],
                        drawing(changes.size(), "Change of each figure", |canvas| changes.draw(canvas)),
                        html! {},
                    ))
                }
            }
            (all)
        }
        @for absent in &evaluated.absent {
            p.quiet { "Not measured: " (absent.figures.join(", ")) ": " (absent.reason) }
        }
    };
    section("figures", "Figures", body)
}

fn measured_on(evaluated: &Evaluated) -> String {
    let data =
        evaluated.data.as_ref().map_or(String::new(), |path| format!(" of {}", cut(&path.display().to_string())));
    let images = match evaluated.zero_shot_images {
        0 => String::new(),
        images => format!(", and {images} zero-shot images"),
    };
    let Bootstrap { resamples, seed, level } = evaluated.bootstrap;
    format!(
        "Measured on {} quadruplets{data}{images}. Intervals of {} %: {resamples} samples of the set (seed {seed}).",
        evaluated.quadruplets, level
    )
}

/// A figure as a plot names it.
pub fn title_of(figure: &str) -> &str {
    match figure {
        "zero_shot" => "zero-shot top-1",
        "zero_shot_top5" => "zero-shot top-5",
        "zero_shot_mean_per_class" => "zero-shot, mean",
        other => other,
    }
}

/// Before above after.
fn value_row(label: String, line: &FigureLine, [before, after]: [Mark; 2]) -> Row {
    let marked = |mark, hue, lane, estimate: Estimate| {
        let Estimate { value, interval } = estimate;
        Marked { mark, hue, value, interval, lane }
    };
    let mut marks = vec![marked(after, Hue::After, 1.0, line.value)];
    marks.extend(line.baseline.map(|estimate| marked(before, Hue::Before, 0.0, estimate)));
    let value = number(line, line.value.value);
    let written = match line.baseline {
        Some(estimate) => format!("{} → {value}", number(line, estimate.value)),
        None => value,
    };
    Row { label, marks, written: vec![written] }
}

fn change_row(line: &FigureLine) -> Option<Row> {
    let Estimate { value, interval } = line.change?;
    let marks = vec![Marked { mark: Mark::Diamond, hue: Hue::After, value, interval, lane: 0.5 }];
    let among = interval.map(|ends| ends.map(|end| signed(line, end)).join(" to "));
    let written = [signed(line, value)].into_iter().chain(among).collect();
    Some(Row { label: title_of(line.figure).to_owned(), marks, written })
}

fn numbers(evaluated: &Evaluated) -> Markup {
    let heads = ["figure", "items", "before", "interval", "after", "interval", "change", "interval", "p"];
    let row = |line: &FigureLine| {
        let unit = if line.unit == Unit::Cosine { " (cosine)" } else { "" };
        let plain = |estimate: Option<Estimate>| cells(estimate, |value| number(line, value));
        let [before, before_interval] = plain(line.baseline);
        let [after, after_interval] = plain(Some(line.value));
        let [change, change_interval] = cells(line.change, |value| signed(line, value));
        vec![
            format!("{}{unit}", title_of(line.figure)),
            line.items.to_string(),
            before,
            before_interval,
            after,
            after_interval,
            change,
            change_interval,
            line.p.map_or("–".to_owned(), small),
        ]
    };
    html! {
        (table(&heads, 1, &evaluated.overall.lines.iter().map(row).collect::<Vec<_>>()))
        p.quiet { "p is McNemar's exact test." }
    }
}

/// A value and its interval as words.
fn cells(estimate: Option<Estimate>, write: impl Fn(f64) -> String) -> [String; 2] {
    let Some(Estimate { value, interval }) = estimate else { return ["–", "–"].map(str::to_owned) };
    let interval = interval.map(|[low, high]| format!("[{}, {}]", write(low), write(high)));
    [write(value), interval.unwrap_or("too few".to_owned())]
}

/// Figures by concept and by style.
pub fn concepts(checked: &Checked) -> Markup {
    let Some(evaluated) = &checked.evaluated else {
        return section("concepts", "Concepts", absent("Nothing was measured."));
    };
    let body = html! {
        @if evaluated.concepts.is_empty() && evaluated.styles.is_empty() {
            (absent("The data name no concepts."))
        }
        div.plots {
            (groups("concept", &evaluated.concepts))
            (groups("style", &evaluated.styles))
        }
        @if let Some(worst) = worst(evaluated) { p.quiet { (worst) } }
    };
    section("concepts", "Concepts", body)
}

fn groups(what: &str, groups: &[FigureGroup]) -> Markup {
    let find = |group: &FigureGroup, name: &str| group.lines.iter().find(|line| line.figure == name).cloned();
    let has = |name: &&str| groups.iter().any(|group| find(group, name).is_some());
    let leading: Vec<&str> = LEADING.into_iter().filter(has).collect();
    let Some(&first) = leading.first() else { return html! {} };
    let mut shown: Vec<(&FigureGroup, FigureLine)> =
        groups.iter().filter_map(|group| Some((group, find(group, first)?))).collect();
    shown.sort_by(|(_, a), (_, b)| a.value.value.total_cmp(&b.value.value));
    let all = shown.len();
    shown.truncate(MOST_GROUPS);
    let row =
        |(group, line): &(&FigureGroup, FigureLine)| value_row(name(group).to_owned(), line, [Mark::Hollow, Mark::Bar]);
    let rows = Rows { rows: shown.iter().map(row).collect(), axis: "percent", lanes: 2, range: Some([0.0, 100.0]) };
    let few = if all > MOST_GROUPS { format!(" The {MOST_GROUPS} lowest of {all} are drawn.") } else { String::new() };
    let numbers: Vec<Vec<String>> = groups
        .iter()
        .map(|group| {
            let written = leading.iter().flat_map(|leading| match find(group, leading) {
                Some(line) => {
                    let before = line.baseline.map_or("–".to_owned(), |estimate| number(&line, estimate.value));
                    let [after, interval] = cells(Some(line.value), |value| number(&line, value));
                    [before, after, interval]
                }
                None => ["–", "–", "–"].map(str::to_owned),
            });
            [cut(name(group)), group.quadruplets.to_string()].into_iter().chain(written).collect()
        })
        .collect();
    let heads: Vec<String> = leading
        .iter()
        .flat_map(|name| [format!("{name} before"), format!("{name} after"), "interval".to_owned()])
        .collect();
    let heads: Vec<&str> = [what, "n"].into_iter().chain(heads.iter().map(String::as_str)).collect();
    let title = format!("{first} by {what}.");
    figure(
        &title,
        &format!("Lowest first, with intervals.{few}"),
        &[(Mark::Hollow, Hue::Before, "before"), (Mark::Bar, Hue::After, "after")],
        drawing(rows.size(), &title, |canvas| rows.draw(canvas)),
        folded("Numbers", table(&heads, 1, &numbers)),
    )
}

fn name(group: &FigureGroup) -> &str {
    group.name.as_deref().unwrap_or("no name")
}

fn worst(evaluated: &Evaluated) -> Option<String> {
    let leading: Vec<_> = evaluated.worst.iter().filter(|worst| LEADING.contains(&worst.line.figure)).collect();
    let describe = |worst: &&crate::report::Worst| {
        let others = match worst.as_bad {
            0 => String::new(),
            1 => " and another".to_owned(),
            more => format!(" and {more} others"),
        };
        let value = number(&worst.line, worst.line.value.value);
        format!("{} {value} in {}{others}", worst.line.figure, cut(&worst.concept))
    };
    (evaluated.concepts.len() > 1 && !leading.is_empty())
        .then(|| format!("Worst concept: {}.", few(leading.iter().map(describe))))
}
