//! Text from outside → text for people, which does nothing to a terminal. Pure.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;

/// A name, a path or any other text from outside. Invalid UTF-8 is replaced, and every character that is not
/// [shown as itself](is_shown) is escaped, also a newline: it could forge a line.
pub struct Escaped<'a>(&'a OsStr);

impl<'a> Escaped<'a> {
    /// Wraps a string, a path or a file name.
    pub fn new(text: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        Self(text.as_ref())
    }

    /// The escaped text.
    pub fn text(&self) -> Cow<'a, str> {
        escape(self.0.to_string_lossy(), is_shown)
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Text of several lines from outside: newlines and tabs stay, everything else is as in [`Escaped`].
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    escape(Cow::Borrowed(text), |character| matches!(character, '\n' | '\t') || is_shown(character))
}

fn escape(text: Cow<'_, str>, is_kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&is_kept) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match is_kept(character) {
            true => escaped.push(character),
            false => escaped.extend(character.escape_default()),
        }
    }
    Cow::Owned(escaped)
}

/// Whether a character is shown as itself. Not shown are control characters; format characters, which change
/// the direction of text (U+202E) or have no width (U+200B); the separators of lines and paragraphs; and all
/// others that are invisible or that have no glyph of their own.
pub fn is_shown(character: char) -> bool {
    match character {
        ' '..='~' => true,
        _ if character.is_control() || is_ignorable(character) => false,
        // The table of the standard library: not `Cc`, `Cf`, `Cn`, `Co`, `Zl`, `Zp` and, except for a space, `Zs`
        // (library/core/src/unicode/printable.py). Behind another character, a mark is not escaped.
        _ => {
            let mut bytes = [b'x', 0, 0, 0, 0];
            let length = 1 + character.encode_utf8(bytes.get_mut(1..).unwrap_or_default()).len();
            let text = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
            text.is_some_and(|text| text.escape_debug().eq(text.chars()))
        }
    }
}

/// The characters of `Default_Ignorable_Code_Point` (Unicode 16, DerivedCoreProperties.txt) that are letters and
/// marks: they are invisible, so two names with and without them look the same.
fn is_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(Escaped::new(text).to_string(), expected);
    }

    #[test]
    fn what_people_can_read_stays() {
        for text in
            ["", "observe/tasks", "a b", "it's \"a\\b\"", "größe", "cafe\u{301}", "日本", "🦀"]
        {
            check(text, text);
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        check("a\x1b[31m\n\t\x7fb", "a\\u{1b}[31m\\n\\t\\u{7f}b");
        check("\u{9b}31m", "\\u{9b}31m");
    }

    #[test]
    fn what_nobody_can_see_is_escaped() {
        let bidi =
            ["\u{61c}", "\u{200e}", "\u{200f}", "\u{202a}", "\u{202e}", "\u{2066}", "\u{2069}"];
        let no_width =
            ["\u{ad}", "\u{200b}", "\u{200c}", "\u{200d}", "\u{2060}", "\u{feff}", "\u{e0041}"];
        let separators = ["\u{2028}", "\u{2029}", "\u{a0}", "\u{3000}"];
        let ignorable = ["\u{34f}", "\u{115f}", "\u{3164}", "\u{fe0f}", "\u{e0100}"];
        for text in bidi.iter().chain(&no_width).chain(&separators).chain(&ignorable) {
            let code = text.chars().map(u32::from).next().unwrap_or_default();
            check(&format!("a{text}b"), &format!("a\\u{{{code:x}}}b"));
        }
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(escape_lines("a\tb\n; \x1b[31m\r\n"), "a\tb\n; \\u{1b}[31m\\r\n");
        assert_eq!(escape_lines("x\u{2028}y\u{202e}z"), "x\\u{2028}y\\u{202e}z");
    }
}
