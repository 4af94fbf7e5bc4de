//! Every form, read back.

use std::collections::HashMap;

use half::f16;
use safetensors::tensor::{Dtype, TensorView};
use uwm_onnx::dataset::{DataSet, Folders, Kind, Picture, Side, Values};

use crate::common::root;
use crate::{Folder, npy, npz, png, tar};

/// What all sets here hold: two rows of the split "calibration", one of another.
fn holds(set: &DataSet) {
    let [first, second] = set.rows.as_slice() else { panic!("{} rows", set.rows.len()) };
    let texts = first.texts.as_ref().unwrap();
    assert_eq!((texts.safe.as_str(), texts.not_safe.as_str()), ("a dog, \"Rex\"", "a knife"));
    assert_eq!((first.concept.as_deref(), second.concept.as_deref()), (Some("weapons"), None));
    let images = second.images.as_ref().unwrap();
    assert_eq!([images.safe.read().unwrap(), images.not_safe.read().unwrap()], [png(3), png(4)]);
    assert!(set.has(Kind::Text) && set.has(Kind::Image));
}

fn images(folder: &Folder, at: &str) {
    (1..5).for_each(|color| drop(folder.image(&format!("{at}{color}.png"), color)));
}

#[test]
fn lines_and_tables() {
    let folder = Folder::new();
    images(&folder, "");
    let lines = r#"{"id": 1, "safe_text": "a dog, \"Rex\"", "unsafe_text": "a knife", "safe_image": "1.png", "unsafe_image": "2.png", "concept": "weapons", "split": "calibration"}
{"id": "x", "safe_text": "a cat", "unsafe_text": "a gun", "safe_image": "3.png", "unsafe_image": "4.png", "extra": [1], "concept": null}

{"id": 3, "safe_text": "not there", "split": "evaluation"}
"#;
    let set = DataSet::read(&folder.write("set.jsonl", format!("\u{feff}{lines}")), "calibration").unwrap();
    holds(&set);
    assert_eq!(set.rows[1].id, "x");
    assert!(set.notes[0].ends_with("1 column is not used: extra"), "{:?}", set.notes);
    // The row of the other split has neither a partner nor images: that is for whoever asks for it.
    assert!(crate::refusal(&folder.path("set.jsonl"), "evaluation").contains("line 4: it has safe_text and no unsafe"));

    let table = "\u{feff}safe_text,unsafe_text,safe_image,unsafe_image,concept,split,source,id\n\
                 \"a dog, \"\"Rex\"\"\",a knife,1.png,2.png,weapons,calibration,web,\n\
                 \"a\ncat\",a gun,3.png,4.png,,,web,x\n\
                 gone,gone,gone.png,gone.png,,evaluation,web,\n";
    let set = DataSet::read(&folder.write("set.csv", table), "calibration").unwrap();
    holds(&set);
    assert_eq!([&*set.rows[0].id, &*set.rows[1].id], ["2", "x"]);
    assert!(set.notes[0].contains("1 column is not used: source"), "{:?}", set.notes);
    assert!(crate::refusal(&folder.path("set.csv"), "evaluation").contains("line 5: the image"));
    let table = table.replace(',', "\t").replace("dog\t", "dog,");
    holds(&DataSet::read(&folder.write("set.TSV", table), "calibration").unwrap());
    let set = DataSet::read(&folder.write("texts.csv", "safe_text,unsafe_text\na,b\n"), "any").unwrap();
    assert!(set.has(Kind::Text) && !set.has(Kind::Image));
}

#[test]
fn image_folders() {
    let folder = Folder::new();
    images(&folder, "one/images/");
    folder.write(
        "one/metadata.csv",
        "safe_image_file_name,unsafe_image_file_name,safe_text,unsafe_text,concept,split\n\
         images/1.png,images/2.png,\"a dog, \"\"Rex\"\"\",a knife,weapons,calibration\n\
         images/3.png,images/4.png,a cat,a gun,,\n\
         images/5.png,images/6.png,a,b,,evaluation\n",
    );
    holds(&DataSet::read(&folder.path("one"), "calibration").unwrap());
    // A folder a split, whose name it has.
    images(&folder, "two/calibration/");
    folder.write(
        "two/calibration/metadata.jsonl",
        r#"{"file_name": "1.png", "unsafe_file_name": "2.png", "safe_text": "a dog, \"Rex\"", "unsafe_text": "a knife", "concept": "weapons"}
{"file_name": "3.png", "unsafe_file_name": "4.png", "safe_text": "a cat", "unsafe_text": "a gun"}"#,
    );
    folder.write("two/test/metadata.csv", "safe_text,unsafe_text\na,b\n");
    let set = DataSet::read(&folder.path("two"), "calibration").unwrap();
    holds(&set);
    assert_eq!((set.rows[0].id.as_str(), set.sources.len()), ("calibration/1", 2));
    assert_eq!(DataSet::read(&folder.path("two"), "test").unwrap().rows.len(), 1);
    assert!(crate::refusal(&folder.path("two"), "validation").contains("splits found: calibration, test"));
}

fn members(prefix: &str) -> Vec<(String, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    [
        ("1.safe.png", png(1)),
        ("1.unsafe.png", png(2)),
        ("1.safe.txt", text("a dog, \"Rex\"\n")),
        ("1.unsafe.txt", text("a knife")),
        ("1.json", text(r#"{"concept": "weapons", "split": "calibration", "license": 4}"#)),
        ("1.cls", text("0")),
        ("2.safe.PNG", png(3)),
        ("2.unsafe.png", png(4)),
        ("2.json", text(r#"{"safe_text": "a cat", "unsafe_text": "a gun"}"#)),
        ("3.safe.txt", text("lonely")),
        ("3.json", text(r#"{"split": "evaluation"}"#)),
    ]
    .map(|(name, bytes)| (format!("{prefix}{name}"), bytes))
    .to_vec()
}

fn borrowed(members: &[(String, Vec<u8>)]) -> Vec<(&str, Vec<u8>)> {
    members.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect()
}

#[test]
fn archives() {
    let folder = Folder::new();
    let path = folder.write("set.tar", tar(&borrowed(&members("./data/"))));
    let set = DataSet::read(&path, "calibration").unwrap();
    holds(&set);
    assert_eq!(set.rows[0].id, "data/1");
    assert!(
        matches!(&set.rows[0].images.as_ref().unwrap().safe, Picture::Member { size, .. } if *size == png(1).len() as u64)
    );
    assert!(set.notes[0].contains("members that are not used: 1 .cls"), "{:?}", set.notes);
    // A name over a hundred characters has a member of its own.
    let long = "x".repeat(150);
    let path = folder.write("long.tar", tar(&borrowed(&members(&format!("{long}/")))));
    let set = DataSet::read(&path, "calibration").unwrap();
    holds(&set);
    assert_eq!(set.rows[0].id, format!("{long}/1"));
    // Shards, whose samples are numbered alike.
    let all = members("");
    let all = borrowed(&all);
    folder.write("shards/a.tar", tar(&all[..6]));
    folder.write("shards/b.tar", tar(&all[6..]));
    let set = DataSet::read(&folder.path("shards"), "calibration").unwrap();
    holds(&set);
    assert_eq!([&*set.rows[0].id, &*set.rows[1].id], ["a/1", "b/2"]);
    assert_eq!(set.sources.len(), 2);
}

#[test]
fn links_in_archives_are_counted_and_not_followed() {
    let folder = Folder::new();
    let mut archive = tar::Builder::new(vec![]);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header, "1.safe.png", "/etc/passwd").unwrap();
    let links = archive.into_inner().unwrap();
    // Without the two blocks of zeros at its end.
    let bytes = [&links[..512], &tar(&[("1.safe.txt", b"a".to_vec()), ("1.unsafe.txt", b"b".to_vec())])].concat();
    let set = DataSet::read(&folder.write("set.tar", bytes), "any").unwrap();
    assert!(set.rows[0].images.is_none());
    assert!(set.notes[0].contains("passed over: 1 links"), "{:?}", set.notes);
}

const VISU: &str = r#"[
 {"incremental_id": 7, "safe": "a dog, \"Rex\"", "nsfw": "a knife", "coco_id": 391895, "tag": "weapons", "prompt_id": 3},
 {"incremental_id": 109551, "safe": "a boat", "nsfw": "", "coco_id": 5, "tag": "hate"},
 {"incremental_id": 8, "safe": "a cat", "nsfw": "a gun", "coco_id": 42, "tag": null},
 {"incremental_id": 9, "safe": "a cup", "nsfw": "a fist", "coco_id": 43, "tag": "hate"}
]"#;

#[test]
fn visu() {
    let folder = Folder::new();
    let path = folder.write("set/ViSU-Text_train.json", VISU);
    // Without images it is a set of texts.
    let set = DataSet::read(&path, "calibration").unwrap();
    assert!(!set.has(Kind::Image) && set.rows.len() == 3);
    assert!(set.notes.iter().any(|note| note.contains("texts only")), "{:?}", set.notes);

    folder.image("set/coco/000000391895.jpg", 1);
    folder.image("set/coco/000000000042.jpg", 3);
    folder.image("set/unsafe/7/0.jpg", 2);
    folder.image("set/unsafe/8/0.jpg", 4);
    folder.image("set/unsafe/9/0.jpg", 5);
    let set = DataSet::read(&path, "calibration").unwrap();
    holds(&set);
    let notes = set.notes.join("\n");
    assert!(notes.contains("1 row is left out for an empty caption: 109551"), "{notes}");
    assert!(notes.contains("1 of 3 rows are left out, whose images are missing: "), "{notes}");
    assert!(notes.contains("000000000043.jpg"), "{notes}");
    assert!(notes.contains("the split 'calibration' is its 'train'"), "{notes}");
    assert!(crate::refusal(&path, "evaluation").contains("no rows of the split 'evaluation'; splits found: train"));
    // The folder: the file of the split that is asked for.
    folder.write("set/ViSU-Text_test.json", "not read");
    let set = DataSet::read(&folder.path("set"), "train").unwrap();
    holds(&set);
    assert_eq!((set.rows[0].id.as_str(), set.sources.len()), ("train/7", 1));

    // Images elsewhere, COCO's in folders of its own splits.
    folder.image("coco17/val2017/000000391895.jpg", 1);
    folder.image("coco17/train2017/000000000042.jpg", 3);
    let path = folder.write("bare/ViSU-Text_train.json", VISU);
    let folders = Folders { coco: Some(folder.path("coco17")), generated: Some(folder.path("set/unsafe")) };
    holds(&DataSet::read_with(&path, "train", &folders).unwrap());
    let half = Folders { generated: None, ..folders.clone() };
    let error = crate::described(DataSet::read_with(&path, "train", &half));
    assert!(error.contains("the folder of the generated images is not there"), "{error}");
    let gone = Folders { coco: Some(folder.path("gone")), ..folders };
    assert!(crate::described(DataSet::read_with(&path, "train", &gone)).contains("gone does not exist"));
    folder.image("set/visu/7/0.jpg", 2);
    assert!(crate::refusal(&folder.path("set"), "train").contains("cannot be told"));
}

fn bytes<T, const N: usize>(values: impl IntoIterator<Item = T>, to: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.into_iter().flat_map(to).collect()
}

#[test]
fn arrays_of_numpy() {
    let folder = Folder::new();
    let arrays = [
        ("safe_text.input_ids", npy("<i4", "(3, 2)", false, &bytes(0..6_i32, i32::to_le_bytes))),
        ("unsafe_text.input_ids", npy("<i8", "(3, 2)", true, &bytes(0..6_i64, i64::to_le_bytes))),
        (
            "safe_image.pixel_values",
            npy("<f2", "(3, 1)", false, &bytes([1.0, -0.5, 2.0], |v| f16::from_f32(v).to_le_bytes())),
        ),
        ("unsafe_image.pixel_values", npy("<f8", "(3, 1)", false, &bytes([0.25, 3.0, 4.0], f64::to_le_bytes))),
        ("labels", npy("<i8", "(3,)", false, &[0; 24])),
    ];
    for packed in [false, true] {
        let set = DataSet::read(&folder.write("set.npz", npz(&arrays, packed)), "any").unwrap();
        assert_eq!(set.rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["0", "1", "2"]);
        assert!(set.notes[0].contains("arrays that are not used: labels"), "{:?}", set.notes);
        let tensors = set.tensors.unwrap();
        let whole = |side| match &tensors.inputs(Kind::Text, side, &[1]).unwrap()["input_ids"] {
            Values::Whole(values) => values.iter().copied().collect::<Vec<_>>(),
            Values::Real(_) => panic!(),
        };
        // In Fortran's order the first axis runs fastest.
        assert_eq!((whole(Side::Safe), whole(Side::Unsafe)), (vec![2, 3], vec![1, 4]));
        let real = |side| match &tensors.inputs(Kind::Image, side, &[1]).unwrap()["pixel_values"] {
            Values::Real(values) => values[[0, 0]],
            Values::Whole(_) => panic!(),
        };
        assert_eq!((real(Side::Safe), real(Side::Unsafe)), (-0.5, 3.0));
    }
}

#[test]
fn tensors() {
    let set = DataSet::read(&root("tests/fixtures/reference/inputs.safetensors"), "calibration").unwrap();
    assert_eq!(set.rows.len(), 32);
    assert!(set.has(Kind::Text) && set.has(Kind::Image));

    // Splits and concepts in the metadata; the rows of the others go.
    let folder = Folder::new();
    let data = bytes(0..3_i64, i64::to_le_bytes);
    let tensor = || TensorView::new(Dtype::I64, vec![3, 1], &data).unwrap();
    let metadata = HashMap::from([
        ("splits".to_owned(), r#"["evaluation", "calibration", null]"#.to_owned()),
        ("concepts".to_owned(), r#"[null, "hate", "theft"]"#.to_owned()),
    ]);
    let tensors = [("safe_text.ids", tensor()), ("unsafe_text.ids", tensor())];
    let bytes = safetensors::serialize(tensors, Some(metadata)).unwrap();
    let set = DataSet::read(&folder.write("set.safetensors", bytes), "calibration").unwrap();
    assert_eq!((set.rows[0].id.as_str(), set.rows[0].concept.as_deref()), ("1", Some("hate")));
    let inputs = set.tensors.unwrap().inputs(Kind::Text, Side::Safe, &[0, 1]).unwrap();
    assert!(matches!(&inputs["ids"], Values::Whole(values) if values.iter().eq(&[1, 2])));
}
