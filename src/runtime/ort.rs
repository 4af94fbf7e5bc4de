//! ONNX Runtime, from a shared library that is found when the program runs; on the CPU or on CUDA.
//!
//! A session spreads one batch over its threads. Where it runs is never a guess: without `--device cuda` no other
//! provider than the CPU's is there, and with it a CPU fallback is switched off, so that a session which loads runs
//! on the device and nowhere else. The CUDA path has not been tried on hardware.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ndarray::ArrayViewD;
use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session as OrtSession, SessionInputValue};
use ort::value::{DynValue, Tensor, TensorElementType};
use prost::Message;
use rayon::prelude::*;

use super::library::Candidate;
use super::{Device, Error, Feed, Place, Runtime, Session, Take, Tensor as Value, describe};
use crate::guard::guard;
use crate::onnx::Skeleton;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TypeProto, ValueInfoProto, type_proto,
};

/// The runtime's name in messages and reports.
pub const NAME: &str = "ONNX Runtime";

/// The library that this process uses: there can be one.
static LOADED: OnceLock<(PathBuf, Environment)> = OnceLock::new();

/// ONNX Runtime on one device.
pub struct Ort {
    environment: Environment,
    place: Place,
    device: Device,
}

impl Ort {
    /// Loads a library.
    ///
    /// # Errors
    /// [`Error::Library`] if it is none or too old, [`Error::Device`] if it does not have the device's provider.
    pub fn open(candidate: &Candidate, device: Device, threads: usize, reason: String) -> Result<Self, Error> {
        let unusable = |reason: String| Error::Library { path: candidate.path.clone(), by: candidate.by, reason };
        let environment = guard(|| load(candidate)).map_err(unusable)?;
        if device != Device::Cpu && !ep::CUDA::is_available().unwrap_or(false) {
            return Err(no_device(device, "the library was built without it".to_owned()));
        }
        let place = Place {
            backend: NAME,
            version: version(candidate),
            provider: provider(device).to_owned(),
            device: device.to_string(),
            threads,
            reason,
        };
        let opened = Self { environment, place, device };
        if device != Device::Cpu {
            // Drivers and devices are looked for when a session is made; whoever asks should not hear of it later.
            guard(|| opened.session(&trifle(), Path::new(""))).map_err(|reason| no_device(device, reason))?;
        }
        Ok(opened)
    }
}

/// A model with one node, which every device can run.
fn trifle() -> ModelProto {
    let value = |name: &str| {
        let tensor = type_proto::Tensor { elem_type: DataType::Float.into(), shape: Some(Default::default()) };
        let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
        ValueInfoProto { name: name.to_owned(), r#type: Some(r#type), ..Default::default() }
    };
    let node = NodeProto {
        op_type: "Abs".to_owned(),
        input: vec!["x".to_owned()],
        output: vec!["y".to_owned()],
        ..Default::default()
    };
    let graph = GraphProto {
        name: "trifle".to_owned(),
        node: vec![node],
        input: vec![value("x")],
        output: vec![value("y")],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { domain: String::new(), version: 17 };
    ModelProto { ir_version: 8, graph: Some(graph), opset_import: vec![opset], ..Default::default() }
}

/// The execution provider that serves a device.
fn provider(device: Device) -> &'static str {
    match device {
        Device::Cpu => ep::CPU::NAME,
        Device::Cuda(_) => ep::CUDA::NAME,
    }
}

fn no_device(device: Device, reason: String) -> Error {
    Error::Device { device: device.to_string(), provider: provider(device), reason, providers: providers().join(", ") }
}

fn load(candidate: &Candidate) -> Result<Environment, String> {
    // The loader would take a relative path for one beside the executable.
    let path = candidate.path.canonicalize().map_err(|e| e.to_string())?;
    if let Some((loaded, environment)) = LOADED.get() {
        return match *loaded == path {
            true => Ok(environment.clone()),
            false => Err(format!("this process uses {} already", loaded.display())),
        };
    }
    let builder = ort::init_from(&path).map_err(|e| e.to_string())?;
    // What matters comes back as an error; what it logs besides would stand between our own lines.
    let quiet =
        builder.with_name("uwm-onnx").with_telemetry(false).with_logger(std::sync::Arc::new(|_, _, _, _, _| {}));
    let environment = quiet.build().map_err(|e| e.to_string())?;
    Ok(LOADED.get_or_init(|| (path, environment)).1.clone())
}

/// The library's version, as far as it tells: its name may, its interface gives the minor version.
pub fn version(candidate: &Candidate) -> String {
    // As in `load`: a relative path would mean another file to the loader.
    let probe = || Ok(candidate.path.canonicalize().ok().and_then(ort::util::probe));
    let minor = guard(probe).ok().flatten();
    match (candidate.version(), minor) {
        (Some(named), Some(minor)) if named.split('.').nth(1) == Some(&*minor.to_string()) => named,
        (_, Some(minor)) => format!("1.{minor}"),
        (_, None) => "unknown".to_owned(),
    }
}

/// A provider whose name is all that is asked about.
macro_rules! providers {
    ($($name:literal)*) => {{
        let mut found: Vec<&'static str> = vec![];
        $({
            struct Named;
            impl ExecutionProvider for Named {
                const NAME: &'static str = $name;
                fn register(&self, _: &mut SessionBuilder) -> ort::Result<()> {
                    Err(ort::Error::new("not used by this tool"))
                }
            }
            if Named::is_available().unwrap_or(false) {
                found.push($name);
            }
        })*
        found
    }};
}

/// Names of the execution providers that the loaded library was built with, of those that are known. Call after
/// [`Ort::open`] only.
pub fn providers() -> Vec<&'static str> {
    providers!(
        "CUDAExecutionProvider" "TensorrtExecutionProvider" "NvTensorRTRTXExecutionProvider"
        "MIGraphXExecutionProvider" "ROCMExecutionProvider" "OpenVINOExecutionProvider" "DmlExecutionProvider"
        "CoreMLExecutionProvider" "QNNExecutionProvider" "DnnlExecutionProvider" "XnnpackExecutionProvider"
        "WebGpuExecutionProvider" "AzureExecutionProvider" "CPUExecutionProvider"
    )
}

impl Runtime for Ort {
    fn place(&self) -> &Place {
        &self.place
    }

    /// On the CPU all threads compute one batch: a second one at the same time would only be in their way. A device
    /// computes while the CPU reads the next batch.
    fn concurrency(&self) -> usize {
        if self.device == Device::Cpu { 1 } else { 2 }
    }

    fn load(&self, graph: &Skeleton, _: &Feed) -> Result<Box<dyn Session>, Error> {
        let session = guard(|| self.session(graph.proto(), graph.folder()));
        let session = session.map_err(|reason| match self.device {
            // A node that the device cannot run, where no other may.
            Device::Cuda(_) if reason.contains("fallback") => no_device(self.device, reason),
            _ => Error::Load { backend: NAME, reason },
        })?;
        let names = graph.proto().graph.iter().flat_map(|graph| &graph.output).map(|output| output.name.clone());
        Ok(Box::new(Loaded {
            session: Mutex::new(session),
            inputs: graph.inputs().map(str::to_owned).collect(),
            outputs: names.collect(),
        }))
    }
}

impl Ort {
    fn session(&self, model: &ModelProto, folder: &Path) -> Result<OrtSession, String> {
        let folder = folder.to_str().ok_or("the model's folder is not UTF-8")?;
        let build = || -> ort::Result<OrtSession> {
            let mut builder = OrtSession::builder(&self.environment)?
                .with_no_environment_execution_providers()?
                .with_intra_threads(self.place.threads)?
                .with_optimization_level(GraphOptimizationLevel::All)?
                .with_deterministic_compute(true)?
                // Threads that wait for more work by spinning would take the processor from ours.
                .with_config_entry("session.force_spinning_stop", "1")?
                .with_config_entry("session.model_external_initializers_file_folder_path", folder)?;
            if let Device::Cuda(index) = self.device {
                let index = i32::try_from(index).unwrap_or(i32::MAX);
                let cuda = ep::CUDA::default().with_device_id(index).build().error_on_failure();
                builder = builder.with_execution_providers([cuda])?.with_disable_cpu_fallback()?;
            }
            builder.commit_from_memory(&model.encode_to_vec())
        };
        build().map_err(|e| e.to_string())
    }
}

struct Loaded {
    session: Mutex<OrtSession>,
    /// The names of its inputs.
    inputs: Vec<String>,
    /// The names of its outputs, in the order of the graph.
    outputs: Vec<String>,
}

impl Session for Loaded {
    fn run(&self, feed: Feed, take: &Take) -> Result<(), Error> {
        let fed = describe(&feed);
        let failed = |reason: String| Error::in_run(NAME, reason, &fed);
        let outputs = guard(|| self.outputs_of(feed)).map_err(failed)?;
        let show = |(index, output): (usize, DynValue)| guard(|| view(&output, |array| take(index, array)));
        let shown: Vec<Result<(), String>> = outputs.into_par_iter().enumerate().map(show).collect();
        shown.into_iter().collect::<Result<(), String>>().map_err(failed)
    }
}

impl Loaded {
    /// Computes the outputs; the session is free again when this returns.
    fn outputs_of(&self, feed: Feed) -> Result<Vec<DynValue>, String> {
        let said = |e: ort::Error| e.to_string();
        let mut values: Vec<(String, SessionInputValue)> = vec![];
        for (name, value) in feed.into_iter().filter(|(name, _)| self.inputs.contains(name)) {
            let value = match value {
                Value::F32(array) => Tensor::from_array(array).map_err(said)?.into_dyn(),
                Value::F16(array) => Tensor::from_array(array).map_err(said)?.into_dyn(),
                Value::I64(array) => Tensor::from_array(array).map_err(said)?.into_dyn(),
                Value::I32(array) => Tensor::from_array(array).map_err(said)?.into_dyn(),
                Value::Bool(array) => Tensor::from_array(array).map_err(said)?.into_dyn(),
            };
            values.push((name, value.into()));
        }
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outputs = session.run(values).map_err(said)?;
        let take = |name: &String| outputs.remove(name).ok_or_else(|| format!("it gave no output '{name}'"));
        self.outputs.iter().map(take).collect()
    }
}

/// Shows an output as float32, without a copy if it is that.
fn view(output: &DynValue, show: impl FnOnce(ArrayViewD<f32>)) -> Result<(), String> {
    let said = |e: ort::Error| e.to_string();
    match output.dtype().tensor_type() {
        Some(TensorElementType::Float16) => {
            let half = output.try_extract_array::<half::f16>().map_err(said)?;
            show(half.mapv(half::f16::to_f32).view());
        }
        Some(TensorElementType::Bfloat16) => {
            let half = output.try_extract_array::<half::bf16>().map_err(said)?;
            show(half.mapv(half::bf16::to_f32).view());
        }
        Some(TensorElementType::Float64) => {
            let double = output.try_extract_array::<f64>().map_err(said)?;
            show(double.mapv(|value| value as f32).view());
        }
        _ => show(output.try_extract_array::<f32>().map_err(said)?),
    }
    Ok(())
}
