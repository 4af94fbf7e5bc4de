//! What differs in the files, against what may.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::policy::Policy;
use crate::few::{cut, few, few_of};
use crate::report::checked::{ChangedLayer, Finding, Outcome, SiblingState, Structure};

/// What is known of the files.
#[derive(Debug, Clone, Default)]
pub struct Facts<'a> {
    /// What differs.
    pub structure: Option<&'a Structure>,
    /// Files whose metadata do not say what was done, and what is wrong with them; looked for if a rule asks.
    pub provenance: Vec<String>,
    /// What is not as the patches make it; `None` if none was given.
    pub patch: Option<Vec<String>>,
}

/// What came of every rule about files, in the order of the documentation.
pub fn judge(policy: &Policy, facts: &Facts) -> Vec<Finding> {
    let rules = &policy.structure;
    let of = |name: &str, place: Option<[usize; 2]>, faults: &dyn Fn(&Structure) -> Result<String, String>| {
        let place = place?;
        let code = name.replace('_', "-");
        let Some(structure) = facts.structure else {
            return Some(Finding {
                code: "original-missing".to_owned(),
                help: Some("name the file it was made from with --original".to_owned()),
                ..finding(name, place, Outcome::Inconclusive, "The files were not compared: the original is not known.")
            });
        };
        let (outcome, message) = match faults(structure) {
            Ok(message) => (Outcome::Pass, message),
            Err(message) => (Outcome::Fail, message),
        };
        Some(Finding { code, ..finding(name, place, outcome, &message) })
    };
    let none = |faults: Vec<String>, fine: &str, wrong: &str| match faults.as_slice() {
        [] => Ok(fine.to_owned()),
        faults => Err(format!("{wrong}: {}.", few(faults))),
    };
    let graph = |s: &Structure| {
        let faults = s.files.iter().flat_map(|file| {
            // A weight may be the attribute of a `Constant` node; what else is, is part of the graph.
            let weight = |name: &str| file.layers.iter().any(|layer| layer.initializer == name);
            let constants = file.diff.tensors.iter().filter(move |tensor| tensor.of_node && !weight(&tensor.tensor));
            let constants = constants.map(|tensor| format!("the constant '{}' of a node differs", cut(&tensor.tensor)));
            file.diff.graph.iter().cloned().chain(constants)
        });
        let fine = "Nothing but values of initializers differs.";
        none(faults.collect(), fine, "More than values of initializers differs")
    };
    let io = |s: &Structure| {
        let faults = s.files.iter().flat_map(|file| file.io.clone()).collect();
        none(faults, "Inputs, outputs and opsets are those of the original.", "Inputs, outputs or opsets differ")
    };
    let tensors = |s: &Structure| {
        let patterns = rules.allowed_tensors.as_ref().map_or(&[][..], |(patterns, _)| patterns);
        let allowed = |name: &str| patterns.iter().any(|pattern| pattern.matches(name));
        let mut changed = 0;
        let mut others = vec![];
        for file in &s.files {
            for tensor in &file.diff.tensors {
                changed += 1;
                let layers = file.layers.iter().filter(|layer| layer.initializer == tensor.tensor);
                if !allowed(&tensor.tensor) && !layers.flat_map(names).any(|name| allowed(&name)) {
                    others.push(tensor.tensor.clone());
                }
            }
        }
        let fine = match changed {
            1 => "The one tensor that differs is allowed to.".to_owned(),
            changed => format!("All {changed} tensors that differ are allowed to."),
        };
        none(others, &fine, "Tensors differ that may not")
    };
    let elements = |s: &Structure| {
        let (most, changed) = (rules.max_elements_changed.map_or(0, |(most, _)| most), s.changed());
        let message = format!("{changed} elements differ; {most} may.");
        if changed <= most { Ok(message) } else { Err(message) }
    };
    let provenance = |_: &Structure| {
        let fine = "The metadata say what the model was made from, and how much was changed.";
        none(facts.provenance.clone(), fine, "The metadata do not say what was done")
    };
    let patch = |_: &Structure| {
        let fine = "Every byte is what the patch makes of the original.";
        none(facts.patch.clone().unwrap_or_default(), fine, "The model is not what the patch makes of the original")
    };
    // A patch that was given is looked at, asked for or not.
    let of_patch = rules.patch_matches.or(facts.patch.as_ref().map(|_| [0, 0]));
    let mut findings: Vec<Finding> = [
        of("only_initializer_values_changed", rules.only_initializer_values_changed, &graph),
        of("allowed_tensors", rules.allowed_tensors.as_ref().map(|(_, place)| *place), &tensors),
        of("max_elements_changed", rules.max_elements_changed.map(|(_, place)| place), &elements),
        of("same_io_signature", rules.same_io_signature, &io),
        of("provenance_required", rules.provenance_required, &provenance),
        of("patch_matches", of_patch, &patch),
        of("no_stale_siblings", rules.no_stale_siblings, &|_| Ok(String::new())),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Some(last) = findings.last_mut().filter(|last| last.code == "no-stale-siblings") {
        siblings(last, facts.structure);
    }
    findings
}

/// Names of a layer that a pattern can mean.
fn names(layer: &ChangedLayer) -> Vec<String> {
    let plain = format!("{}:{}", layer.tower, layer.role);
    let block = layer.block.map(|block| format!("{plain}[{block}]"));
    std::iter::once(plain).chain(block).collect()
}

fn finding(name: &str, place: [usize; 2], outcome: Outcome, message: &str) -> Finding {
    Finding {
        code: String::new(),
        outcome,
        rule: Some(format!("structure.{name}")),
        place: Some(place).filter(|place| *place != [0, 0]),
        subject: name.replace('_', " "),
        message: message.to_owned(),
        help: None,
        judged: None,
    }
}

/// Files beside the model: stale ones break the rule, and what cannot be told leaves it open.
fn siblings(finding: &mut Finding, structure: Option<&Structure>) {
    let all: Vec<(&PathBuf, &SiblingState)> = structure
        .iter()
        .flat_map(|s| &s.files)
        .flat_map(|file| &file.siblings)
        .map(|sibling| (&sibling.path, &sibling.state))
        .collect();
    let of = |wanted: &dyn Fn(&SiblingState) -> Option<String>| -> Vec<String> {
        let said = all.iter().filter_map(|(path, state)| Some((path, wanted(state)?)));
        said.map(|(path, what)| format!("{}{what}", path.display())).collect()
    };
    let stale = of(&|state| matches!(state, SiblingState::Stale).then(String::new));
    let other = of(&|state| match state {
        SiblingState::Other(share) => Some(format!(" ({share:.0} % of the changed elements are as in the model)")),
        _ => None,
    });
    let unknown = of(&|state| match state {
        SiblingState::Unknown(reason) => Some(format!(" ({reason})")),
        _ => None,
    });
    let list = |names: &[String]| few_of(names, Clone::clone);
    let (outcome, message, help) = if !stale.is_empty() || !other.is_empty() {
        let mut parts = vec![];
        if !stale.is_empty() {
            parts.push(format!("Beside the model are files with the weights as they were before: {}.", list(&stale)));
        }
        if !other.is_empty() {
            parts.push(format!("Beside the model are files that were edited otherwise: {}.", list(&other)));
        }
        let help =
            "carry the edit over with `uwm-onnx apply OTHER PATCH -o NEW --match layers`, or take the files away";
        (Outcome::Fail, parts.join(" "), Some(help))
    } else if !unknown.is_empty() {
        let message =
            format!("Of files beside the model it cannot be told whether they have the edit: {}.", list(&unknown));
        (Outcome::Inconclusive, message, Some("look at them, and take away what is not to be shipped"))
    } else {
        // A file with both towers is beside each of two.
        let files: BTreeSet<&PathBuf> = all.iter().map(|(path, _)| *path).collect();
        let message = match files.len() {
            0 => "No file beside the model holds the same weights.".to_owned(),
            1 => format!("{} has the edit too.", all[0].0.display()),
            count => format!("All {count} files beside the model that hold the same weights have the edit too."),
        };
        (Outcome::Pass, message, None)
    };
    finding.outcome = outcome;
    if outcome == Outcome::Inconclusive {
        finding.code = "sibling-unknown".to_owned();
    }
    finding.message = message;
    finding.help = help.map(str::to_owned);
}
