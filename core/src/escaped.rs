//! Text from outside → text for people, which does nothing to a terminal. Pure.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;

/// A name, a path or any other text from outside. Invalid UTF-8 is replaced, and control characters, which
/// could forge lines or colours on a terminal, are escaped.
pub struct Escaped<'a>(&'a OsStr);

impl<'a> Escaped<'a> {
    /// Wraps a string, a path or a file name.
    pub fn new(text: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        Self(text.as_ref())
    }

    /// The escaped text.
    pub fn text(&self) -> Cow<'a, str> {
        let text = self.0.to_string_lossy();
        if !text.contains(char::is_control) {
            return text;
        }
        let escaped = text.chars().map(|character| {
            if character.is_control() {
                character.escape_default().to_string()
            } else {
                character.to_string()
            }
        });
        Cow::Owned(escaped.collect())
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}
