//! What it came to, what was left out, and what came of each rule.

use maud::{Markup, html};

use super::parts::{absent, prose, section};
use crate::few::cut;
use crate::report::checked::{Checked, Finding, Verdict};

/// Outcomes in the order of their weight, and how many in words.
const WEIGHTS: [(&str, &str); 5] = [
    ("fail", "broken"),
    ("error", "went wrong"),
    ("inconclusive", "cannot be told"),
    ("pass", "held"),
    ("skipped", "optional, not judged"),
];

/// The banner.
pub fn banner(checked: &Checked) -> Markup {
    let verdict = checked.verdict();
    let class = match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "inconclusive",
    };
    html! {
        section #verdict class=(class) aria-label="Verdict" {
            (icon(class))
            div {
                p.word { (verdict.to_string()) }
                p #headline { (checked.headline()) }
                @if let Some(change) = checked.change() { p { (change) } }
                p.quiet { (checked.judged_by()) }
                @for unwell in checked.evaluated.iter().flat_map(|evaluated| &evaluated.ailments) {
                    p.unwell { (unwell.sentence()) }
                }
            }
        }
    }
}

/// What was left out, and why: it decides how the verdict reads.
pub fn notes(checked: &Checked) -> Markup {
    html! {
        @if !checked.notes.is_empty() {
            (section("notes", "Notes", html! { ul { @for note in &checked.notes { li { (prose(&cut(note))) } } } }))
        }
    }
}

/// The policy's rules.
pub fn rules(checked: &Checked) -> Markup {
    let weight = |finding: &Finding| WEIGHTS.iter().position(|(name, _)| *name == finding.outcome.name());
    let mut findings: Vec<&Finding> = checked.findings.iter().collect();
    findings.sort_by_key(|finding| weight(finding));
    let count = |name: &str| findings.iter().filter(|finding| finding.outcome.name() == name).count();
    let counts = WEIGHTS.map(|(name, words)| (count(name), name, words));
    let body = html! {
        @if findings.is_empty() { (absent("The policy has no rules.")) }
        ul.counts {
            @for (count, name, words) in counts.into_iter().filter(|counted| counted.0 > 0) {
                li class=(name) { strong { (count) } " " (words) }
            }
        }
        ul.rules { @for finding in findings { (rule(checked, finding)) } }
    };
    section("rules", "Rules", body)
}

fn rule(checked: &Checked, finding: &Finding) -> Markup {
    let name = finding.outcome.name();
    let policy = checked.policy.path.as_ref().map(|path| path.display().to_string());
    let place = policy.zip(finding.place).map(|(path, [line, column])| format!("{}:{line}:{column}", cut(&path)));
    // Most messages begin with what they are about.
    let (colon, rest) = match finding.message.strip_prefix(&finding.subject) {
        Some(rest) => ("", rest.to_owned()),
        None => (":", format!(" {}", finding.message)),
    };
    let subject = cut(&finding.subject);
    html! {
        li class={ "rule " (name) } {
            span.badge { (icon(name)) (name) }
            div {
                p { strong { (subject) (colon) } (rest) }
                @if let Some(help) = &finding.help { p.help { "What to do: " (prose(help)) } }
                p.codes {
                    code { (finding.code) }
                    @if let Some(rule) = finding.rule.as_ref().filter(|rule| !rule.is_empty()) { code { (rule) } }
                    @if let Some(place) = place { code { (place) } }
                }
            }
        }
    }
}

/// A shape for each outcome.
fn icon(name: &str) -> Markup {
    let path = match name {
        "pass" => "M6.5 12.5l3.5 3.5 7.5-8",
        "fail" => "M8 8l8 8M16 8l-8 8",
        "error" => "M12 6.5v7M12 16.8v.4",
        "skipped" => "M7.5 12h9",
        _ => "M9.2 9.4a2.8 2.8 0 1 1 4.2 2.4c-1 .6-1.4 1.1-1.4 2M12 17v.3",
    };
    html! {
        svg.icon viewBox="0 0 24 24" aria-hidden="true" { circle cx="12" cy="12" r="11" {} path d=(path) {} }
    }
}
