//! `W <- alpha W` at chosen positions of one weight, and back.

use super::error::Error;
use super::model::Model;
use super::tensor::Weight;

/// The selected elements of one weight.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerEdit {
    /// The weight they belong to.
    pub weight: Weight,
    /// The factor; -1 flips sign bits (moves codes about their zero point) and so undoes itself.
    pub alpha: f64,
    /// Logical positions `o * I + i`, ascending, without repetition.
    pub positions: Vec<u32>,
}

/// Original values of elements that the edit cannot give back by itself: those whose code saturated, and all where
/// alpha is not -1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Originals {
    /// Their logical positions, ascending.
    pub positions: Vec<u32>,
    /// Their bytes, one after the other.
    pub bytes: Vec<u8>,
    /// How many of them are kept because their code saturated.
    pub saturated: usize,
}

impl LayerEdit {
    /// Checks the positions against the weight's shape.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        let name = &self.weight.initializer;
        if !self.alpha.is_finite() {
            return Err(format!("the factor for tensor '{name}' is not finite"));
        }
        let [out, inputs] = self.weight.shape;
        match self.positions.iter().find(|&&position| position as usize >= out * inputs) {
            Some(position) => Err(format!("position {position} is outside tensor '{name}'")),
            None if !self.positions.is_sorted_by(|a, b| a < b) => {
                Err(format!("the positions in tensor '{name}' do not ascend"))
            }
            None => Ok(()),
        }
    }

    /// Changes the selected elements of `plain`, the tensor's bytes.
    ///
    /// # Errors
    /// Those of [`Weight::open`].
    pub fn apply(&self, model: &Model, plain: &mut [u8]) -> Result<Originals, Error> {
        let opened = self.weight.open(model)?;
        let element = opened.element;
        let mut originals = Originals::default();
        for &position in &self.positions {
            let stored = self.weight.stored_position(position as usize);
            let index = stored[0] * self.weight.layout.pitch + stored[1];
            let original = element.raw(plain, index);
            let saturated = if element.is_float() {
                element.scale(plain, index, self.alpha);
                false
            } else {
                element.move_code(plain, index, opened.zero(stored), self.alpha)
            };
            if saturated || self.alpha != -1.0 {
                originals.positions.push(position);
                originals.bytes.extend(original);
                originals.saturated += usize::from(saturated);
            }
        }
        Ok(originals)
    }

    /// Undoes [`LayerEdit::apply`].
    ///
    /// # Errors
    /// Those of [`Weight::open`].
    pub fn undo(&self, model: &Model, originals: &Originals, plain: &mut [u8]) -> Result<(), Error> {
        if self.alpha == -1.0 {
            self.apply(model, plain)?;
        }
        let element = self.weight.open(model)?.element;
        let kept = originals.bytes.chunks(element.raw_size());
        for (&position, raw) in originals.positions.iter().zip(kept) {
            element.put_raw(plain, self.weight.stored_index(position as usize), raw);
        }
        Ok(())
    }

    /// Numbers of the storage units (varints of a typed field) that hold selected elements, ascending.
    pub fn units(&self, unit_of: impl Fn(usize) -> usize) -> Vec<usize> {
        let mut units: Vec<usize> =
            self.positions.iter().map(|&position| unit_of(self.weight.stored_index(position as usize))).collect();
        units.sort_unstable();
        units.dedup();
        units
    }
}
