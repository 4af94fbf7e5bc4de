//! A command as a shell takes it.

use super::Reproduce;

impl Reproduce {
    /// The command in one line, to be pasted into a POSIX shell (bash or zsh, where a word has control characters).
    pub fn command_line(&self) -> String {
        self.command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word as it is where a shell leaves it alone, else in quotes. What a terminal would obey is written as an escape.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+%@".contains(c);
    // zsh takes a word behind `=` for a program to look for.
    if !word.is_empty() && !word.starts_with('=') && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.chars().any(hidden) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let escaped = word.chars().map(|c| match c {
        '\'' | '\\' => format!("\\{c}"),
        c if hidden(c) => format!("\\U{:08x}", u32::from(c)),
        c => c.to_string(),
    });
    format!("$'{}'", escaped.collect::<String>())
}

fn hidden(c: char) -> bool {
    crate::few::harmless(c.encode_utf8(&mut [0; 4])).len() > c.len_utf8()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::checked::sample::NASTY;

    #[test]
    fn a_shell_reads_the_words_that_were_meant() {
        let words = ["uwm-onnx", "a b", "it's", "", "=x", "$(rm x)", "*", "ü", NASTY, "\n'\\\u{85}x"];
        let command = words.map(str::to_owned).to_vec();
        let line = Reproduce { command, version: "0", files: vec![] }.command_line();
        assert!(!line.chars().any(hidden), "{line}");
        assert!(line.starts_with(r"uwm-onnx 'a b' 'it'\''s' '' '=x' '$(rm x)' '*' 'ü' $'"), "{line}");
        let script = format!("printf '%s\\0' {line}");
        let Ok(out) = std::process::Command::new("bash").env("LC_ALL", "C.UTF-8").args(["-c", &script]).output() else {
            return eprintln!("LEFT OUT: there is no bash");
        };
        let read: Vec<String> = String::from_utf8(out.stdout).unwrap().split('\0').map(str::to_owned).collect();
        assert_eq!(read[..words.len()], words);
    }
}
