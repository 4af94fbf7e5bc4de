//! Names from files, as a page may have them.

/// Whether a character is not seen, and changes what is: a control character, or one that turns the order of others.
fn hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text whose hidden characters can be seen; lines stay lines.
pub fn visible(text: &str) -> String {
    let shown = |c: char| if hidden(c) && c != '\n' { c.escape_unicode().collect() } else { vec![c] };
    text.chars().flat_map(shown).collect()
}

/// The beginning of a name, no wider than that many narrow characters.
pub fn short(name: &str, width: usize) -> String {
    let mut left = width;
    let mut out = String::new();
    for c in visible(name).chars() {
        // About where the wide scripts begin.
        let wide = if c < '\u{1100}' { 1 } else { 2 };
        if wide > left {
            out.pop();
            out.push('…');
            return out;
        }
        left -= wide;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_seen() {
        assert_eq!(visible("a\u{1b}[1m\u{202e}\nü"), "a\\u{1b}[1m\\u{202e}\nü");
    }

    #[test]
    fn long_and_wide_names_are_cut() {
        assert_eq!(short("weapons", 7), "weapons");
        assert_eq!(short("weapons!", 7), "weapon…");
        assert_eq!(short("刀剑", 4), "刀剑");
        assert_eq!(short("刀剑刀", 4), "刀…");
        assert_eq!(short("\u{202e}x", 20), "\\u{202e}x");
    }
}
