//! Names from files, and lists of them, in messages: short, whatever the file holds.

use std::fmt::{Display, Write};

/// Names of a list that are shown.
const SHOWN: usize = 8;
/// Characters of a name that are shown.
const LONGEST: usize = 160;

/// Names parted by commas; of many, the first and how many more there are. "none" if there are none.
pub fn few<T: Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<T> = names.into_iter().collect();
    few_of(&names, T::to_string)
}

/// The same for things that have to be described first.
pub fn few_of<T>(things: &[T], describe: impl Fn(&T) -> String) -> String {
    let text = things.iter().take(SHOWN).map(|thing| cut(&describe(thing))).collect::<Vec<_>>().join(", ");
    match things.len() {
        0 => "none".to_owned(),
        1..=SHOWN => text,
        all => format!("{text} and {} more", all - SHOWN),
    }
}

/// A name, the end left out if it is long.
pub fn cut(name: &str) -> String {
    cut_to(name, LONGEST)
}

/// Text of at most so many characters, the end left out if there are more.
pub fn cut_to(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Text from a file, whose control characters are escaped, those that turn the direction of writing too: a terminal would
/// obey them. Those that may stand in JSON are escaped as JSON does it, which thereby stays JSON.
pub fn harmless(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0'..' ' => shown.extend(c.escape_default()),
            c if obeyed(c) => _ = write!(shown, "\\u{:04x}", u32::from(c)),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_and_names_are_cut() {
        assert_eq!(few(Vec::<String>::new()), "none");
        assert_eq!(few(["a", "b"]), "a, b");
        assert_eq!(few(0..10), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
        assert_eq!(harmless("ü'\x1b[1m\n"), "ü'\\u{1b}[1m\\n");
        assert_eq!(harmless("a\u{202e}b\u{2069}"), "a\\u202eb\\u2069");
        let name = "\x7f\u{85}\u{9b}31m\u{61c}\u{200f}\u{2028}\x1b\n\"ü";
        let json = serde_json::json!({ name: name }).to_string();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&harmless(&json)).unwrap()[name], name);
        assert_eq!(cut(&"ü".repeat(160)).chars().count(), 160);
        assert_eq!(cut(&"ü".repeat(161)), "ü".repeat(160) + "…");
    }
}
