//! A model: its file and its data files, mapped and decoded without copying weights.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use prost::Message;

use super::error::Error;
use super::external;
use super::proto::{GraphProto, ModelProto, TensorProto};
use super::source::Source;
use super::spans::{Place, Reference, TensorSpan, references, tensor_spans};

/// An open ONNX model. `raw_data` of its tensors are slices of the mapped file.
pub struct Model {
    /// The model file, then its data files in order of first mention.
    sources: Vec<Source>,
    proto: ModelProto,
    spans: Vec<TensorSpan>,
    references: Vec<Reference>,
    /// Every spelling of a location, in order of first mention, with the index of its source.
    locations: Vec<(String, usize)>,
    tensors: OnceLock<Tensors>,
}

/// Constants of the main graph by name. A name that several bear has no entry in the first map.
#[derive(Default)]
struct Tensors {
    known: HashMap<String, Place>,
    ambiguous: HashMap<String, usize>,
    /// Names of those that are elsewhere: in bodies and functions.
    elsewhere: HashSet<Vec<u8>>,
}

/// A constant tensor of the main graph: an initializer, or the value of a `Constant` node.
#[derive(Clone, Copy)]
pub struct Constant<'m> {
    /// The initializer's name, or that of the node's output.
    pub name: &'m str,
    /// The tensor.
    pub tensor: &'m TensorProto,
    /// Where it is.
    pub(super) place: Place,
}

impl Model {
    /// Maps and decodes the file, and maps the data files that it refers to.
    ///
    /// # Errors
    /// If a file cannot be read, is no regular file, or is no ONNX model with a graph; if a data file may not be read
    /// (see `docs/external-data.md`).
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, &HashMap::new())
    }

    /// As [`Model::open`], with data files that are not where their location says: an output before it is published.
    ///
    /// # Errors
    /// As for [`Model::open`].
    pub fn open_with(path: &Path, data: &HashMap<String, PathBuf>) -> Result<Self, Error> {
        let io = |source| Error::Io { action: "read", path: path.to_owned(), source };
        let metadata = std::fs::metadata(path).map_err(io)?;
        if !metadata.is_file() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        let main = Source::open(path).map_err(io)?;
        let not_onnx = |reason: String| Error::NotOnnx { path: path.to_owned(), size: metadata.len(), reason };
        if main.bytes().is_empty() {
            return Err(not_onnx("the file is empty".to_owned()));
        }
        let proto = ModelProto::decode(main.bytes().clone()).map_err(|e| not_onnx(e.to_string()))?;
        match &proto.graph {
            None => return Err(not_onnx("it holds no graph".to_owned())),
            Some(graph) if graph.node.is_empty() => return Err(not_onnx("its graph has no nodes".to_owned())),
            Some(_) => {}
        }
        let malformed = |e: super::wire::Malformed| not_onnx(format!("byte {}: not a protobuf field", e.at));
        let spans = tensor_spans(main.bytes()).map_err(malformed)?;
        let references = references(main.bytes(), &spans).map_err(malformed)?;
        let mut model =
            Self { sources: vec![main], proto, spans, references, locations: vec![], tensors: OnceLock::new() };
        model.open_data(data)?;
        Ok(model)
    }

    /// Opens each data file once, however often and in whatever spelling it is mentioned.
    fn open_data(&mut self, elsewhere: &HashMap<String, PathBuf>) -> Result<(), Error> {
        let mut opened: HashMap<PathBuf, usize> = HashMap::new();
        let mut spelt: HashMap<String, usize> = HashMap::new();
        for reference in &self.references {
            let unusable = |reason| self.unusable(&reference.tensor, reason);
            let (location, _) = reference
                .get("location")
                .map_err(unusable)?
                .ok_or_else(|| unusable("its values are external, and it does not say in which file".to_owned()))?;
            if spelt.contains_key(location) {
                continue;
            }
            let source = match opened.get(&external::normal(location)) {
                Some(&source) => source,
                None => {
                    let source = match elsewhere.get(location) {
                        Some(path) => Source::open(path).map_err(|e| unusable(e.to_string()))?,
                        None => external::open(self.path(), location).map_err(unusable)?,
                    };
                    self.sources.push(source);
                    opened.insert(external::normal(location), self.sources.len() - 1);
                    self.sources.len() - 1
                }
            };
            spelt.insert(location.to_owned(), source);
            self.locations.push((location.to_owned(), source));
        }
        Ok(())
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        self.sources[0].path()
    }

    /// The model file's bytes.
    pub fn bytes(&self) -> &Bytes {
        self.sources[0].bytes()
    }

    /// The model file, then the data files in order of first mention.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Every spelling of a data file's location, in order of first mention, and the index of the file in
    /// [`Model::sources`].
    pub fn locations(&self) -> &[(String, usize)] {
        &self.locations
    }

    /// All tensors with external data, those in bodies and functions too.
    pub(super) fn references(&self) -> &[Reference] {
        &self.references
    }

    /// All tensors, in file order.
    pub(super) fn spans(&self) -> &[TensorSpan] {
        &self.spans
    }

    /// The decoded message.
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// The main graph.
    pub fn graph(&self) -> &GraphProto {
        self.proto.graph.as_ref().expect("checked when opened")
    }

    /// Where in the model file `slice` begins, if it is a part of the map.
    pub fn offset_of(&self, slice: &[u8]) -> Option<usize> {
        let offset = (slice.as_ptr() as usize).checked_sub(self.bytes().as_ptr() as usize)?;
        (offset.checked_add(slice.len())? <= self.bytes().len()).then_some(offset)
    }

    /// SHA-256 of the model file, in hexadecimal; computed when first asked for.
    pub fn sha256(&self) -> &str {
        self.sources[0].sha256()
    }

    /// The value of a `metadata_props` entry.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.proto.metadata_props.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }

    /// The constant of that name in the main graph.
    ///
    /// # Errors
    /// Why there is none that can be told apart.
    pub fn constant(&self, name: &str) -> Result<Constant<'_>, String> {
        let tensors = self.tensors.get_or_init(|| self.index());
        if let Some(count) = tensors.ambiguous.get(name) {
            return Err(format!("{count} tensors of the graph are named so, and runtimes differ in which one counts"));
        }
        match tensors.known.get_key_value(name) {
            Some((name, &place)) => Ok(Constant { name, tensor: self.tensor_at(place), place }),
            None if tensors.elsewhere.contains(name.as_bytes()) => {
                Err("it is in the body of a node or in a function; such tensors are left alone".to_owned())
            }
            None => Err("there is no initializer or Constant node of that name".to_owned()),
        }
    }

    fn index(&self) -> Tensors {
        let mut tensors = Tensors::default();
        let graph = self.graph();
        let initializers = graph.initializer.iter().enumerate().map(|(k, t)| (&t.name, Place::Initializer(k)));
        let constants = graph.node.iter().enumerate().filter(|(_, node)| node.op_type == "Constant");
        let constants = constants.filter_map(|(node, proto)| {
            let attribute = proto.attribute.iter().position(|a| a.name == "value" && a.t.is_some())?;
            Some((proto.output.first()?, Place::Attribute { node, attribute }))
        });
        for (name, place) in initializers.chain(constants) {
            if let Some(count) = tensors.ambiguous.get_mut(name) {
                *count += 1;
            } else if tensors.known.insert(name.clone(), place).is_some() {
                tensors.known.remove(name);
                tensors.ambiguous.insert(name.clone(), 2);
            }
        }
        let elsewhere = self.spans.iter().filter(|span| span.place == Place::Other);
        tensors.elsewhere = elsewhere.flat_map(|span| self.names(span)).collect();
        tensors
    }

    fn tensor_at(&self, place: Place) -> &TensorProto {
        match place {
            Place::Initializer(k) => &self.graph().initializer[k],
            Place::Attribute { node, attribute } => {
                self.graph().node[node].attribute[attribute].t.as_ref().expect("indexed because it has one")
            }
            Place::Other => unreachable!("only the main graph's tensors are indexed"),
        }
    }

    fn names<'m>(&'m self, span: &TensorSpan) -> impl Iterator<Item = Vec<u8>> + 'm {
        let fields = super::wire::fields(self.bytes(), span.content.clone()).flatten();
        fields.filter(|field| field.number == 8).map(|field| self.bytes()[field.value].to_vec())
    }

    /// An error about one of its tensors.
    pub(super) fn unusable(&self, tensor: &str, reason: String) -> Error {
        Error::Tensor { path: self.path().to_owned(), tensor: tensor.to_owned(), reason }
    }
}
