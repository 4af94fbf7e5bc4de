//! Samples that are stored as the inputs of a graph.

use std::collections::BTreeMap;

use ndarray::{ArrayD, Axis};
use sha2::{Digest, Sha256};

use super::Kind;
use super::kind::Side;

/// Values for a graph input, a row a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Whole numbers: token ids, masks.
    Whole(ArrayD<i64>),
    /// Real numbers: pixels.
    Real(ArrayD<f32>),
}

impl Values {
    fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::Whole(values) => Self::Whole(values.select(Axis(0), rows)),
            Self::Real(values) => Self::Real(values.select(Axis(0), rows)),
        }
    }
}

/// Inputs by the graph's names for them.
pub type Inputs = BTreeMap<String, Values>;

/// The inputs of all samples.
#[derive(Debug, Clone, Default)]
pub struct TensorSet {
    parts: BTreeMap<(Kind, Side), Inputs>,
}

impl TensorSet {
    /// Of inputs that were checked to have as many rows each.
    pub fn new(parts: BTreeMap<(Kind, Side), Inputs>) -> Self {
        Self { parts }
    }

    /// The same with some of the rows.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let select =
            |inputs: &Inputs| inputs.iter().map(|(name, values)| (name.clone(), values.select(rows))).collect();
        Self { parts: self.parts.iter().map(|(part, inputs)| (*part, select(inputs))).collect() }
    }

    /// Whether both sides of a kind are there.
    pub fn has(&self, kind: Kind) -> bool {
        [Side::Safe, Side::Unsafe].iter().all(|side| self.parts.contains_key(&(kind, *side)))
    }

    /// A hash of a sample's inputs, and whether all are finite.
    pub fn sha256(&self, kind: Kind, side: Side, row: usize) -> Option<([u8; 32], bool)> {
        let (mut hash, mut finite) = (Sha256::new(), true);
        for (name, values) in self.parts.get(&(kind, side))? {
            hash.update(name);
            match values {
                Values::Whole(values) => {
                    values.index_axis(Axis(0), row).iter().for_each(|value| hash.update(value.to_le_bytes()));
                }
                Values::Real(values) => values.index_axis(Axis(0), row).iter().for_each(|value| {
                    finite &= value.is_finite();
                    hash.update(value.to_le_bytes());
                }),
            }
        }
        Some((hash.finalize().into(), finite))
    }

    /// The inputs of some samples.
    pub fn inputs(&self, kind: Kind, side: Side, rows: &[usize]) -> Option<Inputs> {
        let inputs = self.parts.get(&(kind, side))?;
        Some(inputs.iter().map(|(name, values)| (name.clone(), values.select(rows))).collect())
    }
}
