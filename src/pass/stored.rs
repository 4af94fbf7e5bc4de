//! Samples of a data set as a tower takes them: also such as are stored under the names of graph inputs.

use std::ops::Range;
use std::path::Path;

use ndarray::{ArrayD, Ix2, Ix4};

use super::site::Site;
use crate::dataset::{Batch, DataSet, Error, Inputs, Kind, Preparation, Samples, Side, TensorSet, Values};
use crate::onnx::{InputRole, Modality, Tower};

/// What a tower embeds.
pub fn kind(modality: Modality) -> Kind {
    match modality {
        Modality::Text => Kind::Text,
        Modality::Vision => Kind::Image,
    }
}

/// Samples of some rows of a set for a tower.
///
/// # Errors
/// If there are none of its kind, nothing to prepare them with, or no input of its name.
pub fn samples<'s>(
    site: &'s Site,
    set: &'s DataSet,
    side: Side,
    rows: &[usize],
    with: &'s Preparation,
) -> Result<Box<dyn Samples + 's>, Error> {
    let kind = kind(site.modality());
    match &set.tensors {
        None => set.samples(kind, side, rows, with),
        Some(tensors) if tensors.has(kind) => {
            Ok(Box::new(ByName { tensors, kind, side, rows: rows.to_vec(), tower: &site.tower, path: &set.path }))
        }
        Some(_) => Err(set.without(kind)),
    }
}

/// Inputs by name, for the tower that has them.
struct ByName<'s> {
    tensors: &'s TensorSet,
    kind: Kind,
    side: Side,
    rows: Vec<usize>,
    tower: &'s Tower,
    path: &'s Path,
}

impl Samples for ByName<'_> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn batch(&self, range: Range<usize>) -> Result<Batch, Error> {
        let inputs = self.tensors.inputs(self.kind, self.side, &self.rows[range]).unwrap_or_default();
        self.of_tower(inputs).map_err(|reason| Error::Format {
            what: "set of graph inputs",
            path: self.path.to_owned(),
            reason,
            help: "name the tensors safe_text.NAME, unsafe_text.NAME, safe_image.NAME and unsafe_image.NAME, NAME as the graph calls its input (see `uwm-onnx inspect`)",
        })
    }

    fn name(&self, index: usize) -> String {
        format!("row {}", self.rows[index])
    }
}

impl ByName<'_> {
    fn of_tower(&self, mut inputs: Inputs) -> Result<Batch, String> {
        let tower = self.tower;
        // What is fed the same to all samples has no row a sample.
        let usual = |name: &String| tower.constant.iter().any(|(input, _)| input.name == *name);
        let known = |name: &String| {
            usual(name) || *name == tower.input.name || tower.mask.as_ref().is_some_and(|mask| mask.name == *name)
        };
        if let Some(unknown) = inputs.keys().find(|name| !known(name)) {
            return Err(format!("the {} tower has no input '{unknown}'", tower.modality));
        }
        if let Some((input, role)) = tower.constant.iter().find(|(input, _)| inputs.contains_key(&input.name)) {
            let what = if *role == InputRole::PositionIds { "positions" } else { "zeros" };
            return Err(format!("the input '{}' is always given {what}; leave its tensor out", input.name));
        }
        let mut take = |name: &str| inputs.remove(name).ok_or_else(|| format!("it has no input '{name}'"));
        let fed = take(&tower.input.name)?;
        match tower.modality {
            Modality::Vision => {
                let pixels = real(fed).into_dimensionality::<Ix4>().map_err(|e| e.to_string())?;
                Ok(Batch::Image { pixels })
            }
            Modality::Text => {
                let ids = whole(fed)?;
                let mask = tower.mask.as_ref().map(|mask| whole(take(&mask.name)?)).transpose()?;
                let mask = match mask {
                    Some(mask) if mask.dim() != ids.dim() => {
                        return Err(format!("ids have shape {:?}, their mask {:?}", ids.dim(), mask.dim()));
                    }
                    Some(mask) => mask,
                    // A graph without a mask tells itself which tokens count, or all do.
                    None => ndarray::Array2::ones(ids.dim()),
                };
                Ok(Batch::Text { ids, mask })
            }
        }
    }
}

fn real(values: Values) -> ArrayD<f32> {
    match values {
        Values::Real(values) => values,
        Values::Whole(values) => values.mapv(|value| value as f32),
    }
}

fn whole(values: Values) -> Result<ndarray::Array2<i64>, String> {
    let values = match values {
        Values::Whole(values) => values,
        Values::Real(values) if values.iter().all(|value| value.fract() == 0.0) => values.mapv(|value| value as i64),
        Values::Real(_) => return Err("ids and masks are whole numbers".to_owned()),
    };
    values.into_dimensionality::<Ix2>().map_err(|e| e.to_string())
}
