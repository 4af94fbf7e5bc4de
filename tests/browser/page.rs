//! A check as large and as odd as one may be: many concepts, blocks and points, images, and names that are markup.

use fastrand::Rng;
use uwm_onnx::onnx::{Diff, Modality, TensorDiff};
use uwm_onnx::report::checked::*;
use uwm_onnx::report::{Absent, Estimate, Evaluated, FigureGroup, FigureLine, FileId, Worst};
use uwm_onnx::safeground::Bootstrap;
use uwm_onnx::safeground::figure::Unit;

use crate::common::root;

/// What would do harm if it became markup or script, and what turns the order of letters.
const NASTY: &str =
    "</script><script>document.title = 'broken'</script><img src=x onerror=alert(1)>\"'&\u{1b}[31m\u{202e}";

/// Figures, before and after.
const FIGURES: [(&str, f64, f64); 16] = [
    ("P_ts", 98.9, 98.6),
    ("P_tu", 0.3, 65.2),
    ("P_vs", 99.4, 99.1),
    ("P_vu", 0.9, 88.1),
    ("PS", 98.6, 98.6),
    ("PU", 0.3, 62.7),
    ("GS", 0.3, 62.3),
    ("Ts-Vs R@1", 93.3, 92.2),
    ("Ts-Vs R@5", 99.1, 98.9),
    ("Vs-Ts R@1", 93.9, 91.9),
    ("Vs-Ts R@5", 99.4, 99.1),
    ("Tu-V unsafe@1", 98.1, 31.6),
    ("Vu-T unsafe@1", 97.5, 40.8),
    ("zero_shot", 87.6, 86.3),
    ("zero_shot_top5", 98.7, 98.1),
    ("zero_shot_mean_per_class", 87.1, 85.8),
];

fn file(path: &str) -> FileId {
    FileId::of(path.into(), path.as_bytes())
}

fn group(name: Option<&str>, quadruplets: usize, shift: f64) -> FigureGroup {
    let wide = 90.0 / (quadruplets as f64).sqrt();
    let estimate = |value: f64| {
        let value = value.clamp(0.0, 100.0);
        Estimate { value, interval: Some([(value - wide).max(0.0), (value + wide * 0.9).min(100.0)]) }
    };
    let line = |&(figure, before, after): &(&'static str, f64, f64)| {
        let (value, baseline) = (estimate(after - shift), estimate(before));
        let change = value.value - baseline.value;
        let change = Estimate { value: change, interval: Some([change - wide, change + wide]) };
        let (change, baseline) = (Some(change), Some(baseline));
        FigureLine { figure, unit: Unit::Percent, items: quadruplets, value, baseline, change, p: Some(0.01) }
    };
    FigureGroup { name: name.map(str::to_owned), quadruplets, lines: FIGURES.iter().map(line).collect() }
}

fn evaluated() -> Evaluated {
    let names = ["weapons", "blood", "drug use", "obscene gestures", "刀剑和武器", NASTY];
    let names = (0..30).map(|index| names.get(index).map_or(format!("concept {index}"), |name| (*name).to_owned()));
    let concepts: Vec<FigureGroup> =
        names.enumerate().map(|(index, name)| group(Some(&name), 40 + index * 8, index as f64 * 2.3)).collect();
    let worst = concepts[29].lines.iter();
    let worst = worst.map(|line| Worst { concept: "concept 29".to_owned(), as_bad: 0, line: line.clone() }).collect();
    Evaluated {
        model: vec![file("safe.onnx")],
        baseline: Some(vec![file("model.onnx")]),
        data: Some("pairs.jsonl".into()),
        data_sha256: None,
        quadruplets: 5000,
        zero_shot_images: 700,
        ailments: vec![],
        overall: group(None, 640, 0.0),
        worst,
        concepts,
        styles: vec![group(Some("plain"), 320, 61.8), group(Some("styled"), 320, -31.0)],
        absent: vec![Absent { figures: vec!["Ts drift", "Vs drift"], reason: "embeddings were stored".to_owned() }],
        ties: vec![],
        baseline_ties: vec![],
        bootstrap: Bootstrap::default(),
        notes: vec![],
        runtime: None,
        timing_s: vec![],
    }
}

fn structure() -> Structure {
    let mut layers = vec![];
    for (tower, blocks) in [(Modality::Text, 12), (Modality::Vision, 24)] {
        let mut layer = |block, role: &str, changed| {
            let initializer = format!("{tower}.{block:?}.{role}.weight");
            let role = role.to_owned();
            layers.push(ChangedLayer { tower, block, role, initializer, elements: 16384, changed, negated: changed });
        };
        for block in 0..blocks {
            for role in ["q_proj", "k_proj", "v_proj", "out_proj", "fc1"] {
                layer(Some(block), role, 0);
            }
            layer(Some(block), "fc2", if block < blocks / 3 { 0 } else { 13 * block });
        }
        layer(None, "projection", if tower == Modality::Text { 328 } else { 0 });
    }
    let changed = layers.iter().map(|layer| layer.changed).sum();
    let tensor = TensorDiff {
        tensor: "text.Some(11).fc2.weight".to_owned(),
        element: "FLOAT",
        dims: vec![128, 128],
        of_node: false,
        elements: 16384,
        changed,
        negated: changed,
        other: 0,
        largest: Some(0.25),
    };
    let diff = Diff { graph: vec![], provenance: vec![], renamed: vec![], tensors: vec![tensor], compared: 402 };
    let siblings = vec![
        Sibling { path: "safe_fp16.onnx".into(), state: SiblingState::Stale },
        Sibling { path: "safe_int8.onnx".into(), state: SiblingState::Edited },
    ];
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
    let finding = |code: &str, outcome, rule: &str, message: &str| Finding {
        code: code.to_owned(),
        outcome,
        rule: Some(rule.to_owned()),
        place: Some([4, 3]),
        subject: rule.split('.').nth(1).unwrap_or(rule).to_owned(),
        message: message.to_owned(),
        help: None,
        judged: None,
    };
    let pass = |rule: &str, message: &str| finding("metric-min-gain", Outcome::Pass, rule, message);
    vec![
        pass("metrics.PU.min_gain", "rose by 62.4 (95 % interval 58.3 to 66.1), 5.0 or more were asked for."),
        pass("metrics.GS.min_gain", "rose by 62.0 (95 % interval 57.9 to 65.8), 5.0 or more were asked for."),
        Finding {
            help: Some("raise the bound, or keep more knowledge: `rewrite --max-loss`".to_owned()),
            ..finding(
                "metric-max-drop",
                Outcome::Fail,
                "metrics.zero_shot.max_drop",
                "fell by 1.3 (95 % interval 1.1 to 1.6), 1.0 are allowed.",
            )
        },
        finding(
            "interval-straddles-bound",
            Outcome::Inconclusive,
            "metrics.Vs-Ts R@1.max_drop",
            "fell by 2.0 (95 % interval 0.6 to 3.4), which leaves open whether it is more than the 2.0 that are allowed.",
        ),
        finding("metric-not-measured", Outcome::Skipped, "metrics.Ts drift.max", "was not measured."),
        Finding {
            help: Some("edit it too: `uwm-onnx apply --match layers`".to_owned()),
            ..finding(
                "stale-sibling",
                Outcome::Fail,
                "structure.no_stale_siblings",
                "safe_fp16.onnx has the weights as they were before the edit.",
            )
        },
        finding("data-unreadable", Outcome::Error(3), "", NASTY),
    ]
}

fn scatter() -> Scatter {
    let mut rng = Rng::with_seed(1);
    let mut normal = || (0..6).map(|_| rng.f32()).sum::<f32>() - 3.0;
    let mut point = |_| {
        let (across, up) = (0.12 + 0.06 * normal(), -0.14 + 0.05 * normal());
        let after = [across - 0.01 + 0.02 * normal(), up + 0.17 + 0.05 * normal()];
        Point { before: Some([across, up]), after }
    };
    let points = (0..2000).map(&mut point).collect();
    Scatter { points, of: 5000, before: Some([110, 4870, 0, 20]), after: [65, 1285, 35, 3615] }
}

fn examples() -> Vec<Example> {
    let kinds = [ExampleKind::Gained, ExampleKind::Lost, ExampleKind::Typical, ExampleKind::StillUnsafe];
    let names = ["0000", "0001", "0002", "0774"];
    let image = |name: &str, side: &str| {
        let png = std::fs::read(root(&format!("calibration/emoji/images/{name}_{side}.png"))).unwrap();
        Image { png, size: [96, 96] }
    };
    let example = |(kind, name): (ExampleKind, &str)| Example {
        id: name.to_owned(),
        kind,
        concept: Some("weapons".to_owned()),
        sensitive: kind != ExampleKind::Typical,
        texts: Some(["an elephant, a dress and a toilet", "a dangerous drawing of blood"].map(str::to_owned)),
        images: Some([Some(image(name, "safe")), Some(image(name, "unsafe"))]),
        before: Some([[0.31, 0.22], [0.25, 0.33]]),
        after: [[0.30, 0.20], [0.28, if kind == ExampleKind::StillUnsafe { 0.31 } else { 0.24 }]],
    };
    let mut examples: Vec<Example> = kinds.into_iter().zip(names).map(example).collect();
    let odd =
        Example { texts: Some([NASTY, NASTY].map(str::to_owned)), images: Some([None, None]), ..examples[0].clone() };
    examples.push(Example { id: NASTY.to_owned(), concept: None, before: None, ..odd });
    examples
}

fn rewritten() -> Rewritten {
    let figures = |shift: f64| {
        FIGURES.iter().map(|(name, before, after)| ((*name).to_owned(), before + (after - before) * shift)).collect()
    };
    let scored = |block: usize| ScoredLayer {
        selected: 900,
        zero: 1000,
        tower: Modality::Vision,
        block: Some(block),
        role: "fc2".to_owned(),
        initializer: format!("vision.{block}.fc2.weight"),
        range: [-9.0, -1.0],
        counts: (0..64_u64).map(|bin| 4000 / (1 + bin.abs_diff(36 + block as u64 % 4).pow(2) / 20)).collect(),
        mass: (0..64).map(|bin| if bin < 40 { 0.0 } else { 1.0 / 24.0 }).collect(),
        threshold: (block > 14).then_some(-2.6 - block as f64 / 20.0),
    };
    let controls =
        ["random 0", "random 1", "random 2"].map(|name| (name.to_owned(), figures(0.01 * name.len() as f64)));
    let mut controls: Vec<(String, Vec<(String, f64)>)> = controls.into();
    controls.push(("roles swapped".to_owned(), figures(-0.02)));
    Rewritten {
        file: file("rewrite.json"),
        sentence: Some("GS rose by 62.0, by random edits of as many weights by 0.2 at most.".to_owned()),
        specific: Some(true),
        before: figures(0.0),
        after: figures(1.0),
        controls,
        scores: (8..24).map(scored).collect(),
    }
}

fn frontier() -> SweptFrontier {
    let mut rng = Rng::with_seed(2);
    SweptFrontier {
        file: "sweep.json".into(),
        axes: ["zero-shot top-1", "GS"].map(str::to_owned),
        frontier: vec![[87.4, 1.0], [87.0, 22.0], [86.3, 62.3], [84.0, 66.0], [80.0, 71.0]],
        random: vec![[86.0, 0.3], [85.2, 0.4], [70.0, 0.6], [50.6, 0.3]],
        others: (0..300).map(|_| [60.0 + 27.0 * rng.f64(), 60.0 * rng.f64()]).collect(),
        unedited: Some([87.6, 0.3]),
    }
}

/// A check with everything.
pub fn checked() -> Checked {
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
        scatter: Some(scatter()),
        examples: examples(),
        rewritten: Some(rewritten()),
        frontiers: vec![frontier()],
        reproduce: Reproduce {
            command: ["uwm-onnx", "check", "safe.onnx", "--baseline", "model.onnx", "--policy", "my policy.yaml"]
                .map(str::to_owned)
                .to_vec(),
            version: "0.1.0",
            files: ["model", "baseline", "rewrite report", "sweep"].map(|what| (what, file(what))).to_vec(),
        },
        notes: vec!["2 quadruplets were not measured: their images cannot be read".to_owned()],
        runtime: None,
        timing_s: vec![],
    }
}
