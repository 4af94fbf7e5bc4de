//! What happens to chosen positions of one weight, and how it is undone.

use std::sync::Arc;

use ndarray::Array2;

use super::error::Error;
use super::model::Model;
use super::tensor::Weight;

/// What becomes of chosen elements.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// `W <- alpha W`; with -1 that flips sign bits (moves codes about their zero point), and so undoes itself.
    Multiply(f64),
    /// `W <- W - left right^T`, of floats only.
    RankOne(Arc<RankOne>),
}

/// An outer product.
#[derive(Debug, Clone, PartialEq)]
pub struct RankOne {
    /// `[O]`
    pub left: Vec<f64>,
    /// `[I]`
    pub right: Vec<f64>,
}

impl Update {
    /// The factor, if it is one.
    pub fn alpha(&self) -> Option<f64> {
        match self {
            Self::Multiply(alpha) => Some(*alpha),
            Self::RankOne(_) => None,
        }
    }

    /// Whether doing it again undoes it, but for codes that saturate.
    fn undoes_itself(&self) -> bool {
        self.alpha() == Some(-1.0)
    }
}

/// The selected elements of one weight.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerEdit {
    /// The weight they belong to.
    pub weight: Weight,
    /// What becomes of them.
    pub update: Update,
    /// Logical positions `o * I + i`, ascending, without repetition.
    pub positions: Vec<u32>,
}

/// Original values of elements that the edit cannot give back by itself: those whose code saturated, and all where the
/// update does not undo itself.
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
    /// Checks update and positions against the weight's shape.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        let name = &self.weight.initializer;
        let [out, inputs] = self.weight.shape;
        match &self.update {
            Update::Multiply(alpha) if !alpha.is_finite() => {
                return Err(format!("the factor for tensor '{name}' is not finite"));
            }
            Update::RankOne(product) => {
                if [product.left.len(), product.right.len()] != self.weight.shape {
                    return Err(format!("the outer product for tensor '{name}' is not of its shape"));
                }
                if !product.left.iter().chain(&product.right).all(|value| value.is_finite()) {
                    return Err(format!("the outer product for tensor '{name}' is not finite"));
                }
            }
            Update::Multiply(_) => {}
        }
        match self.positions.iter().find(|&&position| position as usize >= out * inputs) {
            Some(position) => Err(format!("position {position} is outside tensor '{name}'")),
            None if !self.positions.is_sorted_by(|a, b| a < b) => {
                Err(format!("the positions in tensor '{name}' do not ascend"))
            }
            None => Ok(()),
        }
    }

    /// Whether nothing must be kept for it to be undone, whatever the weight's values are.
    pub fn keeps_nothing(&self, floats: bool) -> bool {
        floats && self.update.undoes_itself()
    }

    /// Changes the selected elements of `plain`, the tensor's bytes.
    ///
    /// # Errors
    /// Those of [`Weight::open`]; [`Error::Tensor`] if codes are to get other values, or a float one that
    /// is too large for it.
    pub fn apply(&self, model: &Model, plain: &mut [u8]) -> Result<Originals, Error> {
        let opened = self.weight.open(model)?;
        let element = opened.element;
        if matches!(self.update, Update::RankOne(_)) && !element.is_float() {
            let reason =
                format!("its elements are {} codes, which cannot take any value; negate instead", element.name());
            return Err(model.unusable(&self.weight.initializer, reason));
        }
        let mut originals = Originals::default();
        for &position in &self.positions {
            let stored = self.weight.stored_position(position as usize);
            let index = stored[0] * self.weight.layout.pitch + stored[1];
            let original = element.raw(plain, index);
            let saturated = match &self.update {
                Update::Multiply(alpha) if element.is_float() => {
                    element.scale(plain, index, *alpha);
                    false
                }
                Update::Multiply(alpha) => element.move_code(plain, index, opened.zero(stored), *alpha),
                Update::RankOne(product) => {
                    let [o, i] = [position as usize / self.weight.shape[1], position as usize % self.weight.shape[1]];
                    let before = element.get(plain, index);
                    element.put(plain, index, before - product.left[o] * product.right[i]);
                    if before.is_finite() && !element.get(plain, index).is_finite() {
                        let reason = format!("its element {position} would be beyond what {} can hold", element.name());
                        return Err(model.unusable(&self.weight.initializer, reason));
                    }
                    false
                }
            };
            if saturated || !self.update.undoes_itself() {
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
        if self.update.undoes_itself() {
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

/// What a negation makes of each value of a weight, as `[O, I]`: of codes, what their range allows.
///
/// # Errors
/// Those of [`Weight::read`].
pub fn negated(weight: &Weight, model: &Model) -> Result<Array2<f32>, Error> {
    let opened = weight.open_values(model)?;
    let mut plain = opened.stored.plain(model).into_owned();
    let positions = (0..(weight.shape[0] * weight.shape[1]) as u32).collect();
    LayerEdit { weight: weight.clone(), update: Update::Multiply(-1.0), positions }.apply(model, &mut plain)?;
    Ok(weight.values(&opened, &plain))
}
