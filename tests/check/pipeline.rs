//! From `rewrite` to `check`, as a release pipeline goes.

use std::path::Path;

use prost::Message;
use uwm_onnx::onnx::proto::ModelProto;

use crate::common::{self, MODEL, Small, output};
use crate::{as_their_schema_says, check, lenient, on, with_graph, with_projection};

#[test]
fn a_good_edit_passes() {
    let small = Small::new();
    // Apart from the small set, whose configuration would be taken for the model's.
    std::fs::create_dir(small.path("release")).unwrap();
    let [model, patch, report] = ["release/safe.onnx", "edit.uwm", "rewrite.json"].map(|name| small.path(name));
    let made = ["rewrite", MODEL, "--backend", "tract", "-o", &model, "--patch-out", &patch, "--json", &report];
    let (_, stderr, code) = output(&made);
    assert_eq!(code, 0, "{stderr}");
    let policy = "version: 1\nmetrics:\n  PU: {min_gain: 20}\n  PS: {max_drop: 3}\n  zero_shot: {max_drop: 5, min: 50}\n  \
                  Ts-Vs R@1: {max_relative_drop: 0.05}\nworst_concept: {metrics: {PU: {min_gain: 5}}}\nstructure:\n  \
                  {only_initializer_values_changed: true, allowed_tensors: ['text:projection'], max_elements_changed: 16384, \
                  same_io_signature: true, provenance_required: true, patch_matches: true, no_stale_siblings: true}\n";
    let policy = small.write("policy.yaml", policy);
    let rest = ["--policy", &policy, "--patch", &patch, "--rewrite", &report];
    let ran = check(&small, &[&[&model, "--baseline", MODEL][..], &rest].concat());
    ran.is("pass", 0).says("All 13 rules hold");
    assert_eq!(ran.json["findings"].as_array().unwrap().len(), 13, "{}", ran.json["findings"]);
    assert_eq!(
        ran.json["structure"]["files"][0]["layers"].as_array().unwrap().iter().filter(|l| l["changed"] != 0).count(),
        1
    );
    assert!(ran.json["rewritten"]["controls"].as_array().unwrap().len() > 1, "{}", ran.json["rewritten"]);
    // The page has everything that was given, and images of the bundled set as they may be seen.
    for section in ["figures", "scatter", "concepts", "edit", "controls", "examples", "reproduce"] {
        assert!(ran.html.contains(&format!("id=\"{section}\"")), "{section}");
    }
    assert!(ran.html.contains("data:image/png;base64,"));
    // The built-in policy agrees; the same inputs give the same reports, but for times.
    let built_in = check(&small, &[&model, "--baseline", MODEL]);
    built_in.is("pass", 0);
    let again = check(&small, &[&model, "--baseline", MODEL]);
    let files = |ran: &crate::Ran| [ran.markdown.clone(), ran.junit.clone(), ran.html.clone()];
    assert_eq!(files(&built_in), files(&again));
    // The model as it was is no gain.
    let same = check(&small, &[MODEL, "--baseline", MODEL]);
    same.is("inconclusive", 5);
    as_their_schema_says(&small, &[&ran, &built_in, &same]);
    assert_eq!(same.codes("inconclusive"), ["interval-straddles-bound"]);
}

#[test]
fn a_destroyed_model_fails_and_the_report_says_in_what() {
    let small = Small::new();
    let (broken, policy, config) = (small.path("broken.onnx"), lenient(&small), small.config());
    with_projection(-1.0, Path::new(&broken));
    let ran = check(&small, &on(&config, &[&broken, "--baseline", MODEL, "--policy", &policy]));
    ran.is("fail", 1).says("PS fell by").says("Ts-Vs R@1 fell by");
    assert_eq!(ran.codes("fail"), ["metric-max-drop", "retrieval-at-chance"]);
    // Its files are in order.
    assert_eq!(ran.codes("pass"), ["no-stale-siblings", "only-initializer-values-changed", "same-io-signature"]);
    // Embeddings that are all 0 are no figures at all.
    let dead = small.path("dead.onnx");
    with_projection(0.0, Path::new(&dead));
    let ran = check(&small, &on(&config, &[&dead, "--baseline", MODEL, "--policy", &policy]));
    ran.is("fail", 1).says("breaks down");
    assert_eq!(ran.codes("fail"), ["embeddings-undefined"]);
    as_their_schema_says(&small, &[&ran]);
}

#[test]
fn samples_that_only_the_model_breaks_on_count_against_it() {
    let small = Small::new();
    let (broken, policy, config) = (small.path("broken.onnx"), lenient(&small), small.config());
    let tokenizer = std::fs::read(common::root("models/emoji-clip/tokenizer.json")).unwrap();
    let tokenizer: serde_json::Value = serde_json::from_slice(&tokenizer).unwrap();
    let token = usize::try_from(tokenizer["model"]["vocab"]["dangerous"].as_u64().unwrap()).unwrap();
    // In place: writing the model anew would put its fields into another order.
    let mut bytes = std::fs::read(common::root(MODEL)).unwrap();
    let model = ModelProto::decode(bytes.as_slice()).unwrap();
    let tensors = model.graph.unwrap().initializer;
    let table = tensors.into_iter().find(|tensor| tensor.name.ends_with("token_embedding.weight")).unwrap();
    let width = 4 * usize::try_from(table.dims[1]).unwrap();
    let row = table.raw_data.unwrap().slice(width * token..width * (token + 1));
    let at = bytes.windows(width).position(|window| window == row).unwrap();
    bytes[at..at + width].chunks_mut(4).for_each(|value| value.copy_from_slice(&f32::NAN.to_le_bytes()));
    std::fs::write(&broken, bytes).unwrap();
    let args = on(&config, &[&broken, "--baseline", MODEL, "--policy", &policy]);
    // Some of the forty have that word, and most have not.
    let ran = check(&small, &args);
    ran.is("fail", 1).says("has no embedding for");
    assert_eq!(ran.codes("fail"), ["embeddings-undefined"], "{}", ran.stdout);
    assert!(ran.json["evaluation"]["data"]["quadruplets"].as_u64().unwrap() >= 20);
}

#[test]
fn a_changed_node_fails_by_structure() {
    let small = Small::new();
    let (changed, policy, config) = (small.path("changed.onnx"), lenient(&small), small.config());
    with_graph(Path::new(&changed), |model| {
        let nodes = &mut model.graph.as_mut().unwrap().node;
        let node = nodes.iter_mut().find(|node| node.op_type == "LayerNormalization").unwrap();
        let epsilon = node.attribute.iter_mut().find(|attribute| attribute.name == "epsilon").unwrap();
        epsilon.f *= 2.0;
    });
    let ran = check(&small, &on(&config, &[&changed, "--baseline", MODEL, "--policy", &policy]));
    ran.is("fail", 1).says("More than values of initializers differs");
    assert_eq!(ran.codes("fail"), ["only-initializer-values-changed"]);
    // That the model was written anew shows too, and is not what is meant.
    let graph = ran.json["structure"]["files"][0]["graph"].to_string();
    assert!(
        graph.contains("LayerNormalization") || graph.contains("epsilon") || graph.contains("attribute"),
        "{graph}"
    );
    // Figures alone would have passed.
    assert_eq!(ran.codes("pass"), ["metric-max-drop", "no-stale-siblings", "same-io-signature"]);
    with_graph(Path::new(&changed), |model| {
        model.graph.as_mut().unwrap().output[0].name.push('x');
        model.opset_import[0].version = 19;
    });
    let ran = check(&small, &on(&config, &[&changed, "--baseline", MODEL, "--policy", &policy]));
    assert!(ran.code == 1 && ran.codes("fail").contains(&"same-io-signature"), "{}", ran.stdout);
}

#[test]
fn of_two_samples_nothing_is_concluded() {
    let small = Small::new();
    let config = small.config();
    let all = std::fs::read_to_string(small.path("manifest.jsonl")).unwrap();
    let two: Vec<&str> = all.lines().filter(|line| line.contains("\"split\":\"evaluation\"")).take(2).collect();
    let data = small.write("two.jsonl", &two.join("\n"));
    let args = on(&config, &["models/emoji-clip/model.onnx", "--baseline", MODEL, "--data", &data]);
    let ran = check(&small, &args);
    ran.is("inconclusive", 5).says("2 quadruplets");
    assert_eq!(ran.codes("inconclusive"), ["too-few-samples"]);
    // What that is to the pipeline is said by it; the verdict stays what it is.
    for (word, code) in [("pass", 0), ("fail", 1)] {
        let ran = check(&small, &[&args[..], &["--inconclusive", word]].concat());
        assert_eq!((ran.code, ran.json["verdict"].as_str()), (code, Some("inconclusive")), "{}", ran.stdout);
    }
}

#[test]
fn a_corrupt_file_is_an_error_and_no_failed_rule() {
    let small = Small::new();
    let (policy, config, corrupt) = (lenient(&small), small.config(), small.path("corrupt.onnx"));
    let bytes = std::fs::read(common::root(MODEL)).unwrap();
    std::fs::write(&corrupt, &bytes[..bytes.len() / 2]).unwrap();
    for args in [[corrupt.as_str(), "--baseline", MODEL], [MODEL, "--baseline", corrupt.as_str()]] {
        let args = on(&config, &[&args[..], &["--policy", &policy]].concat());
        let ran = check(&small, &args);
        ran.is("inconclusive", 3).says("corrupt.onnx");
        assert_eq!(ran.codes("error"), ["model-not-onnx"]);
        // An error is never taken for a yes.
        let ran = check(&small, &[&args[..], &["--inconclusive", "pass"]].concat());
        ran.is("inconclusive", 3);
    }
}
