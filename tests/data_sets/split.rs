//! `data split`.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use serde_json::Value;
use uwm_onnx::dataset::{CheckOptions, Divide, Folders};
use uwm_onnx::pass::{DataCheckJob, SplitJob, Unobserved, check_data, split_data};

use crate::common::output;
use crate::{Folder, npy, npz, png, tar};

const PARTS: &str = "calibration=0.5,validation=0.2,evaluation=0.3";

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_set_is_divided_by_concept_and_seed() {
    let folder = Folder::new();
    let set = folder.manifest("in/set.jsonl", 0..40, Some("old")).to_str().unwrap().to_owned();
    let out = folder.shown("out/split.jsonl");
    std::fs::create_dir(folder.path("out")).unwrap();
    let split = |more: &[&str]| output(&[&["data", "split", &set, "-o", &out, "--parts", PARTS], more].concat());
    let (text, stderr, code) = split(&[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(text.contains("validation          8   20.0 % of 20.0 %"), "{text}");
    assert!(text.contains("the splits that 40 rows had before are gone"), "{text}");
    let first = std::fs::read_to_string(&out).unwrap();
    let mut counts = BTreeMap::<(String, String), usize>::new();
    for row in rows(&first) {
        let of = |key: &str| row[key].as_str().unwrap().to_owned();
        assert!(of("safe_image").starts_with("../in/images/"), "{row}");
        *counts.entry((of("concept"), of("split"))).or_default() += 1;
    }
    assert_eq!(counts.values().copied().collect::<Vec<_>>(), [10, 6, 4, 10, 6, 4]);
    let (_, stderr, code) = split(&[]);
    assert!(code == 2 && stderr.contains("exists already"), "{stderr}");
    assert_eq!(split(&["--force"]).2, 0);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), first);
    assert_eq!(split(&["--force", "--seed", "1", "--by", "nothing"]).2, 0);
    assert_ne!(std::fs::read_to_string(&out).unwrap(), first);
    let (text, _, code) = output(&["data", "check", &out]);
    assert_eq!(code, 0, "{text}");
    // Never in place of what is read.
    let (_, stderr, code) = output(&["data", "split", &set, "-o", &set, "--parts", PARTS, "--force"]);
    assert!(code == 2 && stderr.contains("it is the input itself"), "{stderr}");
}

#[test]
fn what_cannot_be_divided() {
    let folder = Folder::new();
    let set = folder.manifest("set.jsonl", 0..4, None).to_str().unwrap().to_owned();
    let out = folder.shown("out.jsonl");
    let refused = |set: &str, parts: &str, expected: &str| {
        let (_, stderr, code) = output(&["data", "split", set, "-o", &out, "--parts", parts]);
        assert!(code == 2 && stderr.contains(expected), "{code}: {stderr}");
        assert!(!folder.path("out.jsonl").exists());
    };
    refused(&set, "a=0.5,b=0.4", "the shares are 0.9 together");
    refused(&set, "a=0.5,a=0.5", "named twice");
    refused(&set, "a=1.5,b=-0.5", "a share above 0");
    refused(&set, "a", "it is NAME=SHARE");
    refused(&set, "a=0.99,b=0.01", "nothing is left for 'b'");
    let members = [("1.safe.png", png(1)), ("1.unsafe.png", png(2))];
    let path = folder.write("set.tar", tar(&members));
    refused(path.to_str().unwrap(), "a=0.5,b=0.5", "is in an archive");
    let ids = npy("|u1", "(2, 1)", false, &[0; 2]);
    let path = folder.write("set.npz", npz(&[("safe_text.ids", ids.clone()), ("unsafe_text.ids", ids)], false));
    refused(path.to_str().unwrap(), "a=0.5,b=0.5", "holds graph inputs");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Rows that share texts and images: every row is in one split, the same each time, and the check has no errors.
    #[test]
    fn it_is_a_partition_that_passes_the_check(
        drawn in prop::collection::vec((0_u8..24, 0_u8..24, 0_u8..3), 24..48),
        seed in any::<u64>(),
    ) {
        let folder = Folder::new();
        (0..48).for_each(|color| drop(folder.image(&format!("{color}.png"), color)));
        let mut text = String::new();
        for (id, (caption, image, concept)) in drawn.iter().enumerate() {
            let row = serde_json::json!({
                "id": id, "safe_text": format!("safe {caption}"), "unsafe_text": format!("unsafe {id}"),
                "safe_image": format!("{image}.png"), "unsafe_image": format!("{}.png", image + 24),
                "concept": format!("concept {concept}"),
            });
            text += &format!("{row}\n");
        }
        let set = folder.write("set.jsonl", text);
        let parts = [("a".to_owned(), 0.6), ("b".to_owned(), 0.4)].to_vec();
        let job = |name: &str| SplitJob {
            set: set.clone(),
            folders: Folders::default(),
            output: folder.path(name),
            how: Divide { parts: parts.clone(), seed, by_concept: true },
            force: false,
        };
        // Too few groups for two splits is an error that says so.
        let Ok(split) = split_data(&job("one.jsonl"), &Unobserved) else { return Ok(()) };
        split_data(&job("two.jsonl"), &Unobserved).unwrap();
        let [one, two] = ["one.jsonl", "two.jsonl"].map(|name| std::fs::read_to_string(folder.path(name)).unwrap());
        prop_assert_eq!(&one, &two);
        let ids: HashSet<String> = rows(&one).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        prop_assert_eq!(ids.len(), drawn.len());
        prop_assert_eq!(split.parts.iter().map(|part| part.rows).sum::<usize>(), drawn.len());
        let job = DataCheckJob { sets: vec![folder.path("one.jsonl")], folders: Folders::default(), options: CheckOptions::default() };
        let checked = check_data(&job, &Unobserved).unwrap();
        prop_assert!(!checked.has_errors(), "{}", checked.to_text());
    }
}
