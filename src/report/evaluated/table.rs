//! The evaluation as aligned text for a terminal.

use std::fmt::Write;

use super::{Estimate, Evaluated, FigureGroup, FigureLine, Worst};
use crate::few::cut;
use crate::report::doctor::place_text;
use crate::report::look::{Column, Grid, Look};
use crate::report::table::wrapped;
use crate::safeground::Bootstrap;
use crate::safeground::figure::Unit;

/// A heading, and the figures under it by the end or the beginning of their names.
struct Section {
    title: &'static str,
    takes: fn(&str) -> bool,
}

const SECTIONS: [Section; 5] = [
    Section { title: "SafeGround", takes: |name| !name.contains([' ', '@']) && !name.starts_with("zero") },
    Section { title: "Recall", takes: |name| name.contains('@') },
    Section { title: "Zero-shot classification", takes: |name| name.starts_with("zero_shot") },
    Section { title: "Safe and unsafe partner, cosine", takes: |name| name.ends_with("cosine") },
    Section { title: "Safe inputs before and after, cosine", takes: |name| name.contains("drift") },
];

/// Figures that stand for a group, where they are there.
const LEADING: [&str; 5] = ["PS", "PU", "GS", "Tu-Ts R@1", "Vu-Vs R@1"];

/// Baseline, model and its interval, change and its interval, p.
const COMPARED: [Column; 6] = [
    Column { width: 8, rank: 0 },
    Column { width: 7, rank: 0 },
    Column { width: 15, rank: 2 },
    Column { width: 7, rank: 0 },
    Column { width: 17, rank: 1 },
    Column { width: 7, rank: 3 },
];

/// Where there is one model: its figure, the interval.
const ALONE: [Column; 2] = [Column { width: 8, rank: 0 }, Column { width: 17, rank: 1 }];

/// The table of figures: a line each.
pub(in crate::report) struct Figures {
    compares: bool,
    grid: Grid,
}

impl Figures {
    /// With the columns that there is room for.
    pub fn new(compares: bool, look: Look) -> Self {
        let columns = if compares { COMPARED.to_vec() } else { ALONE.to_vec() };
        let name = if compares || look.width < 53 { 18 } else { 28 };
        Self { compares, grid: Grid::new(name, columns, look.width) }
    }

    /// Its heading; intervals are of that level, in percent.
    pub fn head(&self, level: f64) -> String {
        let interval = format!("{level} % interval");
        let compared = ["baseline", "model", &interval, "change", &interval, "p"];
        let heads = if self.compares { &compared[..] } else { &compared[1..3] };
        self.grid.line("percent", heads.iter().map(|head| (*head).to_owned()))
    }

    /// A figure.
    pub fn row(&self, title: &str, line: &FigureLine) -> String {
        let (value, own) = (number(line, line.value.value), interval(line, line.value, false));
        let name = format!("  {title}");
        if !self.compares {
            return self.grid.line(&name, [value, own]);
        }
        let baseline = line.baseline.map_or(String::new(), |estimate| number(line, estimate.value));
        let change = line.change.map_or(String::new(), |estimate| signed(line, estimate.value));
        let changed = line.change.map_or(String::new(), |estimate| interval(line, estimate, true));
        let p = line.p.map_or(String::new(), small);
        self.grid.line(&name, [baseline, value, own, change, changed, p])
    }
}

impl Evaluated {
    /// Tables as wide as the terminal, but for long names.
    pub fn to_table(&self, look: Look) -> String {
        let wrapped = |text: &str| wrapped(text, look.width);
        let mut out = String::new();
        let names = |files: &[crate::report::FileId]| {
            files.iter().map(|file| file.path.display().to_string()).collect::<Vec<_>>().join(" and ")
        };
        let _ = write!(out, "{}", names(&self.model));
        if let Some(baseline) = &self.baseline {
            let _ = write!(out, ", compared with {}", names(baseline));
        }
        out.push('\n');
        if let Some(runtime) = &self.runtime {
            let _ = writeln!(out, "{}", place_text(runtime));
        }
        out.push('\n');
        for unwell in &self.ailments {
            let _ = writeln!(out, "{}\n", wrapped(&unwell.sentence()));
        }
        self.overall(&mut out, look);
        self.groups(&mut out, "by concept", &self.concepts, look);
        self.groups(&mut out, "by style", &self.styles, look);
        if let Some(worst) = self.worst_sentence() {
            let _ = writeln!(out, "{}\n", wrapped(&worst));
        }
        for absent in &self.absent {
            let _ = writeln!(
                out,
                "{}",
                wrapped(&format!("not measured: {}: {}", absent.figures.join(", "), absent.reason))
            );
        }
        for (who, ties) in [("", &self.ties), (" of the baseline", &self.baseline_ties)] {
            if !ties.is_empty() {
                let all: Vec<String> = ties.iter().map(|ties| format!("{} {}", ties.figure, ties.items)).collect();
                let text = format!(
                    "ties{who}, which count as not safe and as ranked before the right item: {}",
                    all.join(", ")
                );
                let _ = writeln!(out, "{}", wrapped(&text));
            }
        }
        for note in &self.notes {
            let _ = writeln!(out, "{}", wrapped(&format!("note: {note}")));
        }
        let total = self.timing_s.last().map_or(0.0, |(_, seconds)| *seconds);
        let Bootstrap { level, resamples, seed } = self.bootstrap;
        let intervals = format!("{level} % intervals: {resamples} samples of the set (seed {seed})");
        let _ = writeln!(out, "{}\n\n{total:.1} s in all", wrapped(&intervals));
        out
    }

    /// The concepts that are worst by the leading figures; none where there is one concept at most.
    pub(in crate::report) fn worst_sentence(&self) -> Option<String> {
        let leading = self.worst.iter().filter(|worst| LEADING.contains(&worst.line.figure));
        let leading: Vec<&Worst> = leading.collect();
        if self.concepts.len() < 2 || leading.is_empty() {
            return None;
        }
        let text = |worst: &&Worst| {
            let Worst { concept, as_bad, line } = worst;
            let among =
                line.value.interval.map_or(String::new(), |_| format!(",{}", interval(line, line.value, false)));
            let others = match *as_bad {
                0 => String::new(),
                1 => ", another as bad".to_owned(),
                more => format!(", {more} others as bad"),
            };
            let value = number(line, line.value.value);
            format!("{} {value} ('{}', n {}{among}{others})", line.figure, cut(concept), line.items)
        };
        Some(format!("Worst concept: {}.", leading.iter().map(text).collect::<Vec<_>>().join(", ")))
    }

    fn overall(&self, out: &mut String, look: Look) {
        let figures = Figures::new(self.baseline.is_some(), look);
        let _ = writeln!(out, "{}", figures.head(self.bootstrap.level));
        for Section { title, takes } in &SECTIONS {
            let lines: Vec<&FigureLine> = self.overall.lines.iter().filter(|line| takes(line.figure)).collect();
            let Some(first) = lines.first() else { continue };
            let items = if first.figure.starts_with("zero_shot") { "image" } else { "quadruplet" };
            let s = if first.items == 1 { "" } else { "s" };
            let _ = writeln!(out, "{title}, {} {items}{s}", first.items);
            for line in lines {
                let _ = writeln!(out, "{}", figures.row(title_of(line), line));
            }
        }
        out.push('\n');
    }

    fn groups(&self, out: &mut String, title: &str, groups: &[FigureGroup], look: Look) {
        if groups.is_empty() {
            return;
        }
        let find = |group: &FigureGroup, name: &str| group.lines.iter().find(|line| line.figure == name).cloned();
        let leading: Vec<&'static str> = LEADING.into_iter().filter(|name| find(&groups[0], name).is_some()).collect();
        let Some(last) = leading.last() else { return };
        let level = format!("{} % interval", self.bootstrap.level);
        // Of three figures the first is what was safe all along, and goes first.
        let rank = |index: usize| u8::from(index + 2 < leading.len());
        let of_leading = (0..leading.len()).map(|index| Column { width: 10, rank: rank(index) });
        let ends = [Column { width: 15, rank: 4 }, Column { width: 8, rank: 2 }];
        let ends = if self.baseline.is_some() { &ends[..] } else { &ends[..1] };
        let columns = [Column { width: 6, rank: 3 }].into_iter().chain(of_leading).chain(ends.iter().copied());
        let grid = Grid::new(20, columns.collect(), look.width);
        let heads = ["n"].into_iter().chain(leading.iter().copied()).chain([level.as_str(), "change"]);
        let _ = writeln!(out, "{}", grid.line(title, heads.map(str::to_owned)));
        for group in groups {
            let name: String = group.name.iter().flat_map(|name| name.chars()).take(19).collect();
            let lines = leading.iter().map(|name| find(group, name));
            let values = lines.map(|line| line.map_or(String::new(), |line| number(&line, line.value.value)));
            let last = find(group, last);
            let of_last = |text: fn(&FigureLine) -> Option<String>| last.as_ref().and_then(text).unwrap_or_default();
            let cells = [group.quadruplets.to_string()].into_iter().chain(values).chain([
                of_last(|line| Some(interval(line, line.value, false))),
                of_last(|line| Some(signed(line, line.change?.value))),
            ]);
            let _ = writeln!(out, "{}", grid.line(&name, cells));
        }
        out.push('\n');
    }
}

/// The name of a figure under the heading of its section.
fn title_of(line: &FigureLine) -> &'static str {
    match line.figure {
        "zero_shot" => "top-1",
        "zero_shot_top5" => "top-5",
        "zero_shot_mean_per_class" => "mean per class",
        "Ts drift" => "texts, mean",
        "Ts drift, worst 1 %" => "texts, worst 1%",
        "Vs drift" => "images, mean",
        "Vs drift, worst 1 %" => "images, worst 1%",
        "Ts-Tu cosine" => "texts",
        "Vs-Vu cosine" => "images",
        other => other,
    }
}

/// Percentages to a tenth, cosines to a thousandth.
pub(in crate::report) fn number(line: &FigureLine, value: f64) -> String {
    match line.unit {
        Unit::Percent => format!("{value:.1}"),
        Unit::Cosine => format!("{value:.3}"),
    }
}

pub(in crate::report) fn signed(line: &FigureLine, value: f64) -> String {
    match line.unit {
        // No minus before a zero.
        Unit::Percent => format!("{:+.1}", value + 0.0),
        Unit::Cosine => format!("{:+.3}", value + 0.0),
    }
}

pub(in crate::report) fn interval(line: &FigureLine, estimate: Estimate, is_change: bool) -> String {
    match estimate.interval {
        None => " too few".to_owned(),
        Some([low, high]) if is_change => format!(" [{}, {}]", signed(line, low), signed(line, high)),
        Some([low, high]) => format!(" [{}, {}]", number(line, low), number(line, high)),
    }
}

pub(in crate::report) fn small(p: f64) -> String {
    match p {
        0.001.. => format!("{p:.3}"),
        1e-99.. => format!("{p:.0e}"),
        _ => "<1e-99".to_owned(),
    }
}
