//! `inspect`: what was understood of a model, and what `rewrite` would edit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::aim::AimedPlan;
use super::site::Site;
use super::{Error, ModelFiles};
use crate::config::{Config, Method};
use crate::few::few;
use crate::onnx::proto::ValueInfoProto;
use crate::onnx::{
    Evidence, Graph, Hints, InputRole, Layers, Linear, Modality, Model, Opaque, Rows, Tower, Towers, edits_of,
    find_layers, find_towers, input_roles, value_type,
};
use crate::report::{Inspection, LayerRow, TowerRow, ValueRow};

/// Says what is in a model's files.
///
/// # Errors
/// If one is no model, its graph breaks a rule of ONNX, or what the user says is of none of them.
pub fn inspect(files: &ModelFiles, hints: &Hints, config: &Config) -> Result<Vec<Inspection>, Error> {
    let models = files.inputs().iter().map(|path| Model::open(path)).collect::<Result<Vec<_>, _>>()?;
    let graphs = models.iter().map(Graph::new).collect::<Result<Vec<_>, _>>()?;
    hints.check(&graphs)?;
    let of = |(file, graph): (usize, &Graph)| {
        let mut hints = Hints { only: files.wanted(file), ..hints.clone() };
        // Those of the other file are checked there.
        hints.embeddings.retain(|name| graph.producer(name).is_some());
        inspect_graph(graph, &hints, config)
    };
    graphs.iter().enumerate().map(of).collect()
}

/// A graph without towers is no error here: then that is said.
fn inspect_graph(graph: &Graph, hints: &Hints, config: &Config) -> Result<Inspection, Error> {
    let model = graph.model;
    let (mut unusual, mut stops) = (vec![], vec![]);
    let towers = find_towers(graph, hints).unwrap_or_else(|error| {
        stops.push(with_advice(&error));
        Towers::default()
    });
    unusual.extend(towers.left_out(hints.only));
    let failed = towers.failed.iter().filter(|(tower, _)| hints.wants(*tower));
    stops.extend(failed.map(|(tower, reason)| format!("the {tower} tower: {reason}")));
    if let Some(only) = hints.only.filter(|only| !towers.found.iter().any(|tower| tower.modality == *only)) {
        stops.push(format!("given with --{only}, and there is no {only} tower"));
    }
    let layers = find_layers(graph, &towers.found);
    unusual.extend(of_the_file(model));
    unusual.extend(of_the_graph(graph));
    let sites: Vec<Site> = towers.found.iter().map(|tower| Site::new(graph, tower.clone(), &layers)).collect();
    unusual.extend(sites.iter().flat_map(of_the_site));
    unusual.extend(of_the_layers(&layers));

    if let Err(error) = hints.check_used(&towers.found.iter().collect::<Vec<_>>()) {
        stops.push(with_advice(&error));
    }
    let (mut chosen, mut selections) = (BTreeSet::new(), BTreeMap::new());
    for site in sites.iter().filter(|site| hints.wants(site.modality())) {
        let wanted = match config.method(site.modality())? {
            None => continue,
            Some(Method::Scored(recipe)) => recipe.layers,
            Some(Method::Aimed(aimed)) => match AimedPlan::new(0, site, aimed) {
                Ok(plan) => plan.layer.role,
                Err(error) => {
                    unusual.push(error.to_string());
                    continue;
                }
            },
        };
        unusual.extend(site.convolutions(&wanted));
        match site.select(&wanted) {
            Ok(layers) => {
                chosen.extend(layers.into_iter().map(|layer| (layer.modality, layer.weight.initializer)));
            }
            Err(error) => stops.push(with_advice(&error)),
        }
        selections.insert(site.modality(), wanted);
    }
    if !stops.is_empty() {
        // Nothing would be edited.
        chosen.clear();
    }
    let constants: HashSet<&str> = graph
        .nodes()
        .iter()
        .filter(|node| node.op_type == "Constant")
        .filter_map(|node| node.output.first())
        .map(String::as_str)
        .collect();
    let linear = |layer: &Linear| {
        let selected = chosen.contains(&(layer.modality, layer.weight.initializer.clone()));
        linear_row(model, layer, constants.contains(&*layer.weight.initializer), selected)
    };
    let rows = layers.linear.iter().map(linear).chain(layers.opaque.iter().map(opaque_row)).collect();
    let roles: HashMap<&str, _> = input_roles(graph, hints).into_iter().collect();
    let input = |info: &ValueInfoProto| ValueRow {
        name: info.name.clone(),
        value_type: value_type(info),
        role: roles.get(info.name.as_str()).copied().flatten().map_or("unknown", InputRole::name).to_owned(),
    };
    let output = |info: &ValueInfoProto| ValueRow {
        name: info.name.clone(),
        value_type: value_type(info),
        role: role_of_output(&towers.found, &info.name),
    };
    let proto = model.proto();
    Ok(Inspection {
        path: model.path().to_owned(),
        sha256: model.sha256().to_owned(),
        ir_version: proto.ir_version,
        opsets: proto.opset_import.iter().map(|set| (domain(&set.domain).to_owned(), set.version)).collect(),
        exporter: format!("{} {}", proto.producer_name, proto.producer_version).trim().to_owned(),
        nodes: graph.nodes().len(),
        inputs: model.graph().input.iter().filter(|info| roles.contains_key(info.name.as_str())).map(input).collect(),
        outputs: model.graph().output.iter().map(output).collect(),
        towers: sites.iter().map(|site| tower_row(site, selections.get(&site.modality()))).collect(),
        layers: rows,
        stops,
        unusual,
    })
}

/// What is wrong and what to do.
fn with_advice(error: &crate::onnx::Error) -> String {
    let help = miette::Diagnostic::help(error).map_or(String::new(), |help| format!("; {help}"));
    format!("{error}{help}")
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

fn tower_row(site: &Site, layers: Option<&String>) -> TowerRow {
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
                let Rows { cut, added } = site.tower.rows;
                let (cut, added) = (cut[0] + cut[1], added[0] + added[1]);
                let mut text = valid.to_string();
                if cut > 0 {
                    text += &format!(", but for {cut} that the graph cuts off");
                }
                if added > 0 {
                    text += &format!(", and {added} rows that it adds");
                }
                Some(text)
            }
            Modality::Vision => None,
        },
        embedding: embedding.clone(),
        pooled: *pooled,
        blocks: site.blocks(),
        layers: layers.cloned(),
    }
}

fn linear_row(model: &Model, layer: &Linear, constant_node: bool, selected: bool) -> LayerRow {
    let opened = layer.weight.open(model);
    let (element, storage, trouble) = match &opened {
        Ok(opened) => (opened.element.name().to_owned(), opened.storage(model, constant_node), None),
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
        module: layer.module.clone(),
        initializer: layer.weight.initializer.clone(),
        shape: Some(layer.weight.shape),
        element,
        storage,
        uses: layer.uses.len() + layer.shared_with.len(),
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
        module: String::new(),
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
        (
            count(|l| l.uses.len() > 1),
            "layers whose weights serve several nodes (tied): the first one's place is shown",
        ),
        (count(|l| !l.shared_with.is_empty()), "layers whose weights serve something else too, and are not edited"),
        (layers.opaque.len(), "nodes with weights that are left alone"),
    ];
    words.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
}
