//! The sentences that every form has.

use std::path::{Path, PathBuf};

use super::{Checked, Confidence, Finding, Outcome, Structure, Verdict, WhenInconclusive};
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
            Verdict::Fail if judged == 1 => format!("The one rule is broken: {}.", subjects(&failed)),
            Verdict::Fail => format!("{} of {judged} rules broken: {}.", failed.len(), subjects(&failed)),
            Verdict::Inconclusive if !wrong.is_empty() => format!("Something went wrong: {}.", subjects(&wrong)),
            Verdict::Inconclusive if open.is_empty() => "There is no rule to judge by.".to_owned(),
            Verdict::Inconclusive if judged == 1 => format!("The one rule cannot be told: {}.", subjects(&open)),
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

    /// What was judged by, and what a pipeline was told to make of doubt, in a sentence or two.
    pub fn judged_by(&self) -> String {
        // A policy that could not be read has no hash.
        if self.policy.sha256.is_empty() {
            return "Nothing was judged.".to_owned();
        }
        let policy = match &self.policy.path {
            Some(path) => path.display().to_string(),
            None => "the built-in policy".to_owned(),
        };
        let judged = match self.policy.confidence {
            Confidence::Interval(level) => format!("Judged by {policy}, on {level} % intervals."),
            Confidence::Point => {
                format!("Judged by {policy}, on the figures alone: how far they could be off was not asked.")
            }
        };
        match self.taken_for() {
            Some(what) => format!("{judged} The pipeline was told to take what cannot be told for {what}."),
            None => judged,
        }
    }

    /// What the exit code makes of the doubt, where it does.
    fn taken_for(&self) -> Option<&'static str> {
        let wrong = self.findings.iter().any(|finding| matches!(finding.outcome, Outcome::Error(_)));
        match (self.verdict(), wrong, self.when_inconclusive) {
            (Verdict::Inconclusive, false, WhenInconclusive::Pass) => Some("a pass"),
            (Verdict::Inconclusive, false, WhenInconclusive::Fail) => Some("a failure"),
            _ => None,
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

#[cfg(test)]
mod tests {
    use super::Outcome::{Error, Fail, Inconclusive, Pass};
    use super::*;
    use crate::report::checked::PolicyUsed;
    use crate::report::checked::sample::sample;

    fn of(outcomes: &[Outcome], when_inconclusive: WhenInconclusive) -> Checked {
        let any = Finding { subject: "PU".to_owned(), ..sample().findings.remove(0) };
        let findings = outcomes.iter().map(|outcome| Finding { outcome: *outcome, ..any.clone() }).collect();
        Checked { findings, when_inconclusive, ..sample() }
    }

    #[test]
    fn one_rule_is_one_rule() {
        let headline = |outcomes: &[Outcome]| of(outcomes, WhenInconclusive::Tell).headline();
        assert_eq!(headline(&[Pass]), "The one rule holds.");
        assert_eq!(headline(&[Fail]), "The one rule is broken: PU.");
        assert_eq!(headline(&[Inconclusive]), "The one rule cannot be told: PU.");
        assert_eq!(headline(&[Fail, Pass]), "1 of 2 rules broken: PU.");
    }

    #[test]
    fn what_doubt_was_taken_for_is_told_where_it_was() {
        use WhenInconclusive as When;
        let told = |outcomes: &[Outcome], when| of(outcomes, when).judged_by();
        let plain = "Judged by policy.yaml, on 95 % intervals.";
        assert_eq!(
            told(&[Pass, Inconclusive], When::Pass),
            format!("{plain} The pipeline was told to take what cannot be told for a pass.")
        );
        assert!(told(&[Inconclusive], When::Fail).ends_with("for a failure."));
        let certain: [(&[Outcome], When); 4] = [
            (&[Inconclusive], When::Tell),
            (&[Inconclusive, Error(3)], When::Pass),
            (&[Pass], When::Pass),
            (&[Fail], When::Fail),
        ];
        for (outcomes, when) in certain {
            assert_eq!(told(outcomes, when), plain);
        }
    }

    #[test]
    fn without_a_policy_nothing_was_judged() {
        let policy = PolicyUsed { sha256: String::new(), ..sample().policy };
        let checked = Checked { policy, ..of(&[Error(2)], WhenInconclusive::Pass) };
        assert_eq!(checked.judged_by(), "Nothing was judged.");
    }
}
