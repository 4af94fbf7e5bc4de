//! Text that is neither Markdown nor HTML, however GitHub reads it.

use crate::few::{cut_to, harmless};

/// Characters of a text that are shown.
const LONGEST: usize = 400;
/// Characters of a command that are shown.
const LONGEST_COMMAND: usize = 8000;
/// A character without width, after which GitHub sees no mention, issue, link or emoji.
const JOINER: &str = "&#8288;";

/// Text for a line, a cell of a table or a heading.
pub fn md(text: &str) -> String {
    let text = harmless(&cut_to(text, LONGEST));
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = letters.next() {
        let next = letters.peek().copied().unwrap_or(' ');
        match c {
            '@' | '#' => out += &format!("&#{};{JOINER}", u32::from(c)),
            // Of an address or an emoji: a space comes after any other.
            ':' if !next.is_whitespace() => out += &format!(":{JOINER}"),
            '.' if out.get(out.len().saturating_sub(3)..).is_some_and(|end| end.eq_ignore_ascii_case("www")) => {
                out += &format!(".{JOINER}")
            }
            // Within a word it does nothing.
            '_' if before.is_alphanumeric() && next.is_alphanumeric() => out.push(c),
            '&' | '<' | '>' | '|' | '`' | '*' | '_' | '~' | '[' | ']' | '\\' | '$' => {
                out += &format!("&#{};", u32::from(c));
            }
            c => out.push(c),
        }
        before = c;
    }
    out
}

/// A block of code, in a fence that nothing in it can close. What is long is cut, and says so.
pub fn fence(text: &str) -> String {
    let text = harmless(&cut_to(text, LONGEST_COMMAND));
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(3.max(longest + 1));
    format!("{fence}\n{text}\n{fence}")
}
