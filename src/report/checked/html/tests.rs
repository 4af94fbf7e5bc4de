//! The page as a whole; tests/browser looks at it in a browser.

use super::*;
use crate::report::checked::sample::{NASTY, sample};
use crate::report::checked::{Image, Verdict, WhenInconclusive};

/// A check that came to nothing.
fn nothing() -> Checked {
    Checked {
        baseline: vec![],
        findings: vec![],
        evaluated: None,
        structure: None,
        scatter: None,
        examples: vec![],
        rewritten: None,
        frontiers: vec![],
        notes: vec![],
        ..sample()
    }
}

/// Between the first `from` and what follows it.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    text.split_once(from).unwrap().1.split_once(to).unwrap().0
}

fn anchors() -> impl Iterator<Item = &'static str> {
    SECTIONS.map(|(id, _)| id).into_iter().chain(["verdict", "headline", "theme"])
}

#[test]
fn every_section_is_there_and_has_its_words() {
    let (checked, page) = (sample(), sample().to_html());
    for id in anchors() {
        assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
    }
    assert!(!page.contains("class=\"absent\""), "something is said to be absent");
    for words in ["FAIL", &checked.headline(), &checked.judged_by(), "metrics.PU.min_gain", "policy.yaml:4:3"] {
        assert!(page.contains(words), "{words}");
    }
    for finding in &checked.findings {
        assert!(page.contains(&finding.code), "{}", finding.code);
    }
    assert!(page.contains("prefer what is safe") && page.contains("Beyond a random edit of as many elements."));
}

#[test]
fn without_anything_the_page_is_whole_and_says_why() {
    let page = nothing().to_html();
    for id in anchors() {
        assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
    }
    // All but what to do with it.
    assert_eq!(page.matches("class=\"absent\"").count(), SECTIONS.len() - 1);
    assert!(page.contains("INCONCLUSIVE") && page.contains("There is no rule to judge by."));
    assert!(page.ends_with("</body></html>"));
}

#[test]
fn parts_may_be_empty() {
    let mut checked = sample();
    let evaluated = checked.evaluated.as_mut().unwrap();
    (evaluated.baseline, evaluated.concepts, evaluated.overall.lines) = (None, vec![], vec![]);
    checked.scatter.as_mut().unwrap().points.clear();
    checked.structure.as_mut().unwrap().files[0].layers.clear();
    let rewritten = checked.rewritten.as_mut().unwrap();
    rewritten.scores[0].counts.clear();
    rewritten.after.clear();
    checked.frontiers[0].frontier.clear();
    assert!(checked.to_html().contains("Nothing could be measured."));
}

#[test]
fn odd_numbers_are_drawn_somewhere() {
    let mut checked = sample();
    let lines = &mut checked.evaluated.as_mut().unwrap().overall.lines;
    (lines[0].value.value, lines[1].value.interval) = (f64::NAN, Some([f64::NEG_INFINITY, 1e300]));
    checked.scatter.as_mut().unwrap().points[0].after = [f32::NAN, f32::INFINITY];
    let layer = &mut checked.rewritten.as_mut().unwrap().scores[0];
    (layer.range, layer.threshold) = ([f64::NEG_INFINITY, f64::NAN], Some(1e300));
    layer.mass.truncate(1);
    checked.frontiers[0].others.push([f64::NAN, -1e300]);
    let layers = &mut checked.structure.as_mut().unwrap().files[0].layers;
    (layers[0].elements, layers[0].block) = (0, Some(usize::MAX));
    assert!(checked.to_html().contains("<svg"));
}

#[test]
fn names_cannot_become_part_of_the_page() {
    let mut checked = sample();
    let nasty = || NASTY.to_owned();
    (checked.model, checked.baseline, checked.policy.path) =
        (vec![NASTY.into()], vec![NASTY.into()], Some(NASTY.into()));
    (checked.notes, checked.reproduce.command) = (vec![nasty()], vec![nasty()]);
    for finding in &mut checked.findings {
        (finding.code, finding.rule, finding.subject) = (nasty(), Some(nasty()), nasty());
        (finding.message, finding.help) = (nasty(), Some(nasty()));
    }
    checked.evaluated.as_mut().unwrap().data = Some(NASTY.into());
    for layer in &mut checked.structure.as_mut().unwrap().files[0].layers {
        layer.role = nasty();
    }
    let rewritten = checked.rewritten.as_mut().unwrap();
    (rewritten.sentence, rewritten.scores[0].role) = (Some(nasty()), nasty());
    (rewritten.after[0].0, rewritten.controls[0].0) = (nasty(), nasty());
    checked.frontiers[0].axes = [nasty(), nasty()];
    for example in &mut checked.examples {
        (example.id, example.concept, example.texts) = (nasty(), Some(nasty()), Some([nasty(), nasty()]));
    }
    let page = checked.to_html();
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</script>").count(), 1);
    assert_eq!(page.to_lowercase().matches("<b>").count(), 0);
    // Nothing that a content security policy would have to allow, and no control or bidi character.
    for tag in page.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag) {
        let names: String = tag.split('"').step_by(2).collect();
        assert!(!names.contains(" style=") && !names.contains(" on"), "{tag}");
    }
    let hidden = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!page.chars().any(hidden));
    assert!(page.contains("&lt;/script&gt;&lt;b&gt;&quot;'&amp;|"));
}

#[test]
fn a_long_name_does_not_become_a_long_page() {
    let mut checked = nothing();
    checked.model = vec!["x".repeat(1_000_000).into()];
    assert!(checked.to_html().len() < 100_000);
}

#[test]
fn the_page_allows_its_own_style_and_script_and_no_other() {
    let page = sample().to_html();
    let policy = between(&page, "Content-Security-Policy\" content=\"", "\"");
    assert!(policy.starts_with("default-src 'none'; img-src data:;") && !policy.contains("unsafe"), "{policy}");
    for (source, tag) in [("style-src", "style"), ("script-src", "script")] {
        let text = between(&page, &format!("<{tag}>"), &format!("</{tag}>"));
        let hash = STANDARD.encode(Sha256::digest(text));
        assert!(policy.contains(&format!("{source} 'sha256-{hash}'")), "{source}: {policy}");
    }
    assert!(!page.contains("http://") && !page.contains("https://"), "an address");
}

#[test]
fn the_same_check_gives_the_same_bytes() {
    assert_eq!(sample().to_html(), sample().to_html());
}

#[test]
fn what_is_sensitive_is_covered_and_nothing_else_is() {
    let mut checked = sample();
    let png = vec![0x89, b'P', b'N', b'G'];
    checked.examples[0].images = Some([Some(Image { png, size: [2, 1] }), None]);
    let page = checked.to_html();
    assert_eq!(page.matches("class=\"reveal\"").count(), 1);
    assert_eq!(page.matches(" inert").count(), 1);
    assert!(page.contains("src=\"data:image/png;base64,iVBORw==\" width=\"2\" height=\"1\""));
}

#[test]
fn notes_stand_once_and_before_the_rules() {
    let mut checked = sample();
    checked.notes = vec!["see `data check`".to_owned()];
    checked.evaluated.as_mut().unwrap().notes.clone_from(&checked.notes);
    let page = checked.to_html();
    let before = between(&page, "id=\"verdict\"", "id=\"rules\"");
    assert!(before.contains("see <code>data check</code>"));
    assert_eq!(page.matches("see <code>data check</code>").count(), 1);
}

#[test]
fn a_subject_that_a_message_does_not_begin_with_stands_before_a_colon() {
    let mut checked = sample();
    checked.findings[1].message = "Nothing but values differs.".to_owned();
    let page = checked.to_html();
    assert!(page.contains("<strong>PS:</strong> Nothing but values differs."));
    assert!(page.contains("<strong>PU</strong> rose by 62.4"));
}

#[test]
fn quadrants_are_counted_whatever_is_drawn() {
    // Of 640, of which 300 are drawn.
    assert!(sample().to_html().contains(", after: neither 1.2 %, PS only 36.1 %, PU only 0.5 %, GS 62.2 %"));
}

#[test]
fn every_plot_is_told_in_words() {
    let page = sample().to_html();
    let plots = page.matches("<svg class=\"plot\"").count();
    assert!(plots >= 9, "{plots}");
    assert_eq!(page.matches("<svg class=\"plot\" role=\"img\" aria-label=\"").count(), plots);
}

#[test]
fn many_concepts_are_cut_and_it_is_said() {
    let mut checked = sample();
    let evaluated = checked.evaluated.as_mut().unwrap();
    let concept = evaluated.concepts[0].clone();
    evaluated.concepts = vec![concept; 5000];
    let page = checked.to_html();
    assert!(page.contains("The 20 lowest of 5000 are drawn.") && page.contains("and 4800 more"));
    assert!(page.len() < 500_000, "{}", page.len());
}

#[test]
fn an_inconclusive_verdict_says_what_a_pipeline_is_told() {
    let checked = Checked { when_inconclusive: WhenInconclusive::Fail, ..nothing() };
    assert_eq!(checked.verdict(), Verdict::Inconclusive);
    assert!(checked.to_html().contains("told to take what cannot be told for a failure."));
}
