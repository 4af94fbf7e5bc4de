//! A sweep as text for a terminal.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Frontier, Outcome, Sweep, SweepPoint};
use crate::few::few;
use crate::report::doctor::place_text;
use crate::safeground::{Evaluation, Metric};

/// What a row shows of a split.
const SHOWN: [(&str, Metric); 4] =
    [("GS", Metric::GS), ("PS", Metric::PS), ("0-shot", Metric::ZERO_SHOT), ("R@1", Metric::RECALL)];
/// What it shows of the control.
const CONTROL: [(&str, Metric); 2] = [("GS", Metric::GS), ("0-shot", Metric::ZERO_SHOT)];

impl Sweep {
    /// The frontiers of GS, and what was picked; tables of at most 80 columns.
    pub fn to_table(&self) -> String {
        let mut out = String::new();
        for file in &self.model {
            let _ = writeln!(out, "{}", file.path.display());
        }
        let _ = writeln!(out, "{}\n", place_text(&self.runtime));
        self.counts(&mut out);
        let mut named = BTreeSet::new();
        for frontier in self.frontiers.iter().filter(|frontier| frontier.safety == Metric::GS) {
            self.frontier(&mut out, frontier);
            named.extend(frontier.points.iter().copied());
        }
        named.extend(self.picked.iter().filter_map(|picked| picked.point));
        self.legend(&mut out, &named);
        self.pick(&mut out);
        for note in &self.notes {
            let _ = writeln!(out, "note: {note}");
        }
        let total = self.timing_s.last().map_or(0.0, |(_, seconds)| *seconds);
        let _ = writeln!(out, "\n{total:.1} s in all");
        out
    }

    fn counts(&self, out: &mut String) {
        let of = |wanted: fn(&Outcome) -> bool| self.edits.iter().filter(|edit| wanted(&edit.outcome)).count();
        let tried = of(|outcome| *outcome == Outcome::Tried);
        let _ = writeln!(
            out,
            "{tried} edits of single towers tried, {} combinations; {} calibration pairs",
            self.points.len(),
            self.calibration_pairs
        );
        for (of, split) in [("chosen by validation", self.validation), ("reported: evaluation", self.evaluation)] {
            let _ =
                writeln!(out, "{of}: {} quadruplets, {} zero-shot images", split.quadruplets, split.zero_shot_images);
        }
        let left_out = of(|outcome| *outcome == Outcome::LeftOut);
        if left_out > 0 {
            let _ = writeln!(out, "{left_out} edits were left out (--max-runs)");
        }
        let same: Vec<&str> =
            self.edits.iter().filter(|e| matches!(e.outcome, Outcome::SameAs(_))).map(|e| &*e.id).collect();
        if !same.is_empty() {
            let _ = writeln!(out, "{} edits change what another changes: {}", same.len(), few(&same));
        }
        for edit in &self.edits {
            if let Outcome::Impossible(reason) = &edit.outcome {
                let _ = writeln!(out, "{} is impossible: {reason}", edit.id);
            }
        }
        out.push('\n');
    }

    fn frontier(&self, out: &mut String, Frontier { safety, knowledge, points }: &Frontier) {
        let random = points.iter().any(|&point| self.points[point].random.is_some());
        let title = format!("{} against {}", safety.title(), knowledge.title());
        let _ = write!(out, "{title:<25}{:^28}{:^24}", "validation", "evaluation");
        out.push_str(if random { " random\n" } else { "\n" });
        let _ = write!(out, "{:<5}{:<6}{:>8}     ", "text", "vision", "elements");
        for _ in 0..2 {
            SHOWN.iter().for_each(|(name, _)| _ = write!(out, "{name:>6}"));
            out.push(' ');
        }
        if random {
            CONTROL.iter().for_each(|(name, _)| _ = write!(out, "{name:>6}"));
        }
        out.push('\n');
        for &point in points {
            self.row(out, &self.points[point]);
        }
        out.push('\n');
    }

    fn row(&self, out: &mut String, point: &SweepPoint) {
        let [text, vision] = self.ids(point).map(|id| id.unwrap_or("-"));
        let _ = write!(out, "{text:<5}{vision:<6}{:>8}     ", point.selected);
        let cells = |out: &mut String, shown: &[(&str, Metric)], evaluation: Option<&Evaluation>| {
            for (_, metric) in shown {
                match evaluation.and_then(|evaluation| metric.of(evaluation)) {
                    Some(value) => _ = write!(out, "{value:>6.1}"),
                    None => _ = write!(out, "{:>6}", "-"),
                }
            }
        };
        cells(out, &SHOWN, Some(&point.validation));
        out.push(' ');
        cells(out, &SHOWN, point.evaluation.as_ref());
        if point.random.is_some() {
            out.push(' ');
            cells(out, &CONTROL, point.random.as_ref());
        }
        // Whether GS is beyond what the random control does.
        out.push_str(match &point.verdict {
            Some(verdict) if verdict.GS.beats_random => "*\n",
            _ => "\n",
        });
    }

    /// What the short names mean, as it can stand in uwm.yaml.
    fn legend(&self, out: &mut String, points: &BTreeSet<usize>) {
        let used: BTreeSet<usize> =
            points.iter().flat_map(|&point| [self.points[point].text, self.points[point].vision]).flatten().collect();
        if self.points.iter().any(|point| point.verdict.as_ref().is_some_and(|verdict| verdict.GS.beats_random)) {
            out.push_str("* GS is beyond that of as many random elements (McNemar's exact test)\n");
        }
        for edit in used.iter().map(|&edit| &self.edits[edit]) {
            let _ = writeln!(out, "{:<4} {}: {}", edit.id, edit.tower, edit.recipe);
        }
        if !used.is_empty() {
            out.push('\n');
        }
    }

    fn pick(&self, out: &mut String) {
        let Some(picked) = &self.picked else { return };
        match picked.point.map(|point| &self.points[point]) {
            None => {
                let _ = writeln!(out, "{}: no edit keeps that and betters the model as it is", picked.rule);
                if let Some(output) = &picked.output {
                    let _ = writeln!(out, "{} was not written", output.display());
                }
            }
            Some(point) => {
                let ids = self.ids(point).into_iter().flatten().collect::<Vec<_>>().join(" with ");
                let _ = writeln!(out, "{}: {ids}", picked.rule);
            }
        }
        out.push('\n');
        if let Some(report) = &picked.report {
            out.push_str(&report.to_table());
            out.push('\n');
        }
    }
}
