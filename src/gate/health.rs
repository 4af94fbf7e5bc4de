//! Models that do not work at all: no rule asks, and none can pass.

use crate::report::Evaluated;
use crate::report::checked::{Finding, Outcome};

/// A finding for each sign that a model does not work. A model that does not fails; a baseline that does not leaves
/// everything open, for it is compared with.
pub fn judge(evaluated: &Evaluated) -> Vec<Finding> {
    let finding = |unwell: &crate::report::Unwell| {
        let model = unwell.who == "model";
        Finding {
            code: unwell.ailment.code().to_owned(),
            outcome: if model { Outcome::Fail } else { Outcome::Inconclusive },
            rule: None,
            place: None,
            subject: format!("the {} works", unwell.who),
            message: unwell.sentence(),
            help: Some(format!(
                "export the {} again, and compare its embeddings with those of the framework it comes from",
                unwell.who
            )),
            judged: None,
        }
    };
    evaluated.ailments.iter().map(finding).collect()
}
