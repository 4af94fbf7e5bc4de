//! Mutations of graphs: cycles, outputs made twice, inputs that nothing makes, names that are shared, bodies and functions.

use uwm_onnx::onnx::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto};

use crate::{Trial, decoded, valid};

fn index(random: &mut fastrand::Rng, graph: &GraphProto) -> [usize; 2] {
    [random.usize(..graph.node.len()), random.usize(..graph.node.len())]
}

#[test]
fn values_and_who_makes_them() {
    let (mut trial, mut random) = (Trial::new(), fastrand::Rng::with_seed(21));
    for (name, bytes) in valid() {
        let model = decoded(&bytes);
        for round in 0..160 {
            let what = ["cycle", "twice", "missing", "no output", "tensor twice", "graph input", "empty", "swapped"]
                [round % 8];
            let said = trial.changed(&format!("{name}: {what}"), &model, |graph| {
                let [a, b] = index(&mut random, graph);
                let made = |graph: &GraphProto, at: usize| graph.node[at].output[0].clone();
                match what {
                    // A node needs the last of what comes of it.
                    "cycle" => {
                        let value = made(graph, b);
                        graph.node[a.min(b)].input.push(value);
                    }
                    "twice" => {
                        let value = made(graph, b);
                        graph.node[a].output.push(value);
                    }
                    "missing" => graph.node[a].input.push("nothing makes this".to_owned()),
                    "no output" => graph.output[0].name = "nothing makes this".to_owned(),
                    "tensor twice" => {
                        let again = graph.initializer[a % graph.initializer.len()].clone();
                        graph.initializer.push(again);
                    }
                    "graph input" => {
                        let value = made(graph, b);
                        graph.input[0].name = value;
                    }
                    "empty" => {
                        let node = &mut graph.node[a];
                        match b % 4 {
                            0 => node.output.clear(),
                            1 => node.input.clear(),
                            2 => node.op_type.clear(),
                            _ => node.input.iter_mut().for_each(String::clear),
                        }
                    }
                    _ => graph.node.swap(a, b),
                }
            });
            match what {
                "twice" | "missing" | "no output" => {
                    assert_eq!(said, Err("graph-invalid".to_owned()), "{name}: {what}")
                }
                // The order in the file is no rule here.
                "swapped" => assert!(said.is_ok(), "{name}: {said:?}"),
                _ => {}
            }
        }
    }
}

#[test]
fn operators_and_attributes() {
    let (mut trial, mut random) = (Trial::new(), fastrand::Rng::with_seed(22));
    let operators = [
        "MatMul",
        "Gemm",
        "Conv",
        "Constant",
        "Identity",
        "Cast",
        "DequantizeLinear",
        "QuantizeLinear",
        "MatMulNBits",
        "QLinearMatMul",
        "MatMulInteger",
        "DynamicQuantizeLinear",
        "Transpose",
        "Reshape",
        "Split",
        "Slice",
        "Gather",
        "If",
        "Loop",
        "Einsum",
        "LayerNormalization",
        "SkipLayerNormalization",
        "Attention",
        "FusedMatMul",
    ];
    for (name, bytes) in valid() {
        let model = decoded(&bytes);
        for _ in 0..120 {
            let _ = trial.changed(name, &model, |graph| {
                let [a, b] = index(&mut random, graph);
                let other = graph.node[b].clone();
                let node = &mut graph.node[a];
                match random.u8(..6) {
                    0 => node.op_type = operators[random.usize(..operators.len())].to_owned(),
                    1 => node.input = other.input,
                    2 => node.attribute = other.attribute,
                    3 => node.domain = ["", "com.microsoft", "ai.onnx", "x"][random.usize(..4)].to_owned(),
                    4 => {
                        let names = ["axis", "perm", "K", "N", "bits", "block_size", "transB", "alpha", "to", "axes"];
                        let odd = [0, -1, 1, 7, 1 << 20, i64::MAX, i64::MIN];
                        let value = odd[random.usize(..odd.len())];
                        let name = names[random.usize(..names.len())];
                        node.attribute.retain(|attribute| attribute.name != name);
                        node.attribute.push(AttributeProto {
                            name: name.to_owned(),
                            i: value,
                            ints: vec![value; random.usize(..5)],
                            r#type: random.i32(-1..15),
                            ..Default::default()
                        });
                    }
                    _ => {
                        for attribute in &mut node.attribute {
                            attribute.i = attribute.i.wrapping_mul(-1 << random.u8(..63));
                            attribute.ints.iter_mut().for_each(|i| *i = i.wrapping_sub(1 << random.u8(..63)));
                        }
                    }
                }
            });
        }
    }
}

/// A node that computes a value from nothing but the graph in its attribute.
fn with_body(op: &str, body: GraphProto, output: &str) -> NodeProto {
    let attribute = AttributeProto { name: "then_branch".to_owned(), g: Some(body), r#type: 5, ..Default::default() };
    NodeProto {
        op_type: op.to_owned(),
        output: vec![output.to_owned()],
        attribute: vec![attribute],
        ..Default::default()
    }
}

/// Graphs in graphs, as deep as the decoder follows and deeper.
#[test]
fn bodies_that_nest() {
    let mut trial = Trial::new();
    let (_, bytes) = &valid()[0];
    let model = decoded(bytes);
    // Each level is three messages: node, attribute, graph.
    for deep in [1, 10, 30, 31, 32, 33, 34, 40, 300] {
        let said = trial.changed("bodies", &model, |graph| {
            let mut body = GraphProto { name: "inmost".to_owned(), ..Default::default() };
            for _ in 0..deep {
                body = GraphProto { node: vec![with_body("If", body, "y")], ..Default::default() };
            }
            graph.node.push(with_body("If", body, "an unused value"));
        });
        assert!(said.is_ok() || deep > 30 && said == Err("model-not-onnx".to_owned()), "{deep}: {said:?}");
        assert!(deep < 40 || said.is_err(), "{deep}: {said:?}");
    }
    // Deeper than a message can be built: its bytes, from within. The lengths are of ten bytes, so that all is linear.
    for deep in [1000, 100_000] {
        let mut message = vec![];
        for level in 0..3 * deep {
            // Graph: node = 1. Node: attribute = 5. Attribute: g = 6.
            let tag = [0x32, 0x2a, 0x0a][level % 3];
            message = push_front(message, tag);
        }
        message.reverse();
        let said = trial.of("bodies", &[&bytes[..], &push_front_of(0x3a, message)].concat());
        assert_eq!(said, Err("model-not-onnx".to_owned()), "{deep}");
    }
    // Functions that call one another, and themselves: calls are not followed.
    let mut functions = model.clone();
    for k in 0..1000 {
        let call = |name: String| NodeProto {
            op_type: name,
            domain: "own".to_owned(),
            input: vec!["x".to_owned()],
            output: vec!["y".to_owned()],
            ..Default::default()
        };
        functions.functions.push(FunctionProto {
            name: format!("f{k}"),
            domain: "own".to_owned(),
            input: vec!["x".to_owned()],
            output: vec!["y".to_owned()],
            node: vec![call(format!("f{}", (k + 1) % 1000)), call(format!("f{k}"))],
            ..Default::default()
        });
    }
    let said = trial.changed("functions", &functions, |graph| {
        let value = graph.node.last().unwrap().output[0].clone();
        graph.node.push(NodeProto {
            op_type: "f0".to_owned(),
            domain: "own".to_owned(),
            input: vec![value],
            output: vec!["called".to_owned()],
            ..Default::default()
        });
    });
    assert!(said.is_ok(), "{said:?}");
}

/// A message in a field of another, both reversed: what is in front comes last.
fn push_front(mut reversed: Vec<u8>, tag: u8) -> Vec<u8> {
    let mut length = reversed.len();
    let mut bytes = vec![];
    while length > 0x7f {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    reversed.extend(bytes.iter().rev());
    reversed.push(tag);
    reversed
}

fn push_front_of(tag: u8, mut message: Vec<u8>) -> Vec<u8> {
    message.reverse();
    let mut framed = push_front(message, tag);
    framed.reverse();
    framed
}

/// Bodies that take values from around them, and hold tensors of the names of those outside.
#[test]
fn bodies_that_reach_out() {
    let (mut trial, mut random) = (Trial::new(), fastrand::Rng::with_seed(23));
    for (name, bytes) in valid() {
        let model = decoded(&bytes);
        for _ in 0..40 {
            let _ = trial.changed(name, &model, |graph| {
                let [a, b] = index(&mut random, graph);
                let captured = graph.node[b].output[0].clone();
                let tensor = graph.initializer[a % graph.initializer.len()].clone();
                let inner = NodeProto {
                    op_type: "Identity".to_owned(),
                    input: vec![captured],
                    output: vec!["z".to_owned()],
                    ..Default::default()
                };
                let body = GraphProto { node: vec![inner], initializer: vec![tensor], ..Default::default() };
                let attribute = AttributeProto {
                    name: "body".to_owned(),
                    g: Some(body.clone()),
                    graphs: vec![body],
                    r#type: 5,
                    ..Default::default()
                };
                graph.node[a].attribute.push(attribute);
                graph.node[a].attribute.push(AttributeProto {
                    name: "value".to_owned(),
                    t: Some(TensorProto { dims: vec![random.i64(..)], ..Default::default() }),
                    ..Default::default()
                });
            });
        }
    }
}
