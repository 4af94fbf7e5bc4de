//! A value with everything in it, for tests of its forms. Names try to break out of every format.

use std::path::PathBuf;

use super::*;
use crate::onnx::{Diff, Modality, TensorDiff};
use crate::report::{Estimate, FigureGroup, FigureLine, Worst};
use crate::safeground::Bootstrap;
use crate::safeground::figure::Unit;

/// A name that means something to HTML, XML, Markdown, terminals and spreadsheets.
pub const NASTY: &str = "</script><b>\"'&|`*_[x](y) =1\u{1b}[31m\u{202e}";

fn file(path: &str) -> FileId {
    FileId { path: PathBuf::from(path), sha256: "ab".repeat(32) }
}

fn line(figure: &'static str, before: f64, after: f64) -> FigureLine {
    let estimate = |value: f64| Estimate { value, interval: Some([value - 2.5, value + 2.0]) };
    let change = estimate(after - before);
    let (value, baseline) = (estimate(after), Some(estimate(before)));
    FigureLine { figure, unit: Unit::Percent, items: 640, value, baseline, change: Some(change), p: Some(1e-5) }
}

fn group(name: Option<&str>, shift: f64) -> FigureGroup {
    let lines = vec![
        line("PS", 98.6, 98.0 - shift),
        line("PU", 0.3, 62.7 - shift),
        line("GS", 0.3, 62.3 - shift),
        line("Ts-Vs R@1", 93.3, 92.2),
        line("Vs-Ts R@1", 93.9, 91.9),
        line("zero_shot", 87.6, 86.3),
    ];
    FigureGroup { name: name.map(str::to_owned), quadruplets: 640, lines }
}

fn evaluated() -> Evaluated {
    let concepts = vec![group(Some("weapons"), 0.0), group(Some(NASTY), 20.0)];
    let worst = |line: &FigureLine| Worst { concept: NASTY.to_owned(), as_bad: 0, line: line.clone() };
    Evaluated {
        model: vec![file("safe.onnx")],
        baseline: Some(vec![file("model.onnx")]),
        data: Some("set.jsonl".into()),
        data_sha256: Some("ef".repeat(32)),
        quadruplets: 640,
        zero_shot_images: 700,
        ailments: vec![],
        overall: group(None, 0.0),
        worst: concepts[1].lines.iter().map(worst).collect(),
        concepts,
        styles: vec![],
        absent: vec![],
        ties: vec![],
        baseline_ties: vec![],
        bootstrap: Bootstrap::default(),
        notes: vec![],
        runtime: None,
        timing_s: vec![("total", 1.5)],
    }
}

fn structure() -> Structure {
    let layer = |block: usize, role: &str, changed: usize| ChangedLayer {
        tower: if block < 4 { Modality::Text } else { Modality::Vision },
        block: Some(block % 4),
        role: role.to_owned(),
        initializer: format!("{block}.{role}.{NASTY}"),
        elements: 16384,
        changed,
        negated: changed,
    };
    let layers = (0..8).flat_map(|block| [layer(block, "fc1", 0), layer(block, "fc2", 41 * block)]).collect();
    let tensor = TensorDiff {
        tensor: NASTY.to_owned(),
        element: "float",
        dims: vec![128, 128],
        of_node: false,
        elements: 16384,
        changed: 1148,
        negated: 1148,
        other: 0,
        largest: Some(0.25),
    };
    let diff = Diff { graph: vec![], provenance: vec![], renamed: vec![], tensors: vec![tensor], compared: 60 };
    let siblings = vec![Sibling { path: "safe_fp16.onnx".into(), state: SiblingState::Stale }];
    let (original, model) = (file("model.onnx"), file("safe.onnx"));
    Structure {
        files: vec![ComparedFile {
            original,
            model,
            diff,
            io: vec![],
            data: [vec![], vec![]],
            layers,
            edits: 1,
            siblings,
        }],
    }
}

fn findings() -> Vec<Finding> {
    let finding = |code: &str, outcome: Outcome, rule: &str, message: &str| Finding {
        code: code.to_owned(),
        outcome,
        rule: Some(rule.to_owned()),
        place: Some([4, 3]),
        subject: rule.split('.').nth(1).unwrap_or(rule).to_owned(),
        message: message.to_owned(),
        help: None,
        judged: None,
    };
    let judged = Judged {
        figure: "PU",
        scope: Scope::Concept(NASTY.to_owned()),
        bound: Bound::MinGain,
        limit: 5.0,
        value: 62.4,
        interval: Some([58.3, 66.1]),
        items: 640,
    };
    let wrong = Finding {
        outcome: Outcome::Error(3),
        help: Some("export it again".to_owned()),
        ..finding("model-not-onnx", Outcome::Pass, "", &format!("{NASTY} is not a readable ONNX model"))
    };
    vec![
        Finding {
            judged: Some(judged),
            ..finding(
                "metric-min-gain",
                Outcome::Pass,
                "metrics.PU.min_gain",
                "PU rose by 62.4 (95 % interval 58.3 to 66.1), 5.0 or more were asked for.",
            )
        },
        finding(
            "metric-max-drop",
            Outcome::Fail,
            "metrics.PS.max_drop",
            "PS fell by 9.0 (95 % interval 7.0 to 11.5), 2.0 are allowed.",
        ),
        finding(
            "interval-straddles-bound",
            Outcome::Inconclusive,
            "metrics.GS.min",
            "GS is 62.3 (95 % interval 58.0 to 65.8), which leaves open whether it is 60.0.",
        ),
        finding("metric-not-measured", Outcome::Skipped, "metrics.zero_shot.max_drop", "zero_shot was not measured."),
        finding(
            "no-stale-siblings",
            Outcome::Fail,
            "structure.no_stale_siblings",
            "safe_fp16.onnx has the weights as they were before the edit.",
        ),
        wrong,
    ]
}

/// With everything.
pub fn sample() -> Checked {
    let point = |index: usize| {
        let at = |salt: usize| ((index * salt) % 97) as f32 / 400.0 - 0.1;
        Point { before: Some([at(7) + 0.1, at(13) - 0.1]), after: [at(7) + 0.08, at(13)] }
    };
    let example = |id: &str, kind, sensitive| Example {
        id: id.to_owned(),
        kind,
        concept: Some("weapons".to_owned()),
        sensitive,
        texts: Some(["a red square".to_owned(), NASTY.to_owned()]),
        images: Some([None, None]),
        before: Some([[0.31, 0.22], [0.25, 0.33]]),
        after: [[0.30, 0.20], [0.28, 0.24]],
    };
    let figures = |shift: f64| {
        vec![("PS".to_owned(), 98.0 - shift), ("PU".to_owned(), 3.0 + shift), ("GS".to_owned(), 2.0 + shift)]
    };
    let scores = ScoredLayer {
        tower: Modality::Vision,
        block: Some(1),
        role: "fc2".to_owned(),
        initializer: NASTY.to_owned(),
        selected: 120,
        zero: 40,
        range: [-6.0, 0.0],
        counts: (0..48_u64).map(|bin| 900 - (bin.abs_diff(20)).pow(2)).collect(),
        mass: vec![1.0 / 48.0; 48],
        threshold: Some(-1.5),
    };
    Checked {
        model: vec!["safe.onnx".into()],
        baseline: vec!["model.onnx".into()],
        policy: PolicyUsed {
            path: Some("policy.yaml".into()),
            sha256: "cd".repeat(32),
            confidence: Confidence::Interval(95.0),
        },
        findings: findings(),
        when_inconclusive: WhenInconclusive::Tell,
        evaluated: Some(evaluated()),
        structure: Some(structure()),
        scatter: Some(Scatter {
            points: (0..300).map(point).collect(),
            of: 640,
            before: Some([9, 627, 0, 4]),
            after: [8, 231, 3, 398],
        }),
        examples: vec![example("1", ExampleKind::Gained, true), example(NASTY, ExampleKind::Lost, false)],
        rewritten: Some(Rewritten {
            file: file("rewrite.json"),
            sentence: Some("Beyond a random edit of as many elements.".to_owned()),
            specific: Some(true),
            before: figures(0.0),
            after: figures(60.0),
            controls: vec![("random 0".to_owned(), figures(1.0)), ("roles swapped".to_owned(), figures(-1.0))],
            scores: vec![scores],
        }),
        frontiers: vec![SweptFrontier {
            file: "sweep.json".into(),
            axes: ["zero-shot top-1".to_owned(), "GS".to_owned()],
            frontier: vec![[87.0, 1.0], [84.0, 13.0], [80.0, 22.0]],
            random: vec![[86.0, 0.3]],
            others: vec![[70.0, 5.0], [85.0, 2.0]],
            unedited: Some([87.6, 0.3]),
        }],
        reproduce: Reproduce {
            command: ["uwm-onnx", "check", "safe.onnx", "--baseline", NASTY].map(str::to_owned).to_vec(),
            version: "0.1.0",
            files: vec![("model", file("safe.onnx")), ("baseline", file("model.onnx"))],
        },
        notes: vec!["2 quadruplets were not measured".to_owned()],
        runtime: None,
        timing_s: vec![("total", 2.5)],
    }
}

/// Where snapshots of forms lie.
pub fn snapshot(assert: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/check"));
    settings.set_omit_expression(true);
    settings.bind(assert);
}
