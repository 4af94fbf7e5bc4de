//! External data on the way out: names, references, checksums, and the way back.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::external::{External, patch_for, place};
use sha1::{Digest, Sha1};
use uwm_onnx::onnx::diff;
use uwm_onnx::pass::{ApplyJob, Error, apply, revert, verify};

struct Scene {
    folder: tempfile::TempDir,
    model: PathBuf,
    patch: PathBuf,
}

impl Scene {
    fn new(external: &External, location: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = external.write(folder.path(), location);
        let patch = folder.path().join("edit.uwm");
        std::fs::write(&patch, patch_for(&model).to_bytes()).unwrap();
        Self { folder, model, patch }
    }

    fn apply(&self, output: &str, provenance: bool) -> Result<PathBuf, Error> {
        let output = self.folder.path().join(output);
        std::fs::create_dir_all(output.parent().unwrap()).unwrap();
        let job = ApplyJob {
            model: self.model.clone(),
            patch: self.patch.clone(),
            output: output.clone(),
            force: false,
            provenance,
            match_layers: None,
            patch_out: None,
        };
        apply(&job, &|| false).map(|_| output)
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn another_folder_keeps_names_and_every_byte_of_the_model_file() {
    let external = External::at("weights.bin");
    let scene = Scene::new(&external, "weights.bin");
    let output = scene.apply("out/safe.onnx", false).unwrap();
    let out = files(output.parent().unwrap());
    assert_eq!(out.keys().collect::<Vec<_>>(), ["safe.onnx", "weights.bin"]);
    assert_eq!(out["safe.onnx"], external.model);
    let changed: Vec<u8> =
        out["weights.bin"].iter().zip(&external.data).map(|(a, b)| a ^ b).filter(|&bits| bits != 0).collect();
    assert_eq!(changed, vec![0x80; 12]);
    assert_eq!(out["weights.bin"].len(), external.data.len());
}

#[test]
fn the_same_folder_gives_new_names_and_revert_the_old_ones() {
    for (location, renamed) in [
        ("weights.bin", "safe.weights.bin"),
        ("model.onnx_data", "safe.onnx_data"),
        ("model.onnx.data", "safe.onnx.data"),
        ("./model.data", "./safe.data"),
    ] {
        let external = External::at(location);
        let scene = Scene::new(&external, location);
        let before = files(scene.folder.path());
        let output = scene.apply("safe.onnx", true).unwrap();
        let mut after = files(scene.folder.path());
        let name = renamed.trim_start_matches("./");
        assert!(after.contains_key(name), "{location}: {:?}", after.keys());
        after.retain(|name, _| before.contains_key(name));
        assert_eq!(after, before, "{location}: a file that was there has changed");
        let found =
            diff(&uwm_onnx::onnx::Model::open(&scene.model).unwrap(), &uwm_onnx::onnx::Model::open(&output).unwrap())
                .unwrap();
        assert!(found.only_values(), "{found:?}");
        assert_eq!(found.renamed, [(location.to_owned(), renamed.to_owned())]);
        assert!(verify(&output, &scene.model, Some(&scene.patch)).unwrap().faults.is_empty());

        let back = tempfile::tempdir().unwrap();
        revert(&output, &scene.patch, &back.path().join("model.onnx"), false, &|| false).unwrap();
        let back = files(back.path());
        assert_eq!(back["model.onnx"], external.model);
        assert_eq!(back[location.trim_start_matches("./")], external.data);
        // What it reverts to lies there already.
        let error = revert(&output, &scene.patch, &scene.model, false, &|| false).unwrap_err().to_string();
        assert!(error.contains("it exists already"), "{error}");
    }
}

#[test]
fn a_checksum_is_checked_and_kept_true() {
    let plain = External::at("weights.bin");
    let digest = |data: &[u8]| Sha1::digest(data).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let right = digest(&plain.data);
    let with = |checksum: &str| {
        External::new(|offset, length| {
            let mut entries = place("weights.bin", offset, length);
            entries.push(("checksum", checksum.to_owned()));
            entries
        })
    };
    for (checksum, upper) in [(right.clone(), false), (right.to_uppercase(), true)] {
        let scene = Scene::new(&with(&checksum), "weights.bin");
        let output = scene.apply("out/safe.onnx", true).unwrap();
        let out = files(output.parent().unwrap());
        let mut new = digest(&out["weights.bin"]);
        assert_ne!(new, right);
        if upper {
            new = new.to_uppercase();
        }
        let count = |text: &str| out["safe.onnx"].windows(text.len()).filter(|part| *part == text.as_bytes()).count();
        assert!(count(&new) > 20 && count(&checksum) == 0, "{checksum}: {} {}", count(&new), count(&checksum));
        let back = tempfile::tempdir().unwrap();
        revert(&output, &scene.patch, &back.path().join("model.onnx"), false, &|| false).unwrap();
        assert_eq!(files(back.path())["model.onnx"], with(&checksum).model);
    }
    let (half, rest) = right.split_at(20);
    let scene = Scene::new(&with(&(half.to_uppercase() + rest)), "weights.bin");
    assert!(scene.apply("out/safe.onnx", true).unwrap_err().to_string().contains("mixes upper and lower case"));
    let scene = Scene::new(&with(&"0".repeat(40)), "weights.bin");
    let error = scene.apply("out/safe.onnx", true).unwrap_err().to_string();
    assert!(error.contains(&format!("its checksum is {}", "0".repeat(40))) && error.contains(&right), "{error}");
    assert!(files(&scene.folder.path().join("out")).is_empty());
}

#[test]
fn files_of_their_own_without_offset_and_length() {
    // Each tensor in a file of its own, as older exporters write models over 2 GiB.
    let bytes = External::at("all").data;
    let names: Vec<&'static str> = (0..200).map(|k| &*Box::leak(format!("tensor_{k}").into_boxed_str())).collect();
    let count = std::cell::Cell::new(0);
    let ranges = std::cell::RefCell::new(vec![]);
    let external = External::new(|offset, length| {
        let k = count.replace(count.get() + 1);
        ranges.borrow_mut().push(offset..offset + length);
        vec![("location", names[k].to_owned())]
    });
    let scene = tempfile::tempdir().unwrap();
    let ranges = ranges.into_inner();
    for (name, range) in names.iter().zip(&ranges) {
        std::fs::write(scene.path().join(name), &bytes[range.clone()]).unwrap();
    }
    let model = external.write_model(scene.path());
    let patch = scene.path().join("edit.uwm");
    std::fs::write(&patch, patch_for(&model).to_bytes()).unwrap();
    let scene = Scene { folder: scene, model, patch };
    let before = files(scene.folder.path());
    let output = scene.apply("out/safe.onnx", false).unwrap();
    let out = files(output.parent().unwrap());
    assert_eq!(out.len(), ranges.len() + 1);
    let changed = out.iter().filter(|(name, bytes)| before.get(*name).is_some_and(|old| old != *bytes)).count();
    assert_eq!(changed, 3, "three layers, a file each");
}
