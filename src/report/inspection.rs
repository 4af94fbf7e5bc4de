//! What was understood of a model, as text and JSON.

use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::Aim;
use super::shown;
use crate::onnx::Modality;

/// A model file, as `inspect` understands it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The file.
    #[serde(serialize_with = "shown")]
    pub path: PathBuf,
    /// Its SHA-256.
    pub sha256: String,
    /// Version of ONNX's format.
    pub ir_version: i64,
    /// Operator sets by domain.
    pub opsets: Vec<(String, i64)>,
    /// Producer and version, as the file says.
    pub exporter: String,
    /// How many nodes its main graph has.
    pub nodes: usize,
    /// Graph inputs that are no initializers.
    pub inputs: Vec<ValueRow>,
    /// Graph outputs.
    pub outputs: Vec<ValueRow>,
    /// The towers that are understood.
    pub towers: Vec<TowerRow>,
    /// Why `rewrite` would stop, if it would.
    pub stops: Vec<String>,
    /// All linear layers.
    pub layers: Vec<LayerRow>,
    /// What a user should know.
    pub unusual: Vec<String>,
}

/// A graph input or output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueRow {
    /// Its name.
    pub name: String,
    /// Element type and dimensions.
    #[serde(rename = "type")]
    pub value_type: String,
    /// What it is for.
    pub role: String,
}

/// A tower.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TowerRow {
    /// text or vision.
    pub tower: Modality,
    /// Names of its inputs.
    pub inputs: Vec<String>,
    /// Which tokens count, for texts.
    pub tokens: Option<String>,
    /// The value it ends with.
    pub embedding: String,
    /// Whether that is one row a sample.
    pub pooled: bool,
    /// How many blocks it has.
    pub blocks: usize,
    /// Which layers are asked for, if it is to be edited.
    pub layers: Option<String>,
}

/// A linear layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerRow {
    /// text or vision, where it is of one.
    pub tower: Option<Modality>,
    /// Number of its block, where it is in one.
    pub block: Option<usize>,
    /// What it is there.
    pub role: String,
    /// How that is known.
    pub told_by: String,
    /// Its node.
    pub node: String,
    /// The PyTorch module it was exported from, where the exporter says.
    pub module: String,
    /// Its weight's tensor; empty if that is out of reach.
    pub initializer: String,
    /// `[O, I]`.
    pub shape: Option<[usize; 2]>,
    /// Element type, or that of its codes.
    #[serde(rename = "type")]
    pub element: String,
    /// Where its values are.
    pub storage: String,
    /// How many nodes use it.
    pub uses: usize,
    /// Whether `rewrite` would edit it.
    pub selected: bool,
    /// Why, or why not.
    pub why: String,
}

impl Inspection {
    /// For a terminal.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let opsets: Vec<String> = self.opsets.iter().map(|(domain, version)| format!("{domain} {version}")).collect();
        let exporter = if self.exporter.is_empty() { "an unnamed tool" } else { &self.exporter };
        let _ = writeln!(out, "{}", self.path.display());
        let _ = writeln!(
            out,
            "from {exporter}, IR version {}, opsets {}, {} nodes\n",
            self.ir_version,
            opsets.join(", "),
            self.nodes
        );
        let values = |kind: &'static str, rows: &[ValueRow]| -> Vec<Vec<String>> {
            let row =
                |row: &ValueRow| vec![kind.to_owned(), row.name.clone(), row.value_type.clone(), row.role.clone()];
            rows.iter().map(row).collect()
        };
        let mut rows = vec![["", "name", "type", "role"].map(str::to_owned).to_vec()];
        rows.extend(values("input", &self.inputs));
        rows.extend(values("output", &self.outputs));
        table(&mut out, &rows);
        out.push('\n');
        for tower in &self.towers {
            let ends = if tower.pooled { "embedding" } else { "hidden states" };
            let TowerRow { tower: name, inputs, embedding, blocks, layers, .. } = tower;
            let edits = layers.as_ref().map_or("not edited".to_owned(), |layers| format!("edits {layers}"));
            let _ =
                writeln!(out, "{name} tower: {} -> {ends} {embedding}, {blocks} blocks, {edits}", inputs.join(", "));
            if let Some(tokens) = &tower.tokens {
                let _ = writeln!(out, "  tokens that count: {tokens}");
            }
        }
        if !self.layers.is_empty() {
            out.push('\n');
            self.layers(&mut out);
        }
        if !(self.unusual.is_empty() && self.stops.is_empty()) {
            out.push('\n');
        }
        for stop in &self.stops {
            let _ = writeln!(out, "rewrite would stop: {stop}");
        }
        for unusual in &self.unusual {
            let _ = writeln!(out, "note: {unusual}");
        }
        escaped(&out)
    }

    fn layers(&self, out: &mut String) {
        let header = ["", "tower", "block", "role", "shape", "type", "storage", "node", "initializer", "told by", ""];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        let dash = || "-".to_owned();
        for layer in &self.layers {
            let why = if layer.why == "selected" || layer.why == "not asked for" { "" } else { &layer.why };
            rows.push(vec![
                if layer.selected { "*" } else { "" }.to_owned(),
                layer.tower.map_or_else(dash, |tower| tower.to_string()),
                layer.block.map_or_else(dash, |block| block.to_string()),
                layer.role.clone(),
                layer.shape.map_or_else(dash, |[o, i]| format!("{o}x{i}")),
                layer.element.clone(),
                layer.storage.clone(),
                layer.node.clone(),
                layer.initializer.clone(),
                layer.told_by.clone(),
                why.to_owned(),
            ]);
        }
        table(out, &rows);
        let selected = self.layers.iter().filter(|layer| layer.selected).count();
        let _ = writeln!(out, "{selected} of {} layers selected (*)", self.layers.len());
    }
}

/// Several files as one JSON object; with what was found out of layers that can be aimed at, if that was asked.
pub fn inspections_json(files: &[Inspection], aims: &[Aim], notes: &[String]) -> String {
    let mut value = serde_json::json!({ "files": files });
    if !aims.is_empty() || !notes.is_empty() {
        value["aim"] = aims.iter().map(Aim::to_json).collect();
        value["notes"] = notes.into();
    }
    format!("{}\n", serde_json::to_string_pretty(&value).expect("strings and numbers"))
}

/// Columns as wide as their longest entry, and no wider than a line of text; empty ones are left out.
fn table(out: &mut String, rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let length = |cell: &String| cell.chars().count().min(WIDEST);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(length).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
        let cell = |(cell, width): (&String, &usize)| match cell.char_indices().nth(WIDEST) {
            Some((cut, _)) => format!("{}…", &cell[..cut]),
            None => format!("{cell:<width$}"),
        };
        let _ = writeln!(out, "{}", cells.map(cell).collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// Names may have a megabyte.
const WIDEST: usize = 160;

/// Names come from the file: control characters in them must not reach the terminal.
fn escaped(text: &str) -> String {
    let plain = |c: char| c == '\n' || !c.is_control();
    text.chars().flat_map(|c| if plain(c) { vec![c] } else { c.escape_default().collect() }).collect()
}
