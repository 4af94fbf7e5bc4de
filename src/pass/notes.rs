//! What the user should know, each once.

/// Adds what is not there yet.
pub fn add(notes: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for note in more {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
}
