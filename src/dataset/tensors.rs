//! Samples that are stored as the inputs of a graph.

use std::collections::BTreeMap;

use ndarray::{ArrayD, Axis};

use super::Kind;
use super::set::Side;

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

    /// Whether both sides of a kind are there.
    pub fn has(&self, kind: Kind) -> bool {
        [Side::Safe, Side::Unsafe].iter().all(|side| self.parts.contains_key(&(kind, *side)))
    }

    /// The inputs of some samples.
    pub fn inputs(&self, kind: Kind, side: Side, rows: &[usize]) -> Option<Inputs> {
        let inputs = self.parts.get(&(kind, side))?;
        Some(inputs.iter().map(|(name, values)| (name.clone(), values.select(rows))).collect())
    }
}
