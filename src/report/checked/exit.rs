//! What a check says to a pipeline.

use super::{Checked, Outcome, Verdict, WhenInconclusive};
use crate::exit::Exit;

impl Checked {
    /// What the process ends with: whether all rules hold or one is broken; else what the first error says; else that
    /// nothing is certain, or what [`WhenInconclusive`] makes of that. It makes nothing of an error.
    pub fn exit(&self) -> Exit {
        let wrong = self.findings.iter().find_map(|finding| match finding.outcome {
            Outcome::Error(code) => Some(exit_of(code)),
            _ => None,
        });
        match (self.verdict(), wrong, self.when_inconclusive) {
            (Verdict::Pass, ..) => Exit::Ok,
            (Verdict::Fail, ..) => Exit::Differs,
            (Verdict::Inconclusive, Some(exit), _) => exit,
            (Verdict::Inconclusive, None, WhenInconclusive::Tell) => Exit::Inconclusive,
            (Verdict::Inconclusive, None, WhenInconclusive::Pass) => Exit::Ok,
            (Verdict::Inconclusive, None, WhenInconclusive::Fail) => Exit::Differs,
        }
    }

    /// The same as a number.
    pub fn exit_code(&self) -> u8 {
        self.exit() as u8
    }
}

/// What an error's code says. None says that all is well, or that a rule is broken.
fn exit_of(code: u8) -> Exit {
    [Exit::Usage, Exit::Input, Exit::Interrupted].into_iter().find(|exit| *exit as u8 == code).unwrap_or(Exit::Runtime)
}

#[cfg(test)]
mod tests {
    use super::Outcome::{Error, Fail, Inconclusive, Pass, Skipped};
    use super::WhenInconclusive as When;
    use super::*;
    use crate::report::checked::Finding;
    use crate::report::checked::sample::sample;

    #[test]
    fn a_pipeline_never_hears_yes_by_accident() {
        let table: [(&[Outcome], [u8; 3]); 14] = [
            // What comes of rules: the code by default, with `--inconclusive pass`, with `--inconclusive fail`.
            (&[Pass], [0, 0, 0]),
            (&[Pass, Skipped], [0, 0, 0]),
            (&[Fail], [1, 1, 1]),
            (&[Pass, Fail, Inconclusive, Error(4)], [1, 1, 1]),
            (&[Inconclusive], [5, 0, 1]),
            (&[Pass, Inconclusive, Skipped], [5, 0, 1]),
            (&[], [5, 0, 1]),
            (&[Skipped], [5, 0, 1]),
            (&[Pass, Error(2)], [2, 2, 2]),
            (&[Inconclusive, Error(3)], [3, 3, 3]),
            (&[Error(4), Pass], [4, 4, 4]),
            (&[Error(3), Error(4), Error(2)], [3, 3, 3]),
            (&[Pass, Error(0)], [4, 4, 4]),
            (&[Error(1), Error(3)], [4, 4, 4]),
        ];
        for (outcomes, codes) in table {
            for (when_inconclusive, code) in [When::Tell, When::Pass, When::Fail].into_iter().zip(codes) {
                let any = sample().findings[0].clone();
                let findings = outcomes.iter().map(|outcome| Finding { outcome: *outcome, ..any.clone() }).collect();
                let checked = Checked { findings, when_inconclusive, ..sample() };
                assert_eq!(checked.exit_code(), code, "{outcomes:?}, {when_inconclusive:?}");
            }
        }
    }
}
