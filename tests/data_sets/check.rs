//! `data check`.

use image::{DynamicImage, GrayImage, RgbaImage};
use serde_json::Value;

use crate::common::output;
use crate::{Folder, encoded, png, tar};

/// What it found, and its exit code.
fn check(args: &[&str]) -> (Value, i32) {
    let (stdout, stderr, code) = output(&[&["data", "check", "--format", "json"], args].concat());
    assert!(stderr.is_empty(), "{stderr}");
    (serde_json::from_str(&stdout).unwrap(), code)
}

/// Codes with their counts and the severity's first letter.
fn found(value: &Value) -> String {
    let findings = value["findings"].as_array().unwrap().iter();
    let shown =
        |f: &Value| format!("{}{} {}", &f["severity"].as_str().unwrap()[..1], f["count"], f["code"].as_str().unwrap());
    findings.map(shown).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_bundled_set_is_fine() {
    let (value, code) = check(&["calibration/emoji/manifest.jsonl"]);
    assert_eq!((code, found(&value).as_str(), value["ok"].as_bool()), (0, "", Some(true)));
    assert_eq!(value["pictures"]["readable"], 2816);
    let splits = value["splits"].as_array().unwrap();
    assert_eq!(splits.iter().map(|split| split["rows"].as_u64().unwrap()).sum::<u64>(), 1408);
    assert!(splits[0]["concepts"].as_object().unwrap().len() > 1);
    let (text, _, code) = output(&["data", "check", "tests/fixtures/reference/inputs.safetensors"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("safetensors, 32 rows") && text.contains("warning[split-none]: rows without a split"),
        "{text}"
    );
}

#[test]
fn everything_that_is_wrong() {
    let folder = Folder::new();
    for (name, color) in [("a.png", 1), ("b.png", 2), ("c.png", 3), ("same.png", 1), ("e.png", 5)] {
        folder.image(name, color);
    }
    folder.write("grey.png", encoded(&DynamicImage::ImageLuma8(GrayImage::new(2, 2))));
    folder.write("clear.png", encoded(&DynamicImage::ImageRgba8(RgbaImage::new(2, 2))));
    folder.write("large.png", encoded(&DynamicImage::new_rgb8(30, 20)));
    folder.write("cut.png", &png(9)[..40]);
    let row = |id: u8, texts: [&str; 2], images: [&str; 2], split: &str| {
        format!(
            "{}\n",
            serde_json::json!({"id": id, "safe_text": texts[0], "unsafe_text": texts[1],
                "safe_image": images[0], "unsafe_image": images[1], "split": split})
        )
    };
    let text = [
        row(1, ["one", "bad one"], ["a.png", "b.png"], "calibration"),
        row(1, ["two", "two"], ["c.png", "c.png"], "calibration"),
        row(3, [" \t", "bad one"], ["grey.png", "clear.png"], "calibration"),
        row(4, ["four", "bad four"], ["large.png", "cut.png"], "evaluation"),
        row(5, ["one", "bad four"], ["same.png", "gone.png"], "evaluation"),
        "{\"id\": 6, \"safe_text\": \"six\", \"unsafe_text\": \"bad one\", \"split\": \"evaluation\"}\n".to_owned(),
        "{\"id\": 7, \"safe_text\": \"seven\", \"safe_image\": \"e.png\", \"unsafe_image\": \"e.png\"}\n".to_owned(),
    ];
    let path = folder.write("set.jsonl", text.concat()).to_str().unwrap().to_owned();
    let (value, code) = check(&[&path, "--max-pixels", "599"]);
    assert_eq!(code, 3);
    let expected = "e1 id-repeated, e1 part-missing, e1 parts-differ, e1 image-missing, e1 image-broken, \
                    e1 image-too-large, e1 text-empty, e1 split-open, e1 image-overlap, e1 text-overlap, \
                    w2 image-not-rgb, w2 images-identical, w1 texts-identical, w1 unsafe-text-overlap, w2 text-repeated";
    assert_eq!(found(&value), expected);
    let examples = |code: &str| {
        let findings = value["findings"].as_array().unwrap();
        findings.iter().find(|f| f["code"] == code).unwrap()["examples"].to_string()
    };
    assert!(
        examples("image-overlap").contains("set.jsonl:5, as ") && examples("image-overlap").contains("set.jsonl:1")
    );
    assert!(examples("image-not-rgb").contains("grey.png (L8)") && examples("image-not-rgb").contains("(Rgba8)"));
    assert!(examples("image-too-large").contains("30 x 20"));
    // One split alone has no overlap; overlap may be allowed.
    let (value, _) = check(&[&path, "--split", "evaluation", "--max-pixels", "600"]);
    assert!(!found(&value).contains("calibration") && !found(&value).contains("too-large"));
    let (value, _) = check(&[&path, "--allow-overlap"]);
    assert!(found(&value).contains("w1 image-overlap") && found(&value).contains("w1 split-open"));
    let (text, _, code) = output(&["data", "check", &path]);
    assert!(code == 3 && text.contains("error[image-missing]: images that are not there: 1"), "{text}");
    let path = folder.manifest("split.jsonl", 0..2, Some("calibration")).to_str().unwrap().to_owned();
    let (_, stderr, code) = output(&["data", "check", &path, "--split", "test"]);
    assert!(code == 3 && stderr.contains("no rows of the split 'test'; splits found: calibration"), "{stderr}");
}

#[test]
fn two_sets_must_not_meet() {
    let folder = Folder::new();
    let first = folder.manifest("first.jsonl", 0..4, None).to_str().unwrap().to_owned();
    let second = folder.manifest("second.jsonl", 3..6, None).to_str().unwrap().to_owned();
    let (value, code) = check(&[&first, &second]);
    assert_eq!(
        (code, found(&value).as_str()),
        (3, "e2 image-overlap, e1 text-overlap, w7 split-none, w1 unsafe-text-overlap")
    );
    let (value, code) = check(&[&first, &second, "--allow-overlap"]);
    assert_eq!((code, value["ok"].as_bool()), (0, Some(true)));
    // A bomb says how large it is, and is not decoded.
    let mut bomb = png(1);
    bomb[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let crc = crc(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    let members = [("1.safe.png", bomb), ("1.unsafe.png", png(2))];
    let path = folder.write("set.tar", tar(&members)).to_str().unwrap().to_owned();
    let (value, code) = check(&[&path]);
    assert_eq!((code, found(&value).as_str()), (3, "e1 image-too-large, w1 split-none"));
    assert!(value["findings"][0]["examples"][0].as_str().unwrap().contains("set.tar:1.safe.png: 65536 x 65536"));
}

fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 })
    };
    !bytes.iter().fold(!0, step)
}

#[test]
fn visu_says_what_it_leaves_out() {
    let folder = Folder::new();
    let row = r#"[{"incremental_id": 1, "safe": "a", "nsfw": "b", "coco_id": 2, "tag": "hate"}]"#;
    folder.write("ViSU-Text_test.json", row);
    folder.image("elsewhere/000000000002.jpg", 1);
    folder.image("made/2/0.jpg", 1);
    let folders = ["--coco-images", &folder.shown("elsewhere"), "--generated-images", &folder.shown("made")];
    let (value, code) = check(&[&[folder.shown("").as_str()][..], &folders].concat());
    assert_eq!((code, found(&value).as_str()), (0, "w1 row-left-out"));
    let (value, _) = check(&[&[folder.shown("").as_str(), "--split", "evaluation"][..], &folders].concat());
    assert_eq!(value["splits"][0]["split"], "test");
}
