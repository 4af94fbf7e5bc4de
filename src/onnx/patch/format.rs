//! The patch file: safetensors, with one metadata entry `uwm.patch` that is JSON. Described in `docs/patch-format.md`.

use std::collections::HashMap;
use std::sync::Arc;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::{Originals, Patch, PatchLayer, RankOne, SourceFile, Update, sample_positions};
use crate::onnx::towers::Modality;

const KEY: &str = "uwm.patch";
/// Of patches that multiply only.
const MULTIPLYING: u32 = 1;
/// Of others: what is new since would be misunderstood.
const VERSION: u32 = 2;

/// The JSON, in this order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    tool: String,
    source: Vec<SourceFile>,
    options: serde_json::Value,
    layers: Vec<HeaderLayer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    overlong: Vec<(u32, u8)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLayer {
    tower: Modality,
    block: Option<usize>,
    role: String,
    node: String,
    tensor: String,
    shape: [usize; 2],
    element: String,
    /// A decimal string: readers of JSON numbers may be off by the last bit. Absent where an outer product is taken off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alpha: Option<String>,
    selected: usize,
    saturated: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    spellings: Vec<(usize, Vec<u8>)>,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

impl Patch {
    /// The file's bytes; the same patch gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let layer = |layer: &PatchLayer| HeaderLayer {
            tower: layer.tower,
            block: layer.block,
            role: layer.role.clone(),
            node: layer.node.clone(),
            tensor: layer.tensor.clone(),
            shape: layer.shape,
            element: layer.element.clone(),
            alpha: layer.update.alpha().map(|alpha| alpha.to_string()),
            selected: layer.positions.len(),
            saturated: layer.originals.saturated,
            spellings: layer.spellings.clone(),
        };
        let multiplying = self.layers.iter().all(|layer| layer.update.alpha().is_some());
        let header = Header {
            version: if multiplying { MULTIPLYING } else { VERSION },
            tool: self.tool.clone(),
            source: self.source.clone(),
            options: self.options.clone(),
            layers: self.layers.iter().map(layer).collect(),
            overlong: self.overlong.clone(),
        };
        let mut tensors = vec![];
        for (k, layer) in self.layers.iter().enumerate() {
            let name = |part: &str| format!("{k}.{part}");
            tensors.push((name("positions"), Dtype::U8, gaps(&layer.positions)));
            tensors.push((name("kept"), Dtype::U8, gaps(&layer.originals.positions)));
            tensors.push((name("originals"), Dtype::U8, layer.originals.bytes.clone()));
            let sample = layer.sample.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.push((name("sample"), Dtype::F32, sample));
            if let Update::RankOne(product) = &layer.update {
                let bytes = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
                tensors.push((name("left"), Dtype::F64, bytes(&product.left)));
                tensors.push((name("right"), Dtype::F64, bytes(&product.right)));
            }
        }
        let views = tensors.iter().map(|(name, dtype, bytes)| {
            let length = bytes.len() / (dtype.bitsize() / 8);
            (name, TensorView::new(*dtype, vec![length], bytes).expect("the length fits the bytes"))
        });
        // One entry: the crate keeps metadata in a hash map, whose order would differ from run to run.
        let json = serde_json::to_string(&header).expect("the header has string keys only");
        let metadata = HashMap::from([(KEY.to_owned(), json)]);
        safetensors::serialize(views, Some(metadata)).expect("names and lengths are consistent")
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| format!("it is no safetensors file: {e}"))?;
        let json = metadata.metadata().as_ref().and_then(|entries| entries.get(KEY));
        let json = json.ok_or_else(|| format!("it is a safetensors file without the metadata entry '{KEY}'"))?;
        let wrong = |e: serde_json::Error| format!("its metadata entry '{KEY}': {e}");
        let VersionOnly { version } = serde_json::from_str(json).map_err(wrong)?;
        if ![MULTIPLYING, VERSION].contains(&version) {
            return Err(format!(
                "it is of version {version} of the format, and this tool reads versions 1 and {VERSION}"
            ));
        }
        let header: Header = serde_json::from_str(json).map_err(wrong)?;
        if header.source.first().is_none_or(|first| !first.location.is_empty()) {
            return Err("it does not name the model that it was made for".to_owned());
        }
        let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let layers: Result<Vec<_>, String> =
            header.layers.into_iter().enumerate().map(|(k, layer)| layer.read(&file, k, version)).collect();
        Ok(Self {
            tool: header.tool,
            source: header.source,
            options: header.options,
            layers: layers?,
            overlong: header.overlong,
        })
    }
}

impl HeaderLayer {
    fn read(self, file: &SafeTensors, k: usize, version: u32) -> Result<PatchLayer, String> {
        let tensor = |part: &str, dtype: Dtype| {
            let name = format!("{k}.{part}");
            match file.tensor(&name) {
                Ok(view) if view.dtype() == dtype => Ok(view.data().to_vec()),
                Ok(view) => Err(format!("its tensor '{name}' is {:?}, not {dtype:?}", view.dtype())),
                Err(_) => Err(format!("it has no tensor '{name}'")),
            }
        };
        let limit = self.shape[0].checked_mul(self.shape[1]).filter(|&n| n > 0 && u32::try_from(n).is_ok());
        let limit = limit.ok_or_else(|| format!("its layer {k} has shape {:?}", self.shape))? as u64;
        let ascending = |part: &str| -> Result<Vec<u32>, String> {
            let positions = from_gaps(&tensor(part, Dtype::U8)?, limit);
            positions.ok_or_else(|| format!("its tensor '{k}.{part}' does not hold ascending positions in the layer"))
        };
        let sample: Vec<f32> =
            tensor("sample", Dtype::F32)?.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let (positions, kept) = (ascending("positions")?, ascending("kept")?);
        if positions.len() != self.selected || sample.len() != sample_positions(self.shape).len() {
            return Err(format!("the tensors of its layer {k} are not of the length that its metadata say"));
        }
        let update = match &self.alpha {
            Some(alpha) => {
                let read = alpha.parse().map_err(|_| format!("the alpha '{alpha}' of its layer {k} is no number"));
                Update::Multiply(read?)
            }
            None if version == MULTIPLYING => return Err(format!("its layer {k} has no alpha")),
            None => {
                let values = |part: &str| -> Result<Vec<f64>, String> {
                    let bytes = tensor(part, Dtype::F64)?;
                    Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
                };
                Update::RankOne(Arc::new(RankOne { left: values("left")?, right: values("right")? }))
            }
        };
        let originals =
            Originals { positions: kept, bytes: tensor("originals", Dtype::U8)?, saturated: self.saturated };
        Ok(PatchLayer {
            tower: self.tower,
            block: self.block,
            role: self.role,
            node: self.node,
            tensor: self.tensor,
            shape: self.shape,
            element: self.element,
            update,
            positions,
            originals,
            spellings: self.spellings,
            sample,
        })
    }
}

/// Ascending numbers as the gaps between them (the first one is the number itself), each an LEB128 varint: about a
/// byte a number, where few hundred elements lie between two selected ones.
fn gaps(positions: &[u32]) -> Vec<u8> {
    let mut bytes = vec![];
    let mut last = 0;
    for &position in positions {
        prost::encoding::encode_varint(u64::from(position - last), &mut bytes);
        last = position;
    }
    bytes
}

fn from_gaps(bytes: &[u8], limit: u64) -> Option<Vec<u32>> {
    let (mut at, mut last, mut positions) = (0, 0_u64, vec![]);
    while at < bytes.len() {
        let gap = crate::onnx::wire::varint(bytes, &mut at, bytes.len())?;
        if gap == 0 && !positions.is_empty() {
            return None;
        }
        last = last.checked_add(gap).filter(|&position| position < limit)?;
        positions.push(last as u32);
    }
    Some(positions)
}
