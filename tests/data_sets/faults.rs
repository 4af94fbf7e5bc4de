//! Sets that are damaged, or made to do harm.

use proptest::prelude::*;
use uwm_onnx::dataset::{CheckOptions, Checkup, DataSet, Folders};

use crate::common::root;
use crate::{Folder, npy, npz, png, refusal, tar};

#[test]
fn forms_that_are_not_known() {
    let folder = Folder::new();
    let refused = |name: &str, expected: &str| {
        let said = refusal(&folder.path(name), "any");
        assert!(said.contains(expected), "{name}: {said}");
    };
    for name in ["set.parquet", "set.json", "noending", "set.tar.gz", "set.tgz"] {
        folder.write(name, "x");
    }
    refused("set.parquet", "set-form: ");
    refused("set.parquet", "files that end in .parquet are not read");
    refused("set.json", "files that end in .json are not read");
    refused("noending", "its name has no ending");
    refused("set.tar.gz", "unpack it to .tar");
    refused("set.tgz", "unpack it to .tar");
    refused("gone.parquet", "data-io: ");
    folder.write("empty/x.txt", "x");
    refused("empty", "the folder has no metadata.jsonl");
    folder.write("both/metadata.csv", "safe_text,unsafe_text\na,b\n");
    folder.write("both/a.tar", tar(&[]));
    refused("both", "has both metadata.jsonl or metadata.csv and .tar files");
    folder.write("mixed/a.tar", tar(&[]));
    folder.write("mixed/a.txt", "x");
    refused("mixed", "shards are alone in their folder");
    folder.write("twice/metadata.csv", "safe_text,unsafe_text\na,b\n");
    folder.write("twice/metadata.jsonl", "{}\n");
    refused("twice", "both a metadata.jsonl and a metadata.csv");
    folder.write("nested/metadata.csv", "safe_text,unsafe_text\na,b\n");
    folder.write("nested/train/metadata.csv", "safe_text,unsafe_text\na,b\n");
    refused("nested", "both at the root and in train/");
}

#[test]
fn lines_and_tables() {
    let folder = Folder::new();
    let csv = |text: &str, expected: &str| {
        let said = refusal(&folder.write("set.csv", text), "any");
        assert!(said.contains(expected), "{text}: {said}");
    };
    csv("safe_text,caption\na,b\n", "line 1: it has no two columns");
    csv("safe_text,caption\na,b\n", "columns found: safe_text, caption");
    csv("safe_text,unsafe_text,safe_text\na,b,c\n", "line 1: 'safe_text' and 'safe_text' are the same column");
    csv("safe_text,unsafe_text\na,b\nc\n", "line 3: it has 1 cells, the line of column names 2");
    csv("safe_text,unsafe_text,id\na,b,1\nc,d,1\n", "line 3: id '1' was used before");
    csv("", "columns found: none");
    csv("safe_text,unsafe_text\n", "no rows of the split 'any'; splits found: none");
    csv("safe_text,unsafe_text,safe_image,unsafe_image\na,b,1.png,\n", "line 2: it has safe_image and no unsafe_image");
    folder.write("set.csv", b"safe_text,unsafe_text\n\xff,b\n");
    assert!(refusal(&folder.path("set.csv"), "any").contains("cannot read the table"));
    let lines = |text: &str, expected: &str| {
        let said = refusal(&folder.write("set.jsonl", text), "any");
        assert!(said.contains(expected), "{text}: {said}");
    };
    lines("{\"safe_text\": \"a\"}", "line 1: it has no id");
    lines("[1]", "expected a JSON object");
    lines("{\"id\": 1, \"safe_text\": 3}", "safe_text is 3, not text");
    lines("{\"id\": [1]}", "id is [1], neither text nor number");
    lines("{\"id\": 1, \"concept\": \"a\", \"concept\": \"b\"}", "'concept' is given twice");
    lines("{\"id\": 1}", "line 1: it has neither texts nor images");
    folder.write("folder/metadata.csv", "file_name,text\n1.png,a\n");
    assert!(refusal(&folder.path("folder"), "any").contains("columns found: file_name, text"));
}

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[test]
fn archives() {
    let folder = Folder::new();
    let refused = |bytes: Vec<u8>, expected: &str| {
        let said = refusal(&folder.write("set.tar", bytes), "any");
        assert!(said.contains(expected), "{expected}: {said}");
    };
    let pair = [("1.safe.txt", text("a")), ("1.unsafe.txt", text("b"))];
    let whole = tar(&pair);
    refused(whole[..520].to_vec(), "");
    // A size beyond the file's end.
    let mut huge = whole.clone();
    let mut header = tar::Header::from_byte_slice(&huge[..512]).clone();
    header.set_size(1 << 40);
    header.set_cksum();
    huge[..512].copy_from_slice(header.as_bytes());
    refused(huge, "it ends within the member '1.safe.txt'");
    // Names that lead elsewhere, which the crate would not write itself.
    for name in ["../1.safe.txt", "/etc/1.safe.txt"] {
        let mut bytes = whole.clone();
        let mut header = tar::Header::from_byte_slice(&bytes[..512]).clone();
        header.as_mut_bytes()[..100].fill(0);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        refused(bytes, "leads out of the archive");
    }
    let mut sparse = whole.clone();
    let mut header = tar::Header::from_byte_slice(&sparse[..512]).clone();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_cksum();
    sparse[..512].copy_from_slice(header.as_bytes());
    refused(sparse, "is sparse");
    refused(tar(&[pair[0].clone(), pair[0].clone()]), "is there twice");
    refused(tar(&[("1.safe.png", vec![]), ("1.safe.jpg", vec![])]), "has two images of one side");
    refused(tar(&[pair[0].clone(), ("1.json", text("{\"safe_text\": \"c\"}"))]), "has two texts of one side");
    refused(tar(&[("1.json", text("[]"))]), "is not an object as it should be");
    refused(tar(&[("1.safe.txt", vec![0xff])]), "is not UTF-8");
    refused(tar(&[("1.safe.txt", vec![b'a'; (1 << 20) + 1])]), "more than 1048576 are not read");
    refused(tar(&[pair[0].clone()]), "set-row: ");
    refused(tar(&[pair[0].clone()]), "sample '1': it has safe_text and no unsafe_text");
    refused(b"hello".repeat(200), "");
    refused(vec![], "no rows of the split 'any'");
}

#[test]
fn arrays() {
    let folder = Folder::new();
    let ids = |rows: usize| npy("<i8", &format!("({rows}, 1)"), false, &vec![0; rows * 8]);
    let refused = |arrays: &[(&str, Vec<u8>)], expected: &str| {
        let said = refusal(&folder.write("set.npz", npz(arrays, true)), "any");
        assert!(said.contains(expected), "{expected}: {said}");
    };
    let (safe, not_safe) = ("safe_text.ids", "unsafe_text.ids");
    refused(&[(safe, ids(3))], "safe texts have the inputs ids, unsafe texts none");
    refused(&[(safe, ids(3)), (not_safe, ids(2))], "has 2 rows, 'safe_text.ids' has 3");
    refused(&[("ids", ids(3))], "it has no array of such a name; found: ids");
    refused(&[(safe, npy("<i8", "(3, 1)", false, &[0; 23]))], "has 23 bytes where its shape takes 24");
    refused(&[(safe, npy("<i8", "(3, 1)", false, &[0; 25]))], "has 25 bytes where its shape takes 24");
    refused(&[(safe, npy("<c8", "(1, 1)", false, &[0; 8]))], "numpy's type '<c8'");
    refused(&[(safe, npy(">i8", "(1, 1)", false, &[0; 8]))], "numpy's type '>i8'");
    refused(&[(safe, npy("<i8", "()", false, &[0; 8]))], "holds no rows");
    // Shapes that no memory holds.
    for shape in ["(4611686018427387904, 4)", "(2305843009213693952,)", "(1, 99999999999)", "(9999999, 0)"] {
        refused(&[(safe, npy("<i8", shape, false, &[]))], safe);
    }
    refused(&[(safe, npy("|u1", "(99999999,)", false, &[]))], "4194304 are the most");
    refused(&[(safe, vec![0; 100])], "it is no array of numpy");
    refused(&[(safe, vec![0; 3])], "its header ends early");
    // A bomb: 256 MiB of zeros.
    refused(&[(safe, npy("<i8", "(1, 33554432)", false, &vec![0; 1 << 28]))], "unpacks from");
    folder.write("set.npz", "PK");
    assert!(refusal(&folder.path("set.npz"), "any").contains("data-format: "));
    folder.write("set.safetensors", [255; 40]);
    assert!(refusal(&folder.path("set.safetensors"), "any").contains("data-format: "));
}

#[test]
fn visu() {
    let folder = Folder::new();
    let path = folder.write("ViSU-Text_test.json", "[{\"incremental_id\": 1, \"safe\": \"a\"}]");
    assert!(refusal(&path, "test").contains("missing field `coco_id`"));
    folder.write("ViSU-Text_other.json", "[]");
    assert!(refusal(&folder.path("ViSU-Text_other.json"), "test").contains("set-form: "));
    let row = "[{\"incremental_id\": 1, \"safe\": \"a\", \"nsfw\": \"b\", \"coco_id\": 2}]";
    folder.write("ViSU-Text_test.json", row);
    for name in ["coco", "unsafe"] {
        std::fs::create_dir(folder.path(name)).unwrap();
    }
    assert!(refusal(&path, "test").contains("1 of 1 rows are left out, whose images are missing"));
}

/// A whole set of each form that is not text.
fn whole(form: usize) -> (&'static str, Vec<u8>) {
    let ids = || npy("<i8", "(2, 1)", false, &[1; 16]);
    match form {
        0 => {
            let name = format!("{}.safe.txt", "k".repeat(120));
            let members =
                [("1.safe.png", png(1)), ("1.unsafe.png", png(2)), (&*name, text("a")), ("1.json", text("{}"))];
            ("set.tar", tar(&members))
        }
        1 => ("set.npz", npz(&[("safe_text.ids", ids()), ("unsafe_text.ids", ids())], true)),
        2 => ("set.npz", npz(&[("safe_text.ids", ids()), ("unsafe_text.ids", ids())], false)),
        _ => ("set.safetensors", std::fs::read(root("tests/fixtures/reference/inputs.safetensors")).unwrap()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    /// Whatever the bytes: a set or an error, and no panic.
    #[test]
    fn damaged_bytes(form in 0_usize..4, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>(), whole_length in any::<bool>()) {
        let folder = Folder::new();
        let (name, mut bytes) = whole(form);
        // Headers are at the start, and zip's directory at the end.
        let start = if form == 3 { 600 } else { bytes.len() };
        for (at, value) in changes {
            let at = at.index(start);
            bytes[at] = value;
        }
        if !whole_length {
            bytes.truncate(cut.index(bytes.len()));
        }
        let path = folder.write(name, bytes);
        let _ = DataSet::read(&path, "any");
        if let Ok(checkup) = Checkup::open(&[path], &Folders::default(), CheckOptions::default()) {
            prop_assert!(checkup.run(&|| true).is_some());
        }
    }
}
