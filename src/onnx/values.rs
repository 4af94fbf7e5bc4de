//! The values of any tensor of a model, wherever it is, to compare them.

use std::borrow::Cow;

use super::external;
use super::graph::label;
use super::model::Model;
use super::proto::tensor_proto::{DataLocation, DataType};
use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto};

/// A tensor with a name that a user can find it by.
pub struct Named<'m> {
    /// Its own name; for one in an attribute that of its node's output, or of its node.
    pub name: String,
    /// The tensor.
    pub tensor: &'m TensorProto,
    /// Whether it stands in an attribute of a node.
    pub of_node: bool,
}

/// All tensors of a model: of its graph, its functions, and what is inside their nodes.
pub fn tensors(proto: &ModelProto) -> Vec<Named<'_>> {
    let mut found = vec![];
    let training = proto.training_info.iter().flat_map(|info| info.initialization.iter().chain(&info.algorithm));
    for graph in proto.graph.iter().chain(training) {
        of_graph(graph, "", &mut found);
    }
    for function in &proto.functions {
        of_nodes(&function.node, &format!("function {}: ", function.name), &mut found);
        of_attributes(&function.attribute_proto, &format!("function {}", function.name), &mut found);
    }
    found
}

// The depth is bounded by the decoder's recursion limit.
fn of_graph<'m>(graph: &'m GraphProto, within: &str, found: &mut Vec<Named<'m>>) {
    let name = |tensor: &TensorProto| format!("{within}{}", tensor.name);
    found.extend(graph.initializer.iter().map(|tensor| Named { name: name(tensor), tensor, of_node: false }));
    let sparse = graph.sparse_initializer.iter().flat_map(|sparse| sparse.values.iter().chain(&sparse.indices));
    found.extend(sparse.map(|tensor| Named { name: name(tensor), tensor, of_node: false }));
    of_nodes(&graph.node, within, found);
}

fn of_nodes<'m>(nodes: &'m [NodeProto], within: &str, found: &mut Vec<Named<'m>>) {
    for (index, node) in nodes.iter().enumerate() {
        let name = match (node.op_type.as_str(), node.output.first()) {
            ("Constant", Some(output)) => format!("{within}{output}"),
            _ => format!("{within}{}", label(node, index)),
        };
        of_attributes(&node.attribute, &name, found);
    }
}

fn of_attributes<'m>(attributes: &'m [super::proto::AttributeProto], name: &str, found: &mut Vec<Named<'m>>) {
    for attribute in attributes {
        let sparse = attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors);
        let sparse = sparse.flat_map(|sparse| sparse.values.iter().chain(&sparse.indices));
        let own = attribute.t.iter().chain(&attribute.tensors).chain(sparse);
        found.extend(own.map(|tensor| Named { name: name.to_owned(), tensor, of_node: true }));
        for body in attribute.g.iter().chain(&attribute.graphs) {
            of_graph(body, &format!("{name}: "), found);
        }
    }
}

/// The values as `raw_data` would hold them (strings: lengths and bytes).
///
/// # Errors
/// If they are in a data file that does not have them.
pub fn plain<'m>(model: &'m Model, tensor: &'m TensorProto) -> Result<Cow<'m, [u8]>, String> {
    if tensor.data_location() == DataLocation::External {
        let value = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
        let location = value("location").ok_or("its external data has no location")?;
        let (_, source) =
            model.locations().iter().find(|(known, _)| known == location).ok_or("its data file is closed")?;
        let number = |key: &str| value(key).map(|value| external::number(key, value)).transpose();
        let bytes = model.sources()[*source].bytes();
        let start = number("offset")?.unwrap_or(0);
        let end = match number("length")? {
            Some(length) => start.checked_add(length),
            None => length_of(tensor).and_then(|length| start.checked_add(length)),
        };
        let range = end.and_then(|end| bytes.get(start..end));
        return Ok(range.ok_or_else(|| format!("its values go beyond the end of '{location}'"))?.into());
    }
    if let Some(raw) = &tensor.raw_data {
        return Ok(raw.as_ref().into());
    }
    let mut plain: Vec<u8> = vec![];
    plain.extend(tensor.float_data.iter().flat_map(|value| value.to_le_bytes()));
    plain.extend(tensor.double_data.iter().flat_map(|value| value.to_le_bytes()));
    plain.extend(tensor.int64_data.iter().flat_map(|value| value.to_le_bytes()));
    plain.extend(tensor.uint64_data.iter().flat_map(|value| value.to_le_bytes()));
    let width = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Int32) => 4,
        Ok(DataType::Int16 | DataType::Uint16 | DataType::Float16 | DataType::Bfloat16) => 2,
        _ => 1,
    };
    plain.extend(tensor.int32_data.iter().flat_map(|value| value.to_le_bytes().into_iter().take(width)));
    for string in &tensor.string_data {
        plain.extend((string.len() as u64).to_le_bytes());
        plain.extend(string.iter());
    }
    Ok(plain.into())
}

fn length_of(tensor: &TensorProto) -> Option<usize> {
    let bits = super::spans::element_bits(u64::try_from(tensor.data_type).ok()?);
    let mut dims = tensor.dims.iter();
    let count = dims.try_fold(1_usize, |product, &dim| product.checked_mul(usize::try_from(dim).ok()?))?;
    Some(count.checked_mul(bits)?.div_ceil(8))
}
