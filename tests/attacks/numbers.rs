//! Attacks by numbers that contradict the file they stand in: patches, scores, embeddings, all of them safetensors.

use std::path::Path;

use serde_json::{Value, json};
use uwm_onnx::onnx::Patch;
use uwm_onnx::pass::revert;

use crate::common::MODEL;
use crate::common::external::{External, patch_for};
use crate::{edit, run};

/// A safetensors file: its header, of a length that it states, and what follows.
fn safetensors(length: Option<u64>, header: &str, data: &[u8]) -> Vec<u8> {
    let length = length.unwrap_or(header.len() as u64);
    [&length.to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// Attack 33: Heads of safetensors files that lie, wherever one is read.
#[test]
fn heads_that_lie() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let [shown, out] = [&path, &folder.path().join("out")].map(|path| path.to_str().unwrap().to_owned());
    let one = |dtype: &str, shape: Value, at: Value| {
        json!({ "embed.safe_text": {"dtype": dtype, "shape": shape, "data_offsets": at} }).to_string()
    };
    let whole = one("F32", json!([1, 4]), json!([0, 16]));
    let data = [0; 16];
    let twice = format!("{{{0},{0}}}", &whole[1..whole.len() - 1]);
    let overlapping = json!({
        "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "b": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
    });
    for bytes in [
        vec![],
        vec![0; 7],
        safetensors(Some(u64::MAX), &whole, &data),
        safetensors(Some(1 << 40), &whole, &data),
        safetensors(Some(100_000_001), &whole, &data),
        safetensors(Some(0), &whole, &data),
        safetensors(None, &whole, &data[..15]),
        safetensors(None, &whole, &[0; 17]),
        safetensors(None, &one("F32", json!([1, 4]), json!([16, 0])), &data),
        safetensors(None, &one("F32", json!([1, 4]), json!([0, u64::MAX])), &data),
        safetensors(None, &one("F32", json!([1, 5]), json!([0, 16])), &data),
        safetensors(None, &one("F32", json!([u64::MAX, u64::MAX]), json!([0, 16])), &data),
        safetensors(None, &one("F32", json!([1_u64 << 32, 1_u64 << 32]), json!([0, 0])), &[]),
        safetensors(None, &one("F99", json!([1, 4]), json!([0, 16])), &data),
        safetensors(None, &one("F32", json!([-1, 4]), json!([0, 16])), &data),
        safetensors(None, &twice, &data),
        safetensors(None, &overlapping.to_string(), &data),
        safetensors(None, "[]", &[]),
        safetensors(None, "{}", &[]),
    ] {
        std::fs::write(&path, bytes).unwrap();
        for args in [
            vec!["apply", MODEL, &shown, "-o", &out],
            vec!["merge", MODEL, "--shards", &shown, "-o", &out],
            vec!["evaluate", "--embeddings", &shown],
            vec!["data", "check", &shown],
        ] {
            let said = run(&args);
            assert!(matches!(said.code, Some(2 | 3)), "{args:?}: {:?} {}", said.code, said.text());
            said.says_little(args[0]);
        }
    }
}

/// Attack 34: Rows without a number in them: there may be any number of them in an empty file.
#[test]
fn rows_of_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for shape in [json!([1_u64 << 60, 0]), json!([0, 1_u64 << 60]), json!([0, 0]), json!([1_u64 << 40, 0, 7])] {
        for names in [["embed.safe_text", "embed.unsafe_text"], ["safe_text.ids", "unsafe_text.ids"]] {
            let tensors =
                names.map(|name| (name.to_owned(), json!({"dtype": "F32", "shape": shape, "data_offsets": [0, 0]})));
            let header = Value::Object(tensors.into_iter().collect()).to_string();
            let path = folder.path().join("a.safetensors");
            std::fs::write(&path, safetensors(None, &header, &[])).unwrap();
            let path = path.to_str().unwrap();
            for args in [vec!["evaluate", "--embeddings", path, "--skip-bad-samples"], vec!["data", "check", path]] {
                let said = run(&args);
                assert!(matches!(said.code, Some(2 | 3)), "{args:?} {shape}: {:?} {}", said.code, said.text());
            }
        }
    }
}

/// A patch with another header.
fn changed(patch: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (length, rest) = patch.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Value = serde_json::from_slice(header).unwrap();
    let mut own: Value = serde_json::from_str(header["__metadata__"]["uwm.patch"].as_str().unwrap()).unwrap();
    change(&mut own);
    header["__metadata__"]["uwm.patch"] = own.to_string().into();
    safetensors(None, &header.to_string(), data)
}

/// That a patch is refused, or does what it says; nothing is left of one that is refused.
fn tried(model: &Path, patch: &[u8], folder: &Path) -> Result<(), String> {
    let [file, output, back] = ["p.uwm", "out/safe.onnx", "back/model.onnx"].map(|name| folder.join(name));
    for folder in [&output, &back].map(|path| path.parent().unwrap()) {
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::write(&file, patch).unwrap();
    let done = edit(model, &file, &output, false).map(drop).map_err(|error| error.to_string());
    if done.is_err() {
        assert_eq!(std::fs::read_dir(output.parent().unwrap()).unwrap().count(), 0, "{done:?} left something behind");
    } else {
        let _ = revert(&output, &file, &back, false, &|| false);
    }
    done
}

/// Attack 35: Patches that lie: counts, shapes, positions, factors and places that are not.
#[test]
fn patches_that_lie() {
    let folder = tempfile::tempdir().unwrap();
    let model = External::at("weights.bin").write(folder.path(), "weights.bin");
    let patch = patch_for(&model).to_bytes();
    assert_eq!(tried(&model, &changed(&patch, |_| {}), folder.path()), Ok(()));
    let first = |key: &'static str, value: Value| {
        let mut value = Some(value);
        changed(&patch, move |header| header["layers"][0][key] = value.take().unwrap())
    };
    for (bytes, why) in [
        (first("selected", json!(5)), "not of the length"),
        (first("selected", json!(u64::MAX)), "not of the length"),
        (first("shape", json!([u64::MAX, u64::MAX])), "has shape"),
        (first("shape", json!([1_u64 << 32, 1])), "has shape"),
        (first("shape", json!([0, 0])), "has shape"),
        (first("shape", json!([1, 1])), "ascending positions"),
        (first("shape", json!([96, 48])), ""),
        (first("alpha", json!("NaN")), ""),
        (first("alpha", json!("1e999")), ""),
        (first("alpha", json!("")), "no number"),
        (first("alpha", Value::Null), ""),
        (first("element", json!("STRING")), "not STRING"),
        (first("element", json!("x".repeat(1 << 20))), "not x"),
        (first("tensor", json!("../../etc/passwd")), "no initializer"),
        (first("saturated", json!(-1)), "uwm.patch"),
        (changed(&patch, |header| header["version"] = json!(u64::MAX)), "uwm.patch"),
        (changed(&patch, |header| header["version"] = json!(3)), "version 3"),
        (changed(&patch, |header| header["source"] = json!([])), "does not name the model"),
        (changed(&patch, |header| header["source"][0]["size"] = json!(1)), "1 bytes"),
        (changed(&patch, |header| header["layers"][0]["extra"] = json!(1)), "unknown field"),
        (
            changed(&patch, |header| {
                let again = header["layers"][0].clone();
                header["layers"].as_array_mut().unwrap().push(again);
            }),
            "has no tensor",
        ),
    ] {
        let said = tried(&model, &bytes, folder.path()).unwrap_err();
        assert!(said.contains(why), "{why}: {said:.500}");
    }
    // What only matters when it is undone: read, and then refused or undone to something, without a panic.
    for spelling in
        [json!([[0, [1]]]), json!([[u64::MAX, [255, 255]]]), json!([[5, vec![128; 1000]]]), json!([[0, []]])]
    {
        let _ = tried(&model, &first("spellings", spelling), folder.path());
    }
    for overlong in [json!([[0, 255]]), json!([[u32::MAX, 0]]), json!([[0, 0], [0, 10], [1, 9]])] {
        let _ = tried(&model, &changed(&patch, |header| header["overlong"] = overlong), folder.path());
    }
}

/// Attack 36: Patches that are damaged anywhere.
#[test]
fn patches_that_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let model = External::at("weights.bin").write(folder.path(), "weights.bin");
    let patch = patch_for(&model).to_bytes();
    assert!(Patch::from_bytes(&patch).is_ok());
    let mut random = fastrand::Rng::with_seed(36);
    for round in 0..5000 {
        let mut bytes = patch.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        if random.u8(..8) == 0 {
            bytes.truncate(random.usize(..bytes.len()));
        }
        // Few that can be read at all are written too.
        if Patch::from_bytes(&bytes).is_ok() && round % 32 == 0 {
            let _ = tried(&model, &bytes, folder.path());
        }
    }
}
