//! The check as JUnit XML, which every build server shows.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::words::{docs, paths};
use super::{Checked, Finding, Outcome, Verdict};
use crate::few::{cut, cut_to, harmless};

/// Characters of a sentence that are shown.
const LONGEST: usize = 2000;

impl Checked {
    /// A test suite a group of rules, a test case a rule. What is broken is a failure; what cannot be told, or went wrong,
    /// is an error: it has not passed, and no test has failed either. There is no clock in it.
    pub fn to_junit(&self) -> String {
        let mut suites: Vec<TestSuite> = vec![];
        let mut add = |group: &str, case: TestCase| {
            let name = format!("uwm-onnx check: {group}");
            let at = suites.iter().position(|suite| suite.name.as_str() == name).unwrap_or_else(|| {
                let mut suite = TestSuite::new(name);
                suite.add_properties(self.properties());
                suites.push(suite);
                suites.len() - 1
            });
            suites[at].add_test_case(case);
        };
        for finding in &self.findings {
            add(group(finding), case(finding));
        }
        // Without a rule to judge by no case says so, and a report in which nothing is wrong would look as if all were well.
        let told = |finding: &Finding| !matches!(finding.outcome, Outcome::Pass | Outcome::Skipped);
        if self.verdict() != Verdict::Pass && !self.findings.iter().any(told) {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_type("nothing-judged").set_message(self.headline());
            let mut case = TestCase::new("verdict", status);
            case.set_classname("uwm-onnx.check.run");
            add("run", case);
        }
        let mut report = Report::new("uwm-onnx check");
        report.add_test_suites(suites);
        report.to_string().expect("memory takes whatever is written")
    }

    fn properties(&self) -> [(String, String); 7] {
        let policy = self.policy.path.as_ref().map_or("built in".to_owned(), |path| path.display().to_string());
        [
            ("model", paths(&self.model)),
            ("baseline", paths(&self.baseline)),
            ("policy", policy),
            ("policy_sha256", self.policy.sha256.clone()),
            ("verdict", self.verdict().to_string()),
            ("headline", self.headline()),
            ("version", self.reproduce.version.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), xml(&value)))
    }
}

/// What kind of rule it is.
fn group(finding: &Finding) -> &'static str {
    let key = finding.rule.as_ref().and_then(|rule| rule.split('.').next()).filter(|key| !key.is_empty());
    match (key, finding.outcome) {
        (Some("structure"), _) => "structure",
        (Some(_), _) => "figures",
        (None, Outcome::Error(_)) => "run",
        (None, _) => "health",
    }
}

fn case(finding: &Finding) -> TestCase {
    let mut status = match finding.outcome {
        Outcome::Pass => TestCaseStatus::success(),
        Outcome::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Inconclusive | Outcome::Error(_) => TestCaseStatus::non_success(NonSuccessKind::Error),
        Outcome::Skipped => TestCaseStatus::skipped(),
    };
    if finding.outcome != Outcome::Pass {
        let place = finding.place.map_or(String::new(), |[line, column]| format!(", line {line}, column {column}"));
        let rule = finding.rule.as_ref().filter(|rule| !rule.is_empty());
        let lines = [
            Some(finding.message.clone()),
            finding.help.as_ref().map(|help| format!("help: {help}")),
            rule.map(|rule| format!("rule: {rule}{place}")),
            Some(format!("more: {}", docs(finding))),
        ];
        let text: Vec<String> = lines.iter().flatten().map(|line| xml(line)).collect();
        status.set_type(xml(&finding.code)).set_message(xml(&finding.message)).set_description(text.join("\n"));
    }
    let rule = finding.rule.as_ref().filter(|rule| !rule.is_empty()).unwrap_or(&finding.code);
    let mut case = TestCase::new(xml(&format!("{}: {}", cut(rule), cut(&finding.subject))), status);
    case.set_classname(format!("uwm-onnx.check.{}", group(finding)));
    case
}

/// Text that XML 1.0 can hold: what it cannot is written as an escape. (The library would leave it out, and with an
/// unfinished terminal sequence all that follows.)
fn xml(text: &str) -> String {
    harmless(&cut_to(text, LONGEST)).replace('\u{fffe}', r"\u{fffe}").replace('\u{ffff}', r"\u{ffff}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::checked::sample::{NASTY, sample};
    use roxmltree::{Document, Node};

    fn number(node: Node, attribute: &str) -> usize {
        node.attribute(attribute).unwrap().parse().unwrap()
    }

    /// Tests, failures, errors, skipped: as they are said, which is how many there are.
    fn counts(xml: &str) -> [usize; 4] {
        let document = Document::parse(xml).unwrap();
        let said = |node: Node| ["tests", "failures", "errors", "skipped"].map(|name| number(node, name));
        let found = |node: Node| {
            ["testcase", "failure", "error", "skipped"]
                .map(|name| node.descendants().filter(|child| child.has_tag_name(name)).count())
        };
        let all =
            document.descendants().filter(|node| node.has_tag_name("testsuites") || node.has_tag_name("testsuite"));
        for node in all {
            assert_eq!(said(node), found(node), "{xml}");
        }
        found(document.root_element())
    }

    fn of(outcomes: &[Outcome]) -> String {
        let any = sample().findings[0].clone();
        let findings = outcomes.iter().map(|outcome| Finding { outcome: *outcome, ..any.clone() }).collect();
        Checked { findings, ..sample() }.to_junit()
    }

    #[test]
    fn only_what_holds_looks_as_if_it_passed() {
        assert_eq!(counts(&sample().to_junit()), [6, 2, 2, 1]);
        assert_eq!(counts(&of(&[Outcome::Pass])), [1, 0, 0, 0]);
        assert_eq!(counts(&of(&[Outcome::Inconclusive, Outcome::Pass])), [2, 0, 1, 0]);
        assert_eq!(counts(&of(&[Outcome::Error(4), Outcome::Error(3)])), [2, 0, 2, 0]);
        assert_eq!(counts(&of(&[Outcome::Skipped])), [2, 0, 1, 1]);
        assert_eq!(counts(&of(&[])), [1, 0, 1, 0]);
    }

    #[test]
    fn names_of_any_kind_are_survived() {
        let mut checked = sample();
        let name = format!("{NASTY}\u{0}\u{b}\u{fffe}\u{ffff}\n\u{85}]]>\u{1b}]0;rest");
        checked.findings[1].subject = name.clone();
        checked.findings[1].message = name.clone();
        checked.findings[1].help = Some(name.clone());
        checked.findings[1].code = name.clone();
        checked.model = vec![name.clone().into()];
        let xml = checked.to_junit();
        let document = Document::parse(&xml).unwrap();
        let failure = document.descendants().find(|node| node.has_tag_name("failure")).unwrap();
        let shown = failure.attribute("message").unwrap();
        assert!(shown.starts_with("</script><b>\"'&|`*_[x](y) =1\\u{1b}[31m\\u202e\\u{0}"), "{shown}");
        assert!(shown.ends_with(r"\u{fffe}\u{ffff}\n\u0085]]>\u{1b}]0;rest"), "{shown}");
        assert!(failure.text().unwrap().starts_with(shown));
        let model = document.descendants().find(|node| node.attribute("name") == Some("model")).unwrap();
        assert_eq!(model.attribute("value").unwrap(), shown);
        checked.findings[1].message = "x".repeat(1 << 20);
        assert!(checked.to_junit().len() < 30_000);
    }

    #[test]
    fn it_looks_as_ever() {
        super::super::sample::snapshot(|| insta::assert_snapshot!("junit", sample().to_junit()));
    }
}
