//! The check as Markdown, as GitHub shows it in the summary of a job or in a comment.

mod escape;

use escape::{fence, md};

use super::words::{LEADING, paths};
use super::{Checked, ComparedFile, Finding, Outcome, Rewritten, SiblingState, Verdict};
use crate::few::few_of;
use crate::report::evaluated::table::{interval, number, signed, small};
use crate::report::{Evaluated, FigureGroup, FigureLine};

/// Bytes of the rows of a table or list; what is beyond is counted. All together stay below 256 KiB, and GitHub takes
/// 1 MiB.
const ROWS: usize = 8 << 10;
/// The same for rules.
const RULES: usize = 48 << 10;
/// Other edits that are shown beside the real one.
const CONTROLS: usize = 8;

impl Checked {
    /// GitHub's Markdown, less than 256 KiB of it. Nothing in a name from a file is Markdown, HTML, a link or a mention.
    pub fn to_markdown(&self) -> String {
        let mut page = Page::default();
        let (verdict, symbol) = (self.verdict(), symbol_of(self.verdict()));
        page.paragraph(&format!("## {symbol} {verdict}: {}", md(&paths(&self.model))));
        page.paragraph(&format!("**{}**", md(&self.headline())));
        if let Some(change) = self.change() {
            page.paragraph(&md(&change));
        }
        let beside = match self.baseline.as_slice() {
            [] => String::new(),
            baseline => format!(" Compared with {}.", md(&paths(baseline))),
        };
        page.paragraph(&format!("{}{beside}", md(&self.judged_by())));
        page.rows(ROWS, "note", self.notes.iter().map(|note| format!("- note: {}", md(note))));
        page.table(RULES, &["outcome", "what was found", "code"], "", self.by_gravity().into_iter().map(rule));
        if let Some(evaluated) = &self.evaluated {
            figures(&mut page, evaluated);
        }
        if let Some(structure) = &self.structure {
            page.paragraph("### What differs in the files");
            structure.files.iter().take(2).for_each(|file| compared(&mut page, file));
            if structure.files.len() > 2 {
                page.paragraph(&format!("{} more files are in the JSON report.", structure.files.len() - 2));
            }
        }
        if let Some(rewritten) = &self.rewritten {
            controls(&mut page, rewritten);
        }
        self.reproduced(&mut page);
        page.0
    }

    fn reproduced(&self, page: &mut Page) {
        page.paragraph("### How to get this again");
        page.paragraph(&fence(&self.reproduce.command_line()));
        page.details(&format!("uwm-onnx {}, files", md(self.reproduce.version)), |page| {
            let rows = self.reproduce.files.iter();
            page.table(
                ROWS,
                &["", "file", "SHA-256"],
                "",
                rows.map(|(role, file)| [(*role).to_owned(), md(&file.path.display().to_string()), md(&file.sha256)]),
            );
        });
    }
}

fn symbol_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅",
        Verdict::Fail => "❌",
        Verdict::Inconclusive => "❔",
    }
}

fn rule(finding: &Finding) -> [String; 3] {
    let symbol = match finding.outcome {
        Outcome::Pass => "✅",
        Outcome::Fail => "❌",
        Outcome::Inconclusive => "❔",
        Outcome::Error(_) => "⚠️",
        Outcome::Skipped => "➖",
    };
    let help = finding.help.as_ref().map_or(String::new(), |help| format!("<br>{}", md(help)));
    [format!("{symbol} {}", finding.outcome.name()), format!("{}{help}", md(&finding.message)), md(&finding.code)]
}

fn figures(page: &mut Page, evaluated: &Evaluated) {
    let level = evaluated.bootstrap.level;
    let named = |line: &FigureLine| LEADING.into_iter().find(|(name, _)| *name == line.figure);
    let row = |title: &str, line: &FigureLine| {
        let own = |of: Option<crate::report::Estimate>| {
            of.map_or(String::new(), |of| format!("{}{}", number(line, of.value), interval(line, of, false)))
        };
        let change =
            line.change.map_or(String::new(), |of| format!("{}{}", signed(line, of.value), interval(line, of, true)));
        [
            title.to_owned(),
            own(line.baseline),
            own(Some(line.value)),
            change,
            line.p.map_or(String::new(), |p| md(&small(p))),
        ]
    };
    let heads = ["percent", "before", "after", "change", "p"];
    page.paragraph("### Figures");
    let images = match evaluated.zero_shot_images {
        0 => String::new(),
        images => format!(" and {images} zero-shot images"),
    };
    page.paragraph(&format!("{} quadruplets{images}, with {level} % intervals.", evaluated.quadruplets));
    let lines = &evaluated.overall.lines;
    let leading =
        LEADING.into_iter().filter_map(|(name, title)| Some((title, lines.iter().find(|l| l.figure == name)?)));
    page.table(ROWS, &heads, "-::::", leading.map(|(title, line)| row(title, line)));
    page.details("all other figures", |page| {
        let rest = lines.iter().filter(|line| named(line).is_none());
        page.table(ROWS, &heads, "-::::", rest.map(|line| row(line.figure, line)));
    });
    if let Some(worst) = evaluated.worst_sentence() {
        page.paragraph(&md(&worst));
    }
    if !evaluated.concepts.is_empty() {
        page.details("by concept", |page| concepts(page, &evaluated.concepts));
    }
}

/// A row a concept: what its leading figures are, and by how much they changed.
fn concepts(page: &mut Page, concepts: &[FigureGroup]) {
    let find = |group: &FigureGroup, name: &str| group.lines.iter().find(|line| line.figure == name).cloned();
    let shown: Vec<(&str, &str)> =
        LEADING.into_iter().filter(|(name, _)| concepts.iter().any(|group| find(group, name).is_some())).collect();
    let heads: Vec<&str> = ["concept", "n"].into_iter().chain(shown.iter().map(|(_, title)| *title)).collect();
    let rows = concepts.iter().map(|group| {
        let cells = shown.iter().map(|(name, _)| {
            let Some(line) = find(group, name) else { return String::new() };
            let change = line.change.map_or(String::new(), |change| format!(" ({})", signed(&line, change.value)));
            format!("{}{change}", number(&line, line.value.value))
        });
        let name = group.name.clone().unwrap_or_default();
        [md(&name), group.quadruplets.to_string()].into_iter().chain(cells).collect::<Vec<_>>()
    });
    page.table(ROWS, &heads, "-::::::", rows);
}

fn compared(page: &mut Page, file: &ComparedFile) {
    let (original, model) = (file.original.path.display().to_string(), file.model.path.display().to_string());
    page.paragraph(&format!("{} → {}", md(&original), md(&model)));
    let faults = file.diff.graph.iter().chain(&file.io);
    page.rows(ROWS, "difference", faults.map(|fault| format!("- {}", md(fault))));
    let tensors = file.diff.tensors.iter().map(|tensor| {
        let layer = file.layers.iter().find(|layer| layer.initializer == tensor.tensor);
        let role = layer.map_or(String::new(), |layer| {
            let block = layer.block.map_or(String::new(), |block| format!(" {block}"));
            format!("{} {}{block}", layer.tower, layer.role)
        });
        let share = 100.0 * tensor.changed as f64 / tensor.elements.max(1) as f64;
        let counts = [format!("{} ({share:.2} %)", tensor.changed), tensor.negated.to_string()];
        [md(&tensor.tensor), md(&role)].into_iter().chain(counts).collect::<Vec<_>>()
    });
    page.table(ROWS, &["tensor", "layer", "elements that differ", "only by sign"], "--::", tensors);
    let siblings = file.siblings.iter().map(|sibling| {
        let state = match &sibling.state {
            SiblingState::Edited => "has the edit too".to_owned(),
            SiblingState::Stale => "**has the weights as they were before**".to_owned(),
            SiblingState::Other(percent) => {
                format!("has neither; {percent:.1} % of the changed elements are as in the model")
            }
            SiblingState::Unknown(reason) => format!("cannot be told: {}", md(reason)),
        };
        format!("- {} {state}", md(&sibling.path.display().to_string()))
    });
    page.rows(ROWS, "file beside it", siblings);
}

/// The edit against other edits of the same layers.
fn controls(page: &mut Page, rewritten: &Rewritten) {
    page.paragraph("### The edit against random ones");
    if let Some(sentence) = &rewritten.sentence {
        page.paragraph(&md(sentence));
    }
    if rewritten.controls.is_empty() {
        page.paragraph("No other edits were made beside it, so that there is nothing to compare it with.");
        return;
    }
    page.details("figures of the edit and of others", |page| control_rows(page, rewritten));
}

fn control_rows(page: &mut Page, rewritten: &Rewritten) {
    let controls = &rewritten.controls[..rewritten.controls.len().min(CONTROLS)];
    let names = controls.iter().map(|(name, _)| md(name));
    let heads: Vec<String> = ["percent", "before", "after"].map(str::to_owned).into_iter().chain(names).collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let value = |of: &[(String, f64)], name: &str| {
        let value = of.iter().find(|(figure, _)| figure == name).map(|(_, value)| *value);
        value.map_or(String::new(), |value| format!("{value:.1}"))
    };
    let rows = rewritten.after.iter().map(|(name, _)| {
        let sides = [md(name), value(&rewritten.before, name), value(&rewritten.after, name)];
        sides.into_iter().chain(controls.iter().map(|(_, of)| value(of, name))).collect::<Vec<_>>()
    });
    page.table(ROWS, &heads, "-::::::::::", rows);
    if let Some(more @ 1..) = rewritten.controls.len().checked_sub(CONTROLS) {
        let names = few_of(&rewritten.controls[CONTROLS..], |(name, _)| name.clone());
        page.paragraph(&format!("{more} more are in the JSON report: {}.", md(&names)));
    }
}

/// Markdown as it grows. What comes in is Markdown already.
#[derive(Default)]
struct Page(String);

impl Page {
    /// A line among others.
    fn line(&mut self, text: &str) {
        self.0 += text;
        self.0.push('\n');
    }

    /// An empty line, if there is none yet.
    fn gap(&mut self) {
        if !self.0.is_empty() && !self.0.ends_with("\n\n") {
            self.0.push('\n');
        }
    }

    fn paragraph(&mut self, text: &str) {
        self.gap();
        self.line(text);
        self.gap();
    }

    /// What is hidden until it is asked for.
    fn details(&mut self, summary: &str, fill: impl FnOnce(&mut Self)) {
        self.paragraph(&format!("<details><summary>{summary}</summary>"));
        fill(self);
        self.paragraph("</details>");
    }

    /// Rows under their headings; a column is aligned to the right where there is a ':'. Nothing without rows.
    fn table<R: AsRef<[String]>>(
        &mut self,
        room: usize,
        heads: &[&str],
        align: &str,
        rows: impl IntoIterator<Item = R>,
    ) {
        let mut rows = rows.into_iter().map(|row| format!("| {} |", row.as_ref().join(" | "))).peekable();
        if rows.peek().is_none() {
            return;
        }
        let right = |index: usize| align.as_bytes().get(index) == Some(&b':');
        let rule: Vec<&str> = (0..heads.len()).map(|index| if right(index) { "---:" } else { "---" }).collect();
        self.gap();
        self.line(&format!("| {} |\n| {} |", heads.join(" | "), rule.join(" | ")));
        self.rows(room, "row", rows);
    }

    /// Lines, as many as there is room for, and how many more there are.
    fn rows(&mut self, mut room: usize, what: &str, rows: impl IntoIterator<Item = String>) {
        let mut left = 0;
        for row in rows {
            match room.checked_sub(row.len() + 1).filter(|_| left == 0) {
                Some(rest) => {
                    room = rest;
                    self.line(&row);
                }
                None => left += 1,
            }
        }
        if left > 0 {
            let s = if left == 1 { "" } else { "s" };
            self.paragraph(&format!("{left} more {what}{s} in the JSON report."));
        }
        self.gap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::checked::sample::{NASTY, sample, snapshot};

    #[test]
    fn it_looks_as_ever() {
        snapshot(|| insta::assert_snapshot!("markdown", sample().to_markdown()));
    }

    #[test]
    fn nothing_in_a_name_is_markdown_html_or_a_mention() {
        let clean = sample().to_markdown();
        let mut checked = sample();
        let name = format!("{NASTY} @someone #12 https://x www.x.y `` \n# heading\n<img src=x>");
        checked.findings[1].message = name.clone();
        checked.findings[1].help = Some(name.clone());
        checked.findings[1].subject = name.clone();
        checked.notes = vec![name.clone()];
        checked.evaluated.as_mut().unwrap().concepts[0].name = Some(name.clone());
        checked.model = vec![name.clone().into()];
        let text = checked.to_markdown();
        for active in
            ["@someone", " #12", "https://", "www.x", "<img", "</script", "<b>", "](", "`*", "\u{1b}", "\u{202e}"]
        {
            let found = text.lines().filter(|line| line.contains(active) && !line.starts_with("uwm-onnx"));
            assert_eq!(found.collect::<Vec<_>>(), Vec::<&str>::new(), "{active}");
        }
        // As many lines, cells and headings as with harmless names.
        let shape = |text: &str| [text.lines().count(), text.matches(" | ").count(), text.matches("\n#").count()];
        assert_eq!(shape(&text), shape(&clean));
    }

    #[test]
    fn the_command_stays_in_its_fence() {
        let mut checked = sample();
        checked.reproduce.command = ["uwm-onnx", "````", "\n```\n<b>"].map(str::to_owned).to_vec();
        let text = checked.to_markdown();
        let fenced = text.split("`````\n").nth(1).unwrap();
        assert_eq!(fenced, "uwm-onnx '````' $'\\U0000000a```\\U0000000a<b>'\n");
        checked.reproduce.command = vec!["x".repeat(1 << 20)];
        assert!(checked.to_markdown().len() < 64 << 10);
    }

    #[test]
    fn an_edit_without_others_beside_it_is_no_table() {
        let mut checked = sample();
        let random = |text: &str| text.split_once("### The edit against random ones").unwrap().1.to_owned();
        assert!(random(&checked.to_markdown()).contains("| percent | before | after | random 0 |"));
        checked.rewritten.as_mut().unwrap().controls.clear();
        let text = random(&checked.to_markdown());
        assert!(text.contains("No other edits were made beside it") && !text.contains("| percent |"), "{text}");
    }

    #[test]
    fn it_fits_whatever_is_in_it() {
        let mut checked = sample();
        let long = "@`|\u{202e}".repeat(1 << 10);
        let mut worst = checked.findings[1].clone();
        (worst.message, worst.help, worst.subject) = (long.clone(), Some(long.clone()), long.clone());
        worst.code = long.clone();
        checked.findings = vec![worst; 500];
        checked.model = vec![long.clone().into(); 20];
        checked.baseline = checked.model.clone();
        checked.policy.path = Some(long.clone().into());
        checked.notes = vec![long.clone(); 200];
        checked.reproduce.command = vec![long.clone(); 50];
        checked.reproduce.files = vec![("model", crate::report::FileId::of(long.clone().into(), b"")); 300];
        let evaluated = checked.evaluated.as_mut().unwrap();
        let concept = FigureGroup { name: Some(long.clone()), ..evaluated.concepts[0].clone() };
        evaluated.concepts = vec![concept; 500];
        evaluated.worst.iter_mut().for_each(|worst| worst.concept.clone_from(&long));
        let structure = checked.structure.as_mut().unwrap();
        let file = &mut structure.files[0];
        file.diff.graph = vec![long.clone(); 500];
        file.io = vec![long.clone(); 500];
        let mut tensor = file.diff.tensors[0].clone();
        tensor.tensor.clone_from(&long);
        file.diff.tensors = vec![tensor; 500];
        let mut sibling = file.siblings[0].clone();
        sibling.state = SiblingState::Unknown(long.clone());
        sibling.path = long.clone().into();
        file.siblings = vec![sibling; 500];
        structure.files = vec![structure.files[0].clone(); 9];
        let rewritten = checked.rewritten.as_mut().unwrap();
        rewritten.sentence = Some(long.clone());
        rewritten.after = vec![(long.clone(), 1.0); 500];
        rewritten.controls = vec![(long, vec![]); 90];
        let text = checked.to_markdown();
        assert!(text.len() < 256 << 10, "{}", text.len());
        assert!(
            text.contains("more rows in the JSON report.") && text.contains("7 more files are in the JSON report.")
        );
    }
}
