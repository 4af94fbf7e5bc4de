//! Policies and what they say of made-up figures.

use std::path::Path;

use super::*;
use crate::report::checked::{Confidence, Finding, Outcome, Scope, SiblingState, sample};
use crate::report::{Absent, Evaluated};
use crate::safeground::health::Ailment;

fn policy(text: &str) -> Policy {
    Policy::parse(&format!("version: 1\n{text}"), Some(Path::new("p.yaml"))).unwrap()
}

fn refused(text: &str) -> String {
    Policy::parse(&format!("version: 1\n{text}"), Some(Path::new("p.yaml"))).unwrap_err().to_string()
}

fn evaluated() -> Evaluated {
    sample::sample().evaluated.unwrap()
}

/// Figure, baseline, model and interval of the change; the overall group of 640 is changed to it.
fn with(figure: &str, value: [f64; 3], change: [f64; 3]) -> Evaluated {
    let mut evaluated = evaluated();
    let line = evaluated.overall.lines.iter_mut().find(|line| line.figure == figure).unwrap();
    let estimate = |[low, value, high]: [f64; 3]| crate::report::Estimate { value, interval: Some([low, high]) };
    line.value = estimate(value);
    line.change = Some(estimate(change));
    evaluated
}

fn judged(text: &str, evaluated: &Evaluated) -> Vec<Finding> {
    judge_figures(&policy(text), evaluated)
}

fn only(text: &str, evaluated: &Evaluated) -> (String, Outcome) {
    let found = judged(text, evaluated);
    assert_eq!(found.len(), 1, "{found:?}");
    (found[0].code.clone(), found[0].outcome)
}

#[test]
fn bounds_are_judged_on_the_whole_interval() {
    let of = |value: [f64; 3], change: [f64; 3]| with("PS", value, change);
    let straddles = || ("interval-straddles-bound".to_owned(), Outcome::Inconclusive);
    let code = |bound: &str, outcome| (format!("metric-{bound}"), outcome);
    let same = [0.0; 3];
    for (bound, holds, open, broken, compares) in [
        ("min", [50.0, 51.0, 52.0], [49.9, 51.0, 52.0], [48.0, 49.0, 49.9], false),
        ("max", [48.0, 49.0, 50.0], [49.0, 49.5, 50.1], [50.1, 51.0, 52.0], false),
        ("max_drop", [-50.0, -1.0, 0.0], [-50.1, -1.0, 0.0], [-60.0, -55.0, -50.1], true),
        ("min_drop", [-60.0, -55.0, -50.0], [-60.0, -55.0, -49.9], [-49.9, 0.0, 1.0], true),
        ("max_gain", [0.0, 1.0, 50.0], [0.0, 1.0, 50.1], [50.1, 55.0, 60.0], true),
        ("min_gain", [50.0, 55.0, 60.0], [49.9, 55.0, 60.0], [1.0, 2.0, 49.9], true),
    ] {
        let text = format!("metrics: {{PS: {{{bound}: 50}}}}");
        let case = |interval: [f64; 3]| match compares {
            true => only(&text, &of([97.0, 98.0, 99.0], interval)),
            false => only(&text, &of(interval, same)),
        };
        let name = bound.replace('_', "-");
        assert_eq!(case(holds), code(&name, Outcome::Pass), "{bound}");
        assert_eq!(case(open), straddles(), "{bound}");
        assert_eq!(case(broken), code(&name, Outcome::Fail), "{bound}");
    }
}

#[test]
fn a_relative_drop_is_judged_at_both_ends_of_the_baseline() {
    // The sample's baseline of PS is 98.6 (96.1 to 100.6): a tenth is 9.61 to 10.06.
    let case = |change: [f64; 3]| only("metrics: {PS: {max_relative_drop: 0.1}}", &with("PS", [90.0; 3], change)).1;
    assert_eq!(case([-9.6, -9.0, -8.0]), Outcome::Pass);
    assert_eq!(case([-9.7, -9.0, -8.0]), Outcome::Inconclusive);
    assert_eq!(case([-12.0, -11.0, -10.0]), Outcome::Inconclusive);
    assert_eq!(case([-12.0, -11.0, -10.1]), Outcome::Fail);
}

#[test]
fn the_figure_alone_is_judged_only_where_that_is_said() {
    let evaluated = with("PS", [49.0, 51.0, 53.0], [0.0; 3]);
    assert_eq!(only("metrics: {PS: {min: 50}}", &evaluated).1, Outcome::Inconclusive);
    let found = &judged("confidence: point\nmetrics: {PS: {min: 50}}", &evaluated)[0];
    assert_eq!(found.outcome, Outcome::Pass);
    assert!(found.message.contains("the figure alone"), "{}", found.message);
}

#[test]
fn of_too_few_nothing_is_concluded() {
    let mut few = with("PS", [60.0, 61.0, 62.0], [0.0; 3]);
    let line = few.overall.lines.iter_mut().find(|line| line.figure == "PS").unwrap();
    line.items = 99;
    let case = |text: &str, few: &Evaluated| only(text, few);
    let too_few = || ("too-few-samples".to_owned(), Outcome::Inconclusive);
    assert_eq!(case("metrics: {PS: {min: 50}}", &few), too_few());
    assert_eq!(case("min_samples: 99\nmetrics: {PS: {min: 50}}", &few).1, Outcome::Pass);
    assert_eq!(case("metrics: {PS: {min: 50, min_samples: 40}}", &few).1, Outcome::Pass);
    // An interval needs 30, whatever the policy says; the figure alone does not.
    let line = few.overall.lines.iter_mut().find(|line| line.figure == "PS").unwrap();
    (line.items, line.value.interval) = (29, None);
    assert_eq!(case("min_samples: 1\nmetrics: {PS: {min: 50}}", &few), too_few());
    assert_eq!(case("min_samples: 1\nconfidence: point\nmetrics: {PS: {min: 50}}", &few).1, Outcome::Pass);
    assert_eq!(case("confidence: point\nmetrics: {PS: {min: 50}}", &few), too_few());
}

#[test]
fn what_was_not_measured_never_passes() {
    let mut evaluated = evaluated();
    evaluated.overall.lines.retain(|line| line.figure != "zero_shot");
    evaluated.absent = vec![Absent { figures: vec!["zero_shot"], reason: "no zero-shot set was given".to_owned() }];
    let found = &judged("metrics: {zero_shot: {min: 1}}", &evaluated)[0];
    assert_eq!((found.code.as_str(), found.outcome), ("metric-not-measured", Outcome::Inconclusive));
    assert!(found.message.contains("no zero-shot set was given"), "{}", found.message);
    assert_eq!(only("metrics: {zero_shot: {min: 1, optional: true}}", &evaluated).1, Outcome::Skipped);
    // A figure that is no number has no interval that is one either.
    let nan = with("PS", [f64::NAN; 3], [0.0; 3]);
    assert_eq!(only("metrics: {PS: {min: 0}}", &nan).1, Outcome::Inconclusive);
    assert_eq!(only("confidence: point\nmetrics: {PS: {max: 100}}", &nan).1, Outcome::Inconclusive);
}

#[test]
fn concepts_are_judged_each_or_by_the_worst() {
    let evaluated = evaluated();
    // PU is 62.7 with weapons, 42.7 with the other; intervals reach 2.5 down and 2 up.
    let found = judged("concepts: {metrics: {PU: {min: 50}}}", &evaluated);
    let outcomes: Vec<Outcome> = found.iter().map(|finding| finding.outcome).collect();
    assert_eq!(outcomes, [Outcome::Pass, Outcome::Fail]);
    assert_eq!(found[0].judged.as_ref().unwrap().scope, Scope::Concept("weapons".to_owned()));
    let found = judged("concepts: {only: [weapons, drugs], metrics: {PU: {min: 50}}}", &evaluated);
    assert_eq!(found.iter().map(|finding| finding.outcome).collect::<Vec<_>>(), [Outcome::Pass, Outcome::Inconclusive]);
    assert_eq!(found[1].code, "concept-unknown");
    let found = &judged("worst_concept: {metrics: {PU: {min: 50}}}", &evaluated)[0];
    assert_eq!(found.outcome, Outcome::Fail);
    assert_eq!(found.judged.as_ref().unwrap().scope, Scope::WorstConcept(sample::NASTY.to_owned()));
    assert_eq!(only("worst_concept: {metrics: {PU: {max: 50}}}", &evaluated).1, Outcome::Fail);
    // One that is too small to be judged is not left out, unless it is not spoken of.
    let mut small = evaluated.clone();
    small.concepts[1].lines.iter_mut().for_each(|line| line.items = 29);
    let text = "worst_concept: {metrics: {PU: {min: 50}}}";
    assert_eq!(only(text, &small), ("too-few-samples".to_owned(), Outcome::Inconclusive));
    assert_eq!(only("worst_concept: {only: [weapons], metrics: {PU: {min: 50}}}", &small).1, Outcome::Pass);
    let few = "worst_concept: {min_samples: 641, metrics: {PU: {min: 50}}}";
    assert_eq!(only(few, &evaluated), ("too-few-samples".to_owned(), Outcome::Inconclusive));
    let none = Evaluated { concepts: vec![], ..evaluated };
    for text in ["concepts: {metrics: {PU: {min: 50}}}", "worst_concept: {metrics: {PU: {min: 50}}}"] {
        assert_eq!(only(text, &none), ("metric-not-measured".to_owned(), Outcome::Inconclusive));
    }
}

#[test]
fn more_concepts_make_no_more_failures_by_chance() {
    // 42.7 (40.2 to 44.7) against 44.9: broken by itself, and not for certain as one of two.
    let mut two = evaluated();
    let bound = "concepts: {metrics: {PU: {min: 44.9}}}";
    assert_eq!(judged(bound, &two)[1].outcome, Outcome::Inconclusive);
    assert_eq!(judged("worst_concept: {metrics: {PU: {min: 44.9}}}", &two)[0].outcome, Outcome::Inconclusive);
    two.concepts.remove(0);
    assert_eq!(judged(bound, &two)[0].outcome, Outcome::Fail);
}

#[test]
fn only_what_the_data_lack_is_optional() {
    let mut evaluated = evaluated();
    let line = evaluated.overall.lines.iter_mut().find(|line| line.figure == "GS").unwrap();
    line.change = None;
    assert_eq!(only("metrics: {GS: {max_drop: 1, optional: true}}", &evaluated).1, Outcome::Inconclusive);
    let line = evaluated.overall.lines.iter_mut().find(|line| line.figure == "PS").unwrap();
    line.value.interval = None;
    assert_eq!(only("metrics: {PS: {min: 1, optional: true}}", &evaluated).1, Outcome::Inconclusive);
}

#[test]
fn a_model_that_does_not_work_fails_and_a_baseline_leaves_all_open() {
    let mut evaluated = evaluated();
    assert!(judge_health(&evaluated).is_empty());
    let ailment = Ailment::RetrievalAtChance { before: 50.0 };
    evaluated.ailments = ["baseline", "model"].map(|who| crate::report::Unwell { who, ailment }).to_vec();
    let found = judge_health(&evaluated);
    assert_eq!(found.iter().map(|f| f.outcome).collect::<Vec<_>>(), [Outcome::Inconclusive, Outcome::Fail]);
    assert!(found.iter().all(|finding| finding.code == "retrieval-at-chance"));
}

fn outcome_of(structure: &crate::report::checked::Structure, rules: &str) -> Outcome {
    judge_files(&policy(rules), &Facts { structure: Some(structure), ..Facts::default() })[0].outcome
}

#[test]
fn files_are_judged() {
    let mut structure = sample::sample().structure.unwrap();
    structure.files[0].diff.tensors[0].of_node = true;
    let constants = outcome_of(&structure, "structure: {only_initializer_values_changed: true}");
    assert_eq!(constants, Outcome::Fail);
    structure.files[0].diff.tensors[0].of_node = false;
    let rules = "structure: {only_initializer_values_changed: true, allowed_tensors: [\"*\"], max_elements_changed: 1148, \
                 same_io_signature: true, provenance_required: true, no_stale_siblings: true}";
    let outcomes = |structure: Option<&_>, provenance: &[&str], patch: Option<Vec<String>>, rules: &str| {
        let provenance = provenance.iter().map(|fault| (*fault).to_owned()).collect();
        let found = judge_files(&policy(rules), &Facts { structure, provenance, patch });
        found.into_iter().map(|finding| (finding.code, finding.outcome)).collect::<Vec<_>>()
    };
    let all = |outcome| {
        [
            "only-initializer-values-changed",
            "allowed-tensors",
            "max-elements-changed",
            "same-io-signature",
            "provenance-required",
        ]
        .map(|code| (code.to_owned(), outcome))
        .to_vec()
    };
    let state = |outcome| vec![("no-stale-siblings".to_owned(), outcome)];
    structure.files[0].siblings[0].state = SiblingState::Edited;
    assert_eq!(outcomes(Some(&structure), &[], None, rules), [all(Outcome::Pass), state(Outcome::Pass)].concat());
    structure.files[0].diff.graph.push("a node differs".to_owned());
    structure.files[0].io.push("an input differs".to_owned());
    structure.files[0].siblings[0].state = SiblingState::Stale;
    let strict = rules.replace("\"*\"", "\"text:*\"").replace("1148", "1147");
    let found = outcomes(Some(&structure), &["none"], None, &strict);
    assert_eq!(found, [all(Outcome::Fail), state(Outcome::Fail)].concat());
    structure.files[0].siblings[0].state = SiblingState::Unknown("no onnx".to_owned());
    let found = outcomes(Some(&structure), &[], None, "structure: {no_stale_siblings: true}");
    assert_eq!(found, [("sibling-unknown".to_owned(), Outcome::Inconclusive)]);
    // Nothing is known: nothing passes.
    let found = outcomes(None, &[], None, rules);
    assert!(
        found.len() == 6 && found.iter().all(|found| *found == ("original-missing".to_owned(), Outcome::Inconclusive))
    );
    // A patch is looked at wherever it is given.
    let found =
        outcomes(Some(&structure), &[], Some(vec!["byte 7".to_owned()]), "structure: {max_elements_changed: 9999}");
    assert_eq!(found[1], ("patch-matches".to_owned(), Outcome::Fail));
}

#[test]
fn tensors_are_allowed_by_name_or_by_what_they_are() {
    let mut structure = sample::sample().structure.unwrap();
    let file = &mut structure.files[0];
    file.diff.tensors[0].tensor = "w".to_owned();
    file.layers[9].initializer = "w".to_owned();
    let layer = format!("{}:{}[{}]", file.layers[9].tower, file.layers[9].role, file.layers[9].block.unwrap());
    let allowed = |pattern: &str| {
        let policy = policy(&format!("structure: {{allowed_tensors: [\"{pattern}\"]}}"));
        judge_files(&policy, &Facts { structure: Some(&structure), ..Facts::default() })[0].outcome
    };
    for pattern in ["w", "?", "vision:*", "vision:fc2", &layer] {
        assert_eq!(allowed(pattern), Outcome::Pass, "{pattern}");
    }
    for pattern in ["v", "text:*", "vision:fc1", "vision:fc2[9]"] {
        assert_eq!(allowed(pattern), Outcome::Fail, "{pattern}");
    }
}

#[test]
fn what_is_wrong_is_told_with_line_and_column() {
    assert!(
        refused("metrics: {PX: {min: 1}}").starts_with("p.yaml:2:11: there is no figure 'PX'"),
        "{}",
        refused("metrics: {PX: {min: 1}}")
    );
    for (text, place, words) in [
        ("metrics: {PS: {min: 101}}", "2:21", "outside 0 to 100"),
        ("metrics: {PS: {min: .nan}}", "2:21", "outside"),
        ("metrics: {PS: {max_drop: -1}}", "2:26", "outside"),
        ("metrics: {PS: {max_relative_drop: 5}}", "2:35", "outside 0 to 1"),
        ("metrics: {PS: {mni: 1}}", "2:16", "mni"),
        ("metrics: {PS: {}}", "2:11", "no bound"),
        ("metrics: {PS: {min: 1}, PS: {min: 2}}", "2:25", "duplicate"),
        ("metrics: {PS: {min: many}}", "2:21", "floating point"),
        ("metrics: {Ts drift: {max_drop: 0.1}}", "2:32", "min or max only"),
        ("metrics: {Ts-Tu cosine: {max_relative_drop: 0.1}}", "2:45", "max_drop"),
        ("concepts: {metrics: {zero_shot: {min: 1}}}", "2:22", "no concept"),
        ("confidence: 0.95\nmetrics: {PS: {min: 1}}", "2:13", "in percent"),
        ("confidence: never\nmetrics: {PS: {min: 1}}", "2:13", "in percent"),
        ("structure: {allowed_tensors: []}", "2:30", "empty"),
        ("min_sample: 3", "2:1", "min_sample"),
        ("metrics: [PS", "", ""),
    ] {
        let said = refused(text);
        assert!(said.starts_with(&format!("p.yaml:{place}")) && said.contains(words), "{text}: {said}");
    }
    // A key without a value is no rule, and no key left out.
    for text in [
        "metrics: {GS: {min: , max: 100}}",
        "structure: {provenance_required: , max_elements_changed: 2}",
        "min_samples:\nmetrics: {PS: {min: 1}}",
        "concepts: {only: [blood]}\nmetrics: {PS: {min: 1}}",
        "worst_concept: {min_samples: 3}\nmetrics: {PS: {min: 1}}",
    ] {
        refused(text);
    }
    // Without a rule everything would pass.
    assert!(refused("").contains("no rule") && refused("structure: {same_io_signature: false}").contains("no rule"));
    let version = Policy::parse("version: 2\nmetrics: {PS: {min: 1}}", None).unwrap_err().to_string();
    assert!(version.contains(":1:10:") && version.contains("version is 2"), "{version}");
    assert!(Policy::parse("metrics: {PS: {min: 1}}", None).unwrap_err().to_string().contains("version"));
}

#[test]
fn what_rules_need_must_be_given() {
    let needs = |text: &str, given: [bool; 3]| {
        policy(text).check_given(given[0], given[1], given[2]).err().map(|error| error.to_string())
    };
    assert_eq!(needs("metrics: {PS: {min: 1}}", [false; 3]), None);
    assert!(needs("metrics: {PS: {max_drop: 1}}", [false, true, true]).unwrap().contains("metrics.PS.max_drop"));
    let files = "structure: {same_io_signature: true}";
    assert!(needs(files, [false; 3]).unwrap().contains("structure.same_io_signature"));
    assert_eq!([needs(files, [true, false, false]), needs(files, [false, true, false])], [None, None]);
    assert!(needs("structure: {patch_matches: true}", [true, true, false]).unwrap().contains("patch"));
}

#[test]
fn the_built_in_policy_is_one() {
    let policy = Policy::read(None).unwrap();
    assert_eq!(policy.used.confidence, Confidence::Interval(95.0));
    assert!(policy.figures.len() == 5 && policy.structure.no_stale_siblings.is_some());
    // The model as it was does not pass: nothing was gained.
    let mut same = evaluated();
    for line in &mut same.overall.lines {
        line.change = Some(crate::report::Estimate { value: 0.0, interval: Some([-0.6, 0.6]) });
    }
    let found = judge_figures(&policy, &same);
    assert!(found.iter().any(|finding| finding.outcome == Outcome::Inconclusive));
    assert!(found.iter().all(|finding| finding.outcome != Outcome::Fail));
}

#[test]
fn codes_are_listed() {
    let mut bounds = vec!["metric-min", "metric-max-relative-drop"];
    bounds.retain(|code| !CODES.contains(code));
    assert!(bounds.is_empty() && CODES.is_sorted());
}
