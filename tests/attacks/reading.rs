//! Attacks by a model that is read.

use std::path::Path;
use std::process::Command;

use crate::common::external::{External, patch_for, place};
use crate::{edit, refused, why_not};

/// Attack 1: CVE-2022-25882 (onnx): `..` in a location reads any file of the machine.
#[test]
fn cve_2022_25882_a_location_that_goes_up() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    for location in ["../secret", "../../../../../../../../etc/passwd", ".."] {
        let model = External::at(location);
        // It is there, and of the right size.
        std::fs::write(folder.path().join("secret"), &model.data).unwrap();
        refused(&model.write_model(&inner), "goes up with '..'");
    }
    for (location, why) in [
        ("/etc/passwd", "is absolute"),
        ("//host/share", "is absolute"),
        ("C:secret", "drive letter"),
        ("C:/secret", "drive letter"),
        ("\\\\host\\share", "backslash"),
        ("", "is empty"),
    ] {
        refused(&External::at(location).write_model(&inner), why);
    }
}

/// Attack 2: CVE-2024-27318 (onnx): the check looked at the beginning of the path only.
#[test]
fn cve_2024_27318_a_location_that_goes_up_after_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir_all(inner.join("a")).unwrap();
    for location in ["a/../../secret", "./../secret", "a/./../../secret", "a//../../secret"] {
        let model = External::at(location);
        std::fs::write(folder.path().join("secret"), &model.data).unwrap();
        refused(&model.write_model(&inner), "goes up with '..'");
    }
    // Harmless, and refused all the same: what it means depends on whether 'a' is a link.
    refused(&External::at("a/../model.data").write_model(&inner), "goes up with '..'");
    refused(&External::at("a\\..\\..\\secret").write_model(&inner), "backslash");
}

/// Attack 3: CVE-2026-27489 (onnx): a symbolic link in the folder leads out of it; the location looks harmless.
#[cfg(unix)]
#[test]
fn cve_2026_27489_a_link_that_leaves_the_folder() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let model = External::at("weights.bin");
    std::fs::write(folder.path().join("secret"), &model.data).unwrap();
    symlink("../secret", inner.join("weights.bin")).unwrap();
    refused(&model.write_model(&inner), "outside the model's folder");
    // A link on the way instead of at the end; and a link to a link.
    let through = External::at("sub/secret");
    symlink("..", inner.join("sub")).unwrap();
    refused(&through.write_model(&inner), "outside the model's folder");
    let twice = External::at("first");
    symlink("weights.bin", inner.join("first")).unwrap();
    refused(&twice.write_model(&inner), "outside the model's folder");
}

/// Attack 4: The opposite failure, of which onnx has been accused since: a Hugging Face cache is a folder of links into
/// `blobs`, and it must work.
#[cfg(unix)]
#[test]
fn the_links_of_a_cache_are_followed() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let (blobs, snapshot) = (folder.path().join("blobs"), folder.path().join("snapshots/abc/onnx"));
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::create_dir_all(&snapshot).unwrap();
    let model = External::at("model.onnx_data");
    std::fs::write(blobs.join("1111"), &model.model).unwrap();
    std::fs::write(blobs.join("2222"), &model.data).unwrap();
    symlink("../../../blobs/1111", snapshot.join("model.onnx")).unwrap();
    symlink("../../../blobs/2222", snapshot.join("model.onnx_data")).unwrap();
    let path = snapshot.join("model.onnx");
    let patch = folder.path().join("edit.uwm");
    std::fs::write(&patch, patch_for(&path).to_bytes()).unwrap();
    // Beside the links: new files, and the blobs stay what they are.
    edit(&path, &patch, &snapshot.join("safe.onnx"), false).unwrap();
    assert!(snapshot.join("safe.onnx_data").symlink_metadata().unwrap().is_file());
    assert_eq!(std::fs::read(blobs.join("1111")).unwrap(), model.model);
    assert_eq!(std::fs::read(blobs.join("2222")).unwrap(), model.data);
    // From there on out, a link is refused as everywhere.
    std::fs::write(folder.path().join("secret"), &model.data).unwrap();
    std::fs::remove_file(snapshot.join("model.onnx_data")).unwrap();
    symlink("../../../secret", snapshot.join("model.onnx_data")).unwrap();
    refused(&path, "outside the model's folder");
}

/// Attack 5: CVE-2026-34446 (onnx): a hard link in an unpacked archive is a file of another folder, and no link to be
/// seen.
#[cfg(unix)]
#[test]
fn cve_2026_34446_a_hard_link_as_data_file() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let model = External::at("weights.bin");
    std::fs::write(folder.path().join("secret"), &model.data).unwrap();
    std::fs::hard_link(folder.path().join("secret"), inner.join("weights.bin")).unwrap();
    refused(&model.write_model(&inner), "has other hard links");
}

/// Attack 6: CVE-2026-34445 (onnx): keys of `external_data` became attributes of an object. Here unknown keys are kept
/// in the file and mean nothing; known ones may be there once.
#[test]
fn cve_2026_34445_keys_nobody_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let strange = ["__class__", "__dict__", "basepath", "offset\0", "Location", "length "];
    let model = External::new(|offset, length| {
        let mut entries = place("weights.bin", offset, length);
        entries.extend(strange.map(|key| (key, "../../etc/passwd".to_owned())));
        entries
    });
    let path = model.write(folder.path(), "weights.bin");
    let patch = folder.path().join("edit.uwm");
    std::fs::write(&patch, patch_for(&path).to_bytes()).unwrap();
    let output = folder.path().join("safe.onnx");
    edit(&path, &patch, &output, false).unwrap();
    let count = |bytes: &[u8], key: &str| bytes.windows(key.len()).filter(|part| *part == key.as_bytes()).count();
    for key in strange {
        assert_eq!(count(&std::fs::read(&output).unwrap(), key), count(&model.model, key), "{key}");
    }
    for key in ["location", "offset", "length"] {
        let twice = External::new(|offset, length| {
            let mut entries = place("weights.bin", offset, length);
            let again = entries.iter().find(|entry| entry.0 == key).unwrap().clone();
            entries.push(again);
            entries
        });
        refused(&twice.write(folder.path(), "weights.bin"), &format!("'{key}' twice"));
    }
}

/// Attack 7: Data files that are no files: a FIFO waits for ever, a device never ends.
#[cfg(unix)]
#[test]
fn fifos_devices_and_folders_as_data_files() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("mkfifo").arg(folder.path().join("fifo")).status().unwrap();
    assert!(made.success());
    refused(&External::at("fifo").write_model(folder.path()), "is not a regular file");
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    refused(&External::at("folder").write_model(folder.path()), "is not a regular file");
    symlink("/dev/zero", folder.path().join("zero")).unwrap();
    refused(&External::at("zero").write_model(folder.path()), "outside the model's folder");
    for model in ["/dev/zero", "/dev/null", folder.path().to_str().unwrap()] {
        refused(Path::new(model), "not a regular file");
    }
    refused(&folder.path().join("fifo"), "not a regular file");
}

/// Attack 8: Offsets and lengths that are lies.
#[test]
fn places_outside_the_data_file() {
    let folder = tempfile::tempdir().unwrap();
    let (max, big) = (u64::MAX.to_string(), "9".repeat(40));
    for (key, value, why) in [
        ("offset", max.as_str(), "bytes"),
        ("length", max.as_str(), "bytes"),
        ("offset", "300000", "bytes"),
        ("offset", big.as_str(), "is not a number"),
        ("offset", "-4096", "is not a number"),
        ("length", "-1", "is not a number"),
        ("length", "0x10", "is not a number"),
        ("length", "0", "bytes"),
    ] {
        let model = External::new(|offset, length| {
            let mut entries = place("weights.bin", offset, length);
            // A weight of fc1 or fc2.
            if length == 4 * 48 * 96 {
                entries.iter_mut().filter(|entry| entry.0 == key).for_each(|entry| value.clone_into(&mut entry.1));
            }
            entries
        });
        assert!(model.data.len() < 320_000);
        refused(&model.write(folder.path(), "weights.bin"), why);
    }
    // A data file that was cut short, and one that is not there.
    let model = External::at("weights.bin");
    let path = model.write(folder.path(), "weights.bin");
    assert_eq!(why_not(&path), None);
    std::fs::write(folder.path().join("weights.bin"), &model.data[..model.data.len() / 2]).unwrap();
    refused(&path, "bytes");
    std::fs::remove_file(folder.path().join("weights.bin")).unwrap();
    refused(&path, "is missing in");
}
