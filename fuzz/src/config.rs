//! What users and models bring in YAML, and zero-shot sets.

use uwm_onnx::config::{Config, Preset};
use uwm_onnx::dataset::ZeroShot;
use uwm_onnx::gate::Policy;
use uwm_onnx::onnx::Modality;

use super::folder::Folder;
use super::parts;

thread_local! {
    static FOLDER: Folder = Folder::with(|folder| _ = folder.write("a.png", b"an image"));
}

/// `0` and a `uwm.yaml`, `1` and a policy, or `2` and a zero-shot set.
pub fn config(bytes: &[u8]) {
    let Some((form, parts)) = parts(bytes) else { return };
    FOLDER.with(|folder| match form {
        b'0' => recipe(folder, parts[0]),
        b'1' => policy(&String::from_utf8_lossy(parts[0])),
        _ => zero_shot(folder, parts[0]),
    });
}

fn recipe(folder: &Folder, bytes: &[u8]) {
    let Ok(config) = Config::read(&folder.write("uwm.yaml", bytes)) else { return };
    config.files();
    for tower in [Modality::Text, Modality::Vision] {
        _ = config.method(tower);
        _ = config.clone().with_preset(Preset::Paper).method(tower);
        _ = config.sweep.as_ref().map(|sweep| sweep.methods(tower));
    }
}

fn policy(text: &str) {
    let Ok(policy) = Policy::parse(text, None) else { return };
    for given in [true, false] {
        _ = policy.check_given(given, given, given);
    }
}

fn zero_shot(folder: &Folder, bytes: &[u8]) {
    let Ok(set) = ZeroShot::read(&folder.write("zeroshot.json", bytes)) else { return };
    set.prompts();
    _ = set.of("evaluation");
    _ = set.divided(["validation", "evaluation"]);
}
