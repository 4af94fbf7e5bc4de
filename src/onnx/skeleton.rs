//! A part of a graph, cut out without its weights.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::graph::{Graph, uses};
use super::proto::tensor_proto::{DataLocation, DataType};
use super::proto::type_proto::{Tensor as TensorType, Value as Type};
use super::proto::{GraphProto, ModelProto, StringStringEntryProto, TensorProto, TypeProto, ValueInfoProto};

/// Below this many bytes an initializer is copied rather than referred to: shapes and scalars, which runtimes want
/// at hand when they load a graph.
const INLINE_BYTES: usize = 1024;

/// The nodes that some values need, with the weights as references into the original file (ONNX external data).
#[derive(Debug, Clone)]
pub struct Skeleton {
    proto: ModelProto,
    folder: PathBuf,
}

impl Skeleton {
    /// Cuts out what is needed to compute `outputs`, which may be any values of the graph; they become the cut
    /// graph's outputs, in that order.
    ///
    /// # Errors
    /// If the model's path cannot be resolved or is not UTF-8, or a value does not exist.
    pub fn extract(graph: &Graph, outputs: &[&str]) -> Result<Self, Error> {
        let model = graph.model;
        let original = model.graph();
        let (folder, location) = locate(model.path())?;
        let mut needed: HashSet<&str> = outputs.iter().copied().collect();
        let mut node = vec![];
        for candidate in original.node.iter().rev() {
            if candidate.output.iter().any(|output| needed.contains(output.as_str())) {
                needed.extend(uses(candidate));
                node.push(candidate.clone());
            }
        }
        node.reverse();
        let initializer = original
            .initializer
            .iter()
            .filter(|tensor| needed.contains(tensor.name.as_str()))
            .map(|tensor| refer(tensor, model.offset_of(tensor.raw_data.as_deref().unwrap_or(&[])), &location))
            .collect();
        let input = original
            .input
            .iter()
            .filter(|i| needed.contains(i.name.as_str()) && graph.initializer(&i.name).is_none())
            .cloned()
            .collect();
        let output = outputs.iter().map(|&name| declare(original, name)).collect();
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
        Ok(Self { proto, folder })
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

/// The file's real folder and name, links resolved: runtimes refuse data behind links that leave the folder.
fn locate(path: &Path) -> Result<(PathBuf, String), Error> {
    let real = path.canonicalize().map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })?;
    let utf8 = |what: Option<&str>| {
        what.map(str::to_owned).ok_or_else(|| Error::Io {
            action: "refer to",
            path: path.to_owned(),
            source: std::io::Error::other("its path is not valid UTF-8"),
        })
    };
    let name = utf8(real.file_name().and_then(|name| name.to_str()))?;
    let folder = utf8(real.parent().and_then(Path::to_str))?;
    Ok((folder.into(), name))
}

fn refer(tensor: &TensorProto, offset: Option<usize>, location: &str) -> TensorProto {
    let (Some(raw), Some(offset)) = (&tensor.raw_data, offset) else { return tensor.clone() };
    if raw.len() < INLINE_BYTES {
        return tensor.clone();
    }
    let entry = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
    TensorProto {
        dims: tensor.dims.clone(),
        data_type: tensor.data_type,
        name: tensor.name.clone(),
        data_location: DataLocation::External as i32,
        external_data: vec![
            entry("location", location.to_owned()),
            entry("offset", offset.to_string()),
            entry("length", raw.len().to_string()),
        ],
        ..TensorProto::default()
    }
}

/// The output's own declaration, or one that says no more than "float tensor".
fn declare(graph: &GraphProto, name: &str) -> ValueInfoProto {
    let own = graph.output.iter().find(|output| output.name == name);
    own.cloned().unwrap_or_else(|| ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(Type::TensorType(TensorType { elem_type: DataType::Float as i32, shape: None })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    })
}
