//! The report as aligned text for a terminal.

use std::fmt::Write;

use super::doctor::place_text;
use super::look::{Column, Grid};
use super::{BeforeAfter, ControlKind, Look, Report};
use crate::safeground::Evaluation;

impl Report {
    /// Tables as wide as the terminal, but for long names.
    pub fn to_table(&self, look: Look) -> String {
        let mut out = String::new();
        for file in &self.files {
            let _ = writeln!(out, "{} -> {}", file.model.path.display(), file.output.path.display());
        }
        let _ = writeln!(out, "{}\n", place_text(&self.runtime));
        for unwell in &self.unwell {
            let _ = writeln!(out, "{}\n", wrapped(&unwell.sentence(), look.width));
        }
        if let Some(both) = &self.evaluation {
            self.metrics(&mut out, both, look);
        }
        for aim in &self.aims {
            let _ = writeln!(out, "{}", aim.to_text(look));
        }
        self.layers(&mut out, look);
        let undefined = self.undefined();
        if !self.notes.is_empty() || !undefined.is_empty() {
            out.push('\n');
        }
        for note in self.notes.iter().chain(&undefined) {
            let _ = writeln!(out, "note: {note}");
        }
        let total = self.timing_s.last().map_or(0.0, |(_, seconds)| *seconds);
        let _ = writeln!(out, "\n{total:.1} s in all");
        out
    }

    /// Before, after, change, and the controls: of each kind the mean.
    fn metrics(&self, out: &mut String, BeforeAfter { before, after }: &BeforeAfter<Evaluation>, look: Look) {
        let of = |kind: fn(ControlKind) -> bool| -> Vec<&Evaluation> {
            self.controls.iter().filter(|c| kind(c.kind)).map(|control| &control.evaluation).collect()
        };
        let columns = [
            ("random", of(ControlKind::is_random)),
            ("swapped", of(|kind| kind == ControlKind::Swapped)),
            ("direction", of(|kind| matches!(kind, ControlKind::Direction { .. }))),
        ];
        // A narrow terminal has shorter columns, and fewer of them.
        let (title, digits, room) =
            if look.width < 80 { (14, 8, look.width.saturating_sub(40) / 10) } else { (24, 9, 3) };
        let columns: Vec<_> = columns.into_iter().filter(|(_, controls)| !controls.is_empty()).take(room).collect();
        let row = |out: &mut String, name: &str, of: &dyn Fn(&Evaluation) -> f64| {
            let (before, after) = (of(before), of(after));
            let _ = write!(out, "  {name:<title$}{before:>digits$.1}{after:>digits$.1}{:>+digits$.1}", after - before);
            for (_, controls) in &columns {
                let mean = controls.iter().map(|control| of(control)).sum::<f64>() / controls.len() as f64;
                let _ = write!(out, "{mean:>10.1}");
            }
            out.push('\n');
        };
        let _ = write!(out, "{:<1$}", "percent", title + 2);
        for name in ["before", "after", "change"] {
            let _ = write!(out, "{name:>digits$}");
        }
        for (name, _) in &columns {
            let _ = write!(out, "{name:>10}");
        }
        let _ = writeln!(out, "\nSafeGround, {} quadruplets", self.evaluation_quadruplets);
        for (index, (name, _)) in before.safeground.entries().into_iter().enumerate() {
            row(out, name, &|evaluation| evaluation.safeground.entries()[index].1);
        }
        for (style, group) in &before.by_style {
            let _ = writeln!(out, "SafeGround, {} {style} quadruplets", group.quadruplets);
            row(out, "PS", &|evaluation| evaluation.by_style[style].preference.PS);
            row(out, "PU", &|evaluation| evaluation.by_style[style].preference.PU);
            row(out, "GS", &|evaluation| evaluation.by_style[style].preference.GS);
        }
        out.push_str("Recall (right is the paired safe item)\n");
        for (index, (name, _)) in before.retrieval.entries().into_iter().enumerate() {
            row(out, &format!("{name} R@1"), &|evaluation| evaluation.retrieval.entries()[index].1.at_1);
            row(out, &format!("{name} R@10"), &|evaluation| evaluation.retrieval.entries()[index].1.at_10);
        }
        for (index, (name, _)) in before.retrieval.firsts().into_iter().enumerate() {
            row(out, name, &|evaluation| evaluation.retrieval.firsts()[index].1);
        }
        if before.zero_shot.is_some() {
            out.push_str("Zero-shot classification\n");
            row(out, "top-1", &|evaluation| evaluation.zero_shot.map_or(0.0, |accuracy| accuracy.top1));
            row(out, "top-5", &|evaluation| evaluation.zero_shot.map_or(0.0, |accuracy| accuracy.top5));
        }
        out.push('\n');
        if let Some(verdict) = &self.verdict {
            let _ = writeln!(out, "{}\n", wrapped(&verdict.sentence(), look.width));
        }
        if let Some(changes) = self.changes() {
            let _ = writeln!(out, "{}\n", wrapped(&changes, look.width));
        }
    }

    /// What the leading figures changed by, and how far that could be off.
    fn changes(&self) -> Option<String> {
        let leading =
            [("GS", "GS"), ("PU", "PU"), ("PS", "PS"), ("Ts-Vs R@1", "Ts-Vs R@1"), ("zero_shot", "zero-shot top-1")];
        let of = |(name, title): (&str, &str)| {
            let change = self.figures.iter().find(|line| line.figure == name)?.change?;
            let [low, high] = change.interval?;
            Some(format!("{title} {low:+.1} to {high:+.1}"))
        };
        let shown: Vec<String> = leading.into_iter().filter_map(of).collect();
        (!shown.is_empty()).then(|| format!("Changes, 95 % intervals: {}.", shown.join(", ")))
    }

    fn layers(&self, out: &mut String, look: Look) {
        let width = self.edit.layers.iter().map(|l| l.initializer.len()).max().unwrap_or(0).max("initializer".len());
        let columns = vec![
            Column { width: width + 1, rank: 4 },
            Column { width: 12, rank: 3 },
            Column { width: 7, rank: 2 },
            Column { width: 9, rank: 1 },
            Column { width: 8, rank: 0 },
        ];
        // Names may be longer than a line, and only a narrow terminal does without them.
        let grid = Grid::new(25, columns, if look.width < 80 { look.width } else { usize::MAX });
        let named = |name: &str| format!(" {name:<width$}");
        let heads = ["shape", "tau", "selected", "%"].map(str::to_owned);
        let first = format!("{:<7} {:>5} {:<11}", "tower", "block", "role");
        let _ = writeln!(out, "{}", grid.line(&first, [named("initializer")].into_iter().chain(heads)));
        for layer in &self.edit.layers {
            let [o, i] = layer.shape;
            let block = layer.block.map_or("-".to_owned(), |block| block.to_string());
            let share = 100.0 * layer.selected as f64 / (o * i) as f64;
            let first = format!("{:<7} {block:>5} {:<11}", layer.tower.name(), layer.role);
            let cells = [
                named(&layer.initializer),
                format!("{o}x{i}"),
                layer.tau.map_or("-".to_owned(), |tau| tau.to_string()),
                layer.selected.to_string(),
                format!("{share:.2}"),
            ];
            let _ = writeln!(out, "{}", grid.line(&first, cells));
        }
        let what = match self.edit.alpha {
            Some(alpha) => format!("multiplied by alpha {alpha}"),
            None if self.edit.layers.iter().all(|layer| layer.alpha.is_none()) => "given other values".to_owned(),
            None => "multiplied by alpha of its layer".to_owned(),
        };
        let _ = writeln!(
            out,
            "{} of {} elements {what}, calibrated on {} pairs",
            self.edit.selected, self.edit.elements, self.calibration_pairs
        );
        for part in &self.edit.concepts {
            let _ = writeln!(
                out,
                "{:<7} '{}' ({} pairs) selected {}, {} of them first",
                part.tower.name(),
                part.concept,
                part.pairs,
                part.selected,
                part.added
            );
        }
        let saturated: usize = self.edit.layers.iter().map(|layer| layer.saturated).sum();
        if saturated > 0 {
            let _ = writeln!(out, "{saturated} of these are codes that stopped at the end of their range (saturated)");
        }
    }

    /// A sentence for each kind of thing that had no score.
    fn undefined(&self) -> Vec<String> {
        let layers = &self.edit.layers;
        let mut notes = vec![];
        // Short samples are short in every layer of a tower.
        for tower in ["text", "vision"] {
            let pairs = layers.iter().filter(|l| l.tower.name() == tower).map(|l| l.undefined.short_pairs).max();
            if let Some(pairs @ 1..) = pairs {
                notes.push(format!("{pairs} {tower} pairs with fewer than two tokens on a side were not scored"));
            }
            let pairs = layers.iter().filter(|l| l.tower.name() == tower).map(|l| l.undefined.not_finite).max();
            if let Some(pairs @ 1..) = pairs {
                notes.push(format!("{pairs} {tower} pairs with activations that are not finite were not scored"));
            }
        }
        let features: usize = layers.iter().map(|layer| layer.undefined.features).sum();
        if features > 0 {
            notes.push(format!(
                "{features} input features of single pairs were dead or constant and left out of the mean"
            ));
        }
        let outputs: usize = layers.iter().map(|layer| layer.undefined.outputs).sum();
        if outputs > 0 {
            notes.push(format!("{outputs} outputs of single pairs had no safe activity and count as 0"));
        }
        notes
    }
}

/// Text in lines of at most so many characters, but for longer words.
pub(super) fn wrapped(text: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is a line");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            last.push_str(if last.is_empty() { "" } else { " " });
            last.push_str(word);
        }
    }
    lines.join("\n")
}
