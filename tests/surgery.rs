//! Invariants of the edit, over generated models in every storage, element type, form and orientation: the planned
//! elements change as planned, nothing else changes, and reverting gives the same bytes.

mod zoo;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;
use uwm_onnx::onnx::proto::tensor_proto::DataType;
use uwm_onnx::onnx::proto::{ModelProto, TensorProto};
use uwm_onnx::onnx::{Graph, Hints, Modality, Model, Patch, RankOne, Selection, Update, diff};
use uwm_onnx::pass::{ApplyJob, Site, apply, revert, verify};
use zoo::{Form, Grid, Home, Spec, Storage, WEIGHT};

fn floats() -> impl Strategy<Value = DataType> {
    prop::sample::select(vec![DataType::Float, DataType::Float16, DataType::Bfloat16, DataType::Double])
}

fn bytes() -> impl Strategy<Value = DataType> {
    prop::sample::select(vec![DataType::Int8, DataType::Uint8])
}

fn codes() -> impl Strategy<Value = DataType> {
    prop::sample::select(vec![DataType::Int8, DataType::Uint8, DataType::Int4, DataType::Uint4])
}

fn forms() -> impl Strategy<Value = Form> {
    let grids = vec![Grid::Tensor, Grid::Axis(0), Grid::Axis(1), Grid::Block(0), Grid::Block(1)];
    prop_oneof![
        3 => floats().prop_map(Form::Float),
        3 => (codes(), prop::sample::select(grids)).prop_map(|(t, grid)| Form::Dequantize(t, grid)),
        1 => bytes().prop_map(Form::Integer),
        1 => bytes().prop_map(Form::QLinear),
        1 => bytes().prop_map(Form::QGemm),
        2 => (prop::sample::select(vec![4, 8]), any::<bool>()).prop_map(|(bits, zero)| Form::Blocks(bits, zero)),
    ]
}

fn specs() -> impl Strategy<Value = Spec> {
    let storages = vec![Storage::Raw, Storage::Packed, Storage::Unpacked, Storage::Shared, Storage::Own];
    let homes = vec![Home::Initializer, Home::GraphInput, Home::Constant];
    let seed = prop::collection::vec(any::<u8>(), 1..40);
    let parts = (forms(), prop::sample::select(storages), prop::sample::select(homes), any::<bool>());
    (parts, 1_usize..10, 1_usize..40, seed, prop::sample::select(vec![0_usize, 3, 5])).prop_map(
        |((form, storage, home, transposed), out, inputs, seed, width)| Spec {
            form,
            storage,
            home,
            transposed,
            out,
            inputs,
            seed,
            width,
        },
    )
}

/// All files below a folder, by relative path.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The weight's plain bytes, read by the rules of the format alone.
fn plain(folder: &Path, model: &ModelProto) -> Vec<u8> {
    let graph = model.graph.as_ref().unwrap();
    let constant = graph.node.iter().find(|node| node.op_type == "Constant" && node.output[0] == WEIGHT);
    let tensor: &TensorProto = match constant {
        Some(node) => node.attribute[0].t.as_ref().unwrap(),
        None => graph.initializer.iter().find(|tensor| tensor.name == WEIGHT).unwrap(),
    };
    let value = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
    if tensor.data_location == 1 {
        let file = std::fs::read(folder.join(value("location").unwrap())).unwrap();
        let start = value("offset").map_or(0, |offset| offset.parse().unwrap());
        let length = value("length").map_or(file.len() - start, |length| length.parse().unwrap());
        return file[start..start + length].to_vec();
    }
    if let Some(raw) = &tensor.raw_data {
        return raw.to_vec();
    }
    let width = if zoo::bits(DataType::try_from(tensor.data_type).unwrap()) == 16 { 2 } else { 1 };
    let mut bytes: Vec<u8> = tensor.float_data.iter().flat_map(|v| v.to_le_bytes()).collect();
    bytes.extend(tensor.double_data.iter().flat_map(|v| v.to_le_bytes()));
    bytes.extend(tensor.int32_data.iter().flat_map(|v| v.to_le_bytes()[..width].to_vec()));
    bytes
}

/// Element `index` of plain bytes.
fn element(data_type: DataType, bytes: &[u8], index: usize) -> Vec<u8> {
    match zoo::bits(data_type) {
        4 => vec![bytes[index / 2] >> (4 * (index % 2)) & 15],
        bits => bytes[index * bits / 8..][..bits / 8].to_vec(),
    }
}

/// What an element becomes, and whether it saturates.
fn negated(spec: &Spec, old: &[u8], r: usize, c: usize) -> (Vec<u8>, bool) {
    let (low, high, code) = match spec.element() {
        DataType::Int8 => (-128, 127, i64::from(old[0] as i8)),
        DataType::Uint8 => (0, 255, i64::from(old[0])),
        DataType::Int4 => (-8, 7, i64::from((old[0] << 4) as i8 >> 4)),
        DataType::Uint4 => (0, 15, i64::from(old[0])),
        _ => {
            let mut new = old.to_vec();
            *new.last_mut().unwrap() ^= 0x80;
            return (new, false);
        }
    };
    let wanted = 2 * spec.zero(r, c) - code;
    let byte = wanted.clamp(low, high) as u8;
    (vec![if zoo::bits(spec.element()) == 4 { byte & 15 } else { byte }], wanted.clamp(low, high) != wanted)
}

/// The patch that changes chosen elements of the only layer.
fn patch(path: &Path, choose: &[prop::sample::Index], alpha: f64) -> Patch {
    try_patch(path, choose, |_| Update::Multiply(alpha)).unwrap()
}

/// The same with what is made of the layer's shape.
fn try_patch(
    path: &Path,
    choose: &[prop::sample::Index],
    update: impl Fn([usize; 2]) -> Update,
) -> Result<Patch, uwm_onnx::onnx::Error> {
    let model = Model::open(path).unwrap();
    let graph = Graph::new(&model).unwrap();
    let site = Site::find(&graph, &Hints::default()).unwrap().pop().unwrap();
    assert_eq!(site.modality(), Modality::Vision);
    let layer = site.select(WEIGHT).unwrap().pop().unwrap();
    let elements = layer.weight.shape[0] * layer.weight.shape[1];
    let mut positions: Vec<u32> = choose.iter().map(|index| index.index(elements) as u32).collect();
    positions.sort_unstable();
    positions.dedup();
    let update = update(layer.weight.shape);
    Patch::make(&model, &[Selection { layer, update, positions }], serde_json::json!({"test": true}))
}

fn job(folder: &Path, output: &str, provenance: bool) -> ApplyJob {
    ApplyJob {
        model: folder.join("m.onnx"),
        patch: folder.join("edit.uwm"),
        output: folder.join(output),
        force: false,
        provenance,
        match_layers: None,
        patch_out: None,
    }
}

/// Decoded, without the tensor that is edited and what the tool adds.
fn rest(bytes: &[u8]) -> ModelProto {
    let mut model = ModelProto::decode(bytes).unwrap();
    model.metadata_props.retain(|entry| !entry.key.starts_with("uwm."));
    let graph = model.graph.as_mut().unwrap();
    graph.initializer.retain(|tensor| tensor.name != WEIGHT);
    graph.node.retain(|node| node.output[0] != WEIGHT);
    model
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn planned_elements_change_and_nothing_else_and_revert_undoes_it(
        spec in specs(),
        choose in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
        provenance in any::<bool>(),
        elsewhere in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::create_dir_all(folder.join("out")).unwrap();
        let original = spec.write(&folder.join("m.onnx"));
        let patch = patch(&folder.join("m.onnx"), &choose, -1.0);
        std::fs::write(folder.join("edit.uwm"), patch.to_bytes()).unwrap();
        prop_assert_eq!(Patch::from_bytes(&patch.to_bytes()).unwrap().to_bytes(), patch.to_bytes());
        let before = files(folder);

        let output = if elsewhere { "out/m.onnx" } else { "safe.onnx" };
        let applied = apply(&job(folder, output, provenance), &|| false).unwrap();
        let after = files(folder);
        for (name, bytes) in &before {
            prop_assert_eq!(&after[name], bytes, "{} changed", name);
        }
        let safe = &after[output];
        let home = if elsewhere { folder.join("out") } else { folder.to_owned() };

        // Elements, by the rules of the format.
        let old = plain(folder, &ModelProto::decode(original.as_slice()).unwrap());
        let new = plain(&home, &ModelProto::decode(safe.as_slice()).unwrap());
        prop_assert_eq!(old.len(), new.len());
        let (mut saturated, mut changed) = (0, 0);
        let mut expected = old.clone();
        for &position in &patch.layers[0].positions {
            let (o, i) = (position as usize / spec.inputs, position as usize % spec.inputs);
            let index = spec.index(o, i);
            let (r, c) = if spec.is_transposed() { (i, o) } else { (o, i) };
            let was = element(spec.element(), &old, index);
            let (becomes, stopped) = negated(&spec, &was, r, c);
            saturated += usize::from(stopped);
            changed += usize::from(was != becomes);
            match zoo::bits(spec.element()) {
                4 => {
                    let shift = 4 * (index % 2);
                    expected[index / 2] = expected[index / 2] & !(15 << shift) | becomes[0] << shift;
                }
                bits => expected[index * bits / 8..][..bits / 8].copy_from_slice(&becomes),
            }
        }
        prop_assert_eq!(&new, &expected);
        prop_assert_eq!(applied.saturated, saturated);

        // Everything else.
        prop_assert_eq!(rest(safe), rest(&original));
        prop_assert_eq!(safe.windows(4).filter(|w| *w == b"kept").count(), 2);
        let fixed = matches!(spec.element(), DataType::Float | DataType::Double);
        if !provenance && (fixed || spec.storage == Storage::Raw || (elsewhere && spec.storage == Storage::Shared)) && (elsewhere || !matches!(spec.storage, Storage::Shared | Storage::Own)) {
            prop_assert_eq!(safe.len(), original.len());
            let differ = safe.iter().zip(&original).filter(|(a, b)| a != b).count();
            prop_assert!(differ <= patch.layers[0].positions.len(), "{} bytes differ", differ);
        }
        if spec.storage == Storage::Shared {
            let (a, b) = (&after["m.onnx_data"], &after[if elsewhere { "out/m.onnx_data" } else { "safe.onnx_data" }]);
            prop_assert_eq!(a.len(), b.len());
            prop_assert_eq!(&a[..4096], &b[..4096]);
            prop_assert_eq!(&a[a.len() - 100..], &b[b.len() - 100..]);
        }

        // What the tool says of it.
        let (safe_path, original_path) = (folder.join(output), folder.join("m.onnx"));
        let found = diff(&Model::open(&original_path).unwrap(), &Model::open(&safe_path).unwrap()).unwrap();
        prop_assert!(found.only_values(), "{:?}", found.graph);
        prop_assert_eq!(found.changed(), changed);
        prop_assert_eq!(found.tensors.iter().map(|t| t.negated).sum::<usize>(), changed);
        let verified = verify(&safe_path, &original_path, Some(&folder.join("edit.uwm"))).unwrap();
        prop_assert!(verified.holds(), "{:?}", verified.faults);
        prop_assert_eq!(verify(&safe_path, &original_path, None).unwrap().holds(), provenance);

        // And back, into a folder where the names are free.
        std::fs::create_dir(folder.join("back")).unwrap();
        revert(&safe_path, &folder.join("edit.uwm"), &folder.join("back/m.onnx"), false, &|| false).unwrap();
        for (name, bytes) in files(&folder.join("back")) {
            prop_assert_eq!(&before[&name], &bytes, "{} is not what it was", name);
        }
        prop_assert_eq!(files(&folder.join("back")).len(), before.len() - 1);
    }

    #[test]
    fn any_factor_is_rounded_once_and_can_be_undone(
        spec in specs(),
        choose in prop::collection::vec(any::<prop::sample::Index>(), 1..24),
        alpha in -3.0_f64..3.0,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        spec.write(&folder.join("m.onnx"));
        let patch = patch(&folder.join("m.onnx"), &choose, alpha);
        std::fs::write(folder.join("edit.uwm"), patch.to_bytes()).unwrap();
        let before = files(folder);
        apply(&job(folder, "safe.onnx", true), &|| false).unwrap();

        let model = Model::open(&folder.join("safe.onnx")).unwrap();
        let (old, new) = (Model::open(&folder.join("m.onnx")).unwrap(), model);
        let read = |model: &Model| {
            let graph = Graph::new(model).unwrap();
            Site::find(&graph, &Hints::default()).unwrap().pop().unwrap().layers[0].weight.read(model).unwrap()
        };
        let (old, new) = (read(&old), read(&new));
        prop_assert_eq!(old.dim(), (spec.out, spec.inputs));
        // Half a unit in the last place of the type, or half a step of the code.
        let relative = match spec.element() {
            DataType::Bfloat16 => 1.0 / 256.0,
            DataType::Float16 => 1.0 / 2048.0,
            _ => 1e-6,
        };
        let float = matches!(spec.form, Form::Float(_));
        for (position, (&old, &new)) in old.iter().zip(&new).enumerate() {
            if !patch.layers[0].positions.contains(&(position as u32)) {
                prop_assert!(old == new || old.is_nan());
            } else if float && (old * alpha as f32).abs() > 1e-4 && old.abs() < 1e4 {
                prop_assert!((new - old * alpha as f32).abs() <= relative * (old * alpha as f32).abs() * 1.01);
            }
        }
        std::fs::create_dir(folder.join("back")).unwrap();
        revert(&folder.join("safe.onnx"), &folder.join("edit.uwm"), &folder.join("back/m.onnx"), false, &|| false).unwrap();
        for (name, bytes) in files(&folder.join("back")) {
            prop_assert_eq!(&before[&name], &bytes, "{} is not what it was", name);
        }
    }

    #[test]
    fn an_outer_product_is_taken_off_rounded_once_and_put_back(
        spec in specs(),
        choose in prop::collection::vec(any::<prop::sample::Index>(), 1..24),
        seed in any::<u64>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        spec.write(&folder.join("m.onnx"));
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut some = |count| (0..count).map(|_| rng.f64() - 0.5).collect::<Vec<_>>();
        let product = RankOne { left: some(spec.out), right: some(spec.inputs) };
        let made = try_patch(&folder.join("m.onnx"), &choose, |_| Update::RankOne(Arc::new(product.clone())));
        if !matches!(spec.form, Form::Float(_)) {
            prop_assert!(made.unwrap_err().to_string().contains("cannot take any value"));
            return Ok(());
        }
        let patch = made.unwrap();
        let bytes = patch.to_bytes();
        prop_assert_eq!(Patch::from_bytes(&bytes).unwrap().to_bytes(), bytes.clone());
        std::fs::write(folder.join("edit.uwm"), &bytes).unwrap();
        let before = files(folder);
        apply(&job(folder, "safe.onnx", true), &|| false).unwrap();

        let read = |name: &str| {
            let model = Model::open(&folder.join(name)).unwrap();
            plain(folder, &ModelProto::decode(model.bytes().as_ref()).unwrap())
        };
        let (old, new) = (read("m.onnx"), read("safe.onnx"));
        let value = |bytes: &[u8]| match spec.element() {
            DataType::Float => f64::from(f32::from_le_bytes(bytes.try_into().unwrap())),
            DataType::Double => f64::from_le_bytes(bytes.try_into().unwrap()),
            DataType::Float16 => half::f16::from_le_bytes(bytes.try_into().unwrap()).to_f64(),
            _ => half::bf16::from_le_bytes(bytes.try_into().unwrap()).to_f64(),
        };
        let nearest = |wanted: f64| match spec.element() {
            DataType::Float => (wanted as f32).to_le_bytes().to_vec(),
            DataType::Double => wanted.to_le_bytes().to_vec(),
            // The library rounds twice; what is nearest is one of its result's neighbours.
            kind => {
                let near = match kind {
                    DataType::Float16 => half::f16::from_f64(wanted).to_bits(),
                    _ => half::bf16::from_f64(wanted).to_bits(),
                };
                let off = |bits: u16| (value(&bits.to_le_bytes()) - wanted).abs();
                let others = [near, near.wrapping_sub(1), near.wrapping_add(1)].into_iter();
                let finite = others.filter(|bits| off(*bits).is_finite());
                finite.min_by(|&a, &b| off(a).total_cmp(&off(b)).then((a & 1).cmp(&(b & 1)))).unwrap().to_le_bytes().to_vec()
            }
        };
        for position in 0..spec.out * spec.inputs {
            let (o, i) = (position / spec.inputs, position % spec.inputs);
            let index = spec.index(o, i);
            let (was, is) = (element(spec.element(), &old, index), element(spec.element(), &new, index));
            if !patch.layers[0].positions.contains(&(position as u32)) {
                prop_assert_eq!(was, is);
            } else if value(&was).is_finite() {
                prop_assert_eq!(is, nearest(value(&was) - product.left[o] * product.right[i]));
            }
        }
        prop_assert!(verify(&folder.join("safe.onnx"), &folder.join("m.onnx"), Some(&folder.join("edit.uwm"))).unwrap().holds());
        std::fs::create_dir(folder.join("back")).unwrap();
        revert(&folder.join("safe.onnx"), &folder.join("edit.uwm"), &folder.join("back/m.onnx"), false, &|| false).unwrap();
        for (name, bytes) in files(&folder.join("back")) {
            prop_assert_eq!(&before[&name], &bytes, "{} is not what it was", name);
        }
    }
}
