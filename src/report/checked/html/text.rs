//! Names from files, as a page and a shell may have them.

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

/// A command as a shell reads it, word by word.
pub fn command_line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@+,".contains(c);
    if !word.is_empty() && !word.starts_with('=') && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.chars().any(hidden) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let escaped = |c: char| match c {
        '\\' | '\'' => format!("\\{c}"),
        c if c.is_ascii() && hidden(c) => format!("\\x{:02x}", c as u32),
        c if hidden(c) => format!("\\u{:04x}", c as u32),
        c => c.to_string(),
    };
    format!("$'{}'", word.chars().map(escaped).collect::<String>())
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

    #[test]
    fn a_shell_reads_the_words_as_they_were() {
        let words =
            ["uwm-onnx", "a b", "it's", "", "=x", "$(x)", "a\u{1b}'\\\u{202e}b", "--split=test"].map(str::to_owned);
        let line = command_line(&words);
        assert_eq!(line, r"uwm-onnx 'a b' 'it'\''s' '' '=x' '$(x)' $'a\x1b\'\\\u202eb' --split=test");
        let script = format!("printf '%s\\0' {line}");
        let Ok(out) = std::process::Command::new("bash").args(["-c", &script]).env("LC_ALL", "C.UTF-8").output() else {
            return;
        };
        assert_eq!(String::from_utf8(out.stdout).unwrap(), words.map(|word| word + "\0").concat());
    }
}
