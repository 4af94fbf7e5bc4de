//! Attacks on what is written, by a model, a patch, or what lies where the output goes.

use std::path::{Path, PathBuf};

use uwm_onnx::onnx::Patch;
use uwm_onnx::pass::revert;

use crate::common::external::{External, patch_for};
use crate::edit;

/// A model with data at `location`, a patch for it, and an empty folder for the output.
struct Scene {
    folder: tempfile::TempDir,
    model: PathBuf,
    patch: PathBuf,
    out: PathBuf,
}

impl Scene {
    fn new(location: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = External::at(location).write(folder.path(), location);
        let patch = folder.path().join("edit.uwm");
        std::fs::write(&patch, patch_for(&model).to_bytes()).unwrap();
        let out = folder.path().join("out");
        std::fs::create_dir(&out).unwrap();
        Self { folder, model, patch, out }
    }

    /// A file that is none of our business.
    fn victim(&self) -> PathBuf {
        let victim = self.folder.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        victim
    }

    fn refused(&self, output: &Path, force: bool, why: &str) {
        let before = names(&self.out);
        let error = edit(&self.model, &self.patch, output, force).map(drop).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
        assert_eq!(names(&self.out), before, "something was left behind");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_precious(victim: &Path) {
    assert_eq!(std::fs::read_to_string(victim).unwrap(), "precious");
}

/// Attack 9: CVE-2025-51480 (onnx): a model names the file that its data are saved over.
#[test]
fn cve_2025_51480_data_saved_over_a_file() {
    let scene = Scene::new("victim.bin");
    let victim = scene.out.join("victim.bin");
    std::fs::write(&victim, "precious").unwrap();
    scene.refused(&scene.out.join("safe.onnx"), false, "it exists already");
    is_precious(&victim);
    // With --force that is what was asked for.
    edit(&scene.model, &scene.patch, &scene.out.join("safe.onnx"), true).unwrap();
    assert_eq!(names(&scene.out), ["safe.onnx", "victim.bin"]);
    // Never over the original's own data, whatever is forced: in one folder the name is another.
    let original = std::fs::read(scene.folder.path().join("victim.bin")).unwrap();
    edit(&scene.model, &scene.patch, &scene.folder.path().join("safe.onnx"), true).unwrap();
    assert_eq!(std::fs::read(scene.folder.path().join("victim.bin")).unwrap(), original);
    assert!(scene.folder.path().join("safe.victim.bin").is_file());
}

/// Attack 10: A patch comes from elsewhere too, and names the files that revert writes.
#[test]
fn a_patch_that_names_files_elsewhere() {
    let scene = Scene::new("weights.bin");
    let output = scene.out.join("safe.onnx");
    edit(&scene.model, &scene.patch, &output, false).unwrap();
    let victim = scene.victim();
    for (location, why) in
        [("../victim", "goes up with '..'"), ("/etc/passwd", "is absolute"), ("a\\b", "backslash"), ("", "is empty")]
    {
        let (mut patch, _) = Patch::read(&scene.patch).unwrap();
        location.clone_into(&mut patch.source[1].location);
        let evil = scene.folder.path().join("evil.uwm");
        std::fs::write(&evil, patch.to_bytes()).unwrap();
        let error = revert(&output, &evil, &scene.out.join("original.onnx"), true, &|| false).unwrap_err().to_string();
        assert!(error.contains(why), "{location}: {error}");
        assert_eq!(names(&scene.out), ["safe.onnx", "weights.bin"]);
    }
    is_precious(&victim);
}

/// Attack 11: CVE-2026-34447 (onnx): an output that is a symbolic link is written through. Here the link itself is
/// replaced, and that only with `--force`.
#[cfg(unix)]
#[test]
fn cve_2026_34447_outputs_that_are_symbolic_links() {
    use std::os::unix::fs::symlink;
    for name in ["safe.onnx", "weights.bin"] {
        let scene = Scene::new("weights.bin");
        let victim = scene.victim();
        let (link, output) = (scene.out.join(name), scene.out.join("safe.onnx"));
        symlink(&victim, &link).unwrap();
        scene.refused(&output, false, "it exists already");
        edit(&scene.model, &scene.patch, &output, true).unwrap();
        is_precious(&victim);
        assert!(link.symlink_metadata().unwrap().is_file(), "{name}");
        // A link to nothing must not make something of it.
        let scene = Scene::new("weights.bin");
        let (link, nothing) = (scene.out.join(name), scene.folder.path().join("nothing"));
        symlink(&nothing, &link).unwrap();
        scene.refused(&scene.out.join("safe.onnx"), false, "it exists already");
        edit(&scene.model, &scene.patch, &scene.out.join("safe.onnx"), true).unwrap();
        assert!(!nothing.exists() && link.symlink_metadata().unwrap().is_file(), "{name}");
    }
}

/// Attack 12: The same with hard links: what is replaced is the name, not what other names lead to.
#[cfg(unix)]
#[test]
fn outputs_that_are_hard_links() {
    for name in ["safe.onnx", "weights.bin"] {
        let scene = Scene::new("weights.bin");
        let victim = scene.victim();
        std::fs::hard_link(&victim, scene.out.join(name)).unwrap();
        scene.refused(&scene.out.join("safe.onnx"), false, "it exists already");
        edit(&scene.model, &scene.patch, &scene.out.join("safe.onnx"), true).unwrap();
        is_precious(&victim);
    }
    // The input under another name is the input.
    let scene = Scene::new("weights.bin");
    std::fs::hard_link(&scene.model, scene.out.join("safe.onnx")).unwrap();
    scene.refused(&scene.out.join("safe.onnx"), true, "it is the input itself");
    std::os::unix::fs::symlink("../model.onnx", scene.out.join("other.onnx")).unwrap();
    scene.refused(&scene.out.join("other.onnx"), true, "it is the input itself");
}

/// Attack 13: Sub-folders of data: made as needed, never entered through a link.
#[cfg(unix)]
#[test]
fn a_folder_for_data_that_is_a_link() {
    let scene = Scene::new("deep/er/weights.bin");
    let elsewhere = scene.folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let output = scene.out.join("safe.onnx");
    std::os::unix::fs::symlink(&elsewhere, scene.out.join("deep")).unwrap();
    scene.refused(&output, true, "it is no folder");
    assert!(names(&elsewhere).is_empty());
    std::fs::remove_file(scene.out.join("deep")).unwrap();
    edit(&scene.model, &scene.patch, &output, false).unwrap();
    assert!(scene.out.join("deep/er/weights.bin").is_file());
    // In the model's folder the data are beside the original's, by another name.
    edit(&scene.model, &scene.patch, &scene.folder.path().join("safe.onnx"), false).unwrap();
    assert_eq!(names(&scene.folder.path().join("deep/er")), ["safe.weights.bin", "weights.bin"]);
}

/// Attack 14: Outputs that are no files: nothing is written into a FIFO or a device.
#[cfg(unix)]
#[test]
fn outputs_that_are_no_files() {
    let scene = Scene::new("weights.bin");
    let fifo = scene.out.join("safe.onnx");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    scene.refused(&fifo, true, "neither a file nor a link");
    scene.refused(Path::new("/dev/null"), true, "neither a file nor a link");
    scene.refused(&scene.out, true, "it is a directory");
}
