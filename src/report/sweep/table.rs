//! A sweep as text for a terminal.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Frontier, Outcome, Reach, Sweep, SweepPoint};
use crate::few::few;
use crate::onnx::Modality;
use crate::report::Look;
use crate::report::doctor::place_text;
use crate::safeground::{Evaluation, Metric};

/// What a row shows of a split.
const SHOWN: [(&str, Metric); 4] =
    [("GS", Metric::GS), ("PS", Metric::PS), ("0sh", Metric::ZERO_SHOT), ("R@1", Metric::RECALL)];
/// What it shows of the control.
const CONTROL: [(&str, Metric); 2] = [("GS", Metric::GS), ("0sh", Metric::ZERO_SHOT)];

impl Sweep {
    /// The frontiers of GS, and what was picked.
    pub fn to_table(&self, look: Look) -> String {
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
        self.by_score(&mut out);
        self.legend(&mut out, &named);
        self.pick(&mut out, look);
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
        let _ = writeln!(
            out,
            "{title}\n{:<21}{:^26}{:^26}{}",
            "",
            "validation",
            "evaluation",
            if random { "   random" } else { "" }
        );
        let _ = write!(out, "{:<5}{:<7}{:>9}", "text", "vision", "elements");
        let heads = |out: &mut String, shown: &[(&str, Metric)]| {
            out.push_str("  ");
            shown.iter().for_each(|(name, _)| _ = write!(out, "{name:>6}"));
        };
        heads(out, &SHOWN);
        heads(out, &SHOWN);
        if random {
            heads(out, &CONTROL);
        }
        out.push('\n');
        // What all is compared with, though another may better it by chance.
        let unedited = std::iter::once(0).filter(|unedited| !points.contains(unedited));
        for point in unedited.chain(points.iter().copied()) {
            self.row(out, &self.points[point]);
        }
        out.push('\n');
    }

    fn by_score(&self, out: &mut String) {
        let Some(Reach { safety, knowledge, losses, of }) = &self.reach else { return };
        let _ = writeln!(out, "{} on validation, within a loss of {}", safety.title(), knowledge.title());
        let _ = write!(out, "{:<21}", "score");
        losses.iter().for_each(|loss| _ = write!(out, "{loss:>6}"));
        out.push('\n');
        for (score, best) in of {
            let _ = write!(out, "{:<21}", score.as_deref().unwrap_or("all"));
            for best in best {
                match best {
                    Some(best) => _ = write!(out, "{best:>6.1}"),
                    None => _ = write!(out, "{:>6}", "-"),
                }
            }
            out.push('\n');
        }
        out.push('\n');
    }

    fn row(&self, out: &mut String, point: &SweepPoint) {
        let [text, vision] = self.ids(point).map(|id| id.unwrap_or("-"));
        let _ = write!(out, "{text:<5}{vision:<7}{:>9}", point.selected);
        let cells = |out: &mut String, shown: &[(&str, Metric)], evaluation: Option<&Evaluation>| {
            out.push_str("  ");
            for (_, metric) in shown {
                match evaluation.and_then(|evaluation| metric.of(evaluation)) {
                    Some(value) => _ = write!(out, "{value:>6.1}"),
                    None => _ = write!(out, "{:>6}", "-"),
                }
            }
        };
        cells(out, &SHOWN, Some(&point.validation));
        cells(out, &SHOWN, point.evaluation.as_ref());
        if point.random.is_some() {
            cells(out, &CONTROL, point.random.as_ref());
        }
        // Whether GS is beyond what the random control does.
        out.push_str(match &point.verdict {
            Some(verdict) if verdict.GS.beats_random => "*\n",
            _ => "\n",
        });
    }

    /// What the short names mean.
    fn legend(&self, out: &mut String, points: &BTreeSet<usize>) {
        let used: BTreeSet<usize> =
            points.iter().flat_map(|&point| [self.points[point].text, self.points[point].vision]).flatten().collect();
        if self.points.iter().any(|point| point.verdict.as_ref().is_some_and(|verdict| verdict.GS.beats_random)) {
            out.push_str("* GS is beyond that of as many random elements (McNemar's exact test)\n");
        }
        for edit in used.iter().map(|&edit| &self.edits[edit]) {
            let _ = writeln!(out, "{:<4} {}: {}", edit.id, edit.tower, edit.recipe);
        }
        out.push_str("0sh: zero-shot top-1; R@1: Ts-Vs R@1; - where a tower stays as it is\n\n");
    }

    fn pick(&self, out: &mut String, look: Look) {
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
                let _ = writeln!(out, "{}: {ids}; as it can stand in uwm.yaml:", picked.rule);
                for (tower, edit) in [(Modality::Text, point.text), (Modality::Vision, point.vision)] {
                    let _ = match edit.map(|edit| &self.edits[edit].recipe) {
                        Some(recipe) => writeln!(out, "{tower}: {recipe:#}"),
                        None => writeln!(out, "{tower}: {{edit: false}}"),
                    };
                }
            }
        }
        out.push('\n');
        if let Some(report) = &picked.report {
            out.push_str(&report.to_table(look));
            out.push('\n');
        }
    }
}
