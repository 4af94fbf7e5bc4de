//! A part of a graph, cut out without its weights.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::graph::{Graph, uses};
use super::model::Model;
use super::proto::tensor_proto::DataLocation;
use super::proto::{GraphProto, ModelProto, NodeProto, StringStringEntryProto};
use super::proto::{TensorProto, ValueInfoProto};
use super::replaced::Replaced;
use super::source::Source;

/// Below this many bytes an initializer is copied rather than referred to: shapes and scalars, which runtimes want
/// at hand when they load a graph.
const INLINE_BYTES: usize = 1024;

/// The nodes that some values need, with the weights as references into the original file (ONNX external data).
#[derive(Debug, Clone)]
pub struct Skeleton {
    proto: ModelProto,
    folder: PathBuf,
}

/// A value that a graph is cut after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut<'v> {
    /// Its name.
    pub value: &'v str,
    /// If it is codes that are to come out as floats: the names of their scale and zero point (which may be "").
    pub codes: Option<&'v [String; 2]>,
}

impl<'v> From<&'v str> for Cut<'v> {
    fn from(value: &'v str) -> Self {
        Self { value, codes: None }
    }
}

impl Skeleton {
    /// Cuts out what is needed to compute `outputs`, which may be any values of the graph; they become the cut
    /// graph's outputs, in that order.
    ///
    /// # Errors
    /// If the model's path cannot be resolved or is not UTF-8, or a value does not exist.
    pub fn extract<'v, C: Copy + Into<Cut<'v>>>(graph: &Graph, outputs: &[C]) -> Result<Self, Error> {
        Self::extract_with(graph, outputs, None)
    }

    /// The same, with other values for the initializers that are `replaced`.
    ///
    /// # Errors
    /// As for [`Skeleton::extract`].
    pub fn extract_with<'v, C: Copy + Into<Cut<'v>>>(
        graph: &Graph,
        outputs: &[C],
        replaced: Option<&Replaced>,
    ) -> Result<Self, Error> {
        let outputs: Vec<Cut> = outputs.iter().map(|&output| output.into()).collect();
        let model = graph.model;
        let original = model.graph();
        let files = Files::locate(model)?;
        let mut needed: HashSet<&str> = outputs.iter().map(|output| output.value).collect();
        needed.extend(outputs.iter().filter_map(|output| output.codes).flatten().map(String::as_str));
        let (mut node, mut initializer) = (vec![], vec![]);
        for candidate in graph.sorted_nodes().rev() {
            if !candidate.output.iter().any(|output| needed.contains(output.as_str())) {
                continue;
            }
            needed.extend(uses(candidate));
            match constant_value(candidate) {
                // As an initializer it can be referred to.
                Some((name, value)) => {
                    let of = replaced.and_then(|replaced| replaced.tensor(name, value));
                    let tensor = of.unwrap_or_else(|| files.refer(model, value));
                    initializer.push(TensorProto { name: name.to_owned(), ..tensor });
                }
                None => node.push(files.refer_in(model, candidate)),
            }
        }
        node.reverse();
        let mut output = vec![];
        for (index, &Cut { value, codes }) in outputs.iter().enumerate() {
            let Some([scale, zero]) = codes else {
                output.push(declare(original, value));
                continue;
            };
            let floats = format!("{value}.floats{index}");
            let input = [value, scale, zero].into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect();
            let op_type = "DequantizeLinear".to_owned();
            node.push(NodeProto { op_type, input, output: vec![floats.clone()], ..NodeProto::default() });
            output.push(ValueInfoProto { name: floats, ..ValueInfoProto::default() });
        }
        let own = original.initializer.iter().filter(|tensor| needed.contains(tensor.name.as_str()));
        initializer.extend(own.map(|tensor| {
            let of = replaced.and_then(|replaced| replaced.tensor(&tensor.name, tensor));
            of.unwrap_or_else(|| files.refer(model, tensor))
        }));
        let input = original
            .input
            .iter()
            .filter(|i| needed.contains(i.name.as_str()) && !graph.is_initializer(&i.name))
            .cloned()
            .collect();
        let proto = ModelProto {
            ir_version: model.proto().ir_version,
            opset_import: model.proto().opset_import.clone(),
            functions: model.proto().functions.clone(),
            graph: Some(GraphProto {
                name: original.name.clone(),
                node,
                initializer,
                input,
                output,
                sparse_initializer: original.sparse_initializer.clone(),
                ..GraphProto::default()
            }),
            ..ModelProto::default()
        };
        Ok(Self { proto, folder: files.folder })
    }

    /// The cut model. Its large initializers are external data in [`Skeleton::folder`].
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// The folder that external data locations are relative to.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Names of its graph inputs.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.proto.graph.iter().flat_map(|graph| &graph.input).map(|input| input.name.as_str())
    }
}

/// The model's files as a runtime is to find them: by names below one folder. Real paths, links resolved: runtimes
/// refuse data behind links that leave the folder.
struct Files {
    folder: PathBuf,
    names: Vec<String>,
}

impl Files {
    fn locate(model: &Model) -> Result<Self, Error> {
        let io = |path: &Path, source| Error::Io { action: "refer to", path: path.to_owned(), source };
        let real = |source: &Source| source.path().canonicalize().map_err(|e| io(source.path(), e));
        let paths = model.sources().iter().map(real).collect::<Result<Vec<_>, _>>()?;
        let mut folder = paths[0].parent().unwrap_or(Path::new("")).to_owned();
        while !paths.iter().all(|path| path.starts_with(&folder)) && folder.pop() {}
        let name = |path: &PathBuf| {
            let name = path.strip_prefix(&folder).ok().and_then(Path::to_str).filter(|_| folder.to_str().is_some());
            name.map(str::to_owned).ok_or_else(|| io(path, std::io::Error::other("its path is not valid UTF-8")))
        };
        let names = paths.iter().map(name).collect::<Result<_, _>>()?;
        Ok(Self { folder, names })
    }

    /// The tensor with its values referred to, unless they are few or in a typed field.
    fn refer(&self, model: &Model, tensor: &TensorProto) -> TensorProto {
        let entry = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
        let external_data = if tensor.data_location() == DataLocation::External {
            let renamed = |old: &StringStringEntryProto| match old.key.as_str() {
                "location" => model
                    .locations()
                    .iter()
                    .find(|(spelling, _)| *spelling == old.value)
                    .map(|(_, source)| entry("location", self.names[*source].clone())),
                "offset" | "length" => Some(old.clone()),
                // What else may stand there is not needed to find the values.
                _ => None,
            };
            tensor.external_data.iter().filter_map(renamed).collect()
        } else {
            let raw = tensor.raw_data.as_ref().filter(|raw| raw.len() >= INLINE_BYTES);
            let Some((raw, offset)) = raw.and_then(|raw| Some((raw, model.offset_of(raw)?))) else {
                return tensor.clone();
            };
            vec![
                entry("location", self.names[0].clone()),
                entry("offset", offset.to_string()),
                entry("length", raw.len().to_string()),
            ]
        };
        TensorProto {
            dims: tensor.dims.clone(),
            data_type: tensor.data_type,
            name: tensor.name.clone(),
            data_location: DataLocation::External as i32,
            external_data,
            ..TensorProto::default()
        }
    }

    /// The node with the external tensors of its attributes and bodies referred to.
    fn refer_in(&self, model: &Model, node: &NodeProto) -> NodeProto {
        let mut node = node.clone();
        for attribute in &mut node.attribute {
            for tensor in attribute.t.iter_mut().chain(&mut attribute.tensors) {
                *tensor = self.refer_external(model, tensor);
            }
            for body in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                body.node = body.node.iter().map(|inner| self.refer_in(model, inner)).collect();
                body.initializer = body.initializer.iter().map(|t| self.refer_external(model, t)).collect();
            }
        }
        node
    }

    fn refer_external(&self, model: &Model, tensor: &TensorProto) -> TensorProto {
        let external = tensor.data_location() == DataLocation::External;
        if external { self.refer(model, tensor) } else { tensor.clone() }
    }
}

/// Output and tensor of a `Constant` node.
fn constant_value(node: &NodeProto) -> Option<(&str, &TensorProto)> {
    let value = node.attribute.iter().find(|attribute| attribute.name == "value")?.t.as_ref()?;
    (node.op_type == "Constant").then_some((node.output.first()?, value))
}

/// The output's own declaration, or one without a type: runtimes infer it, and refuse a wrong one.
fn declare(graph: &GraphProto, name: &str) -> ValueInfoProto {
    let own = graph.output.iter().find(|output| output.name == name);
    own.cloned().unwrap_or_else(|| ValueInfoProto { name: name.to_owned(), ..ValueInfoProto::default() })
}
