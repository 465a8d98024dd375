//! What every target states of a message.

/// Two pieces of foreign text of 200 characters, as an error's title and detail are, each character escaped as
/// `\u{10ffff}` and then quoted, beside words of our own.
const LONGEST: usize = 2 * 200 * 11 + 800;

/// A message stays on its line, moves no terminal's cursor, and does not grow with what it complains about.
pub fn assert_message(message: &str) {
    assert!(!message.is_empty());
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(
        message.len() <= LONGEST,
        "{} bytes: {message}",
        message.len()
    );
}
