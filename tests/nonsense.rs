//! The command given nonsense: one paragraph that says what, where and what to do, and nothing written.

mod common;

use common::{MODEL, Small, rewrite, root};
use serde_json::Value;

/// Runs what must fail: one paragraph on stderr that holds `expected`, nothing on stdout, nothing written.
fn refuses(small: &Small, args: &[&str], code: i32, expected: &str) {
    let before = small.names();
    let result = rewrite(args).output().unwrap();
    let stderr = String::from_utf8(result.stderr).unwrap();
    assert_eq!(result.status.code(), Some(code), "{args:?}: {stderr}");
    assert!(stderr.contains(expected), "{args:?}: expected '{expected}' in: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    if stderr.starts_with("error[") {
        assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    }
    assert!(result.stdout.is_empty());
    assert_eq!(small.names(), before, "{args:?} left something behind");
}

#[test]
fn models_that_are_none() {
    let small = Small::new();
    let (out, config) = (small.path("out.onnx"), small.config());
    let refuses =
        |model: &str, code, expected| refuses(&small, &[model, "-o", &out, "--config", &config], code, expected);
    refuses("no/such/model.onnx", 3, "cannot read no/such/model.onnx");
    refuses("models", 2, "which of its ONNX files to take cannot be told (none)");
    refuses("README.md", 3, "not a readable ONNX model");
    refuses(&small.write("empty.onnx", ""), 3, "the file is empty");
    refuses("calibration/emoji/images/0000_safe.png", 3, "not a readable ONNX model");
    let bytes = std::fs::read(root(MODEL)).unwrap();
    for cut in [100, bytes.len() / 2, bytes.len() - 1] {
        let path = small.path("truncated.onnx");
        std::fs::write(&path, &bytes[..cut]).unwrap();
        refuses(&path, 3, "not a readable ONNX model");
    }
    // A graph whose only input is a vector.
    let towerless = {
        use prost::Message;
        use uwm_onnx::onnx::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
        let value = |name: &str| ValueInfoProto { name: name.to_owned(), ..Default::default() };
        let node = NodeProto {
            op_type: "Relu".to_owned(),
            input: vec!["x".to_owned()],
            output: vec!["y".to_owned()],
            ..Default::default()
        };
        let graph =
            GraphProto { node: vec![node], input: vec![value("x")], output: vec![value("y")], ..Default::default() };
        ModelProto { ir_version: 8, graph: Some(graph), ..Default::default() }.encode_to_vec()
    };
    std::fs::write(small.path("relu.onnx"), towerless).unwrap();
    refuses(
        &small.path("relu.onnx"),
        3,
        "none of its inputs is known for token ids or pixels ('x' of unknown type or rank)",
    );
}

/// Valid files that would fail late, or only where the output is used.
#[test]
fn models_that_cannot_be_edited() {
    use prost::Message;
    use uwm_onnx::onnx::proto::tensor_proto::DataType;
    use uwm_onnx::onnx::proto::{GraphProto, ModelProto, SparseTensorProto};
    use uwm_onnx::onnx::proto::{tensor_shape_proto::dimension::Value as Dim, type_proto::Value as Type};
    let small = Small::new();
    let (out, config) = (small.path("out.onnx"), small.config());
    for name in ["preprocessor_config.json", "tokenizer.json", "config.json"] {
        std::fs::copy(root("models/emoji-clip").join(name), small.path(name)).unwrap();
    }
    let bytes = std::fs::read(root("models/emoji-clip/vision_model.onnx")).unwrap();
    let refused = |change: &dyn Fn(&mut ModelProto), expected: &str| {
        let mut proto = ModelProto::decode(bytes.as_slice()).unwrap();
        change(&mut proto);
        std::fs::write(small.path("changed.onnx"), proto.encode_to_vec()).unwrap();
        refuses(&small, &["--vision", &small.path("changed.onnx"), "-o", &out, "--config", &config], 3, expected);
    };
    refused(
        &|proto| {
            let tensor = &mut proto.graph.as_mut().unwrap().initializer[0];
            (tensor.raw_data, tensor.data_location) = (None, 1);
        },
        "does not say in which file",
    );
    refused(
        &|proto| {
            let graph = proto.graph.as_mut().unwrap();
            let fc2 = graph.node.iter().rev().find(|node| node.name.ends_with("fc2/MatMul")).unwrap().input[1].clone();
            graph.initializer.iter_mut().find(|tensor| tensor.name == fc2).unwrap().dims.reverse();
        },
        "a weight of 128 inputs: its last axis is not the weight's width",
    );
    refused(
        &|proto| {
            let input = proto.graph.as_mut().unwrap().input[0].r#type.as_mut().unwrap();
            let Some(Type::TensorType(tensor)) = &mut input.value else { unreachable!() };
            tensor.shape.as_mut().unwrap().dim[0].value = Some(Dim::DimValue(1 << 62));
        },
        "has a dimension over 16384",
    );
    // Types that have no negation here, and weights that are no tensor of their own: refused by name.
    let fc2 = |graph: &GraphProto| {
        let node = graph.node.iter().find(|node| node.name.ends_with("layers.1/mlp/fc2/MatMul")).unwrap();
        graph.initializer.iter().position(|tensor| tensor.name == node.input[1]).unwrap()
    };
    for (data_type, name) in [
        (DataType::Float8e4m3fn, "FLOAT8E4M3FN"),
        (DataType::Float8e5m2, "FLOAT8E5M2"),
        (DataType::String, "STRING"),
        (DataType::Int32, "INT32"),
        (DataType::Complex64, "COMPLEX64"),
    ] {
        refused(
            &|proto| {
                let graph = proto.graph.as_mut().unwrap();
                let at = fc2(graph);
                graph.initializer[at].data_type = data_type.into();
            },
            &format!("its element type is {name}, which cannot be edited"),
        );
    }
    refused(
        &|proto| {
            let graph = proto.graph.as_mut().unwrap();
            let at = fc2(graph);
            let values = Some(graph.initializer.remove(at));
            graph.sparse_initializer.push(SparseTensorProto { values, ..Default::default() });
        },
        "a sparse initializer, which cannot be edited",
    );
    refused(
        &|proto| {
            let graph = proto.graph.as_mut().unwrap();
            let at = fc2(graph);
            let tensor = graph.initializer.remove(at);
            let mut input = graph.input[0].clone();
            input.name = tensor.name;
            graph.input.push(input);
        },
        "could each be pixel_values: pass --input NAME=pixel_values",
    );
    // What makes the runtime panic is an error like any other.
    let mut proto = ModelProto::decode(bytes.as_slice()).unwrap();
    let conv = proto.graph.as_mut().unwrap().node.iter_mut().find(|node| node.op_type == "Conv").unwrap();
    conv.attribute.iter_mut().find(|a| a.name == "strides").unwrap().ints = vec![0, 0];
    std::fs::write(small.path("changed.onnx"), proto.encode_to_vec()).unwrap();
    refuses(
        &small,
        &["--vision", &small.path("changed.onnx"), "-o", &out, "--config", &config],
        4,
        "changed.onnx, vision tower: tract cannot load the graph",
    );
}

#[test]
fn data_that_is_none() {
    let small = Small::new();
    let (out, config) = (small.path("out.onnx"), small.config());
    let with = |option: &str, path: &str, code, expected: &str| {
        refuses(&small, &[MODEL, "-o", &out, "--config", &config, option, path], code, expected);
    };
    with("--calibration", "no/such.jsonl", 3, "cannot read the manifest no/such.jsonl");
    let first = std::fs::read_to_string(small.path("manifest.jsonl")).unwrap();
    let first = first.lines().next().unwrap();
    let gone = format!("{first}\n{}\n", first.replace("0000_safe.png", "gone.png").replace("\"0000\"", "\"1\""));
    with("--calibration", &small.write("gone.jsonl", &gone), 3, "line 2: the image");
    with("--calibration", &small.write("twice.jsonl", &format!("{first}\n{first}\n")), 3, "was used before");
    with("--calibration", &small.write("words.jsonl", "hello\n"), 3, "line 1: expected value");
    with("--calibration", &small.write("none.jsonl", "\n"), 3, "no rows of the split 'calibration'");
    let broken = small.write("broken.png", "not an image");
    let row: Value = serde_json::from_str(first).unwrap();
    let mut bad = row.clone();
    bad["unsafe_image"] = broken.into();
    with("--calibration", &small.write("bad.jsonl", &format!("{bad}\n")), 3, "cannot decode the image");
    let mut unsplit = row;
    unsplit.as_object_mut().unwrap().remove("split");
    // Relative names, so that another way to the manifest spells the images differently.
    for image in ["safe_image", "unsafe_image"] {
        let name = format!("{image}.png");
        std::fs::copy(unsplit[image].as_str().unwrap(), small.path(&name)).unwrap();
        unsplit[image] = name.into();
    }
    let both = small.write("both.jsonl", &format!("{unsplit}\n"));
    refuses(
        &small,
        &[MODEL, "-o", &out, "--config", &config, "--calibration", &both, "--evaluation", &both],
        2,
        "are calibration data too",
    );
    let detour = small.path("./../").trim_end_matches('/').to_owned()
        + &format!("/{}/both.jsonl", small.folder.path().file_name().unwrap().to_str().unwrap());
    refuses(
        &small,
        &[MODEL, "-o", &out, "--config", &config, "--calibration", &both, "--evaluation", &detour],
        2,
        "are calibration data too",
    );
    with("--tokenizer", "Cargo.toml", 3, "not a usable tokenizer.json");
    with("--tokenizer", "no/such.json", 3, "cannot read the tokenizer.json");
    with("--preprocessor", "Cargo.toml", 3, "not a usable preprocessor_config.json");
    let processor = std::fs::read_to_string(root("models/emoji-clip/preprocessor_config.json")).unwrap();
    let processor = small.write("large.json", &processor.replace("48", "64"));
    with("--preprocessor", &processor, 3, "[8, 3, 64, 64] where the model takes 'pixel_values' FLOAT [?, 3, 48, 48]");
    let wrong = small.write("wrong.yaml", "calibration:\n  manifest: a\n  splat: b\n");
    refuses(
        &small,
        &[MODEL, "-o", &out, "--config", &wrong],
        2,
        "unknown field `splat`, expected one of manifest, split, sensitive at line 3, column 3; it is YAML",
    );
    let empty = small.write("empty.yaml", "{}\n");
    refuses(&small, &[MODEL, "-o", &out, "--config", &empty], 2, "no calibration data was given");
    let role = small.write("role.yaml", "calibration: {manifest: manifest.jsonl}\ntext: {layers: fc9}\n");
    refuses(&small, &[MODEL, "-o", &out, "--config", &role], 3, "no text layer is one of 'fc9'; roles found: fc1 (4)");
}

#[test]
fn options_that_make_no_sense() {
    let small = Small::new();
    let (out, config) = (small.path("out.onnx"), small.config());
    for (option, value) in
        [("--tau", "0"), ("--tau", "1"), ("--tau", "-0.1"), ("--tau", "NaN"), ("--alpha", "NaN"), ("--alpha", "inf")]
    {
        refuses(&small, &[MODEL, "-o", &out, "--config", &config, option, value], 2, "outside");
    }
    refuses(&small, &[MODEL, "-o", &out, "--config", &config, "--tau", "much"], 2, "invalid value");
    refuses(&small, &[MODEL, "-o", MODEL, "--config", &config, "--force"], 2, "it is the input itself");
    let manifest = small.path("manifest.jsonl");
    refuses(&small, &[MODEL, "-o", &manifest, "--config", &config, "--force"], 2, "this job reads it");
    refuses(&small, &[MODEL, "-o", &config, "--config", &config, "--force"], 2, "this job reads it");
    let patched = [MODEL, "-o", &out, "--patch-out", &manifest, "--config", &config, "--force"];
    refuses(&small, &patched, 2, "this job reads it");
    refuses(&small, &[MODEL, "-o", &small.write("there.onnx", "x"), "--config", &config], 2, "exists already");
    refuses(&small, &[MODEL, "-o", &small.path("no/folder.onnx"), "--config", &config], 2, "folder does not exist");
    refuses(&small, &[MODEL, "-o", &small.path(""), "--config", &config], 2, "it is a directory");
    refuses(&small, &["-o", &out], 2, "required");
    let (text, vision) = ("models/emoji-clip/text_model.onnx", "models/emoji-clip/vision_model.onnx");
    let folder = small.path("folder");
    refuses(&small, &["--text", vision, "--vision", text, "-o", &folder, "--config", &config], 2, "has no text tower");
    refuses(&small, &["--text", text, "--vision", text, "-o", &folder, "--config", &config], 2, "the same file name");
}

/// A folder nobody may write to. Root may write anywhere, so this needs a place that refuses even root.
#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written() {
    let small = Small::new();
    let result = rewrite(&[MODEL, "-o", "/proc/safe.onnx", "--config", &small.config()]).output().unwrap();
    let stderr = String::from_utf8(result.stderr).unwrap();
    assert_eq!(result.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("cannot write /proc/safe.onnx"), "{stderr}");
}
