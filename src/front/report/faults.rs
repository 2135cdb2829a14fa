//! Faults of a manifest → text with file, line and caret, and the same as diagnostics.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::{AlsoSee, Diagnostic, Severity, SourceLine, error};
use crate::front::errors::{Faulty, Origin};
use iterctl_core::escaped::{Escaped, escape_lines, is_shown};
use iterctl_core::fault::{Fault, Faults, Place, Warning};
use iterctl_core::language::Language;
use iterctl_core::manifest::Source;

/// How many lines apart two places of one file are shown together, with `...` between them.
const NEAR: usize = 100;

/// So many faults are told, the first ones of the manifest. A short file can have a million of them.
const MOST: usize = 100;

/// The first faults with their places, one after the other, and how many more there are.
pub fn render(faults: &Faults, sources: &[Source], renderer: &Renderer) -> String {
    let lines = Lines::of(sources);
    let told = faults.iter().take(MOST).map(|fault| render_one(fault, &lines, renderer));
    let more = more(faults)
        .map(|more| renderer.render(&[Group::with_title(Level::NOTE.primary_title(more))]));
    told.chain(more).collect::<Vec<_>>().join("\n\n")
}

/// Says how many faults are not told.
fn more(faults: &Faults) -> Option<String> {
    match faults.iter().count().saturating_sub(MOST) {
        0 => None,
        1 => Some("there is 1 more fault".to_owned()),
        number => Some(format!("there are {number} more faults")),
    }
}

/// A message with its place, in the same form; `None` if the place is in no source.
pub(super) fn render_at(
    message: &str,
    place: &Place,
    lines: &Lines<'_>,
    renderer: &Renderer,
) -> Option<String> {
    let part = lines.part(place.source, place.span())?;
    let span = part.span(place);
    let snippet = part.snippet().annotation(AnnotationKind::Primary.span(span));
    let message = escape_lines(message);
    Some(renderer.render(&[Level::ERROR.primary_title(message).element(snippet)]))
}

fn render_one(fault: &Fault, lines: &Lines<'_>, renderer: &Renderer) -> String {
    let title = fault.problem.message(Language::Manifest);
    let help = fault.problem.help(Language::Manifest);
    let title = Level::ERROR.primary_title(escape_lines(&title).into_owned());
    let mut group = match fault.place.as_ref().and_then(|place| snippet(place, fault, lines)) {
        Some(snippet) => title.element(snippet),
        None => Group::with_title(title),
    };
    if let Some(other) = see_also(fault, lines) {
        group = group.element(other);
    }
    if let Some(help) = help {
        group = group.element(Level::HELP.message(escape_lines(&help).into_owned()));
    }
    renderer.render(&[group])
}

fn snippet<'a>(
    place: &Place,
    fault: &Fault,
    lines: &Lines<'a>,
) -> Option<Snippet<'a, Annotation<'a>>> {
    let also = fault.problem.see_also().filter(|(also, _)| lines.are_near(place, also));
    let (also_start, also_end) =
        also.as_ref().map_or((place.start, place.end), |(also, _)| (also.start, also.end));
    let part = lines.part(place.source, place.start.min(also_start)..place.end.max(also_end))?;
    let primary = AnnotationKind::Primary.span(part.span(place));
    let context =
        also.map(|(also, label)| AnnotationKind::Context.span(part.span(also)).label(label));
    Some(part.snippet().annotation(primary).annotations(context))
}

/// The other place of a problem, if it is in another file or far away.
fn see_also<'a>(fault: &Fault, lines: &Lines<'a>) -> Option<Snippet<'a, Annotation<'a>>> {
    let (also, label) = fault.problem.see_also()?;
    if fault.place.as_ref().is_some_and(|place| lines.are_near(place, also)) {
        return None;
    }
    let part = lines.part(also.source, also.span())?;
    let annotation = AnnotationKind::Context.span(part.span(also)).label(label);
    Some(part.snippet().annotation(annotation))
}

/// The faults as values, in the language of the entries.
pub fn diagnostics(faulty: &Faulty) -> Vec<Diagnostic> {
    let Faulty { faults, origin } = faulty;
    let lines = Lines::of(origin.sources());
    let told = faults.iter().take(MOST).map(|fault| Diagnostic {
        severity: Severity::Error,
        message: message(fault, origin),
        causes: Vec::new(),
        hint: fault.problem.help(origin.language()),
        place: fault.place.as_ref().and_then(|place| lines.line_of(place)),
        also: fault
            .problem
            .see_also()
            .and_then(|(place, message)| Some(AlsoSee { place: lines.line_of(place)?, message })),
    });
    told.chain(more(faults).map(error::note)).collect()
}

/// The warnings as values.
pub fn warnings(warnings: &[Warning], sources: &[Source]) -> Vec<Diagnostic> {
    let lines = Lines::of(sources);
    let diagnostic = |warning: &Warning| Diagnostic {
        severity: Severity::Warning,
        message: warning.concern.to_string(),
        causes: Vec::new(),
        hint: Some(warning.concern.help()),
        place: lines.line_of(&warning.place),
        also: None,
    };
    warnings.iter().map(diagnostic).collect()
}

/// In a manifest, a fault has a place; on the command line, its message contains the words.
fn message(fault: &Fault, origin: &Origin) -> String {
    let message = fault.problem.message(origin.language());
    match fault.place.as_ref().and_then(|place| origin.words(place)) {
        Some(words) => format!("`{}`: {message}", Escaped::new(words)),
        None => message,
    }
}

/// The beginnings of all lines of every source. To count the lines again for each of thousands of entries would take
/// seconds, and so would giving whole sources to annotate-snippets for each of thousands of faults.
pub(super) struct Lines<'a> {
    sources: &'a [Source],
    /// The offsets at which the lines of each source begin, once they have been needed.
    starts: Vec<OnceCell<Vec<usize>>>,
}

/// Whole lines of a source.
struct Part<'a> {
    file: Cow<'a, str>,
    text: Cow<'a, str>,
    /// The number of the first line.
    line: usize,
    /// The byte of the source at which they begin.
    start: usize,
}

impl<'a> Part<'a> {
    fn snippet(self) -> Snippet<'a, Annotation<'a>> {
        Snippet::source(self.text).path(self.file).line_start(self.line)
    }

    fn span(&self, place: &Place) -> Range<usize> {
        place.start - self.start..place.end - self.start
    }
}

impl<'a> Lines<'a> {
    pub(super) fn of(sources: &'a [Source]) -> Self {
        Self { sources, starts: vec![OnceCell::new(); sources.len()] }
    }

    /// The file, line and column where a place begins.
    pub(super) fn line_of(&self, place: &Place) -> Option<SourceLine> {
        let source = self.sources.get(place.source)?;
        let (line, start) = self.line_at(place.source, place.start)?;
        let column = source.text.get(start..place.start)?.chars().count() + 1;
        Some(SourceLine { file: source.name.clone(), line, column })
    }

    /// Whether two places are shown together.
    fn are_near(&self, a: &Place, b: &Place) -> bool {
        let line = |place: &Place| self.line_at(place.source, place.start).map(|(line, _)| line);
        let distance = |(a, b): (usize, usize)| a.abs_diff(b);
        a.source == b.source && line(a).zip(line(b)).is_some_and(|lines| distance(lines) <= NEAR)
    }

    /// The lines that hold this span of a source.
    fn part(&self, source: usize, span: Range<usize>) -> Option<Part<'a>> {
        let (line, start) = self.line_at(source, span.start)?;
        let source = self.sources.get(source)?;
        let rest = source.text.get(span.end..)?;
        let end = span.end + rest.find('\n').map_or(rest.len(), |newline| newline + 1);
        let file = Escaped::new(&source.name).text();
        Some(Part { file, text: visible(source.text.get(start..end)?), line, start })
    }

    /// The number of the line that a byte is in, and where it begins.
    fn line_at(&self, source: usize, byte: usize) -> Option<(usize, usize)> {
        let text = &self.sources.get(source)?.text;
        let starts = self.starts.get(source)?.get_or_init(|| {
            let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(after_newlines).collect()
        });
        let line = starts.partition_point(|start| *start <= byte);
        Some((line, *starts.get(line.checked_sub(1)?)?))
    }
}

/// The text with a sign for everything that is not shown, of as many bytes: places are still right. Control
/// characters of ASCII are left to annotate-snippets, which shows them (`OUTPUT_REPLACEMENTS`, 0.12).
fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().all(|one| one.is_ascii() || is_shown(one)) {
        return Cow::Borrowed(text);
    }
    let sign = |character: char| match character.len_utf8() {
        _ if is_shown(character) => character,
        1 => character,
        2 => '\u{a4}',
        3 => char::REPLACEMENT_CHARACTER,
        _ => '\u{1fbc4}',
    };
    Cow::Owned(text.chars().map(sign).collect())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[track_caller]
    fn check(text: &str, at: usize, expected: Option<(usize, usize)>) {
        let other = Source { name: "a".to_owned(), text: "x".to_owned(), base: PathBuf::new() };
        let source = Source { name: "b".to_owned(), text: text.to_owned(), base: PathBuf::new() };
        let sources = [other, source];
        let found = Lines::of(&sources).line_of(&Place::new(1, at..at));
        assert!(found.iter().all(|line| line.file == "b"));
        assert_eq!(found.map(|line| (line.line, line.column)), expected);
    }

    #[test]
    fn what_cannot_be_seen_has_a_sign_of_as_many_bytes() {
        let text = "a\u{9b}\u{202e}\u{200e}\u{e0041}é\x1b\n";
        assert_eq!(visible(text), "a\u{a4}\u{fffd}\u{fffd}\u{1fbc4}é\x1b\n");
        assert_eq!(visible(text).len(), text.len());
        assert!(visible("\u{1fbc4}").chars().all(is_shown));
    }

    #[test]
    fn places_have_lines_and_columns() {
        check("", 0, Some((1, 1)));
        check("ab\ncd", 1, Some((1, 2)));
        check("ab\ncd", 2, Some((1, 3)));
        check("ab\ncd", 3, Some((2, 1)));
        check("ab\n", 3, Some((2, 1)));
        check("\u{e9}\n\u{e9}x", 5, Some((2, 2)));
        check("\u{e9}", 1, None);
        check("ab", 9, None);
    }
}
