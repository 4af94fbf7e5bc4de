//! Lists in messages.

use std::fmt::Display;

/// Names parted by commas; of many, the first and how many more there are. "none" if there are none.
pub fn few<T: Display>(names: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 8;
    let mut names = names.into_iter();
    let mut text = names.by_ref().take(SHOWN).map(|name| name.to_string()).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 if text.is_empty() => "none".to_owned(),
        0 => text,
        more => {
            text += &format!(" and {more} more");
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::few;

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(few(Vec::<String>::new()), "none");
        assert_eq!(few(["a", "b"]), "a, b");
        assert_eq!(few(0..10), "0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
    }
}
