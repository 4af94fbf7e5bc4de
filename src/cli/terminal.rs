//! What reaches a terminal: its width, its colours, and nothing in names from files that it would obey.

use console::Term;

use crate::few::harmless;
use crate::report::{Look, Tone};

/// How a result looks on stdout. A file or a pipe has 80 columns, and no colours unless they are forced
/// (`CLICOLOR_FORCE`); a terminal has them unless `NO_COLOR` or `TERM=dumb` is set.
pub fn look() -> Look {
    look_of(&Term::stdout(), console::colors_enabled())
}

fn look_of(term: &Term, colour: bool) -> Look {
    // What is forced is forced by a build server; who says no means it.
    let colour = colour && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let columns = term.size_checked().map_or(Look::PLAIN.width, |(_, columns)| columns.into());
    Look::of(columns, colour)
}

/// A result as it is printed: control characters escaped line by line, labels in their colours.
pub fn shown(text: &str) -> String {
    let look = look();
    text.split('\n').map(|line| labelled(look, line)).collect::<Vec<_>>().join("\n")
}

/// A paragraph on stderr.
pub fn complain(text: &str) {
    eprintln!("{}", labelled(look_of(&Term::stderr(), console::colors_enabled_stderr()), text));
}

/// A line whose control characters are escaped; if it begins as an error, a warning or a note does, that in its colour.
fn labelled(look: Look, line: &str) -> String {
    let label = line.find(": ").map_or("", |end| &line[..end]);
    let code = |name: &str| label.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('['));
    let tone = match label {
        _ if code("error") => Tone::Bad,
        _ if code("warning") => Tone::Doubt,
        "note" => Tone::Strong,
        _ => return harmless(line),
    };
    look.paint(tone, label) + &harmless(&line[label.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_colours_and_names_have_none() {
        let look = Look { width: 80, colour: true };
        assert_eq!(labelled(look, "error[x]: \u{1b}[32m: y"), "\u{1b}[31m\u{1b}[1merror[x]\u{1b}[0m: \\u{1b}[32m: y");
        assert_eq!(labelled(look, "warning: x"), "\u{1b}[33m\u{1b}[1mwarning\u{1b}[0m: x");
        for plain in ["errors: 1", "an error: x", "error", "x\u{e9}: error[", ""] {
            assert_eq!(labelled(look, plain), plain);
        }
        assert_eq!(labelled(Look::PLAIN, "error[x]: y"), "error[x]: y");
    }
}
