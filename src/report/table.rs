//! The report as aligned text for a terminal.

use std::fmt::Write;

use super::doctor::place_text;
use super::{BeforeAfter, Report};
use crate::safeground::Evaluation;

impl Report {
    /// Tables of at most 80 columns, but for long names.
    pub fn to_table(&self) -> String {
        let mut out = String::new();
        for file in &self.files {
            let _ = writeln!(out, "{} -> {}", file.model.path.display(), file.output.path.display());
        }
        let _ = writeln!(out, "{}\n", place_text(&self.runtime));
        if let Some(both) = &self.evaluation {
            self.metrics(&mut out, both);
        }
        self.layers(&mut out);
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

    fn metrics(&self, out: &mut String, BeforeAfter { before, after }: &BeforeAfter<Evaluation>) {
        let _ = writeln!(out, "{:<32}{:>10}{:>10}{:>10}", "percent", "before", "after", "change");
        let _ = writeln!(out, "SafeGround, {} quadruplets", self.evaluation_quadruplets);
        for ((name, before), (_, after)) in before.safeground.entries().into_iter().zip(after.safeground.entries()) {
            row(out, name, before, after);
        }
        for (style, group) in &before.by_style {
            let _ = writeln!(out, "SafeGround, {} {style} quadruplets", group.quadruplets);
            let (before, after) = (group.preference, after.by_style[style].preference);
            row(out, "PS", before.PS, after.PS);
            row(out, "PU", before.PU, after.PU);
            row(out, "GS", before.GS, after.GS);
        }
        out.push_str("Recall (right is the paired safe item)\n");
        for ((name, before), (_, after)) in before.retrieval.entries().into_iter().zip(after.retrieval.entries()) {
            row(out, &format!("{name} R@1"), before.at_1, after.at_1);
            row(out, &format!("{name} R@10"), before.at_10, after.at_10);
        }
        if let (Some(before), Some(after)) = (before.zero_shot, after.zero_shot) {
            out.push_str("Zero-shot classification\n");
            row(out, "top-1", before.top1, after.top1);
            row(out, "top-5", before.top5, after.top5);
        }
        out.push('\n');
    }

    fn layers(&self, out: &mut String) {
        let width = self.edit.layers.iter().map(|l| l.initializer.len()).max().unwrap_or(0).max("initializer".len());
        let _ = writeln!(
            out,
            "{:<7} {:>5} {:<11} {:<width$} {:>11} {:>6} {:>8} {:>7}",
            "tower", "block", "role", "initializer", "shape", "tau", "selected", "%"
        );
        for layer in &self.edit.layers {
            let [o, i] = layer.shape;
            let block = layer.block.map_or("-".to_owned(), |block| block.to_string());
            let share = 100.0 * layer.selected as f64 / (o * i) as f64;
            let _ = writeln!(
                out,
                "{:<7} {block:>5} {:<11} {:<width$} {:>11} {:>6} {:>8} {share:>7.2}",
                layer.tower.name(),
                layer.role,
                layer.initializer,
                format!("{o}x{i}"),
                layer.tau,
                layer.selected,
            );
        }
        let alpha = self.edit.alpha.map_or("of its layer".to_owned(), |alpha| alpha.to_string());
        let _ = writeln!(
            out,
            "{} of {} elements multiplied by alpha {alpha}, calibrated on {} pairs",
            self.edit.selected, self.edit.elements, self.calibration_pairs
        );
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
            notes.push(format!("{outputs} outputs of single pairs had no safe activity and were left out of the mean"));
        }
        notes
    }
}

fn row(out: &mut String, name: &str, before: f64, after: f64) {
    let _ = writeln!(out, "  {name:<30}{before:>10.1}{after:>10.1}{:>+10.1}", after - before);
}
