//! The sentences that every form has.

use std::path::{Path, PathBuf};

use super::{Checked, Confidence, Finding, Outcome, Structure, Verdict};
use crate::few::{few, few_of};

/// Figures whose change says what an edit did, as far as they were measured.
pub(super) const LEADING: [(&str, &str); 5] =
    [("GS", "GS"), ("PU", "PU"), ("PS", "PS"), ("Ts-Vs R@1", "Ts-Vs R@1"), ("zero_shot", "zero-shot top-1")];

impl Checked {
    /// Why the verdict is what it is, in a sentence.
    pub fn headline(&self) -> String {
        let subjects = |findings: &[&Finding]| few_of(findings, |finding| finding.subject.clone());
        let failed = self.with(|outcome| *outcome == Outcome::Fail);
        let wrong = self.with(|outcome| matches!(outcome, Outcome::Error(_)));
        let open = self.with(|outcome| *outcome == Outcome::Inconclusive);
        let held = self.with(|outcome| *outcome == Outcome::Pass).len();
        let judged = held + failed.len() + open.len();
        match self.verdict() {
            Verdict::Pass if held == 1 => "The one rule holds.".to_owned(),
            Verdict::Pass => format!("All {held} rules hold."),
            Verdict::Fail => format!("{} of {judged} rules broken: {}.", failed.len(), subjects(&failed)),
            Verdict::Inconclusive if !wrong.is_empty() => format!("Something went wrong: {}.", subjects(&wrong)),
            Verdict::Inconclusive if open.is_empty() => "There is no rule to judge by.".to_owned(),
            Verdict::Inconclusive => {
                format!("No rule is broken, and {} of {judged} cannot be told: {}.", open.len(), subjects(&open))
            }
        }
    }

    /// What differs in the file, and what that changed, in a sentence or two; none if neither is known.
    pub fn change(&self) -> Option<String> {
        let parts = [self.structure.as_ref().map(Structure::sentence), self.figures_sentence()];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    fn figures_sentence(&self) -> Option<String> {
        let evaluated = self.evaluated.as_ref()?;
        let of = |(name, title): (&str, &str)| {
            let line = evaluated.overall.lines.iter().find(|line| line.figure == name)?;
            Some(format!("{title} {:.1} → {:.1}", line.baseline?.value, line.value.value))
        };
        let all: Vec<String> = LEADING.into_iter().filter_map(of).collect();
        (!all.is_empty()).then(|| format!("{} (percent).", all.join(", ")))
    }

    /// What was judged by, in a sentence.
    pub fn judged_by(&self) -> String {
        let policy = match &self.policy.path {
            Some(path) => path.display().to_string(),
            None => "the built-in policy".to_owned(),
        };
        match self.policy.confidence {
            Confidence::Interval(level) => format!("Judged by {policy}, on {level} % intervals."),
            Confidence::Point => {
                format!("Judged by {policy}, on the figures alone: how far they could be off was not asked.")
            }
        }
    }
}

impl Structure {
    /// What differs in the files.
    pub fn sentence(&self) -> String {
        let faults: Vec<&String> = self.files.iter().flat_map(|file| &file.diff.graph).collect();
        let changed = self.changed();
        let graph = match faults.as_slice() {
            [] => String::new(),
            faults => format!(" More than values of tensors differs: {}.", few(faults)),
        };
        if changed == 0 {
            return format!("No value of a tensor differs from the original.{graph}");
        }
        let how = match changed - self.negated() {
            0 => ", all by their sign",
            _ if self.negated() == 0 => ", none by its sign alone",
            _ => "",
        };
        let tensors: Vec<String> = self
            .files
            .iter()
            .flat_map(|file| file.diff.tensors.iter().map(move |tensor| (file, tensor)))
            .map(|(file, tensor)| {
                let layer = file.layers.iter().find(|layer| layer.initializer == tensor.tensor);
                layer.map_or(tensor.tensor.clone(), |layer| match layer.block {
                    Some(block) => format!("{} {} {block}", layer.tower, layer.role),
                    None => format!("{} {}", layer.tower, layer.role),
                })
            })
            .collect();
        let s = if changed == 1 { " differs" } else { "s differ" };
        format!("{changed} element{s} from the original{how}, in {}.{graph}", few(tensors))
    }
}

/// The page of a finding.
pub(super) fn docs(finding: &Finding) -> String {
    format!("docs/findings/{}.md", finding.code)
}

/// A path as text.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Paths, one behind the other.
pub(super) fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ")
}
