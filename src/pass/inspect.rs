//! `inspect`: what was understood of a model, and what `rewrite` would edit.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::Error;
use super::site::Site;
use crate::config::Config;
use crate::few::few;
use crate::onnx::proto::ValueInfoProto;
use crate::onnx::{
    Evidence, Graph, Hints, InputRole, Layers, Linear, Modality, Model, Opaque, Tower, edits_of, find_layers,
    find_towers, input_roles, value_type,
};
use crate::report::{Inspection, LayerRow, TowerRow, ValueRow};

/// Reads a file and says what is in it. A graph without towers is no error here: then that is said.
///
/// # Errors
/// If the file is no model, or its graph breaks a rule of ONNX.
pub fn inspect(path: &Path, hints: &Hints, config: &Config) -> Result<Inspection, Error> {
    let model = Model::open(path)?;
    let graph = Graph::new(&model)?;
    let mut unusual = vec![];
    let towers = find_towers(&graph, hints);
    let trouble = towers.as_ref().err().map(ToString::to_string);
    let help = towers.as_ref().err().and_then(miette::Diagnostic::help).map(|help| help.to_string());
    let towers = towers.unwrap_or_default();
    let layers = find_layers(&graph, &towers);
    unusual.extend(of_the_file(&model));
    unusual.extend(of_the_graph(&graph));
    let sites: Vec<Site> = towers.iter().map(|tower| Site::new(&graph, tower.clone(), &layers)).collect();
    unusual.extend(sites.iter().flat_map(of_the_site));
    unusual.extend(of_the_layers(&layers));

    let mut chosen: BTreeSet<String> = BTreeSet::new();
    let mut selections = BTreeMap::new();
    for site in &sites {
        let wanted = config.recipe(site.modality())?.layers;
        match site.select(&wanted) {
            Ok(layers) => chosen.extend(layers.into_iter().map(|layer| layer.weight.initializer)),
            Err(error) => unusual.push(format!("rewrite would stop: {error}")),
        }
        selections.insert(site.modality(), wanted);
    }
    let mut rows: Vec<LayerRow> = vec![];
    for layer in &layers.linear {
        rows.push(linear_row(&model, layer, chosen.contains(&layer.weight.initializer)));
    }
    rows.extend(layers.opaque.iter().map(opaque_row));
    let roles: HashMap<&str, _> = input_roles(&graph, hints).unwrap_or_default().into_iter().collect();
    let role = |info: &ValueInfoProto| roles.get(info.name.as_str()).copied().flatten();
    let input = |info: &ValueInfoProto| ValueRow {
        name: info.name.clone(),
        value_type: value_type(info),
        role: role(info).map_or("unknown", InputRole::name).to_owned(),
    };
    let output = |info: &ValueInfoProto| ValueRow {
        name: info.name.clone(),
        value_type: value_type(info),
        role: role_of_output(&towers, &info.name),
    };
    let proto = model.proto();
    Ok(Inspection {
        path: path.to_owned(),
        sha256: model.sha256().to_owned(),
        ir_version: proto.ir_version,
        opsets: proto.opset_import.iter().map(|set| (domain(&set.domain).to_owned(), set.version)).collect(),
        exporter: format!("{} {}", proto.producer_name, proto.producer_version).trim().to_owned(),
        nodes: graph.nodes().len(),
        inputs: model.graph().input.iter().filter(|info| roles.contains_key(info.name.as_str())).map(input).collect(),
        outputs: model.graph().output.iter().map(output).collect(),
        towers: sites.iter().map(|site| tower_row(site, &selections[&site.modality()])).collect(),
        trouble,
        help,
        layers: rows,
        unusual,
    })
}

fn domain(name: &str) -> &str {
    if name.is_empty() { "ai.onnx" } else { name }
}

fn role_of_output(towers: &[Tower], name: &str) -> String {
    let of = towers.iter().find(|tower| tower.embedding == name);
    of.map_or("unused".to_owned(), |tower| {
        format!("{} {}", tower.modality, if tower.pooled { "embedding" } else { "hidden states" })
    })
}

fn tower_row(site: &Site, layers: &str) -> TowerRow {
    let Tower { modality, input, mask, constant, valid, embedding, pooled, .. } = &site.tower;
    let others = constant.iter().map(|(shape, role)| format!("{} ({role})", shape.name));
    TowerRow {
        tower: *modality,
        inputs: std::iter::once(&input.name)
            .chain(mask.as_ref().map(|mask| &mask.name))
            .cloned()
            .chain(others)
            .collect(),
        tokens: match modality {
            Modality::Text => {
                let [before, after] = site.tower.added;
                let added = if before + after > 0 {
                    format!(", and {} rows that it adds", before + after)
                } else {
                    String::new()
                };
                Some(format!("{valid}{added}"))
            }
            Modality::Vision => None,
        },
        embedding: embedding.clone(),
        pooled: *pooled,
        blocks: site.blocks(),
        layers: layers.to_owned(),
    }
}

fn linear_row(model: &Model, layer: &Linear, selected: bool) -> LayerRow {
    let opened = layer.weight.open(model);
    let (element, storage, trouble) = match &opened {
        Ok(opened) => (opened.element.name().to_owned(), opened.storage(model, &layer.weight.initializer), None),
        Err(error) => (String::new(), String::new(), Some(error.to_string())),
    };
    let why = match (selected, &trouble) {
        (true, _) => "selected".to_owned(),
        (false, Some(trouble)) => trouble.clone(),
        (false, None) if !layer.shared_with.is_empty() => format!("shared with {}", few(&layer.shared_with)),
        (false, None) => "not asked for".to_owned(),
    };
    LayerRow {
        tower: Some(layer.modality),
        block: layer.block,
        role: layer.role.clone(),
        told_by: told_by(&layer.evidence),
        node: layer.node.clone(),
        initializer: layer.weight.initializer.clone(),
        shape: Some(layer.weight.shape),
        element,
        storage,
        uses: 1 + layer.shared_with.len(),
        selected,
        why,
    }
}

fn opaque_row(node: &Opaque) -> LayerRow {
    LayerRow {
        tower: node.modality,
        block: node.block,
        role: node.role.clone(),
        told_by: String::new(),
        node: node.node.clone(),
        initializer: String::new(),
        shape: None,
        element: String::new(),
        storage: String::new(),
        uses: 1,
        selected: false,
        why: format!("its weight is {}", node.weight),
    }
}

fn told_by(evidence: &Evidence) -> String {
    match evidence {
        Evidence::Both => "structure and name".to_owned(),
        Evidence::Structure => "structure".to_owned(),
        Evidence::Name => "name".to_owned(),
        Evidence::Disputed(said) => format!("structure; its name says {said}"),
        Evidence::Nothing => String::new(),
    }
}

fn of_the_file(model: &Model) -> Vec<String> {
    let mut said = vec![];
    match edits_of(model) {
        0 => {}
        edits => said.push(format!("it was edited by this tool {edits} times before: rewrite asks for --force")),
    }
    let data: Vec<&str> = model.locations().iter().map(|(name, _)| name.as_str()).collect();
    if !data.is_empty() {
        said.push(format!("its external data are in {}", few(data)));
    }
    said
}

fn of_the_graph(graph: &Graph) -> Vec<String> {
    let mut said = vec![];
    let mut others: BTreeMap<String, usize> = BTreeMap::new();
    for node in graph.nodes().iter().filter(|node| !matches!(&*node.domain, "" | "ai.onnx")) {
        *others.entry(format!("{}.{}", node.domain, node.op_type)).or_default() += 1;
    }
    if !others.is_empty() {
        let counts: Vec<String> = others.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        said.push(format!("operators beyond ai.onnx, which tract may not know: {}", few(counts)));
    }
    let proto = graph.model.proto();
    if !proto.functions.is_empty() {
        said.push(format!("it has {} functions, whose weights are left alone", proto.functions.len()));
    }
    let inputs = &graph.model.graph().input;
    let overridable = inputs.iter().filter(|input| graph.is_initializer(&input.name)).count();
    if overridable > 0 {
        said.push(format!("{overridable} initializers are graph inputs too, which a caller can replace"));
    }
    said
}

fn of_the_site(site: &Site) -> Vec<String> {
    let tower = site.modality();
    let mut said = vec![];
    if let Some(batch) = site.fixed_batch() {
        said.push(format!("the {tower} tower takes {batch} samples at a time, no more and no fewer"));
    }
    if site.mixes_samples() {
        said.push(format!("the {tower} tower quantises its activations with one scale a batch"));
    }
    if !site.tower.pooled {
        said.push(format!(
            "the {tower} tower ends in '{}', a row a token: it can be edited, and not be evaluated",
            site.tower.embedding
        ));
    }
    said
}

fn of_the_layers(layers: &Layers) -> Vec<String> {
    let count = |wanted: fn(&Linear) -> bool| layers.linear.iter().filter(|layer| wanted(layer)).count();
    let words = [
        (
            count(|l| matches!(l.evidence, Evidence::Disputed(_))),
            "layers where name and structure disagree: structure counts",
        ),
        (count(|l| l.evidence == Evidence::Name), "layers whose role only their names tell"),
        (count(|l| l.evidence == Evidence::Nothing), "layers of unknown role"),
        (count(|l| !l.shared_with.is_empty()), "layers whose weights serve several nodes"),
        (layers.opaque.len(), "nodes with weights that are left alone"),
    ];
    words.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
}
