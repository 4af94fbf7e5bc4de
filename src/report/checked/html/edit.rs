//! Where the edit sits: a strip a tower, blocks across, roles downward.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::axes::WIDTH;
use super::canvas::{Align, Canvas, Drawn, Hue, TEXT, drawing};
use super::parts::{absent, figure, folded, section, table};
use super::text::short;
use crate::few::{cut, few};
use crate::onnx::Modality;
use crate::report::checked::{ChangedLayer, Checked, ComparedFile, SiblingState};

/// Blocks, and roles, that are drawn.
const MOST: [usize; 2] = [64, 24];
/// Files that are shown.
const MOST_FILES: usize = 8;
/// Pixels to the left of cells, and a cell's height.
const LEFT: f64 = 86.0;
const CELL: f64 = 24.0;

pub fn edit(checked: &Checked) -> Markup {
    let Some(structure) = &checked.structure else {
        let why = "The files could not be compared: that takes the model and its baseline as ONNX files.";
        return section("edit", "The edit", absent(why));
    };
    let rest = structure.files.len().saturating_sub(MOST_FILES);
    let body = html! {
        p { (structure.sentence()) }
        @for file in structure.files.iter().take(MOST_FILES) { (compared(file, structure.files.len() > 1)) }
        @if rest > 0 { (absent(&format!("and {rest} more files"))) }
    };
    section("edit", "The edit", body)
}

fn compared(file: &ComparedFile, named: bool) -> Markup {
    let share = |layer: &ChangedLayer| percent(layer.changed, layer.elements);
    let changed = file.layers.iter().filter(|layer| layer.changed > 0).collect::<Vec<_>>();
    let row = |layer: &&ChangedLayer| {
        let block = layer.block.map_or("–".to_owned(), |block| block.to_string());
        let counts = [layer.elements, layer.changed, layer.negated].map(|count| count.to_string());
        let words = [layer.tower.to_string(), block, cut(&layer.role), cut(&layer.initializer)];
        words.into_iter().chain(counts).chain([format!("{:.2}", share(layer))]).collect()
    };
    let rows: Vec<Vec<String>> = changed.iter().map(row).collect();
    let towers = [Modality::Text, Modality::Vision].map(|tower| Cells::of(tower, &file.layers));
    // One scale, so that strips can be compared.
    let most = towers.iter().flat_map(Cells::shares).map(|(_, share)| share).fold(0.0, f64::max);
    let summary = format!("Layers that were changed: {} of {}", rows.len(), file.layers.len());
    let heads = ["tower", "block", "role", "weight", "elements", "changed", "negated", "share, %"];
    html! {
        @if named { h3 { (cut(&file.model.path.display().to_string())) } }
        div.plots {
            @for cells in &towers { (cells.strip(most)) }
        }
        @if rows.is_empty() { (absent("No linear layer was changed.")) } @else {
            (folded(&summary, table(&heads, 4, &rows)))
        }
        @if !file.io.is_empty() { p { "Inputs and outputs differ: " (few(&file.io)) "." } }
        p.quiet { "Tensors compared: " (file.diff.compared) ". Edits that its metadata tell of: " (file.edits) "." }
        @if !file.diff.provenance.is_empty() {
            (folded("Metadata of this tool that differ", html! {
                ul.siblings { @for entry in file.diff.provenance.iter().take(MOST[1]) { li { code { (cut(entry)) } } } }
            }))
        }
        @if !file.siblings.is_empty() {
            ul.siblings {
                @for sibling in file.siblings.iter().take(MOST[1]) {
                    li { code { (cut(&sibling.path.display().to_string())) } " " (state(&sibling.state)) }
                }
            }
        }
    }
}

fn state(state: &SiblingState) -> String {
    match state {
        SiblingState::Edited => "has the edit too.".to_owned(),
        SiblingState::Stale => "has the weights as they were before the edit.".to_owned(),
        SiblingState::Other(share) => {
            format!(
                "has neither the edit nor the weights before it ({share:.1} % of the changed elements are as edited)."
            )
        }
        SiblingState::Unknown(why) => format!("cannot be told: {why}"),
    }
}

fn percent(changed: usize, elements: usize) -> f64 {
    100.0 * changed as f64 / elements.max(1) as f64
}

/// The layers of a tower: elements changed and all elements, by block (none last) and role.
struct Cells<'a> {
    tower: Modality,
    /// Of all of them, drawn or not.
    all: [usize; 2],
    blocks: Vec<Option<usize>>,
    roles: Vec<&'a str>,
    counts: BTreeMap<(usize, usize), [usize; 2]>,
}

impl<'a> Cells<'a> {
    fn of(tower: Modality, layers: &'a [ChangedLayer]) -> Self {
        let layers: Vec<&ChangedLayer> = layers.iter().filter(|layer| layer.tower == tower).collect();
        let mut blocks: Vec<Option<usize>> = layers.iter().map(|layer| layer.block).collect();
        blocks.sort_by_key(|block| block.unwrap_or(usize::MAX));
        blocks.dedup();
        blocks.truncate(MOST[0]);
        let mut roles = vec![];
        for layer in &layers {
            if roles.len() < MOST[1] && !roles.contains(&layer.role.as_str()) {
                roles.push(layer.role.as_str());
            }
        }
        let mut counts = BTreeMap::<_, [usize; 2]>::new();
        for layer in &layers {
            let column = blocks.iter().position(|block| *block == layer.block);
            let row = roles.iter().position(|role| *role == layer.role);
            if let Some(at) = column.zip(row) {
                let [changed, elements] = counts.entry(at).or_default();
                *changed += layer.changed;
                *elements += layer.elements;
            }
        }
        let sum = |part: fn(&ChangedLayer) -> usize| layers.iter().map(|layer| part(layer)).sum::<usize>();
        let all = [sum(|layer| layer.changed), sum(|layer| layer.elements)];
        Self { tower, all, blocks, roles, counts }
    }

    /// The tower's strip, in which `most` percent are darkest.
    fn strip(&self, most: f64) -> Markup {
        if self.roles.is_empty() {
            return html! {};
        }
        let [changed, elements] = self.all;
        let share = percent(changed, elements);
        let caption = format!(
            "{changed} of {elements} weights of linear layers changed ({share:.3} %); the share of each layer."
        );
        let title = format!("The {} tower.", self.tower);
        let plot = drawing(self.size(), &format!("{title} {caption}"), |canvas| self.draw(canvas, most));
        figure(&title, &caption, &[], plot, html! {})
    }

    fn shares(&self) -> impl Iterator<Item = ((usize, usize), f64)> {
        self.counts.iter().map(|(at, [changed, elements])| (*at, percent(*changed, *elements)))
    }

    fn size(&self) -> [f64; 2] {
        [WIDTH, self.roles.len() as f64 * CELL + 5.6 * TEXT]
    }

    fn draw(&self, canvas: &Canvas, most: f64) -> Drawn {
        let width = ((WIDTH - LEFT) / self.blocks.len() as f64).min(40.0);
        let gap = (width * 0.08).min(1.5);
        let place = |column: f64, row: f64| {
            let (left, top) = (LEFT + column * width, row * CELL);
            [[left + gap, top + 1.5], [left + width - gap, top + CELL - 1.5]]
        };
        for (index, role) in self.roles.iter().enumerate() {
            let middle = (index as f64 + 0.5) * CELL;
            canvas.text(&short(role, 12), [LEFT - 8.0, middle], Align::Right, Hue::Ink)?;
        }
        for ((column, row), share) in self.shares() {
            cell(canvas, place(column as f64, row as f64), if most > 0.0 { share / most } else { 0.0 })?;
        }
        let bottom = self.roles.len() as f64 * CELL;
        // Numbers of blocks must not run into one another.
        let every = (22.0 / width).ceil().max(1.0) as usize;
        for (column, block) in self.blocks.iter().enumerate() {
            let at = [LEFT + (column as f64 + 0.5) * width, bottom + TEXT * 0.9];
            match block {
                Some(block) if column % every == 0 => canvas.text(&block.to_string(), at, Align::Middle, Hue::Muted)?,
                None => canvas.text("–", at, Align::Middle, Hue::Muted)?,
                Some(_) => {}
            }
        }
        canvas.text("block", [LEFT - 8.0, bottom + TEXT * 0.9], Align::Right, Hue::Muted)?;
        // Without a change there is nothing to tell apart.
        if most > 0.0 { self.scale(canvas, most, bottom + TEXT * 2.6) } else { Ok(()) }
    }

    /// What strength stands for.
    fn scale(&self, canvas: &Canvas, most: f64, top: f64) -> Drawn {
        canvas.text("changed", [LEFT - 8.0, top + 9.0], Align::Right, Hue::Muted)?;
        for (index, share) in [0.0, 0.25, 0.5, 1.0].into_iter().enumerate() {
            let left = LEFT + 84.0 * index as f64;
            cell(canvas, [[left, top], [left + 20.0, top + 18.0]], share)?;
            let written = if index == 0 { "none".to_owned() } else { format!("{:.2} %", share * most) };
            canvas.text(&written, [left + 25.0, top + 9.0], Align::Left, Hue::Muted)?;
        }
        Ok(())
    }
}

/// Hollow where nothing was changed.
fn cell(canvas: &Canvas, corners: [[f64; 2]; 2], share: f64) -> Drawn {
    if share > 0.0 {
        canvas.fill(corners, Hue::After, 0.15 + 0.85 * share.min(1.0))
    } else {
        canvas.outline(corners, Hue::Line)
    }
}
