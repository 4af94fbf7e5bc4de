//! The weight of a linear layer: what a logical `[out, in]` position is in the tensor that holds it.

use ndarray::Array2;

use super::codes::{Codes, Parameters};
use super::element::Element;
use super::error::Error;
use super::model::Model;
use super::storage::{Stored, Values};

/// A constant 2-D weight of a linear layer, in its logical orientation `[O, I]` (out x in).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// Name of the tensor: an initializer, or the output of a `Constant` node.
    pub initializer: String,
    /// `[O, I]`.
    pub shape: [usize; 2],
    /// How the tensor lays its elements out.
    pub layout: Layout,
    /// What its elements stand for, if they are codes.
    pub codes: Option<Codes>,
}

/// Rows and columns as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Whether they are `[I, O]` (MatMul, Gemm without `transB`).
    pub transposed: bool,
    /// Elements from one row to the next: the columns, and where blocks are filled up, more.
    pub pitch: usize,
}

/// A weight's tensor, found and checked, with what is needed to read or edit it.
pub struct Opened {
    /// Where its bytes are.
    pub stored: Stored,
    /// What they are: the tensor's type, or that of the codes packed in it.
    pub element: Element,
    /// Zero points and scales, for codes.
    pub parameters: Option<Parameters>,
}

impl Weight {
    /// Rows and columns as they are stored.
    pub fn stored_shape(&self) -> [usize; 2] {
        let [out, inputs] = self.shape;
        if self.layout.transposed { [inputs, out] } else { [out, inputs] }
    }

    /// Row and column, as they are stored, of logical element `[o, i]` (given as `o * I + i`).
    pub fn stored_position(&self, logical: usize) -> [usize; 2] {
        let inputs = self.shape[1];
        let (o, i) = (logical / inputs, logical % inputs);
        if self.layout.transposed { [i, o] } else { [o, i] }
    }

    /// Index of logical element `[o, i]` (given as `o * I + i`) in the tensor as it is stored.
    pub fn stored_index(&self, logical: usize) -> usize {
        let [row, column] = self.stored_position(logical);
        row * self.layout.pitch + column
    }

    /// Finds the tensor and checks that it can be edited.
    ///
    /// # Errors
    /// [`Error::Tensor`] if its type or storage is not supported, or its size or parameters are not what its shape
    /// needs.
    pub fn open(&self, model: &Model) -> Result<Opened, Error> {
        self.try_open(model).map_err(|reason| model.unusable(&self.initializer, reason))
    }

    fn try_open(&self, model: &Model) -> Result<Opened, String> {
        let constant = model.constant(&self.initializer)?;
        let stored = Stored::find(model, constant)?;
        let element = match &self.codes {
            Some(codes) => codes.element.unwrap_or(stored.element),
            None => stored.element,
        };
        match &self.codes {
            None if !element.is_float() => {
                return Err(format!("its elements are {}, and nothing says what they stand for", element.name()));
            }
            Some(_) if element.is_float() => {
                return Err(format!("its elements should be codes, and they are {}", element.name()));
            }
            _ => {}
        }
        let [rows, _] = self.stored_shape();
        let needed = rows.checked_mul(self.layout.pitch).and_then(|count| element.bytes(count));
        if needed.is_none() || needed != stored.element.bytes(stored.count) {
            return Err(format!("its shape {:?} does not hold {:?} weights", constant.tensor.dims, self.shape));
        }
        let parameters =
            self.codes.as_ref().map(|codes| codes.load(model, self.stored_shape(), element)).transpose()?;
        Ok(Opened { stored, element, parameters })
    }

    /// The values as `[O, I]`, dequantised where they are codes.
    ///
    /// # Errors
    /// Those of [`Weight::open`]; [`Error::Tensor`] if the scale of its codes is not known.
    pub fn read(&self, model: &Model) -> Result<Array2<f32>, Error> {
        let opened = self.open_values(model)?;
        let plain = opened.stored.plain(model);
        Ok(self.values(&opened, &plain))
    }

    /// The same as [`Weight::open`], where its values are known, and not only its codes.
    ///
    /// # Errors
    /// Those of [`Weight::read`].
    pub(super) fn open_values(&self, model: &Model) -> Result<Opened, Error> {
        let opened = self.open(model)?;
        if opened.parameters.as_ref().is_some_and(|parameters| !parameters.has_scale()) {
            let reason = "the scale of its codes is not a constant that can be found".to_owned();
            return Err(model.unusable(&self.initializer, reason));
        }
        Ok(opened)
    }

    /// The values that the tensor's bytes stand for, as `[O, I]`.
    pub(super) fn values(&self, opened: &Opened, plain: &[u8]) -> Array2<f32> {
        let [rows, columns] = self.stored_shape();
        let array = match opened.element {
            // By far the most common, and asked for again and again while a layer is scored.
            Element::F32 if self.layout.pitch == columns => {
                let values = plain.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
                Array2::from_shape_vec((rows, columns), values).expect("the size was checked when it was opened")
            }
            _ => Array2::from_shape_fn((rows, columns), |(row, column)| {
                opened.value(plain, [row, column], self.layout.pitch) as f32
            }),
        };
        if self.layout.transposed { array.reversed_axes() } else { array }
    }

    /// Some of the values, at logical positions: for codes of unknown scale, up to a factor.
    ///
    /// # Errors
    /// Those of [`Weight::open`].
    pub fn sample(&self, model: &Model, positions: &[u32]) -> Result<Vec<f32>, Error> {
        let opened = self.open(model)?;
        let plain = opened.stored.plain(model);
        let value =
            |&position: &u32| opened.value(&plain, self.stored_position(position as usize), self.layout.pitch) as f32;
        Ok(positions.iter().map(value).collect())
    }
}

impl Opened {
    /// Where its bytes are, in words: raw_data, typed field, or the name of a data file; `constant_node` if they are the
    /// value of one.
    pub fn storage(&self, model: &Model, constant_node: bool) -> String {
        let values = match &self.stored.place {
            Values::Piece { source: 0, .. } => "raw_data".to_owned(),
            Values::Piece { source, .. } => {
                let name =
                    model.locations().iter().find(|(_, at)| at == source).map_or("a data file", |(name, _)| name);
                format!("external: {name}")
            }
            Values::Apart(_) | Values::Varints { .. } => "typed field".to_owned(),
        };
        if constant_node { format!("Constant node, {values}") } else { values }
    }

    fn value(&self, plain: &[u8], [row, column]: [usize; 2], pitch: usize) -> f64 {
        let element = self.element.get(plain, row * pitch + column);
        self.parameters.as_ref().map_or(element, |parameters| parameters.value(element, [row, column]))
    }

    /// The zero point at a stored position; 0 for floats.
    pub fn zero(&self, position: [usize; 2]) -> f64 {
        self.parameters.as_ref().map_or(0.0, |parameters| parameters.zero(position))
    }
}
