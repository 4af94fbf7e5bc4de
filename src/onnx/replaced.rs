//! Edited weights that are tried out without a file: they travel in the skeleton, all else is mapped.

use std::collections::HashMap;

use bytes::Bytes;
use rayon::prelude::*;

use super::edit::LayerEdit;
use super::error::Error;
use super::model::Model;
use super::patch::Selection;
use super::proto::TensorProto;

/// Protobuf messages end at 2 GiB, and the graph itself needs room too.
const LIMIT: usize = (2 << 30) - (64 << 20);

/// The values of some tensors after an edit, by name.
#[derive(Debug, Clone, Default)]
pub struct Replaced(HashMap<String, Bytes>);

impl Replaced {
    /// The tensors of a model as an edit makes them; `None` if they are too large for one message.
    ///
    /// # Errors
    /// If a tensor is not editable.
    pub fn new(model: &Model, selections: &[Selection]) -> Result<Option<Self>, Error> {
        let opened = selections.iter().map(|selection| selection.layer.weight.open(model));
        let stored = opened.map(|opened| Ok(opened?.stored)).collect::<Result<Vec<_>, Error>>()?;
        let sizes = stored.iter().map(|stored| stored.element.bytes(stored.count).unwrap_or(usize::MAX));
        if sizes.fold(0, usize::saturating_add) > LIMIT {
            return Ok(None);
        }
        let edited = selections.par_iter().zip(stored).map(|(Selection { layer, update, positions }, stored)| {
            let edit = LayerEdit { weight: layer.weight.clone(), update: update.clone(), positions: positions.clone() };
            let mut plain = stored.plain(model).into_owned();
            edit.apply(model, &mut plain)?;
            Ok((layer.weight.initializer.clone(), Bytes::from(plain)))
        });
        edited.collect::<Result<_, Error>>().map(Self).map(Some)
    }

    /// The tensor with its new values, if it has some.
    pub(super) fn tensor(&self, name: &str, original: &TensorProto) -> Option<TensorProto> {
        let raw_data = Some(self.0.get(name)?.clone());
        let (dims, data_type, name) = (original.dims.clone(), original.data_type, original.name.clone());
        Some(TensorProto { dims, data_type, name, raw_data, ..TensorProto::default() })
    }
}
