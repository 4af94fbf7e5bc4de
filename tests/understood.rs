//! Models of other exporters than the bundled one, as a user gives them: files and folders through `inspect` and
//! `rewrite`, and what can be said where something cannot be told.

mod common;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use common::root;
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;
use uwm_onnx::onnx::proto::tensor_proto::DataType;
use uwm_onnx::onnx::proto::tensor_shape_proto::{Dimension, dimension::Value as Dim};
use uwm_onnx::onnx::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    type_proto,
};

fn zoo(name: &str) -> PathBuf {
    root("tests/fixtures/zoo").join(name)
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("uwm-onnx").unwrap();
    command.current_dir(root("")).args(args);
    command
}

fn output(args: &[&str]) -> (String, String, i32) {
    let result = command(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(result.stdout), text(result.stderr), result.status.code().unwrap())
}

fn inspect(args: &[&str]) -> Value {
    let (stdout, stderr, code) = output(&[&["inspect", "--format", "json"], args].concat());
    assert_eq!(code, 0, "{stderr}");
    let mut value: Value = serde_json::from_str(&stdout).unwrap();
    value["files"][0].take()
}

/// What a model of the zoo needs beside it: a tokenizer of 99 words, a preprocessor for 16 x 16, a little data.
fn beside(folder: &Path) -> TempDir {
    let small = common::Small::new();
    for name in ["manifest.jsonl", "uwm.yaml"] {
        std::fs::copy(small.folder.path().join(name), folder.join(name)).unwrap();
    }
    let words = std::fs::read_to_string(folder.join("manifest.jsonl")).unwrap();
    let mut vocabulary = serde_json::Map::from_iter(
        [("[PAD]", 0), ("<s>", 1), ("[UNK]", 2), ("</s>", 98)].map(|(word, id)| (word.to_owned(), json!(id))),
    );
    for line in words.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        for word in row["unsafe_text"].as_str().unwrap().split_whitespace() {
            let next = vocabulary.len() - 1;
            if next < 98 && !vocabulary.contains_key(word) {
                vocabulary.insert(word.to_owned(), json!(next));
            }
        }
    }
    let special = |id: u32, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let one = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 0}});
    let token = |id: &str, number: u32| json!({"id": id, "ids": [number], "tokens": [id]});
    let tokenizer = json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 12, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [special(0, "[PAD]"), special(1, "<s>"), special(98, "</s>")],
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [one("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, one("</s>")],
            "pair": [one("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, one("</s>")],
            "special_tokens": {"<s>": token("<s>", 1), "</s>": token("</s>", 98)},
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    });
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let preprocessor = json!({
        "do_resize": true, "size": {"shortest_edge": 16}, "resample": 3,
        "do_center_crop": true, "crop_size": {"height": 16, "width": 16},
        "do_rescale": true, "rescale_factor": 1.0 / 255.0, "do_normalize": true,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    });
    std::fs::write(folder.join("preprocessor_config.json"), preprocessor.to_string()).unwrap();
    small.folder
}

/// `rewrite` with ONNX Runtime, and its report.
fn rewritten(args: &[&str]) -> Option<Value> {
    let library = common::onnx_runtime_library()?;
    let runtime = ["--format", "json", "--backend", "ort", "--ort-library", library.to_str().unwrap()];
    let (stdout, stderr, code) = output(&[&["rewrite"], args, &runtime].concat());
    assert_eq!(code, 0, "{args:?}: {stderr}");
    Some(serde_json::from_str(&stdout).unwrap())
}

#[test]
fn the_whole_job_on_models_of_other_exporters() {
    for (name, layers, evaluated) in [
        ("hf_clip.optimised", 4, true),
        ("hf_clip.nbits4", 4, true),
        ("hf_clip.qdq_int8", 4, true),
        ("hf_clip.fp16", 4, true),
        ("siglip.ts_sdpa", 4, true),
        ("siglip_timm.dynamo_eager", 4, true),
        ("chinese_clip.dynamo_sdpa", 4, true),
        ("altclip.ts_eager", 4, true),
        ("blip.dynamo_eager", 4, true),
        // No output is an embedding; a class token after the text's.
        ("coca.ts_eager", 4, true),
        // Three samples at a time.
        ("openclip.ts_sdpa", 4, true),
        // Rows of tokens are no embedding.
        ("llava.dynamo_sdpa", 2, false),
        ("dinov2_swiglu.ts_eager", 2, false),
        ("eva_like.dynamo_eager", 2, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let _data = beside(folder.path());
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (model, safe, patch) = (path("a.onnx"), path("safe.onnx"), path("edit.uwm"));
        std::fs::copy(zoo(&format!("{name}.onnx")), &model).unwrap();
        let Some(report) = rewritten(&[&model, "-o", &safe, "--patch-out", &patch]) else { return };
        let edited = report["edit"]["layers"].as_array().unwrap();
        assert_eq!(edited.len(), layers, "{name}");
        for layer in edited {
            assert_eq!(layer["role"], if layer["tower"] == "text" { "out_proj" } else { "fc2" }, "{name}");
            assert!(layer["selected"].as_u64().unwrap() > 0, "{name}");
        }
        assert_eq!(report["safeground"].is_null(), !evaluated, "{name}");
        // The very file, but for the values of those tensors.
        let (_, stderr, code) = output(&["verify", &safe, "--original", &model, "--patch", &patch]);
        assert_eq!(code, 0, "{name}: {stderr}");
    }
}

#[test]
fn folders_of_hugging_face_and_optimum() {
    let folder = tempfile::tempdir().unwrap();
    let _data = beside(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(path("onnx")).unwrap();
    for (from, to) in [
        ("siglip.dynamo_sdpa.text", "text_model"),
        ("siglip.dynamo_sdpa.vision", "vision_model"),
        ("hf_clip.fp16", "text_model_fp16"),
    ] {
        std::fs::copy(zoo(&format!("{from}.onnx")), path(&format!("onnx/{to}.onnx"))).unwrap();
    }
    let (stdout, _, code) = output(&["inspect", &path("")]);
    assert!(code == 0 && stdout.contains("text_model.onnx\n") && stdout.contains("vision_model.onnx\n"), "{stdout}");
    let (stdout, ..) = output(&["inspect", &path(""), "--variant", "fp16"]);
    assert!(stdout.starts_with(&path("onnx/text_model_fp16.onnx")), "{stdout}");
    let (_, stderr, code) = output(&["inspect", &path(""), "--variant", "q4"]);
    assert!(
        code == 2 && stderr.contains("no model of the variant 'q4'") && stderr.contains("vision_model.onnx"),
        "{stderr}"
    );

    let Some(report) = rewritten(&[&path(""), "-o", &path("edited")]) else { return };
    assert!(
        Path::new(&path("edited/text_model.onnx")).is_file() && Path::new(&path("edited/vision_model.onnx")).is_file()
    );
    assert!(report["safeground"].is_object());
    // What was left as it is, is said.
    let notes = report["notes"].to_string();
    assert!(notes.contains("text_model_fp16.onnx") && !notes.contains("vision_model"), "{notes}");
}

#[test]
fn layers_are_chosen_by_role_block_and_name() {
    let model = zoo("hf_clip.ts_eager.onnx");
    let model = model.to_str().unwrap();
    let chosen = |args: &[&str]| -> Vec<String> {
        let seen = inspect(&[&[model], args].concat());
        let layers = seen["layers"].as_array().unwrap().iter().filter(|layer| layer["selected"] == true);
        let word = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        layers.map(|l| format!("{} {} {}", word(&l["tower"]), word(&l["block"]), word(&l["role"]))).collect()
    };
    let usual = ["text 0 out_proj", "text 1 out_proj", "vision 0 fc2", "vision 1 fc2"];
    assert_eq!(chosen(&[]), usual);
    assert_eq!(chosen(&["--layers", "vision:fc2[1..]"]), ["text 0 out_proj", "text 1 out_proj", "vision 1 fc2"]);
    assert_eq!(
        chosen(&["--layers", "text:block.1.fc1,projection", "--layers", "vision:*visual_projection*"]),
        ["text 1 fc1", "text null projection", "vision null projection"]
    );
    assert_eq!(chosen(&["--layers", "fc1[0]"]), ["text 0 fc1", "vision 0 fc1"]);
    // What takes nothing is told.
    let seen = inspect(&[model, "--layers", "text:fc9"]);
    assert!(seen["stops"].to_string().contains("no text layer is one of 'fc9'; roles found: fc1 (2)"));
    assert!(seen["layers"].as_array().unwrap().iter().all(|layer| layer["selected"] == false));
    let seen = inspect(&[model, "--layers", "vision:fc2,fc2[7..]"]);
    assert!(seen["stops"].to_string().contains("no vision layer is one of 'fc2[7..]'"));
    let (_, stderr, code) = output(&["inspect", model, "--variant", "fp16"]);
    assert!(code == 2 && stderr.contains("no folder was given"), "{stderr}");
    let seen = inspect(&[model, "--embedding", "logits_per_image"]);
    assert!(
        seen["stops"].to_string().contains("'logits_per_image', which --embedding names, is no value of one tower")
    );
    // A file that was given for one tower is not edited in the other; two towers are two files.
    let text = inspect(&["--text", model]);
    let selected = |seen: &Value| -> Vec<String> {
        let layers = seen["layers"].as_array().unwrap().iter().filter(|layer| layer["selected"] == true);
        layers.map(|layer| layer["tower"].to_string()).collect()
    };
    assert_eq!(selected(&text), ["\"text\"", "\"text\""]);
    let vision = zoo("siglip.dynamo_sdpa.vision.onnx");
    let wrong = inspect(&["--text", vision.to_str().unwrap()]);
    assert!(wrong["stops"].to_string().contains("given with --text, and there is no text tower"), "{wrong}");
    assert!(selected(&wrong).is_empty());
    let (_, stderr, code) = output(&["inspect", model, "--input", "pixel_values=picture"]);
    assert!(code == 2 && stderr.contains("no role of an input"), "{stderr}");
}

fn value(name: &str, element: DataType, dims: &[i64]) -> ValueInfoProto {
    let dim = |&n: &i64| Dimension { value: (n > 0).then_some(Dim::DimValue(n)), ..Default::default() };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: element.into(), shape: Some(shape) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(r#type), ..Default::default() }
}

/// A graph of nodes `(operator, inputs, output)`, with weights of the given shapes.
fn model(
    folder: &Path,
    inputs: Vec<ValueInfoProto>,
    nodes: &[(&str, &[&str], &str)],
    weights: &[(&str, &[i64])],
    outputs: Vec<ValueInfoProto>,
) -> String {
    let node = |&(op, inputs, output): &(&str, &[&str], &str)| NodeProto {
        name: format!("make {output}"),
        op_type: op.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    };
    let weight = |&(name, dims): &(&str, &[i64])| TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: DataType::Float.into(),
        raw_data: Some(vec![0; 4 * dims.iter().product::<i64>() as usize].into()),
        ..Default::default()
    };
    let graph = GraphProto {
        name: "g".to_owned(),
        input: inputs,
        node: nodes.iter().map(node).collect(),
        initializer: weights.iter().map(weight).collect(),
        output: outputs,
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    let model = ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() };
    let path = folder.join("model.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A model of the zoo with something changed in its nodes.
fn changed(folder: &Path, name: &str, change: impl Fn(&mut NodeProto)) -> String {
    let mut model = ModelProto::decode(std::fs::read(zoo(name)).unwrap().as_slice()).unwrap();
    model.graph.as_mut().unwrap().node.iter_mut().for_each(change);
    let path = folder.join("changed.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn names_confirm_and_their_disagreement_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let told = |model: &str| -> Vec<(String, String)> {
        let seen = inspect(&[model]);
        let word = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        let row = |l: &Value| (format!("{} {}", word(&l["block"]), word(&l["role"])), word(&l["told_by"]));
        seen["layers"].as_array().unwrap().iter().map(row).collect()
    };
    let right = told(zoo("hf_clip.ts_eager.onnx").to_str().unwrap());
    // Names of the other block.
    let swapped = changed(folder.path(), "hf_clip.ts_eager.onnx", |node| {
        node.name =
            node.name.replace("layers.0", "layers.x").replace("layers.1", "layers.0").replace("layers.x", "layers.1");
    });
    let disputed = told(&swapped);
    for ((right, _), (found, told)) in right.iter().zip(&disputed) {
        assert_eq!(right, found);
        let (block, role) = right.split_once(' ').unwrap();
        let want = match block {
            "0" => format!("structure; its name says block.1.{role}"),
            "1" => format!("structure; its name says block.0.{role}"),
            _ => "structure and name".to_owned(),
        };
        assert_eq!(*told, want);
    }
    assert!(inspect(&[&swapped])["unusual"].to_string().contains("24 layers where name and structure disagree"));
    // Names that say nothing, and an activation that is none of those known: then names alone tell.
    let nameless = changed(folder.path(), "hf_clip.ts_eager.onnx", |node| node.name = String::new());
    assert!(told(&nameless).iter().zip(&right).all(|(a, b)| a.0 == b.0 && a.1 == "structure"));
    let strange = |node: &mut NodeProto| {
        if node.op_type == "Sigmoid" {
            node.op_type = "HardSigmoid".to_owned();
        }
    };
    let strange = changed(folder.path(), "hf_clip.ts_eager.onnx", strange);
    for ((found, told), (right, _)) in told(&strange).iter().zip(&right) {
        assert_eq!(found, right);
        assert_eq!(told, if found.contains("fc") { "name" } else { "structure and name" });
    }
}

#[test]
fn what_the_user_says_wins() {
    let folder = tempfile::tempdir().unwrap();
    let image = |name: &str| value(name, DataType::Float, &[-1, 3, 8, 8]);
    let two = model(
        folder.path(),
        vec![image("left"), image("right")],
        &[
            ("MatMul", &["left", "W"], "a"),
            ("ReduceMean", &["a"], "one"),
            ("Relu", &["a"], "other"),
            ("MatMul", &["right", "V"], "c"),
        ],
        &[("W", &[8, 4]), ("V", &[8, 4])],
        ["one", "other", "c"].map(|name| value(name, DataType::Float, &[-1, 4])).to_vec(),
    );
    let seen = inspect(&[&two]);
    assert!(seen["stops"].to_string().contains("left, right could each be pixel_values: pass --input"), "{seen}");
    // Nothing is hidden for it: layers are listed.
    assert_eq!(seen["layers"].as_array().unwrap().len(), 2);
    assert_eq!(seen["layers"][0]["tower"], Value::Null);
    let seen = inspect(&[&two, "--input", "left=pixel_values"]);
    assert!(
        seen["stops"]
            .to_string()
            .contains("several outputs could be the vision embedding: one, other: pass --embedding"),
        "{seen}"
    );
    let seen = inspect(&[&two, "--input", "left=pixel_values", "--embedding", "other"]);
    assert_eq!(seen["towers"][0]["embedding"], "other");
    assert_eq!(seen["towers"][0]["inputs"], json!(["left"]));
    assert_eq!((&seen["layers"][0]["tower"], &seen["layers"][1]["tower"]), (&json!("vision"), &Value::Null));
    let (_, stderr, code) = output(&["inspect", &two, "--input", "middle=pixel_values"]);
    assert!(code == 3 && stderr.contains("no input 'middle', which --input names; there are left, right"), "{stderr}");
    let (_, stderr, code) = output(&["inspect", &two, "--embedding", "none"]);
    assert!(code == 3 && stderr.contains("nothing makes 'none', which --embedding names"), "{stderr}");
}

#[test]
fn scales_are_along_the_axis_of_what_is_dequantised() {
    let folder = tempfile::tempdir().unwrap();
    let path = model(
        folder.path(),
        vec![value("x", DataType::Float, &[-1, 3, 2, 2])],
        &[
            ("Transpose", &["codes"], "turned"),
            ("DequantizeLinear", &["turned", "scale"], "w"),
            ("MatMul", &["x", "w"], "y"),
        ],
        &[("codes", &[1]), ("scale", &[2])],
        vec![value("y", DataType::Float, &[-1, 2])],
    );
    let mut proto = ModelProto::decode(std::fs::read(&path).unwrap().as_slice()).unwrap();
    let weights = &mut proto.graph.as_mut().unwrap().initializer;
    (weights[0].dims, weights[0].data_type, weights[0].raw_data) =
        (vec![2, 2], DataType::Int8.into(), Some(vec![1, 2, 3, 4].into()));
    weights[1].raw_data =
        Some([1.0_f32, 10.0].iter().flat_map(|scale| scale.to_le_bytes()).collect::<Vec<u8>>().into());
    std::fs::write(&path, proto.encode_to_vec()).unwrap();
    let model = uwm_onnx::onnx::Model::open(Path::new(&path)).unwrap();
    let graph = uwm_onnx::onnx::Graph::new(&model).unwrap();
    let site = uwm_onnx::pass::Site::find(&graph, &uwm_onnx::onnx::Hints::default()).unwrap().remove(0);
    // What is dequantised is [[1, 3], [2, 4]], by columns [[1, 30], [2, 40]], and that is [I, O].
    assert_eq!(site.layers[0].weight.read(&model).unwrap(), ndarray::array![[1.0, 2.0], [30.0, 40.0]]);
}

#[test]
fn inputs_are_told_by_what_they_feed() {
    let folder = tempfile::tempdir().unwrap();
    let ids = |name: &str| value(name, DataType::Int64, &[-1, 6]);
    // Names say nothing: the largest table is that of words, one of two rows that of segments, the other of positions.
    let text = model(
        folder.path(),
        vec![ids("a"), ids("b"), ids("c"), ids("some_mask")],
        &[
            ("Gather", &["positions", "b"], "p"),
            ("Gather", &["segments", "c"], "s"),
            ("Gather", &["words", "a"], "w"),
            ("Add", &["p", "s"], "ps"),
            ("Add", &["w", "ps"], "sum"),
            ("Cast", &["some_mask"], "m"),
            ("Mul", &["sum", "m"], "masked"),
            ("MatMul", &["masked", "W"], "tied"),
            ("MatMul", &["tied", "W"], "twice"),
            ("ReduceMean", &["twice"], "embedding"),
        ],
        &[("words", &[99, 4]), ("positions", &[20, 4]), ("segments", &[2, 4]), ("W", &[4, 4])],
        vec![value("embedding", DataType::Float, &[-1, 4])],
    );
    let seen = inspect(&[&text]);
    let roles: Vec<&str> = seen["inputs"].as_array().unwrap().iter().map(|i| i["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["input_ids", "position_ids", "token_type_ids", "attention_mask"]);
    // A weight that serves twice is one layer.
    let layers = seen["layers"].as_array().unwrap();
    assert_eq!((layers.len(), &layers[0]["uses"], &layers[0]["why"]), (1, &json!(2), &json!("not asked for")));

    // A 1x1 convolution is listed, and left alone.
    let vision = model(
        folder.path(),
        vec![value("x", DataType::Float, &[-1, 3, 8, 8])],
        &[("Conv", &["x", "K"], "c"), ("Conv", &["c", "L"], "d"), ("ReduceMean", &["d"], "embedding")],
        &[("K", &[5, 3, 2, 2]), ("L", &[4, 5, 1, 1])],
        vec![value("embedding", DataType::Float, &[-1, 4])],
    );
    let seen = inspect(&[&vision]);
    let layers = seen["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);
    assert!(layers[0]["why"].as_str().unwrap().contains("1x1 convolution") && layers[0]["selected"] == false);
    // Also where its name is one that is asked for; what is a linear layer of that name is edited.
    let both = model(
        folder.path(),
        vec![value("x", DataType::Float, &[-1, 3, 8, 8])],
        &[
            ("Conv", &["x", "K"], "c"),
            ("Conv", &["c", "L"], "a/mlp/fc2/Conv"),
            ("MatMul", &["c", "W"], "b/mlp/fc2/MatMul"),
            ("Add", &["a/mlp/fc2/Conv", "b/mlp/fc2/MatMul"], "sum"),
            ("ReduceMean", &["sum"], "embedding"),
        ],
        &[("K", &[5, 3, 2, 2]), ("L", &[5, 5, 1, 1]), ("W", &[4, 4])],
        vec![value("embedding", DataType::Float, &[-1, 4])],
    );
    let seen = inspect(&[&both]);
    let selected: Vec<bool> = seen["layers"].as_array().unwrap().iter().map(|l| l["selected"] == true).collect();
    assert_eq!(selected, [true, false]);
    assert!(seen["unusual"].to_string().contains("1 1x1 convolutions of the vision tower are 'fc2' too"), "{seen}");
}
