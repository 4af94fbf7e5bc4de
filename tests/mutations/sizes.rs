//! Models that are large in one way: a hundred thousand nodes, names of a megabyte, nothing but the smallest parts.

use std::time::Instant;

use uwm_onnx::onnx::proto::{
    AttributeProto, GraphProto, NodeProto, StringStringEntryProto, TensorProto, ValueInfoProto,
};

use crate::{Trial, decoded, valid};

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    }
}

/// Says how long it took: it should be seconds for all of them.
fn timed(what: &str, trial: &mut Trial, change: impl FnOnce(&mut GraphProto)) -> Result<usize, String> {
    let begin = Instant::now();
    let said = trial.changed(what, &decoded(&valid()[0].1), change);
    eprintln!("{what}: {:.2} s, {said:?}", begin.elapsed().as_secs_f64());
    said
}

#[test]
fn a_hundred_thousand_nodes() {
    const MANY: usize = 100_000;
    let mut trial = Trial::new();
    let value = |k: usize| format!("v{k}");
    assert!(
        timed("a chain", &mut trial, |graph| {
            let mut before = graph.node[0].output[0].clone();
            for k in 0..MANY {
                graph.node.push(node("Relu", &[&before], &value(k)));
                before = value(k);
            }
        })
        .is_ok()
    );
    assert!(
        timed("Identity after Identity of a weight", &mut trial, |graph| {
            let mut before = graph.initializer[0].name.clone();
            for k in 0..MANY {
                graph.node.push(node("Identity", &[&before], &value(k)));
                before = value(k);
            }
            // Each is asked for behind that chain.
            for k in 0..200 {
                graph.node.push(node("MatMul", &[&value(k), &before], &format!("m{k}")));
            }
        })
        .is_ok()
    );
    assert!(
        timed("constants that are none, and bodies with tensors", &mut trial, |graph| {
            let input = graph.node[0].output[0].clone();
            let tensor =
                |k: usize| TensorProto { name: format!("inner{k}"), dims: vec![1], data_type: 1, ..Default::default() };
            let body = GraphProto { initializer: (0..MANY / 2).map(tensor).collect(), ..Default::default() };
            let attribute =
                AttributeProto { name: "then_branch".to_owned(), g: Some(body), r#type: 5, ..Default::default() };
            graph.node.push(NodeProto { attribute: vec![attribute], ..node("If", &[], "unused") });
            for k in 0..MANY / 4 {
                graph.node.push(node("Constant", &[], &value(k)));
                graph.node.push(node("MatMul", &[&input, &value(k)], &format!("m{k}")));
            }
        })
        .is_ok()
    );
    assert!(
        timed("weights", &mut trial, |graph| {
            let input = graph.node[0].output[0].clone();
            for k in 0..MANY / 2 {
                let raw_data = Some(vec![0; 16].into());
                graph.initializer.push(TensorProto {
                    name: value(k),
                    dims: vec![2, 2],
                    data_type: 1,
                    raw_data,
                    ..Default::default()
                });
                graph.node.push(node("MatMul", &[&input, &value(k)], &format!("m{k}")));
            }
        })
        .is_ok()
    );
    assert!(
        timed("one weight for all", &mut trial, |graph| {
            let input = graph.node[0].output[0].clone();
            let weight = graph.initializer.iter().find(|tensor| tensor.dims.len() == 2).unwrap().name.clone();
            graph.node.extend((0..MANY).map(|k| node("MatMul", &[&input, &weight], &value(k))));
        })
        .is_ok()
    );
    assert!(
        timed("one node of all", &mut trial, |graph| {
            let input = graph.node[0].output[0].clone();
            let all: Vec<String> = (0..MANY).map(value).collect();
            graph.node.push(NodeProto { output: all.clone(), ..node("Split", &[&input], "first") });
            graph.node.push(NodeProto { input: all, ..node("Concat", &[], "joined") });
        })
        .is_ok()
    );
    let _ = timed("inputs and outputs", &mut trial, |graph| {
        graph.input.extend((0..MANY).map(|k| ValueInfoProto { name: value(k), ..Default::default() }));
        graph.output.extend((0..MANY).map(|k| ValueInfoProto { name: value(k), ..Default::default() }));
    });
    let _ = timed("entries of one tensor", &mut trial, |graph| {
        let entry = |k: usize| StringStringEntryProto { key: value(k), value: String::new() };
        graph.initializer[0].external_data = (0..MANY).map(entry).collect();
        graph.initializer[0].data_location = 1;
    });
    let _ = timed("tensors in one file that is not there", &mut trial, |graph| {
        for k in 0..MANY {
            let entry =
                StringStringEntryProto { key: "location".to_owned(), value: format!("./{}no", "./".repeat(k % 7)) };
            graph.initializer.push(TensorProto {
                name: value(k),
                data_location: 1,
                external_data: vec![entry],
                ..Default::default()
            });
        }
    });
}

#[test]
fn names_of_a_megabyte() {
    let long = "n".repeat(1 << 20);
    let mut trial = Trial::new();
    let model = decoded(&valid()[0].1);
    for part in 0..9 {
        let _ = trial.changed(&format!("part {part}"), &model, |graph| match part {
            0 => graph.name.clone_from(&long),
            1 => graph.node.iter_mut().take(5).for_each(|node| node.name.clone_from(&long)),
            2 => graph.node[3].op_type.clone_from(&long),
            3 => graph.node[3].domain.clone_from(&long),
            4 => graph.initializer.iter_mut().take(5).for_each(|tensor| tensor.name.clone_from(&long)),
            5 => graph.input[0].name.clone_from(&long),
            6 => graph.output[0].name.clone_from(&long),
            7 => graph.node[3].input[0].clone_from(&long),
            _ => graph.node[3].output[0].clone_from(&long),
        });
    }
    // A value of that name which everything uses.
    let (old, new) = (model.graph.as_ref().unwrap().node[0].output[0].clone(), &long);
    let said = trial.changed("a long name of a value", &model, |graph| {
        let names = graph.node.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
        names.filter(|name| **name == old).for_each(|name| name.clone_from(new));
        let mut before = long.clone();
        for k in 0..20 {
            graph.node.push(node("Relu", &[&before], &format!("v{k}")));
            before = format!("v{k}");
        }
    });
    assert!(said.is_ok(), "{said:?}");
}

/// Nothing but the smallest parts that a file can be made of: what is two bytes in the file is a whole structure in memory.
#[test]
fn nothing_but_small_parts() {
    let mut trial = Trial::new();
    let framed = |tag: u8, inner: &[u8]| {
        let mut bytes = vec![tag];
        prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
        [&bytes[..], inner].concat()
    };
    let model = |graph: &[u8]| framed(0x3a, graph);
    let count = 1 << 19;
    for (what, bytes) in [
        ("nodes", model(&[0x0a, 0].repeat(count))),
        ("initializers", model(&[0x2a, 0].repeat(count))),
        ("inputs", [model(&framed(0x0a, b"")), model(&[0x5a, 0].repeat(count))].concat()),
        ("outputs", [model(&framed(0x0a, b"")), model(&[0x62, 0].repeat(count))].concat()),
        ("names of inputs", model(&framed(0x0a, &[0x0a, 0].repeat(count)))),
        ("attributes", model(&framed(0x0a, &[0x2a, 0].repeat(count)))),
        ("opsets", [model(&framed(0x0a, b"")), [0x42, 0].repeat(count)].concat()),
        ("metadata", [model(&framed(0x0a, b"")), [0x72, 0].repeat(count)].concat()),
        ("functions", [model(&framed(0x0a, b"")), [0xca, 0x01, 0].repeat(count)].concat()),
        ("graphs", [model(&framed(0x0a, b"")), model(b"").repeat(count)].concat()),
        ("dims", model(&[framed(0x0a, b""), framed(0x2a, &framed(0x0a, &vec![1; count]))].concat())),
        ("ints", model(&framed(0x0a, &framed(0x2a, &framed(0x42, &vec![1; count]))))),
    ] {
        let said = trial.of(what, &bytes);
        assert!(said.is_err(), "{what}: {said:?}");
    }
}
