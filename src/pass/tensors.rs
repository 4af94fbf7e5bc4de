//! Safetensors files that are written an array at a time, and read without copying.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;

use crate::onnx::Source;

/// Writes the head of a file whose tensors then follow, in this order and without gaps.
///
/// # Errors
/// If it cannot be written.
pub fn write_header(
    out: &mut impl Write,
    metadata: HashMap<String, String>,
    tensors: impl Iterator<Item = (String, Dtype, Vec<usize>)>,
) -> io::Result<()> {
    let mut end = 0;
    let infos = tensors.map(|(name, dtype, shape)| {
        let start = end;
        end += dtype.bitsize() / 8 * shape.iter().product::<usize>();
        (name, TensorInfo { dtype, shape, data_offsets: (start, end) })
    });
    let metadata = Metadata::new(Some(metadata), infos.collect()).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)
}

/// Maps a file and reads the JSON that its metadata hold under a key.
///
/// # Errors
/// What is wrong with it.
pub fn open<H: DeserializeOwned>(path: &Path, key: &str) -> Result<(Source, H), String> {
    let file = Source::open(path).map_err(|e| e.to_string())?;
    let (_, metadata) = SafeTensors::read_metadata(file.bytes()).map_err(|e| e.to_string())?;
    let json = metadata.metadata().as_ref().and_then(|entries| entries.get(key));
    let json = json.ok_or_else(|| format!("it has no metadata entry '{key}'"))?;
    let header = serde_json::from_str(json).map_err(|e| e.to_string())?;
    // That its tensors lie within it.
    SafeTensors::deserialize(file.bytes()).map_err(|e| e.to_string())?;
    Ok((file, header))
}

/// The elements of a tensor, `N` bytes each.
///
/// # Errors
/// If it is not there, or of another type or shape.
pub fn read<'a, const N: usize>(
    tensors: &'a SafeTensors,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<&'a [[u8; N]], String> {
    let tensor = tensors.tensor(name).map_err(|e| e.to_string())?;
    if tensor.dtype() != dtype || tensor.shape() != shape {
        return Err(format!("its tensor '{name}' is {:?} {:?}", tensor.dtype(), tensor.shape()));
    }
    Ok(tensor.data().as_chunks().0)
}
