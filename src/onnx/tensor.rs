//! Elements of weight tensors: where they are in the file and what they mean.
//!
//! The only place that knows how a logical `[out, in]` position becomes a byte.

use ndarray::Array2;

use super::error::Error;
use super::model::Model;
use super::proto::TensorProto;
use super::proto::tensor_proto::{DataLocation, DataType};

/// A constant 2-D weight of a linear layer, in its logical orientation `[O, I]` (out x in).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// The initializer's name.
    pub initializer: String,
    /// `[O, I]`.
    pub shape: [usize; 2],
    /// Whether the file stores `[I, O]` (MatMul, Gemm without `transB`).
    pub transposed: bool,
}

impl Weight {
    /// Index of logical element `[o, i]` (given as `o * I + i`) in the tensor as it is stored.
    pub fn stored_index(&self, logical: usize) -> usize {
        let [rows, columns] = self.shape;
        let (o, i) = (logical / columns, logical % columns);
        if self.transposed { i * rows + o } else { logical }
    }

    /// The values as `[O, I]`.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the tensor's type or storage is not supported.
    pub fn read(&self, model: &Model) -> Result<Array2<f32>, Error> {
        let raw = self.raw(model)?;
        let values = raw.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let [rows, columns] = self.shape;
        let stored = if self.transposed { (columns, rows) } else { (rows, columns) };
        let array = Array2::from_shape_vec(stored, values).expect("raw() checked the length");
        Ok(if self.transposed { array.reversed_axes() } else { array })
    }

    /// Where the tensor's bytes begin in the file; element `k` (as stored) is at `4 k` behind it.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the tensor's type or storage is not supported.
    pub fn file_offset(&self, model: &Model) -> Result<usize, Error> {
        let raw = self.raw(model)?;
        Ok(model.offset_of(raw).expect("raw_data is a slice of the map"))
    }

    fn raw<'m>(&self, model: &'m Model) -> Result<&'m [u8], Error> {
        let unusable =
            |reason: String| Error::Tensor { path: model.path().to_owned(), tensor: self.initializer.clone(), reason };
        let tensor = model
            .graph()
            .initializer
            .iter()
            .find(|tensor| tensor.name == self.initializer)
            .ok_or_else(|| unusable("there is no initializer of that name".to_owned()))?;
        let raw = float_raw_data(tensor).map_err(unusable)?;
        let [rows, columns] = self.shape;
        let expected = rows.checked_mul(columns).and_then(|n| n.checked_mul(4));
        if expected != Some(raw.len()) {
            return Err(unusable(format!("its shape {:?} needs other than its {} bytes", tensor.dims, raw.len())));
        }
        Ok(raw)
    }
}

/// The tensor's `raw_data`, if it is float32 stored that way; else why not.
fn float_raw_data(tensor: &TensorProto) -> Result<&[u8], String> {
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) => {}
        Ok(other) => return Err(format!("its element type is {}, not FLOAT", other.as_str_name())),
        Err(_) => return Err(format!("its element type is number {}, which is unknown", tensor.data_type)),
    }
    if tensor.data_location() == DataLocation::External {
        return Err("its values are in an external data file".to_owned());
    }
    tensor.raw_data.as_deref().ok_or_else(|| "its values are in float_data, not in raw_data".to_owned())
}
