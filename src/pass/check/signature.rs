//! What a program that runs a model relies on: inputs, outputs, opsets, and the version of the format.

use std::collections::HashMap;

use crate::few::{cut, few, few_of};
use crate::onnx::proto::{ModelProto, ValueInfoProto};
use crate::onnx::{Model, value_type};

/// What differs in inputs and outputs (names, order, types, shapes), opset imports and IR version, a phrase each; empty
/// if the model can take the original's place.
pub fn differences(original: &Model, model: &Model) -> Vec<String> {
    let (a, b) = (original.graph(), model.graph());
    let mut found = of_values("input", &a.input, &b.input);
    found.extend(of_values("output", &a.output, &b.output));
    found.extend(of_opsets(original.proto(), model.proto()));
    let [was, is] = [original, model].map(|model| model.proto().ir_version);
    if was != is {
        found.push(format!("the IR version is {is} and was {was}"));
    }
    found
}

fn of_values<'a>(what: &str, was: &'a [ValueInfoProto], is: &'a [ValueInfoProto]) -> Vec<String> {
    let by_name = |of: &'a [ValueInfoProto]| -> HashMap<&'a str, &'a ValueInfoProto> {
        of.iter().map(|value| (value.name.as_str(), value)).collect()
    };
    let [before, after] = [was, is].map(by_name);
    let missing = |of: &[ValueInfoProto], from: &HashMap<&str, &ValueInfoProto>| -> Vec<String> {
        let names = of.iter().filter(|value| !from.contains_key(value.name.as_str()));
        names.map(|value| format!("'{}'", cut(&value.name))).collect()
    };
    let (gone, new) = (missing(was, &after), missing(is, &before));
    let mut found = vec![];
    if !gone.is_empty() {
        found.push(format!("{what}s are gone: {}", few(&gone)));
    }
    if !new.is_empty() {
        found.push(format!("{what}s are new: {}", few(&new)));
    }
    let names = |of: &[ValueInfoProto]| of.iter().map(|value| value.name.clone()).collect::<Vec<_>>();
    if gone.is_empty() && new.is_empty() && names(was) != names(is) {
        found.push(format!("the {what}s stand in another order: {}", few(names(is))));
    }
    let pairs: Vec<(&ValueInfoProto, &ValueInfoProto)> = is
        .iter()
        .filter_map(|value| Some((*before.get(value.name.as_str())?, value)))
        .filter(|(was, is)| was.r#type != is.r#type)
        .collect();
    if !pairs.is_empty() {
        let describe = |(was, is): &(&ValueInfoProto, &ValueInfoProto)| {
            let [was_type, is_type] = [was, is].map(|value| cut(&value_type(value)));
            format!("'{}' is {is_type} and was {was_type}", cut(&is.name))
        };
        found.push(format!("{what}s are of other types: {}", few_of(&pairs, describe)));
    }
    found
}

fn of_opsets<'a>(was: &'a ModelProto, is: &'a ModelProto) -> Option<String> {
    let [was, is] = [was, is].map(|proto| {
        let name = |domain: &'a str| if domain.is_empty() { "ai.onnx" } else { domain };
        let mut sets: Vec<_> = proto.opset_import.iter().map(|set| (name(&set.domain), set.version)).collect();
        sets.sort_unstable();
        sets
    });
    let list = |of: &[(&str, i64)]| few_of(of, |(domain, version)| format!("{} {version}", cut(domain)));
    (was != is).then(|| format!("the opsets are {} and were {}", list(&is), list(&was)))
}
