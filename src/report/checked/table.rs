//! The check as text for a terminal.

use super::words::LEADING;
use super::{Checked, Finding, Outcome, SiblingState, Structure, Verdict};
use crate::few::{cut, cut_to};
use crate::report::Evaluated;
use crate::report::doctor::place_text;
use crate::report::evaluated::table::Figures;
use crate::report::look::{Look, Page, Tone};

/// Columns of an outcome, the space after it included.
const OUTCOME: usize = 14;
/// Characters of a text that are shown.
const LONGEST: usize = 600;
/// Layers and files that are shown.
const SHOWN: usize = 8;

impl Checked {
    /// What a person wants to know, the verdict first; at most as wide as the terminal. Control characters in names are
    /// escaped, so that the colours are all that a terminal obeys.
    pub fn to_table(&self, look: Look) -> String {
        let mut page = Page::new(look);
        let verdict = self.verdict();
        let tone = match verdict {
            Verdict::Pass => Tone::Good,
            Verdict::Fail => Tone::Bad,
            Verdict::Inconclusive => Tone::Doubt,
        };
        page.beside((tone, &verdict.to_string()), OUTCOME, Tone::Plain, &cut_to(&self.headline(), LONGEST));
        page.gap();
        if let Some(change) = self.change() {
            page.wrapped(Tone::Plain, &cut_to(&change, LONGEST));
        }
        page.wrapped(Tone::Plain, &cut_to(&self.judged_by(), LONGEST));
        for note in &self.notes {
            page.wrapped(Tone::Plain, &format!("note: {}", cut_to(note, LONGEST)));
        }
        page.gap();
        self.by_gravity().into_iter().for_each(|finding| rule(&mut page, finding));
        if let Some(evaluated) = &self.evaluated {
            figures(&mut page, evaluated, look);
        }
        if let Some(structure) = &self.structure {
            files(&mut page, structure);
        }
        page.gap();
        let sentence = self.rewritten.as_ref().and_then(|rewritten| rewritten.sentence.as_deref());
        sentence.into_iter().for_each(|sentence| page.wrapped(Tone::Plain, &cut_to(sentence, LONGEST)));
        if let Some(runtime) = &self.runtime {
            page.wrapped(Tone::Faint, &place_text(runtime));
        }
        let total = self.timing_s.last().map_or(0.0, |(_, seconds)| *seconds);
        page.line(Tone::Faint, &format!("{total:.1} s in all"));
        page.into_text()
    }
}

/// What was found, and for what is not well where to look.
fn rule(page: &mut Page, finding: &Finding) {
    let tone = match finding.outcome {
        Outcome::Pass => Tone::Good,
        Outcome::Fail => Tone::Bad,
        Outcome::Inconclusive | Outcome::Error(_) => Tone::Doubt,
        Outcome::Skipped => Tone::Faint,
    };
    page.beside((tone, finding.outcome.name()), OUTCOME, Tone::Plain, &cut_to(&finding.message, LONGEST));
    if matches!(finding.outcome, Outcome::Pass | Outcome::Skipped) {
        return;
    }
    let mut below = |text: &str| page.beside((Tone::Plain, ""), OUTCOME, Tone::Faint, text);
    if let Some(help) = &finding.help {
        below(&format!("help: {}", cut_to(help, LONGEST)));
    }
    let rule = finding.rule.as_ref().filter(|rule| !rule.is_empty());
    let line = finding.place.map_or(String::new(), |[line, _]| format!(", line {line} of the policy"));
    match rule {
        Some(rule) => below(&format!("[{}] {}{line}", cut(&finding.code), cut(rule))),
        None => below(&format!("[{}]", cut(&finding.code))),
    }
}

fn figures(page: &mut Page, evaluated: &Evaluated, look: Look) {
    let lines = &evaluated.overall.lines;
    let leading =
        LEADING.into_iter().filter_map(|(name, title)| Some((title, lines.iter().find(|l| l.figure == name)?)));
    let table = Figures::new(evaluated.baseline.is_some(), look);
    page.gap();
    page.line(Tone::Strong, &table.head(evaluated.bootstrap.level));
    leading.for_each(|(title, line)| page.line(Tone::Plain, &table.row(title, line)));
    if let Some(worst) = evaluated.worst_sentence() {
        page.gap();
        page.wrapped(Tone::Plain, &worst);
    }
}

fn files(page: &mut Page, structure: &Structure) {
    page.gap();
    page.line(Tone::Strong, "what differs");
    let mut item = |tone: Tone, text: &str| page.beside((Tone::Plain, " "), 2, tone, &cut_to(text, LONGEST));
    let faults: Vec<&String> = structure.files.iter().flat_map(|file| file.diff.graph.iter().chain(&file.io)).collect();
    faults.iter().take(SHOWN).for_each(|fault| item(Tone::Bad, fault));
    let layers: Vec<String> = structure
        .files
        .iter()
        .flat_map(|file| &file.layers)
        .filter(|layer| layer.changed > 0)
        .map(|layer| {
            let block = layer.block.map_or(String::new(), |block| format!(" {block}"));
            let share = 100.0 * layer.changed as f64 / layer.elements.max(1) as f64;
            let (tower, role) = (layer.tower, cut(&layer.role));
            format!("{tower} {role}{block}: {} of {} elements ({share:.2} %)", layer.changed, layer.elements)
        })
        .collect();
    layers.iter().take(SHOWN).for_each(|layer| item(Tone::Plain, layer));
    let siblings: Vec<_> = structure.files.iter().flat_map(|file| &file.siblings).collect();
    for sibling in siblings.iter().take(SHOWN) {
        let path = cut(&sibling.path.display().to_string());
        match &sibling.state {
            SiblingState::Edited => item(Tone::Plain, &format!("{path} has the edit too")),
            SiblingState::Stale => item(Tone::Bad, &format!("{path} has the weights as they were before")),
            SiblingState::Other(percent) => {
                item(Tone::Doubt, &format!("{path} has {percent:.1} % of the changed elements as the model has them"));
            }
            SiblingState::Unknown(reason) => item(Tone::Doubt, &format!("{path} cannot be told: {reason}")),
        }
    }
    let more = [faults.len(), layers.len(), siblings.len()].map(|all| all.saturating_sub(SHOWN)).iter().sum::<usize>();
    if more > 0 {
        item(Tone::Plain, &format!("and {more} more"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::checked::sample::{sample, snapshot};
    use console::{measure_text_width, strip_ansi_codes};

    #[test]
    fn it_looks_as_ever() {
        let of = |width| sample().to_table(Look { width, colour: false });
        snapshot(|| {
            insta::assert_snapshot!("table", of(80));
            insta::assert_snapshot!("table_60", of(60));
            insta::assert_snapshot!("table_40", of(40));
        });
    }

    #[test]
    fn it_fits_and_colours_say_nothing_new() {
        let mut long = sample();
        long.model = vec!["日本語".repeat(1 << 18).into()];
        long.findings[1].message = "x1.5".repeat(1 << 18);
        long.notes = vec!["a/".repeat(1 << 18)];
        for checked in [sample(), long] {
            for width in 40..=80 {
                let plain = checked.to_table(Look { width, colour: false });
                assert!(plain.lines().all(|line| measure_text_width(line) <= width), "{width}: {plain}");
                assert!(!plain.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'));
                let coloured = checked.to_table(Look { width, colour: true });
                assert_eq!(strip_ansi_codes(&coloured), plain);
                assert_ne!(coloured, plain);
            }
        }
    }

    #[test]
    fn there_is_little_to_say_of_nothing() {
        let nothing =
            Checked { findings: vec![], evaluated: None, structure: None, rewritten: None, notes: vec![], ..sample() };
        let text = nothing.to_table(Look::PLAIN);
        assert!(text.starts_with("INCONCLUSIVE  There is no rule to judge by.\n"), "{text}");
    }
}
