//! References to data files.

use std::path::Path;

use uwm_onnx::onnx::proto::{StringStringEntryProto, TensorProto};
use uwm_onnx::onnx::{Model, Names};

use super::folder::Folder;
use super::model::all_of;
use super::small;

/// Tensors of an input.
const TENSORS: usize = 4;

struct Folders {
    /// Of the model: data files, and ways out of it.
    own: Folder,
    /// What may not be read.
    _other: Folder,
}

thread_local! {
    static FOLDERS: Folders = folders();
}

fn folders() -> Folders {
    let other = Folder::with(|folder| _ = folder.write("secret.bin", &[1; 256]));
    let own = Folder::with(|folder| {
        folder.write("w.bin", &[1; 256]);
        folder.write("sub/w.bin", &[2; 256]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            let at = |name: &str| folder.path().join(name);
            let secret = other.path().join("secret.bin");
            symlink("w.bin", at("inside")).expect("the folder can be written");
            symlink(&secret, at("outside")).expect("the folder can be written");
            symlink(other.path(), at("away")).expect("the folder can be written");
            std::fs::hard_link(&secret, at("hard")).expect("the folders are on one disk");
        }
    });
    Folders { own, _other: other }
}

/// Lines of `key=value`, tensors parted by an empty line. `dims` and `type` are the tensor's, all other keys become entries
/// of its `external_data`.
pub fn external(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let weights: Vec<TensorProto> =
        text.split("\n\n").take(TENSORS).enumerate().map(|(k, lines)| tensor(&format!("w{k}"), lines)).collect();
    let value = |k: usize| match k {
        0 => "pixel_values".to_owned(),
        k if k == weights.len() => "image_embeds".to_owned(),
        k => format!("x{k}"),
    };
    let nodes = weights.iter().enumerate();
    let nodes = nodes.map(|(k, weight)| small::node("MatMul", &[&value(k), &weight.name], &value(k + 1))).collect();
    let bytes = small::model(nodes, weights);
    FOLDERS.with(|folders| {
        let path = folders.own.write("model.onnx", &bytes);
        stays_inside(&path);
        all_of(&path);
    });
}

fn tensor(name: &str, lines: &str) -> TensorProto {
    let mut tensor = TensorProto { name: name.to_owned(), dims: vec![4, 4], data_type: 1, ..TensorProto::default() };
    tensor.data_location = 1;
    for line in lines.split('\n') {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        match key {
            "dims" => tensor.dims = value.split(',').filter_map(|dim| dim.parse().ok()).collect(),
            "type" => tensor.data_type = value.parse().unwrap_or(1),
            _ => tensor.external_data.push(StringStringEntryProto { key: key.to_owned(), value: value.to_owned() }),
        }
    }
    tensor
}

/// No file outside the model's folder is opened, and none would be written outside that of an output.
fn stays_inside(path: &Path) {
    let Ok(model) = Model::open(path) else { return };
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok()).expect("the model is in a folder");
    for source in model.sources() {
        let real = source.path().canonicalize().expect("it was opened");
        assert!(real.starts_with(&folder), "{} is not in the model's folder", real.display());
        assert!(!real.ends_with("hard"), "a file with other names was opened");
    }
    for output in [path.with_file_name("safe.onnx"), folder.join("other").join("model.onnx")] {
        let Ok(names) = Names::for_output(&model, &output) else { continue };
        for index in 0..names.locations().len() {
            let path = names.path(index, &output);
            let up = path.components().any(|part| part == std::path::Component::ParentDir);
            assert!(!up && path.starts_with(output.parent().expect("it has a folder")), "{}", path.display());
        }
    }
}
