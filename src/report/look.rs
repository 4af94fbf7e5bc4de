//! How text looks on a terminal: its width, and colours that one can do without.

use console::{Style, measure_text_width};

use crate::few::harmless;

/// What text is laid out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Columns.
    pub width: usize,
    /// Whether there are colours.
    pub colour: bool,
}

/// What a piece of text says, which its colour says again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing of the kind.
    Plain,
    /// It is well.
    Good,
    /// It is not.
    Bad,
    /// It cannot be told, or deserves a look.
    Doubt,
    /// A heading.
    Strong,
    /// It matters less than the rest.
    Faint,
}

impl Look {
    /// Of files and pipes.
    pub const PLAIN: Self = Self { width: 80, colour: false };

    /// Of a terminal that is so wide. Lines of more than 80 columns are hard to read, and those of less than 40 hold
    /// nothing.
    pub fn of(columns: usize, colour: bool) -> Self {
        Self { width: columns.clamp(40, 80), colour }
    }

    /// Text whose control characters are escaped, in its colour.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        self.tint(tone, &harmless(text))
    }

    /// Harmless text in its colour.
    fn tint(self, tone: Tone, text: &str) -> String {
        let style = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => Style::new().green().bold(),
            Tone::Bad => Style::new().red().bold(),
            Tone::Doubt => Style::new().yellow().bold(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dim(),
        };
        style.force_styling(self.colour).apply_to(text).to_string()
    }
}

/// Lines of text for a terminal. Whatever comes in is escaped, and only then coloured.
pub(super) struct Page {
    look: Look,
    text: String,
}

impl Page {
    pub fn new(look: Look) -> Self {
        Self { look, text: String::new() }
    }

    /// An empty line.
    pub fn gap(&mut self) {
        self.text.push('\n');
    }

    /// A line as it is.
    pub fn line(&mut self, tone: Tone, text: &str) {
        self.text += &self.look.paint(tone, text);
        self.text.push('\n');
    }

    /// Text in lines that are not too long.
    pub fn wrapped(&mut self, tone: Tone, text: &str) {
        self.beside((Tone::Plain, ""), 0, tone, text);
    }

    /// A label, and text in lines beside it, `indent` columns from the margin; below it where there is little room.
    pub fn beside(&mut self, (label_tone, label): (Tone, &str), indent: usize, tone: Tone, text: &str) {
        let indent = if self.look.width < 4 * indent { 2 } else { indent };
        let label = harmless(label);
        let mut margin = " ".repeat(indent);
        if measure_text_width(&label) < indent {
            margin = self.look.tint(label_tone, &label) + &margin[measure_text_width(&label)..];
        } else if !label.is_empty() {
            self.line(label_tone, &label);
        }
        for line in lines(&harmless(text), self.look.width.saturating_sub(indent)) {
            self.text += &format!("{margin}{}\n", self.look.tint(tone, &line));
            margin = " ".repeat(indent);
        }
    }

    pub fn into_text(self) -> String {
        self.text
    }
}

/// Harmless text in lines of at most so many columns. A word that is longer than a line is broken, though not within a
/// number.
fn lines(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line, mut used) = (vec![], String::new(), 0);
    let words = words(text);
    let pieces = words.iter().flat_map(|word| {
        let pieces = broken(word, width);
        pieces.into_iter().enumerate().map(|(index, piece)| (index == 0, piece))
    });
    for (begins, piece) in pieces {
        let columns = measure_text_width(piece);
        let space = usize::from(begins && used > 0);
        if used > 0 && (!begins || used + space + columns > width) {
            lines.push(std::mem::take(&mut line));
            used = 0;
        } else if space > 0 {
            line.push(' ');
            used += 1;
        }
        line += piece.trim_end();
        used += columns;
    }
    lines.push(line);
    lines
}

/// Words. A number and its percent sign are one, and so are both ends of an interval.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![];
    for word in text.split(' ') {
        match words.last_mut() {
            Some(last) if word.starts_with('%') || (last.starts_with('[') && last.ends_with(',')) => {
                last.push(' ');
                last.push_str(word);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// A word in pieces that fit in a line.
fn broken(word: &str, width: usize) -> Vec<&str> {
    let mut pieces = vec![];
    let mut rest = word;
    loop {
        let mut columns = 0;
        let over = rest.char_indices().find(|(_, c)| {
            columns += measure_text_width(c.encode_utf8(&mut [0; 4]));
            columns > width
        });
        let Some((most, first)) = over else { break };
        // A character that is wider than a line stands alone, and a number that is longer is broken all the same.
        let most = if most == 0 { first.len_utf8() } else { most };
        let numeric = |c: char| c.is_ascii_digit() || c == '.';
        let between = |at: &usize| {
            rest.is_char_boundary(*at) && !(rest[..*at].ends_with(numeric) && rest[*at..].starts_with(numeric))
        };
        let end = (1..=most).rev().find(between).unwrap_or(most);
        pieces.push(&rest[..end]);
        rest = &rest[end..];
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    /// Characters, the space before it included.
    pub width: usize,
    /// The greater, the sooner it is left out where there is little room; never if 0.
    pub rank: u8,
}

/// A table, of which only those columns are shown that there is room for.
pub(super) struct Grid {
    /// Characters of the first column.
    first: usize,
    columns: Vec<Column>,
    shown: Vec<bool>,
}

impl Grid {
    /// A first column of `first` characters, and such of the others as fit beside it.
    pub fn new(first: usize, columns: Vec<Column>, width: usize) -> Self {
        let mut shown = vec![true; columns.len()];
        loop {
            let kept = || columns.iter().enumerate().filter(|(index, _)| shown[*index]);
            let used: usize = kept().map(|(_, column)| column.width).sum();
            let least = kept().filter(|(_, column)| column.rank > 0).max_by_key(|(_, column)| column.rank);
            match least {
                Some((index, _)) if first + used > width => shown[index] = false,
                _ => return Self { first, columns, shown },
            }
        }
    }

    /// A line, the heading too: a cell for every column, shown or not.
    pub fn line(&self, first: &str, cells: impl IntoIterator<Item = String>) -> String {
        let mut line = format!("{first:<0$}", self.first);
        for ((cell, column), _) in cells.into_iter().zip(&self.columns).zip(&self.shown).filter(|(_, shown)| **shown) {
            line += &format!("{cell:>0$}", column.width);
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(look: Look, text: &str) -> String {
        let mut page = Page::new(look);
        page.wrapped(Tone::Bad, text);
        page.into_text()
    }

    #[test]
    fn words_stay_whole_and_long_ones_are_broken_beside_numbers() {
        assert_eq!(lines("to be or not", 5), ["to be", "or", "not"]);
        assert_eq!(lines("", 5), [""]);
        assert_eq!(lines("is 0.25 % or [1.5, 2.5].", 8), ["is", "0.25 %", "or", "[1.5,", "2.5]."]);
        assert_eq!(lines("is 0.25 % or [1.5, 2.5].", 12), ["is 0.25 % or", "[1.5, 2.5]."]);
        assert_eq!(lines("a abcdefgh z", 4), ["a", "abcd", "efgh", "z"]);
        assert_eq!(lines("ab12.75cd", 6), ["ab", "12.75c", "d"]);
        assert_eq!(lines("123456", 4), ["1234", "56"]);
        assert_eq!(lines("日本語", 4), ["日本", "語"]);
        assert_eq!(lines("日本", 1), ["日", "本"]);
    }

    #[test]
    fn only_our_own_colours_reach_a_terminal() {
        let look = Look { width: 80, colour: true };
        assert_eq!(page(look, "a\u{1b}[32m\u{202e}"), "\u{1b}[31m\u{1b}[1ma\\u{1b}[32m\\u202e\u{1b}[0m\n");
        assert_eq!(page(Look::PLAIN, "a\u{1b}[32m"), "a\\u{1b}[32m\n");
    }

    #[test]
    fn columns_go_by_their_rank() {
        let columns = [(10, 0), (10, 2), (10, 1), (10, 3)].map(|(width, rank)| Column { width, rank });
        let cells = ["a", "b", "c", "d"].map(str::to_owned);
        let line = |width| Grid::new(10, columns.to_vec(), width).line("it", cells.clone()).replace(' ', "");
        assert_eq!([50, 49, 39, 5].map(line), ["itabcd", "itabc", "itac", "ita"]);
    }
}
