//! Runtimes as a user meets them: which one is taken and why, what happens without, with the wrong one, on a device that
//! is not there; and that results do not depend on threads, batches or interruptions.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{MODEL, Small, onnx_runtime_library, root};
use serde_json::Value;
use uwm_onnx::onnx::Patch;

/// The command, in an environment where no library is found by chance.
fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uwm-onnx"));
    command.current_dir(root("")).args(args);
    for variable in ["ORT_DYLIB_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH"] {
        command.env_remove(variable);
    }
    command
}

/// A folder with nothing in it, for `PATH`.
fn no_path(command: &mut Command, folder: &Path) {
    let empty = folder.join("empty");
    std::fs::create_dir_all(&empty).unwrap();
    command.env("PATH", empty);
}

fn output(command: &mut Command) -> (i32, String, String) {
    let result = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (result.status.code().unwrap(), text(result.stdout), text(result.stderr))
}

fn library() -> Option<String> {
    onnx_runtime_library().map(|path| path.to_str().unwrap().to_owned())
}

#[test]
fn without_a_library_tract_is_taken_and_the_report_says_so() {
    let small = Small::new();
    let folder = small.folder.path();
    let (out, config) = (small.path("out.onnx"), small.config());
    let mut command = bare(&["rewrite", MODEL, "-o", &out, "--config", &config, "--format", "json"]);
    no_path(&mut command, folder);
    let (code, stdout, stderr) = output(&mut command);
    assert_eq!(code, 0, "{stderr}");
    let runtime = &serde_json::from_str::<Value>(&stdout).unwrap()["runtime"];
    assert_eq!(runtime["backend"], "tract");
    assert_eq!(runtime["reason"], "built in; no ONNX Runtime library was found");

    // Asked for, it is an error with what to do.
    let mut command = bare(&["rewrite", MODEL, "-o", &out, "--config", &config, "--backend", "ort", "--force"]);
    no_path(&mut command, folder);
    let (code, stdout, stderr) = output(&mut command);
    assert!(code == 4 && stdout.is_empty() && stderr.contains("pip install onnxruntime"), "{code} {stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");

    let mut command = bare(&["doctor"]);
    no_path(&mut command, folder);
    let (code, stdout, _) = output(&mut command);
    assert!(code == 0 && stdout.contains("ONNX Runtime  not found") && stdout.contains("pip install onnxruntime"));
}

#[test]
fn a_library_that_is_none_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("text.so"), "hello").unwrap();
    // A shared library, and none of ONNX Runtime's.
    let other = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6", "/lib64/libc.so.6"];
    let other = other.into_iter().find(|path| Path::new(path).exists()).map(str::to_owned);
    for (library, why) in [
        (Some(path("missing.so")), "No such file"),
        (Some(path("text.so")), "failed to load"),
        (Some(folder.path().to_str().unwrap().to_owned()), "failed to load"),
        (other, "OrtGetApiBase"),
    ] {
        let Some(library) = library else { continue };
        for backend in ["auto", "ort"] {
            let named = ["rewrite", MODEL, "-o", &path("out.onnx"), "--backend", backend];
            // Named, it is never replaced by another, with auto neither.
            let option = output(&mut bare(&[&named[..], &["--ort-library", &library]].concat()));
            let variable = output(bare(&named).env("ORT_DYLIB_PATH", &library));
            for ((code, stdout, stderr), by) in [(option, "--ort-library"), (variable, "ORT_DYLIB_PATH")] {
                assert!(code == 4 && stdout.is_empty(), "{library}: {code} {stdout} {stderr}");
                assert!(stderr.contains(why) && stderr.contains(by), "{library}: {stderr}");
                assert!(stderr.starts_with("error[runtime-library]") && !stderr.contains("panicked"), "{stderr}");
            }
        }
        let (code, stdout, _) = output(&mut bare(&["doctor", "--ort-library", &library]));
        assert!(code == 4 && stdout.contains("cannot be used") && stdout.contains(why), "{stdout}");
        let (code, ..) = output(&mut bare(&["doctor", "--ort-library", &library, "--backend", "tract"]));
        assert_eq!(code, 0);
    }
    assert!(!Path::new(&path("out.onnx")).exists());
}

#[test]
fn the_library_is_found_where_python_has_it() {
    let Some(library) = library() else { return };
    let chosen = |command: &mut Command| {
        let (code, stdout, stderr) = output(command.args(["doctor", "--format", "json"]));
        assert_eq!(code, 0, "{stderr}");
        let found: Value = serde_json::from_str(&stdout).unwrap();
        (found["would_run_on"]["backend"].clone(), found["would_run_on"]["reason"].as_str().unwrap().to_owned())
    };
    // .../lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so
    let environment = Path::new(&library).ancestors().nth(6).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, value, by) in [
        ("ORT_DYLIB_PATH", Path::new(&library), "ORT_DYLIB_PATH"),
        ("VIRTUAL_ENV", environment, "the active Python environment"),
        ("CONDA_PREFIX", environment, "the active Python environment"),
        ("LD_LIBRARY_PATH", Path::new(&library).parent().unwrap(), "the system's library folders"),
    ] {
        let mut command = bare(&[]);
        no_path(&mut command, folder.path());
        let (backend, reason) = chosen(command.env(name, value));
        assert!(backend == "ONNX Runtime" && reason.contains(by), "{name}: {backend} {reason}");
    }
    let (backend, reason) = chosen(bare(&[]).env("PATH", environment.join("bin")));
    assert!(backend == "ONNX Runtime" && reason.contains("python3's onnxruntime"), "{reason}");
    // Not from the working directory, which may be anybody's.
    let trap = folder.path().join("onnxruntime/capi");
    std::fs::create_dir_all(&trap).unwrap();
    std::fs::write(trap.parent().unwrap().join("__init__.py"), "raise SystemExit('imported')").unwrap();
    std::fs::copy(&library, trap.join("libonnxruntime.so.1.99.0")).unwrap();
    let mut command = bare(&[]);
    let (backend, reason) = chosen(command.current_dir(folder.path()).env("PATH", environment.join("bin")));
    assert!(backend == "ONNX Runtime" && !reason.contains("1.99.0"), "{reason}");
}

#[test]
fn a_device_that_is_not_there_is_an_error_that_lists_what_is() {
    let small = Small::new();
    let (out, config) = (small.path("out.onnx"), small.config());
    let before = small.names();
    let run = |more: &[&str]| output(&mut bare(&[&["rewrite", MODEL, "-o", &out, "--config", &config], more].concat()));
    let (code, _, stderr) = run(&["--device", "cuda", "--backend", "tract"]);
    assert!(code == 4 && stderr.contains("computes on the CPU only"), "{stderr}");
    let (code, _, stderr) = run(&["--device", "gpu"]);
    assert!(code == 2 && stderr.contains("cpu, cuda or cuda:N"), "{stderr}");
    if let Some(library) = library() {
        for device in ["cuda", "cuda:1"] {
            for backend in ["auto", "ort"] {
                let (code, stdout, stderr) =
                    run(&["--device", device, "--backend", backend, "--ort-library", &library]);
                assert!(code == 4 && stdout.is_empty(), "{code} {stderr}");
                assert!(
                    stderr.contains("CUDAExecutionProvider") && stderr.contains("CPUExecutionProvider"),
                    "{stderr}"
                );
                assert!(stderr.contains("onnxruntime-gpu"), "{stderr}");
            }
        }
    }
    assert_eq!(small.names(), before);
}

/// Both runtimes, with what names them.
fn backends() -> Vec<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let ort = library().map(|library| words(&["--backend", "ort", "--ort-library", &library]));
    std::iter::once(words(&["--backend", "tract"])).chain(ort).collect()
}

fn patch_of(small: &Small, name: &str, args: &[&str]) -> Vec<u8> {
    let (patch, config) = (small.path(&format!("{name}.uwm")), small.config());
    let out = small.path(&format!("{name}.onnx"));
    let all = [&["rewrite", MODEL, "-o", &out, "--config", &config, "--patch-out", &patch], args].concat();
    let (code, _, stderr) = output(&mut bare(&all));
    assert_eq!(code, 0, "{args:?}: {stderr}");
    std::fs::read(patch).unwrap()
}

#[test]
fn threads_and_batches_do_not_show_in_the_bytes() {
    let small = Small::new();
    for (k, backend) in backends().iter().enumerate() {
        let backend: Vec<&str> = backend.iter().map(String::as_str).collect();
        let mut first = None;
        for (threads, batch) in [("1", "1"), ("2", "auto"), ("3", "3"), ("2", "7"), ("1", "64")] {
            let args = [&backend[..], &["--threads", threads, "--batch-size", batch]].concat();
            let bytes = patch_of(&small, &format!("{k}.{threads}.{batch}"), &args);
            let first = first.get_or_insert_with(|| bytes.clone());
            assert!(*first == bytes, "{args:?}");
        }
    }
}

#[test]
fn both_runtimes_select_the_same_elements() {
    let small = Small::new();
    let selected: Vec<BTreeSet<(String, u32)>> = backends()
        .iter()
        .enumerate()
        .map(|(k, backend)| {
            let backend: Vec<&str> = backend.iter().map(String::as_str).collect();
            let patch = Patch::from_bytes(&patch_of(&small, &k.to_string(), &backend)).unwrap();
            let of = |layer: &uwm_onnx::onnx::PatchLayer| {
                let name = layer.tensor.clone();
                layer.positions.iter().map(|&position| (name.clone(), position)).collect::<Vec<_>>()
            };
            patch.layers.iter().flat_map(of).collect()
        })
        .collect();
    if let [tract, ort] = selected.as_slice() {
        let differ = tract.symmetric_difference(ort).count();
        println!("{differ} of {} elements differ", tract.len());
        assert!(tract.len() > 1000 && differ as f64 <= 0.001 * tract.len() as f64, "{differ} of {}", tract.len());
    }
}

#[test]
fn a_failing_node_and_its_input_are_named() {
    let small = Small::new();
    // A vocabulary that the model does not have: ids beyond its embedding table.
    let tokenizer = std::fs::read_to_string(root("models/emoji-clip/tokenizer.json")).unwrap();
    let mut tokenizer: Value = serde_json::from_str(&tokenizer).unwrap();
    let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    let (word, _) = vocabulary.iter().find(|(_, id)| id.as_u64() == Some(20)).unwrap();
    let word = word.clone();
    vocabulary
        .values_mut()
        .filter(|id| id.as_u64() >= Some(20))
        .for_each(|id| *id = (id.as_u64().unwrap() + 1_000_000).into());
    println!("beyond the table: {word}");
    let tokenizer = small.write("tokenizer.json", &tokenizer.to_string());
    std::fs::copy(root("models/emoji-clip/config.json"), small.path("config.json")).unwrap();
    let (out, config) = (small.path("out.onnx"), small.config());
    for backend in backends() {
        let mut args = vec!["rewrite", MODEL, "-o", &out, "--config", &config, "--tokenizer", &tokenizer];
        args.extend(backend.iter().map(String::as_str));
        let (code, stdout, stderr) = output(&mut bare(&args));
        assert!(code == 4 && stdout.is_empty(), "{code} {stderr}");
        assert!(stderr.contains("text tower") && stderr.contains("Gather"), "{stderr}");
        assert!(stderr.contains("'input_ids' INT64 ["), "{stderr}");
        assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    }
}

/// Interrupted and resumed: the same bytes as in one go; and only what was asked for is left in between.
#[test]
fn an_interrupted_calibration_goes_on() {
    let small = Small::new();
    // 128 pairs and more, so that sums are kept: the same pairs under other ids.
    let text = std::fs::read_to_string(root("calibration/emoji/manifest.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let rows: String = rows
        .filter(|row| row["split"] == "calibration")
        .take(200)
        .map(|mut row| {
            for image in ["safe_image", "unsafe_image"] {
                row[image] = root("calibration/emoji").join(row[image].as_str().unwrap()).to_str().unwrap().into();
            }
            format!("{row}\n")
        })
        .collect();
    small.write("many.jsonl", &rows);
    let config = small.write("many.yaml", "calibration: {manifest: many.jsonl}\n");
    for (k, backend) in backends().iter().enumerate() {
        let backend: Vec<&str> = backend.iter().map(String::as_str).collect();
        let path = |name: &str| small.path(&format!("{k}.{name}"));
        let run = |out: &str, more: &[&str]| {
            bare(&[&["rewrite", MODEL, "-o", out, "--config", &config], &backend[..], more].concat())
        };
        let (code, _, stderr) = output(&mut run(&path("whole.onnx"), &[]));
        assert_eq!(code, 0, "{stderr}");
        let kept = path("kept");
        let (mut interrupted, mut kept_sums) = (0, 0);
        // Later and later, until it comes through.
        for round in 1.. {
            let before = small.names();
            let mut child =
                run(&path("resumed.onnx"), &["--resume", &kept]).stdout(std::process::Stdio::null()).spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(250 * round));
            Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
            match child.wait().unwrap().code() {
                Some(0) => break,
                code => assert!(code == Some(130) || code.is_none(), "{code:?}"),
            }
            interrupted += 1;
            let left: Vec<String> = small.names().into_iter().filter(|name| !before.contains(name)).collect();
            assert!(left.is_empty() || left == [format!("{k}.kept")], "{left:?}");
            if PathBuf::from(&kept).join("text.safetensors").exists() {
                kept_sums += 1;
                // Another job's sums are not taken.
                let (code, _, stderr) = output(&mut run(&path("x.onnx"), &["--resume", &kept, "--batch-size", "5"]));
                assert!(code == 2 && stderr.contains("written by another job"), "{code} {stderr}");
            }
        }
        assert!(interrupted > 0 && kept_sums > 0, "{interrupted} {kept_sums}");
        assert!(!Path::new(&kept).exists(), "the job is done");
        let read = |name: &str| std::fs::read(path(name)).unwrap();
        assert!(read("resumed.onnx") == read("whole.onnx"), "after {interrupted} interruptions");
    }
    // What is no checkpoint.
    std::fs::create_dir(small.path("broken")).unwrap();
    small.write("broken/text.safetensors", "hello");
    let out = small.path("x.onnx");
    let args =
        ["rewrite", MODEL, "-o", &out, "--config", &config, "--backend", "tract", "--resume", &small.path("broken")];
    let (code, _, stderr) = output(&mut bare(&args));
    assert!(code == 2 && stderr.contains("this checkpoint cannot be resumed"), "{stderr}");
    assert!(!Path::new(&out).exists());
}

/// A model that breaks down on a few images: an error that names one, or a count, as the user wishes.
#[test]
fn samples_that_are_not_finite_are_named_or_skipped_and_counted() {
    use prost::Message;
    use uwm_onnx::dataset::{Batch, Images, Picture, Preprocessor, Samples};
    use uwm_onnx::onnx::proto::tensor_proto::DataType;
    use uwm_onnx::onnx::proto::{AttributeProto, ModelProto, NodeProto, TensorProto, attribute_proto};
    let small = Small::new();
    // The images by their mean: those below a limit are to have the root of a negative number.
    let rows = std::fs::read_to_string(small.path("manifest.jsonl")).unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let preprocessor = Preprocessor::read(&root("models/emoji-clip/preprocessor_config.json")).unwrap();
    let mean = |row: &Value, side: &str| {
        let images = Images::new(&preprocessor, vec![Picture::File(row[side].as_str().unwrap().into())]);
        let Batch::Image { pixels } = images.batch(0..1).unwrap() else { unreachable!() };
        pixels.iter().map(|&value| f64::from(value)).sum::<f64>() / pixels.len() as f64
    };
    let lowest = |row: &Value| mean(row, "safe_image").min(mean(row, "unsafe_image"));
    let of_split = |split: &str| {
        let rows = rows.iter().filter(|row| row["split"] == split);
        let mut means: Vec<f64> = rows.map(lowest).collect();
        means.sort_by(f64::total_cmp);
        means
    };
    let (calibration, evaluation) = (of_split("calibration"), of_split("evaluation"));
    let limit = (calibration[2] + calibration[3]) / 2.0;
    let (bad_pairs, bad_quadruplets) = (3, evaluation.iter().filter(|&&mean| mean < limit).count());
    assert!(bad_quadruplets > 0 && bad_quadruplets < evaluation.len());

    let mut model = ModelProto::decode(std::fs::read(root(MODEL)).unwrap().as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let scalar = |name: &str, value: f32| TensorProto {
        name: name.to_owned(),
        data_type: DataType::Float.into(),
        raw_data: Some(value.to_le_bytes().to_vec().into()),
        ..Default::default()
    };
    graph.initializer.extend([scalar("limit", limit as f32), scalar("nothing", 1e-30)]);
    for input in graph.node.iter_mut().flat_map(|node| &mut node.input).filter(|input| *input == "pixel_values") {
        "broken".clone_into(input);
    }
    let node = |op: &str, inputs: &[&str], output: &str| NodeProto {
        op_type: op.to_owned(),
        name: format!("break/{op}"),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    };
    let mut reduce = node("ReduceMean", &["pixel_values"], "mean");
    reduce.attribute.push(AttributeProto {
        name: "axes".to_owned(),
        r#type: attribute_proto::AttributeType::Ints.into(),
        ints: vec![1, 2, 3],
        ..Default::default()
    });
    let broken = [
        reduce,
        node("Sub", &["mean", "limit"], "above"),
        node("Sqrt", &["above"], "root"),
        node("Mul", &["root", "nothing"], "zero"),
        node("Add", &["pixel_values", "zero"], "broken"),
    ];
    graph.node.splice(0..0, broken);
    let path = small.path("breaks.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();

    let (out, config) = (small.path("out.onnx"), small.config());
    let tokenizer = root("models/emoji-clip/tokenizer.json");
    let preprocessor = root("models/emoji-clip/preprocessor_config.json");
    let files = ["--tokenizer", tokenizer.to_str().unwrap(), "--preprocessor", preprocessor.to_str().unwrap()];
    for backend in backends() {
        let backend: Vec<&str> = backend.iter().map(String::as_str).collect();
        let base = [&["rewrite", &path, "-o", &out, "--config", &config, "--force"][..], &files, &backend].concat();
        let (code, stdout, stderr) = output(&mut bare(&base));
        assert!(code == 3 && stdout.is_empty(), "{code} {stderr}");
        assert!(stderr.contains("is not finite for") && stderr.contains(".png"), "{stderr}");
        assert!(stderr.contains("/mlp/fc2/") && stderr.contains("--skip-bad-samples"), "{stderr}");
        let (code, stdout, stderr) = output(&mut bare(&[&base[..], &["--skip-bad-samples"]].concat()));
        assert_eq!(code, 0, "{stderr}");
        let count = format!("{bad_pairs} vision pairs with activations that are not finite were not scored");
        assert!(stdout.contains(&count), "{stdout}");
        let count = format!("{bad_quadruplets} quadruplets and 0 zero-shot images were not measured");
        assert!(stdout.contains(&count), "{stdout}");
        let left = evaluation.len() - bad_quadruplets;
        assert!(stdout.contains(&format!("SafeGround, {left} quadruplets")), "{stdout}");
    }
}
