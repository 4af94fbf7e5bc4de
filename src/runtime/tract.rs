//! The built-in runtime: tract, pure Rust, on the CPU.
//!
//! tract runs a batch on one thread, so [`Runtime::concurrency`] asks for one batch a thread.

use std::cell::Cell;
use std::sync::Arc;

use half::f16;
use prost::Message;
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::TractErrorContext;
use tract_onnx::tract_core::plan::eval;

use super::{Error, Feed, Place, Runtime, Session, Take, Tensor as Value, describe};
use crate::guard::guard;
use crate::onnx::Skeleton;

const NAME: &str = "tract";

/// The version that is built in; `Cargo.toml` asks for this very one.
pub const VERSION: &str = "0.23.9";

/// The tract runtime.
pub struct Tract {
    place: Place,
}

impl Tract {
    /// A runtime that computes on so many threads, and why it was taken.
    pub fn new(threads: usize, reason: &str) -> Self {
        let place = Place {
            backend: NAME,
            version: VERSION.to_owned(),
            provider: NAME.to_owned(),
            device: "cpu".to_owned(),
            threads,
            reason: reason.to_owned(),
        };
        Self { place }
    }
}

impl Default for Tract {
    /// For the threads of the current rayon pool.
    fn default() -> Self {
        Self::new(rayon::current_num_threads(), "built in")
    }
}

impl Runtime for Tract {
    fn place(&self) -> &Place {
        &self.place
    }

    fn concurrency(&self) -> usize {
        self.place.threads
    }

    fn load(&self, graph: &Skeleton, like: &Feed) -> Result<Box<dyn Session>, Error> {
        let loaded = guarded(|| load(graph, like)).map_err(|reason| Error::Load { backend: NAME, reason })?;
        match too_large(loaded.plan.model()) {
            Some(reason) => Err(Error::Memory { backend: NAME, fed: describe(like), reason }),
            None => Ok(Box::new(loaded)),
        }
    }
}

/// Whether a value of the graph is larger than the memory that is free. An allocation that fails would end the process,
/// so it is not tried.
fn too_large(model: &TypedModel) -> Option<String> {
    let free = free_memory()?;
    let bytes = |fact: &TypedFact| {
        let shape = fact.shape.as_concrete()?;
        shape.iter().try_fold(fact.datum_type.size_of(), |bytes, &dim| bytes.checked_mul(dim)).or(Some(usize::MAX))
    };
    let outputs = model.nodes().iter().flat_map(|node| node.outputs.iter().map(move |output| (node, output)));
    let (size, node) = outputs.filter_map(|(node, output)| Some((bytes(&output.fact)?, node))).max_by_key(|v| v.0)?;
    let mib = |bytes: usize| bytes >> 20;
    (size > free)
        .then(|| format!("node '{}' makes a value of {} MiB, and {} MiB are free", node.name, mib(size), mib(free)))
}

/// Bytes that can be had, where the system tells.
fn free_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.trim().strip_suffix(" kB")?;
    kib.parse::<usize>().ok()?.checked_mul(1024)
}

struct Loaded {
    plan: Arc<TypedRunnableModel>,
    /// The names of the plan's inputs, in its order.
    inputs: Vec<String>,
}

fn load(graph: &Skeleton, like: &Feed) -> TractResult<Loaded> {
    // tract has message types of its own; the skeleton is small, since it holds no weights.
    let mut proto = pb::ModelProto::decode(graph.proto().encode_to_vec().as_slice())?;
    keep_softmax(&mut proto);
    let folder = graph.folder().to_str().context("the model's folder is not UTF-8")?;
    // Shapes that exporters wrote down hold for the batch they exported with; tract infers its own.
    let framework = tract_onnx::onnx().with_ignore_value_info(true);
    let mut model = framework.parse(&proto, Some(folder))?.model;
    let inputs: Vec<String> = graph.inputs().map(str::to_owned).collect();
    for (index, name) in inputs.iter().enumerate() {
        let (_, value) = like.iter().find(|(fed, _)| fed == name).with_context(|| format!("no input '{name}'"))?;
        let (datum, shape) = match value {
            Value::F32(array) => (f32::datum_type(), array.shape()),
            Value::F16(array) => (f16::datum_type(), array.shape()),
            Value::I64(array) => (i64::datum_type(), array.shape()),
            Value::I32(array) => (i32::datum_type(), array.shape()),
            Value::Bool(array) => (bool::datum_type(), array.shape()),
        };
        model.set_input_fact(index, InferenceFact::dt_shape(datum, shape))?;
    }
    for output in 0..model.output_outlets()?.len() {
        model.set_output_fact(output, InferenceFact::default())?;
    }
    Ok(Loaded { plan: model.into_optimized()?.into_runnable()?, inputs })
}

/// Keeps tract 0.23 from folding `DequantizeLinear -> Softmax -> QuantizeLinear` into a table of 256 codes: it takes
/// Softmax for an operator that knows nothing but one element, and computes it over the table. The greater of a value
/// and itself is the value, and ends what tract would fold.
fn keep_softmax(proto: &mut pb::ModelProto) {
    let Some(graph) = &mut proto.graph else { return };
    if !graph.node.iter().any(|node| node.op_type == "DequantizeLinear") {
        return;
    }
    let nodes = std::mem::take(&mut graph.node);
    for (index, mut node) in nodes.into_iter().enumerate() {
        if matches!(node.op_type.as_str(), "Softmax" | "LogSoftmax") && !node.input.is_empty() {
            let same = format!("uwm.softmax.{index}");
            graph.node.push(pb::NodeProto {
                name: same.clone(),
                op_type: "Max".to_owned(),
                input: vec![node.input[0].clone(), node.input[0].clone()],
                output: vec![same.clone()],
                ..Default::default()
            });
            node.input[0] = same;
        }
        graph.node.push(node);
    }
}

impl Session for Loaded {
    fn run(&self, mut feed: Feed, take: &Take) -> Result<(), Error> {
        let fed = describe(&feed);
        // Where it is, for errors: tract's own name the node, but not those that are panics.
        let at = Cell::new(None);
        let run = || -> TractResult<()> {
            let mut values: TVec<TValue> = tvec!();
            for name in &self.inputs {
                let at = feed.iter().position(|(fed, _)| fed == name).with_context(|| format!("no input '{name}'"))?;
                let tensor: Tensor = match feed.swap_remove(at).1 {
                    Value::F32(array) => array.into(),
                    Value::F16(array) => array.into(),
                    Value::I64(array) => array.into(),
                    Value::I32(array) => array.into(),
                    Value::Bool(array) => array.into(),
                };
                values.push(tensor.into());
            }
            let outputs = self.plan.spawn()?.run_plan_with_eval(values, |context, state, node, inputs| {
                at.set(Some(node.id));
                eval(context, state, node, inputs)
            })?;
            at.set(None);
            for (index, output) in outputs.into_iter().enumerate() {
                // Half-precision graphs give half-precision values.
                take(index, output.cast_to::<f32>()?.to_plain_array_view::<f32>()?);
            }
            Ok(())
        };
        guarded(run).map_err(|reason| {
            let node = at.get().and_then(|id: usize| self.plan.model().nodes().get(id)).map_or("", |node| &node.name);
            let reason = if reason.contains(node) { reason } else { format!("node '{node}': {reason}") };
            Error::in_run(NAME, reason, &fed)
        })
    }

    fn shapes(&self) -> Option<Vec<Vec<usize>>> {
        let model = self.plan.model();
        let outlets = model.output_outlets().ok()?.iter();
        let shape = |outlet: &OutletId| Some(model.outlet_fact(*outlet).ok()?.shape.as_concrete()?.to_vec());
        outlets.map(shape).collect()
    }
}

/// tract reports most faults as errors, but some graphs make it panic; a caller gets an error for both.
fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    guard(|| work().map_err(|error| format!("{error:#}")))
}
