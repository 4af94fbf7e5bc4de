//! What exporters' names say of a node: the PyTorch module it came from, and so its role and block.

use super::proto::NodeProto;

/// Ends of module paths by role; the longest that fits counts.
const ROLES: [(&str, &[&str]); 11] = [
    ("q_proj", &["q_proj", "query", "to_q", "q_lin"]),
    ("k_proj", &["k_proj", "key", "to_k", "k_lin"]),
    ("v_proj", &["v_proj", "value", "to_v", "v_lin"]),
    ("in_proj", &["qkv", "in_proj", "c_attn", "Wqkv", "query_key_value", "to_qkv"]),
    ("kv_proj", &["kv", "to_kv", "kv_proj"]),
    (
        "out_proj",
        &[
            "out_proj",
            "o_proj",
            "out_lin",
            "to_out",
            "to_out.0",
            "attn.proj",
            "attn_pool.proj",
            "attn.c_proj",
            "attention.proj",
            "attention.dense",
            "attention.output.dense",
            "crossattention.output.dense",
            "self_attn.projection",
            "attention.projection",
        ],
    ),
    ("fc1", &["fc1", "fc1_x", "c_fc", "lin1", "up_proj", "intermediate.dense", "dense_h_to_4h", "weights_in", "w12"]),
    ("fc1_gate", &["gate_proj", "fc1_g"]),
    ("fc2", &["fc2", "mlp.c_proj", "lin2", "down_proj", "output.dense", "dense_4h_to_h", "weights_out"]),
    (
        "projection",
        &[
            "visual_projection",
            "vision_projection",
            "image_projection",
            "text_projection",
            "visual_proj",
            "vision_proj",
            "image_proj",
            "text_proj",
            "head.proj",
            "text_model.head",
        ],
    ),
    // None of a block's.
    ("", &["pooler.dense"]),
];

/// Modules that come after the blocks.
const HEADS: [&str; 6] = ["head", "attn_pool", "attnpool", "attn_pool_contrastive", "attentional_pooler", "map_head"];

/// What a name says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// The module path, joined by dots; empty if there is none.
    pub module: String,
    /// The role that it is known for.
    pub role: Option<String>,
    /// The number of the block, where the path has one number.
    pub block: Option<usize>,
}

/// What a node's name or metadata say.
pub(super) fn named(node: &NodeProto) -> Named {
    let path = module_path(node);
    let module = path.join(".");
    let mut best: Option<(&str, usize)> = None;
    for (role, ends) in &ROLES {
        for end in *ends {
            let fits = module.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            if fits && best.is_none_or(|(_, length)| end.len() > length) {
                best = Some((role, end.len()));
            }
        }
    }
    let inner = path.split_last().map_or(&[][..], |(_, before)| before);
    let head = inner.iter().any(|part| HEADS.contains(&part.as_str()));
    let role = best.map(|(role, _)| role).filter(|role| !role.is_empty());
    let role = role.map(|role| if head && role != "projection" { format!("head.{role}") } else { role.to_owned() });
    let numbers: Vec<usize> = inner.iter().skip(1).filter_map(|part| part.parse().ok()).collect();
    let block = match numbers.as_slice() {
        [one] if !head => Some(*one),
        _ => None,
    };
    Named { module, role, block }
}

/// The parts of the PyTorch module path a node was exported from; empty where the exporter left none.
fn module_path(node: &NodeProto) -> Vec<String> {
    let scopes = node.metadata_props.iter().find(|entry| entry.key == "pkg.torch.onnx.name_scopes");
    if let Some(entry) = scopes {
        // A printed Python list: ['', 'm', 'm.text_model', ..., 'm.text_model.[...].fc2', 'linear_23'].
        let names: Vec<&str> = entry.value.split('\'').skip(1).step_by(2).collect();
        if let [.., module, _operator] = names.as_slice() {
            return module.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        }
    }
    let mut parts: Vec<String> =
        node.name.split(['/', '.']).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    // ONNX Runtime's optimiser adds what it did.
    if parts.last().is_some_and(|last| last.ends_with("Fusion")) {
        parts.pop();
    }
    // The operator's own name, which quantisers keep and lengthen: `MatMul_quant`, `MatMul_Q4`.
    let operators = [node.op_type.as_str(), "MatMul", "Gemm"];
    if parts.last().is_some_and(|last| operators.iter().any(|operator| last.starts_with(operator))) {
        parts.pop();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> (Option<String>, Option<usize>) {
        let node = NodeProto { name: name.to_owned(), op_type: "MatMul".to_owned(), ..NodeProto::default() };
        let Named { role, block, .. } = named(&node);
        (role, block)
    }

    #[test]
    fn names_of_many_exporters_are_understood() {
        for (name, role, block) in [
            ("/text_model/encoder/layers.0/self_attn/q_proj/MatMul", Some("q_proj"), Some(0)),
            ("/vision_model/encoder/layers.11/mlp/fc2/MatMul_quant", Some("fc2"), Some(11)),
            ("/bert/encoder/layer.3/attention/output/dense/MatMul_Q4", Some("out_proj"), Some(3)),
            ("/bert/encoder/layer.3/attention/self/query/MatMul", Some("q_proj"), Some(3)),
            ("/bert/encoder/layer.3/output/dense/MatMul", Some("fc2"), Some(3)),
            ("/bert/pooler/dense/Gemm", None, None),
            ("/visual/transformer/resblocks.2/mlp/c_proj/MatMul", Some("fc2"), Some(2)),
            ("/visual/transformer/resblocks.2/attn/MatMul_1", None, Some(2)),
            ("/vision_model/head/mlp/fc1/MatMul", Some("head.fc1"), None),
            ("/visual/trunk/attn_pool/kv/MatMul", Some("head.kv_proj"), None),
            ("/visual/trunk/stages.2/blocks.5/mlp/fc1/MatMul", Some("fc1"), None),
            ("/vision_model/encoder/layers.3/mlp/fc2/MatMul/MatMulAddFusion", Some("fc2"), Some(3)),
            ("/text_model/head/Gemm", Some("projection"), None),
            ("/visual_projection/MatMul", Some("projection"), None),
            ("MatMul_12", None, None),
            ("", None, None),
        ] {
            assert_eq!(of(name), (role.map(str::to_owned), block), "{name}");
        }
    }

    #[test]
    fn metadata_go_before_names() {
        let value = "['', 'm', 'm.text_model', 'm.text_model.encoder.layers.1.mlp', 'm.text_model.encoder.layers.1.mlp.fc2', 'linear_3']";
        let entry = crate::onnx::proto::StringStringEntryProto {
            key: "pkg.torch.onnx.name_scopes".to_owned(),
            value: value.to_owned(),
        };
        let node = NodeProto { name: "node_MatMul_8".to_owned(), metadata_props: vec![entry], ..NodeProto::default() };
        let told = named(&node);
        assert_eq!((told.role.as_deref(), told.block), (Some("fc2"), Some(1)));
        assert_eq!(told.module, "m.text_model.encoder.layers.1.mlp.fc2");
    }
}
