//! The evaluation as aligned text for a terminal.

use std::fmt::Write;

use super::{Estimate, Evaluated, FigureGroup, FigureLine, Worst};
use crate::report::doctor::place_text;
use crate::report::table::wrapped;
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

impl Evaluated {
    /// Tables of at most 80 columns, but for long names.
    pub fn to_table(&self) -> String {
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
        self.overall(&mut out);
        self.groups(&mut out, "by concept", &self.concepts);
        self.groups(&mut out, "by style", &self.styles);
        let leading = self.worst.iter().filter(|worst| LEADING.contains(&worst.line.figure));
        let leading: Vec<&Worst> = leading.collect();
        if self.concepts.len() > 1 && !leading.is_empty() {
            let text = |worst: &&Worst| {
                let Worst { concept, as_bad, line } = worst;
                let among =
                    line.value.interval.map_or(String::new(), |_| format!(",{}", interval(line, line.value, false)));
                let others = if *as_bad == 0 { String::new() } else { format!(", {as_bad} others as bad") };
                let value = number(line, line.value.value);
                format!("{} {value} ('{concept}', n {}{among}{others})", line.figure, line.items)
            };
            let all = leading.iter().map(text).collect::<Vec<_>>().join(", ");
            let _ = writeln!(out, "{}\n", wrapped(&format!("Worst concept: {all}.")));
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
        let _ = writeln!(
            out,
            "95 % intervals: {} samples of the set (seed {})\n\n{total:.1} s in all",
            self.bootstrap.resamples, self.bootstrap.seed
        );
        out
    }

    fn overall(&self, out: &mut String) {
        let compares = self.baseline.is_some();
        let _ = match compares {
            true => writeln!(
                out,
                "{:<18}{:>8}{:>7}{:>15}{:>7}{:>17}{:>7}",
                "percent", "baseline", "model", "95 % interval", "change", "95 % interval", "p"
            ),
            false => writeln!(out, "{:<28}{:>8}{:>17}", "percent", "model", "95 % interval"),
        };
        for Section { title, takes } in &SECTIONS {
            let lines: Vec<&FigureLine> = self.overall.lines.iter().filter(|line| takes(line.figure)).collect();
            let Some(first) = lines.first() else { continue };
            let items = if first.figure.starts_with("zero_shot") { "image" } else { "quadruplet" };
            let s = if first.items == 1 { "" } else { "s" };
            let _ = writeln!(out, "{title}, {} {items}{s}", first.items);
            for line in lines {
                self.line(out, line, compares);
            }
        }
        out.push('\n');
    }

    fn line(&self, out: &mut String, line: &FigureLine, compares: bool) {
        let title = match line.figure {
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
        };
        let value = number(line, line.value.value);
        let own = interval(line, line.value, false);
        if !compares {
            let _ = writeln!(out, "  {title:<26}{value:>8}{own:>17}");
            return;
        }
        let baseline = line.baseline.map_or(String::new(), |estimate| number(line, estimate.value));
        let change = line.change.map_or(String::new(), |estimate| signed(line, estimate.value));
        let changed = line.change.map_or(String::new(), |estimate| interval(line, estimate, true));
        let p = line.p.map_or(String::new(), small);
        let row = format!("  {title:<16}{baseline:>8}{value:>7}{own:>15}{change:>7}{changed:>17}{p:>7}");
        let _ = writeln!(out, "{}", row.trim_end());
    }

    fn groups(&self, out: &mut String, title: &str, groups: &[FigureGroup]) {
        if groups.is_empty() {
            return;
        }
        let find = |group: &FigureGroup, name: &str| group.lines.iter().find(|line| line.figure == name).cloned();
        let leading: Vec<&str> = LEADING.into_iter().filter(|name| find(&groups[0], name).is_some()).collect();
        let Some(last) = leading.last() else { return };
        let _ = write!(out, "{title:<20}{:>6}", "n");
        for name in &leading {
            let _ = write!(out, "{name:>10}");
        }
        let _ = write!(out, "{:>15}", "95 % interval");
        if self.baseline.is_some() {
            let _ = write!(out, "{:>8}", "change");
        }
        out.push('\n');
        for group in groups {
            let name: String = group.name.iter().flat_map(|name| name.chars()).take(19).collect();
            let _ = write!(out, "{name:<20}{:>6}", group.quadruplets);
            let lines = leading.iter().filter_map(|name| find(group, name));
            for line in lines {
                let _ = write!(out, "{:>10}", number(&line, line.value.value));
                if line.figure == *last {
                    let _ = write!(out, "{:>15}", interval(&line, line.value, false));
                    if let Some(change) = line.change {
                        let _ = write!(out, "{:>8}", signed(&line, change.value));
                    }
                }
            }
            out.push('\n');
        }
        out.push('\n');
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

fn interval(line: &FigureLine, estimate: Estimate, is_change: bool) -> String {
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
