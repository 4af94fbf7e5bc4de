//! Every code has a page, every page a code, and each is as a reader expects it. Codes are read from the sources that define
//! them, so that a new one without a page fails here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use uwm_onnx::config::Config;
use uwm_onnx::gate::{CODES, Policy};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|own| own == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What stands between `before` and `after`, each time.
fn between<'t>(text: &'t str, before: &str, after: &str) -> Vec<&'t str> {
    text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(after)?.0)).collect()
}

fn is_code(text: &str) -> bool {
    text.contains('-') && text.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
        || text == "interrupted"
}

/// The variants of an enum, in kebab case.
fn variants(source: &str, name: &str) -> BTreeSet<String> {
    let body = between(source, &format!("pub enum {name} {{\n"), "\n}")[0];
    let variant = |line: &str| {
        let word = line.strip_prefix("    ")?.trim_end_matches([',', '{', ' ']);
        let plain =
            word.starts_with(|c: char| c.is_ascii_uppercase()) && word.chars().all(|c| c.is_ascii_alphanumeric());
        plain.then(|| {
            let mut kebab = String::new();
            for c in word.chars() {
                if c.is_ascii_uppercase() && !kebab.is_empty() {
                    kebab.push('-');
                }
                kebab.push(c.to_ascii_lowercase());
            }
            kebab
        })
    };
    body.lines().filter_map(variant).collect()
}

/// Codes of errors: those that miette is told, and those that are printed without it.
fn of_errors() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for file in files(&root("src"), "rs") {
        let text = read(&file);
        let told = between(&text, "code(\"", "\")").into_iter().chain(between(&text, "error[", "]"));
        codes.extend(told.filter(|code| is_code(code)).map(str::to_owned));
    }
    codes
}

/// Codes of what `data check` finds.
fn of_data() -> BTreeSet<String> {
    let source = read(root("src/dataset/check/findings.rs"));
    let codes = variants(&source, "Code");
    let described: BTreeSet<String> =
        between(&source, "(\"", "\", ").into_iter().filter(|code| is_code(code)).map(str::to_owned).collect();
    assert_eq!(codes, described, "a variant of Code is called otherwise than it says");
    codes
}

/// Codes of models that do not work.
fn of_ailments() -> BTreeSet<String> {
    let source = read(root("src/safeground/health.rs"));
    let codes = variants(&source, "Ailment");
    assert!(codes.iter().all(|code| source.contains(&format!("\"{code}\""))), "{codes:?}");
    codes
}

fn codes() -> BTreeSet<String> {
    let parts = [of_errors(), of_data(), of_ailments(), CODES.into_iter().map(str::to_owned).collect()];
    // None of them may be empty because its source is written otherwise now.
    for (part, least) in parts.iter().zip([50, 19, 5, 20]) {
        assert!(part.len() >= least, "{part:?}");
    }
    parts.into_iter().flatten().collect()
}

fn pages() -> Vec<PathBuf> {
    files(&root("docs/findings"), "md").into_iter().filter(|path| !path.ends_with("README.md")).collect()
}

fn code_of(page: &Path) -> String {
    page.file_stem().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let written: BTreeSet<String> = pages().iter().map(|page| code_of(page)).collect();
    let codes = codes();
    let missing: Vec<_> = codes.difference(&written).collect();
    let orphans: Vec<_> = written.difference(&codes).collect();
    assert!(missing.is_empty() && orphans.is_empty(), "without a page: {missing:?}; without a code: {orphans:?}");
}

#[test]
fn each_page_says_what_to_do() {
    for page in pages() {
        let (code, text) = (code_of(&page), read(&page));
        assert!(is_code(&code), "{code}");
        assert_eq!(text.lines().next(), Some(&*format!("# {code}")));
        let sections: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let optional: Vec<&str> = sections.iter().copied().filter(|section| *section != "Why it matters").collect();
        assert_eq!(optional, ["When", "What to do"], "{code}");
        let parts = text.split("\n## ").map(|part| part.split_once("\n\n").map_or("", |(_, rest)| rest.trim()));
        assert!(parts.clone().all(|part| part.len() > 10), "{code}: a section is empty");
        assert!((8..=30).contains(&text.lines().count()), "{code}: {} lines", text.lines().count());
        assert!(text.matches("```").count().is_multiple_of(2) && text.ends_with('\n'), "{code}");
    }
}

#[test]
fn the_index_lists_each_page_once() {
    let index = read(root("docs/findings/README.md"));
    let listed: Vec<&str> =
        index.lines().filter_map(|line| line.strip_prefix("| [")?.split_once(']')).map(|(code, _)| code).collect();
    let once: BTreeSet<String> = listed.iter().map(|code| (*code).to_owned()).collect();
    assert_eq!(listed.len(), once.len(), "listed twice");
    assert_eq!(once, pages().iter().map(|page| code_of(page)).collect());
    for code in listed {
        assert!(index.contains(&format!("\n| [{code}]({code}.md) | ")), "{code}");
    }
}

#[test]
fn links_lead_somewhere() {
    for (page, text) in documents() {
        for link in between(&text, "](", ")") {
            let to = page.parent().unwrap().join(link.split('#').next().unwrap());
            assert!(link.starts_with("https://") || to.is_file(), "{}: {link}", page.display());
        }
    }
}

/// Pages about findings, and the one about pipelines.
fn documents() -> impl Iterator<Item = (PathBuf, String)> {
    files(&root("docs/findings"), "md").into_iter().chain([root("docs/ci.md")]).map(|page| (page.clone(), read(page)))
}

#[test]
fn what_pages_show_of_policies_and_configurations_can_be_read() {
    let mut seen = 0;
    for (page, text) in documents().filter(|(page, _)| !page.ends_with("ci.md")) {
        for block in between(&text, "```yaml\n", "```") {
            let versioned = if block.contains("version:") { block.to_owned() } else { format!("version: 1\n{block}") };
            let policy = Policy::parse(&versioned, None).map(|policy| policy.figures.len());
            let config = serde_saphyr::from_str::<Config>(block);
            assert!(policy.is_ok() || config.is_ok(), "{}: {policy:?}, {config:?}\n{block}", page.display());
            seen += 1;
        }
    }
    assert!(seen > 5);
}

#[test]
fn what_pages_show_of_commands_can_be_called() {
    let run = |words: &[String]| Command::cargo_bin("uwm-onnx").unwrap().args(words).arg("--help").output().unwrap();
    let (mut seen, mut tried) = (0, BTreeSet::new());
    for (page, text) in documents() {
        for block in between(&text, "```sh\n", "```") {
            let block = block.replace("\\\n", " ");
            let commands = block.lines().flat_map(|line| line.split([';', '|', '>', '&']));
            for call in commands.filter_map(|call| call.trim().strip_prefix("uwm-onnx ")) {
                let words: Vec<String> = call.split_whitespace().map(|word| word.replace('\'', "")).collect();
                // Options are looked at before help is given.
                let result = run(&words);
                let said = String::from_utf8_lossy(&result.stderr);
                assert!(result.status.success(), "{}: {call}: {said}", page.display());
                tried.insert(words[0].clone());
                seen += 1;
            }
        }
    }
    assert!(seen > 30 && tried.len() > 6, "{tried:?}");
    let unknown = ["rewrite", "m.onnx", "--bogus"].map(str::to_owned);
    assert!(!run(&unknown).status.success(), "an unknown option is not noticed");
}
