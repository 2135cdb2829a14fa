//! TOML text → its keys and values with their places, or its syntax errors. Pure.

use std::cell::LazyCell;
use std::ops::Range;

use toml::de::{DeTable, Error};

use super::MOST_FAULTS;
use crate::fault::{Fault, Place, Problem};

/// In a longer text, only the first error is reported: the parser collects all errors until the end, and
/// there may be one for each byte.
const LONGEST_RECOVERED: usize = 256 * 1024;

/// Parses the text of a source.
pub(super) fn parse(source: usize, text: &str) -> Result<DeTable<'_>, Vec<Fault>> {
    let errors = match text.len() {
        ..=LONGEST_RECOVERED => {
            let (document, errors) = DeTable::parse_recoverable(text);
            match errors.is_empty() {
                true => return Ok(document.into_inner()),
                false => errors,
            }
        }
        _ => match DeTable::parse(text) {
            Ok(document) => return Ok(document.into_inner()),
            Err(error) => vec![error],
        },
    };
    // The parser guesses what broken TOML means: faults found in that may be wrong.
    Err(faults(source, text, &errors))
}

fn faults(source: usize, text: &str, errors: &[Error]) -> Vec<Fault> {
    // A key of more than 80 parts is an error without a place (toml 1.2).
    let long_key = LazyCell::new(|| most_parts(text));
    let span = |error: &Error| error.span().unwrap_or_else(|| long_key.clone());
    let mut errors: Vec<(Range<usize>, &Error)> =
        errors.iter().map(|error| (place(text, span(error)), error)).collect();
    errors.sort_by_key(|(span, _)| span.start);
    // One mistake may cause many errors: only the first of each line is reported.
    let mut next_line = 0;
    errors.retain(|(span, _)| {
        let is_first = span.start >= next_line;
        if is_first {
            let rest = text.get(span.start..).and_then(|rest| rest.find('\n'));
            next_line = rest.map_or(usize::MAX, |end| span.start + end + 1);
        }
        is_first
    });
    let more = (errors.len() > MOST_FAULTS)
        .then_some(Fault { place: None, problem: Problem::TooManyShapes });
    let faults = errors.into_iter().take(MOST_FAULTS).map(|(span, error)| Fault {
        place: Some(Place::new(source, span)),
        problem: Problem::Syntax(error.message().to_owned()),
    });
    faults.chain(more).collect()
}

/// The place at which to show an error.
fn place(text: &str, span: Range<usize>) -> Range<usize> {
    // The parser works on bytes and may return a place inside a character, where nothing can be shown.
    let whole = |at: &usize| text.is_char_boundary(*at);
    let start = (0..=span.start).rev().find(whole).unwrap_or(0);
    let end = (span.end..text.len()).find(whole).unwrap_or(text.len());
    start..end
}

/// The line with the most dots.
fn most_parts(text: &str) -> Range<usize> {
    let mut start = 0;
    let lines = text.split_inclusive('\n').map(|line| {
        let span = start..start + line.trim_end().len();
        start += line.len();
        (line.matches('.').count(), span)
    });
    lines.max_by_key(|(dots, _)| *dots).map_or(0..0, |(_, span)| span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    /// The messages for a broken text, with their lines.
    #[track_caller]
    fn check(text: &str, expected: &[(usize, &str, &str)]) {
        let faults = parse(0, text).expect_err("it is no TOML");
        let found: Vec<(usize, String, String)> = faults
            .iter()
            .map(|fault| {
                let span = fault.place.clone().expect("it has a place").span();
                let line = text[..span.start].matches('\n').count() + 1;
                (line, text[span].to_owned(), fault.problem.message(Language::Manifest))
            })
            .collect();
        let expected: Vec<(usize, String, String)> = expected
            .iter()
            .map(|(line, at, what)| (*line, (*at).to_owned(), format!("not TOML: {what}")))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn one_error_of_a_line_is_reported() {
        check(
            "a = {{{ 1\nb = 1\nc = = [\n",
            &[
                (1, "", "missing key for inline table element, expected key"),
                (3, "", "unclosed inline table, expected `}`"),
            ],
        );
    }

    #[test]
    fn errors_lie_between_characters() {
        let escape =
            "missing escaped value, expected `b`, `e`, `f`, `n`, `r`, `\\`, `\"`, `x`, `u`, `U`";
        check(
            "é = 1\nb = \"\\é\"\nc = 'ü\u{1}'\n",
            &[
                (1, "é", "invalid unquoted key, expected letters, numbers, `-`, `_`"),
                (2, "", escape),
                (3, "", "invalid literal string, expected non-single-quote visible characters"),
            ],
        );
    }

    #[test]
    fn what_is_missing_at_the_end_of_a_line_is_shown_there() {
        check(
            "a =\nb = 'x\r\nc",
            &[
                (1, "", "string values must be quoted, expected literal string"),
                (2, "", "invalid literal string, expected non-single-quote visible characters"),
                (3, "", "key with no value, expected `=`"),
            ],
        );
    }

    #[test]
    fn a_key_of_too_many_parts_has_a_place() {
        let key = ["a"; 81].join(".");
        let text = format!("a.b = 1\n{key} = 1\nb.c = 1\n");
        check(&text, &[(2, &format!("{key} = 1"), "recursion limit")]);
    }

    #[test]
    fn the_number_of_errors_is_limited() {
        let faults = parse(0, &"=\n".repeat(60)).expect_err("it is no TOML");
        assert_eq!(faults.len(), 51);
        assert_eq!(faults.last().map(|fault| &fault.problem), Some(&Problem::TooManyShapes));
        let faults = parse(0, &"=\n".repeat(LONGEST_RECOVERED)).expect_err("it is no TOML");
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn as_many_errors_as_are_listed_are_all() {
        assert_eq!(parse(0, &"=\n".repeat(50)).expect_err("it is no TOML").len(), 50);
    }

    #[test]
    fn every_error_of_a_long_text_is_told() {
        let long = format!("=\n{}=\n", "# long\n".repeat(30_000));
        assert_eq!(parse(0, &long).expect_err("it is no TOML").len(), 2);
    }
}
