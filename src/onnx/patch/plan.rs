//! From a patch to what each file of a model becomes: pieces that stay, and what stands between them.

use std::ops::Range;
use std::path::Path;

use sha1::{Digest, Sha1};

use super::sink::{HashSink, Sink};
use super::{Names, Patch, provenance};
use crate::onnx::edit::{LayerEdit, Originals};
use crate::onnx::error::Error;
use crate::onnx::graph::Graph;
use crate::onnx::model::Model;
use crate::onnx::source::hex;
use crate::onnx::storage::{Stored, Values};
use crate::onnx::wire::{Overlong, Splice, relength};

/// What the files of a model become. The model file is first, its data files follow in the order of
/// [`Model::sources`].
pub struct Plan<'m> {
    pub(super) model: &'m Model,
    pub(super) files: Vec<Vec<Change>>,
    edits: Vec<Edit>,
}

/// One change of a file; ranges of a file's changes ascend and do not overlap.
pub(super) struct Change {
    pub range: Range<usize>,
    what: What,
}

enum What {
    Bytes(Vec<u8>),
    /// The plain bytes of a tensor; made when they are written, one tensor at a time.
    Tensor(usize),
}

struct Edit {
    layer: LayerEdit,
    stored: Stored,
    /// Given when the edit is to be undone.
    undo: Option<Originals>,
}

impl<'m> Plan<'m> {
    /// The model with the patch applied. `names` are the new locations of its data files; with `provenance` (the
    /// patch file's bytes) entries of `metadata_props` are appended.
    ///
    /// # Errors
    /// If the patch does not fit the graph. That the files are those it was made for is not checked here: see
    /// [`Patch::check_source`].
    pub fn apply(graph: &Graph<'m>, patch: &Patch, names: &Names, provenance: Option<&[u8]>) -> Result<Self, Error> {
        let model = graph.model;
        let edits = patch.edits(graph)?.into_iter().map(|layer| (layer, None)).collect();
        let end = model.bytes().len();
        let tail = provenance.map(|patch_bytes| Splice {
            range: end..end,
            bytes: provenance::block(patch, patch_bytes, provenance::edits_of(model) + 1),
        });
        Self::new(model, patch, edits, names, tail)
    }

    /// The model before the patch was applied. Whether the result is what the patch was made for shows in its hash.
    ///
    /// # Errors
    /// If the patch does not fit the graph.
    pub fn revert(graph: &Graph<'m>, patch: &Patch, patch_bytes: &[u8]) -> Result<Self, Error> {
        let model = graph.model;
        let edits = patch.edits(graph)?;
        let undone = patch.layers.iter().map(|layer| Some(layer.originals.clone()));
        let block = provenance::block(patch, patch_bytes, provenance::edits_of(model).max(1));
        // Absent when it was applied with --no-provenance.
        let tail = model.bytes().ends_with(&block).then(|| {
            let end = model.bytes().len();
            Splice { range: end - block.len()..end, bytes: vec![] }
        });
        let names = Names::of_source(patch);
        if names.locations().len() != model.locations().len() {
            return Err(Error::Patch {
                path: model.path().to_owned(),
                reason: "it has another number of data files than the model the patch was made for".to_owned(),
            });
        }
        Self::new(model, patch, edits.into_iter().zip(undone).collect(), &names, tail)
    }

    fn new(
        model: &'m Model,
        patch: &Patch,
        edits: Vec<(LayerEdit, Option<Originals>)>,
        names: &Names,
        tail: Option<Splice>,
    ) -> Result<Self, Error> {
        let mismatch = |reason: String| Error::Patch { path: model.path().to_owned(), reason };
        let open = |(layer, undo): (LayerEdit, Option<Originals>)| {
            let stored = layer.weight.open(model)?.stored;
            Ok(Edit { layer, stored, undo })
        };
        let edits = edits.into_iter().map(open).collect::<Result<Vec<_>, Error>>()?;
        let mut plan = Self { model, files: model.sources().iter().map(|_| vec![]).collect(), edits };
        let mut splices = plan.tensor_changes(patch)?;
        plan.check_apart().map_err(&mismatch)?;
        splices.extend(renames(model, names));
        // Data files are complete by now, so that their checksums can be known.
        splices.extend(plan.checksums()?);
        splices.extend(tail);
        splices.sort_by_key(|splice| splice.range.start);
        plan.add_splices(splices, &patch.overlong).map_err(mismatch)?;
        plan.check_apart().map_err(mismatch)?;
        Ok(plan)
    }

    /// Tensors in one piece become changes; others give splices of the model file.
    fn tensor_changes(&mut self, patch: &Patch) -> Result<Vec<Splice>, Error> {
        let mut splices = vec![];
        for (index, edit) in self.edits.iter().enumerate() {
            if edit.layer.positions.is_empty() {
                continue;
            }
            if let Values::Piece { source, offset } = edit.stored.place {
                let size = edit.stored.element.bytes(edit.stored.count).expect("checked when found");
                self.files[source].push(Change { range: offset..offset + size, what: What::Tensor(index) });
                continue;
            }
            let plain = edit.plain(self.model)?;
            let spellings = &patch.layers[index].spellings;
            let spelling = |unit: usize| {
                let found = edit.undo.as_ref().and_then(|_| spellings.iter().find(|(of, _)| *of == unit));
                found.map(|(_, bytes)| bytes.clone())
            };
            splices.extend(edit.stored.splices(self.model, &plain, spelling));
        }
        self.files.iter_mut().for_each(|changes| changes.sort_by_key(|change| change.range.start));
        Ok(splices)
    }

    fn check_apart(&self) -> Result<(), String> {
        for pair in self.files.iter().flat_map(|changes| changes.windows(2)) {
            if pair[0].range.end > pair[1].range.start {
                return Err(match (&pair[0].what, &pair[1].what) {
                    (What::Tensor(a), What::Tensor(b)) => {
                        let name = |index: &usize| &self.edits[*index].layer.weight.initializer;
                        format!("it edits the bytes of tensor '{}' twice (the second time as '{}')", name(a), name(b))
                    }
                    _ => "two of its changes overlap".to_owned(),
                });
            }
        }
        Ok(())
    }

    fn add_splices(&mut self, splices: Vec<Splice>, overlong: &[Overlong]) -> Result<(), String> {
        let broken = |e: crate::onnx::wire::Malformed| format!("byte {} of the model is not readable", e.at);
        let lengths = relength(self.model.bytes(), &splices, overlong).map_err(broken)?;
        let changes = splices.into_iter().chain(lengths);
        self.files[0].extend(changes.map(|Splice { range, bytes }| Change { range, what: What::Bytes(bytes) }));
        self.files[0].sort_by_key(|change| (change.range.start, change.range.end));
        Ok(())
    }

    /// Sends what file `index` of the model becomes to `sink`; `target` names it in errors.
    ///
    /// # Errors
    /// If a tensor is not editable, or the sink takes no more.
    pub(super) fn emit(&self, index: usize, sink: &mut dyn Sink, target: &Path) -> Result<(), Error> {
        let io = |source| Error::Write { path: target.to_owned(), source };
        let source = &self.model.sources()[index];
        let mut done = 0;
        for change in &self.files[index] {
            sink.copy(source, done..change.range.start).map_err(io)?;
            sink.bytes(&self.bytes(change)?).map_err(io)?;
            done = change.range.end;
        }
        sink.copy(source, done..source.bytes().len()).map_err(io)
    }

    /// The bytes that stand in place of `change`.
    fn bytes<'a>(&self, change: &'a Change) -> Result<std::borrow::Cow<'a, [u8]>, Error> {
        Ok(match &change.what {
            What::Bytes(bytes) => bytes.into(),
            What::Tensor(index) => self.edits[*index].plain(self.model)?.into(),
        })
    }

    /// Data files whose references give a checksum (SHA-1 of the whole file): the old one must be right, and the new
    /// one is put in its place.
    fn checksums(&self) -> Result<Vec<Splice>, Error> {
        let mut known: Vec<Option<(String, String)>> = self.files.iter().map(|_| None).collect();
        let mut splices = vec![];
        for reference in self.model.references() {
            let unusable = |reason| self.model.unusable(&reference.tensor, reason);
            let Some((stated, range)) = reference.get("checksum").map_err(unusable)? else { continue };
            let location = reference.get("location").map_err(unusable)?.map_or("", |(location, _)| location);
            let Some(&(_, source)) = self.model.locations().iter().find(|(known, _)| known == location) else {
                continue;
            };
            let (old, new) = match &mut known[source] {
                Some(sums) => sums,
                unknown => {
                    let old = hex(&Sha1::digest(self.model.sources()[source].bytes()));
                    let new = match self.files[source].is_empty() {
                        true => old.clone(),
                        false => {
                            let mut sink = HashSink::new();
                            self.emit(source, &mut sink, self.model.path())?;
                            sink.finish()
                        }
                    };
                    unknown.insert((old, new))
                }
            };
            if !stated.eq_ignore_ascii_case(old) {
                return Err(unusable(format!("its checksum is {stated}, and '{location}' has {old}")));
            }
            let upper = stated.bytes().any(|byte| byte.is_ascii_uppercase());
            if upper && stated.bytes().any(|byte| byte.is_ascii_lowercase()) {
                // Which letters were which could not be given back.
                return Err(unusable(format!("its checksum {stated} mixes upper and lower case; write it in one")));
            }
            let new = if upper { new.to_ascii_uppercase() } else { new.clone() };
            if new != stated {
                splices.push(Splice { range: range.clone(), bytes: new.into_bytes() });
            }
        }
        Ok(splices)
    }
}

impl Edit {
    /// The tensor's plain bytes after the edit.
    fn plain(&self, model: &Model) -> Result<Vec<u8>, Error> {
        let mut plain = self.stored.plain(model).into_owned();
        match &self.undo {
            None => drop(self.layer.apply(model, &mut plain)?),
            Some(originals) => self.layer.undo(model, originals, &mut plain)?,
        }
        Ok(plain)
    }
}

/// The location entries that change.
fn renames(model: &Model, names: &Names) -> Vec<Splice> {
    let mut splices = vec![];
    for reference in model.references() {
        let Ok(Some((location, range))) = reference.get("location") else { continue };
        let index = model.locations().iter().position(|(known, _)| known == location);
        if let Some(new) = index.map(|index| &names.locations()[index]).filter(|new| *new != location) {
            splices.push(Splice { range: range.clone(), bytes: new.clone().into_bytes() });
        }
    }
    splices
}
