//! A model file, mapped and decoded without copying its weights.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};

use super::error::Error;
use super::map::map;
use super::proto::tensor_proto::DataLocation;
use super::proto::{GraphProto, ModelProto, TensorProto};

/// An open ONNX model. `raw_data` of its tensors are slices of the mapped file.
pub struct Model {
    path: PathBuf,
    bytes: Bytes,
    proto: ModelProto,
    sha256: OnceLock<String>,
}

impl Model {
    /// Maps and decodes the file.
    ///
    /// # Errors
    /// If it cannot be read, is no regular file, or is no ONNX model with a graph.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { action: "read", path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(io)?;
        if !metadata.is_file() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        let bytes = map(&File::open(path).map_err(io)?).map_err(io)?;
        let not_onnx = |reason: String| Error::NotOnnx { path: path.to_owned(), size: metadata.len(), reason };
        if bytes.is_empty() {
            return Err(not_onnx("the file is empty".to_owned()));
        }
        let proto = ModelProto::decode(bytes.clone()).map_err(|e| not_onnx(e.to_string()))?;
        match &proto.graph {
            None => return Err(not_onnx("it holds no graph".to_owned())),
            Some(graph) if graph.node.is_empty() => return Err(not_onnx("its graph has no nodes".to_owned())),
            Some(_) => {}
        }
        Ok(Self { path: path.to_owned(), bytes, proto, sha256: OnceLock::new() })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The decoded message.
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// Checks that the file is all there is: a copy of it elsewhere still works.
    ///
    /// # Errors
    /// [`Error::Tensor`] for the first initializer whose values are in another file.
    pub fn check_self_contained(&self) -> Result<(), Error> {
        let external = |tensor: &&TensorProto| tensor.data_location() == DataLocation::External;
        match self.graph().initializer.iter().find(external) {
            None => Ok(()),
            Some(tensor) => Err(Error::Tensor {
                path: self.path.clone(),
                tensor: tensor.name.clone(),
                reason: "its values are in an external data file, which the edited file would not have".to_owned(),
            }),
        }
    }

    /// The main graph.
    pub fn graph(&self) -> &GraphProto {
        self.proto.graph.as_ref().expect("checked when opened")
    }

    /// Where in the file `slice` begins, if it is a part of the map.
    pub fn offset_of(&self, slice: &[u8]) -> Option<usize> {
        let offset = (slice.as_ptr() as usize).checked_sub(self.bytes.as_ptr() as usize)?;
        (offset.checked_add(slice.len())? <= self.bytes.len()).then_some(offset)
    }

    /// SHA-256 of the file, in hexadecimal; computed when first asked for.
    pub fn sha256(&self) -> &str {
        self.sha256.get_or_init(|| Sha256::digest(&self.bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
