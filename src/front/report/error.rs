//! Errors → text and diagnostics: the chain of causes, then the way out.

use std::fmt::Write as _;
use std::iter::successors;
use std::path::Path;

use annotate_snippets::Renderer;
use anstyle::{AnsiColor, Style};

use super::build::blocked;
use super::faults::{self, Lines};
use super::kernel::from_lack;
use super::{Diagnostic, Report, Severity, SourceLine};
use crate::front::errors::{Blocked, Error, Faulty, Handled, LeftOut, NotDone, Origin};
use crate::host::execute::{Failed, Failure};
use iterctl_core::escaped::{Escaped, escape_lines};
use iterctl_core::manifest::Source;
use iterctl_core::plan::{Note, Obstacle};

const ERROR: Style = AnsiColor::BrightRed.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::BrightGreen.on_default().bold();
const CAUSE: Style = Style::new().dimmed();
const HINT: Style = AnsiColor::BrightCyan.on_default();

/// All messages of an error, for people; styled, and without a newline at the end.
pub fn render(error: &Error) -> String {
    if let Error::Mounted(path, error) = error {
        return join([render(error), render_one(&still_mounted(path))].into_iter());
    }
    match error.without_context() {
        Error::Faulty(faulty) => render_faulty(faulty),
        Error::LeftOut(left_out) => {
            let faults = left_out.faulty().as_ref().map(render_faulty);
            let obstacles = left_out.obstacles.iter().map(|one| render_one(&from_obstacle(one)));
            let errors = render_failed(&left_out.errors, &left_out.sources);
            join(faults.into_iter().chain(obstacles).chain(errors))
        }
        Error::NotDone(not_done) => {
            let NotDone { failure, sources } = &**not_done;
            let errors = render_failed(&failure.errors, sources);
            join(errors.into_iter().chain(beside_errors(failure).iter().map(render_one)))
        }
        Error::Blocked(_)
        | Error::MissingNeeds(_)
        | Error::MissingFeatures(_)
        | Error::NotShown(_)
        | Error::Closed(_)
        | Error::Usage(_)
        | Error::Source(_)
        | Error::Untrusted(_)
        | Error::Account(_)
        | Error::Open(_)
        | Error::Mount(_)
        | Error::Lock(_)
        | Error::Walk(_)
        | Error::Execute(_)
        | Error::Read(_)
        | Error::Wake(_)
        | Error::Unwritten(_)
        | Error::Io(_)
        | Error::Other(_)
        | Error::Context(..)
        | Error::Mounted(..) => join(diagnostics(error).iter().map(render_one)),
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("\n")
}

fn render_faulty(faulty: &Faulty) -> String {
    match &faulty.origin {
        Origin::Manifest(sources) => faults::render(&faulty.faults, sources, &Renderer::styled()),
        Origin::CommandLine(_) => join(faults::diagnostics(faulty).iter().map(render_one)),
    }
}

/// The failures, each with its place, in the same form as a fault.
fn render_failed(errors: &[Failed], sources: &[Source]) -> Vec<String> {
    let lines = Lines::of(sources);
    let render = |failed| {
        let diagnostic = from_failed(failed, &lines);
        let place = failed.place.as_ref();
        let head = place.and_then(|place| {
            faults::render_at(&diagnostic.message, place, &lines, &Renderer::styled())
        });
        match head {
            Some(head) => head + &causes_and_hint(&diagnostic),
            None => render_one(&diagnostic),
        }
    };
    errors.iter().map(render).collect()
}

/// One diagnostic, for people; styled, and without a newline at the end.
pub fn render_one(diagnostic: &Diagnostic) -> String {
    let (style, word) = match diagnostic.severity {
        Severity::Error => (ERROR, "error"),
        Severity::Warning => (WARNING, "warning"),
        Severity::Note => (NOTE, "note"),
    };
    let message = escape_lines(&diagnostic.message);
    let place = diagnostic.place.as_ref().map(|SourceLine { file, line, column }| {
        let file = Escaped::new(file);
        format!("\n {CAUSE}-->{CAUSE:#} {file}:{line}:{column}")
    });
    let place = place.unwrap_or_default();
    format!("{style}{word}{style:#}: {message}{place}{}", causes_and_hint(diagnostic))
}

fn causes_and_hint(diagnostic: &Diagnostic) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    for cause in &diagnostic.causes {
        let _ = write!(text, "\n  {CAUSE}caused by:{CAUSE:#} {}", escape_lines(cause));
    }
    if let Some(hint) = &diagnostic.hint {
        let _ = write!(text, "\n  {HINT}hint:{HINT:#} {}", escape_lines(hint));
    }
    text
}

/// The messages of an error as values. A failed transaction, a blocked plan and a faulty manifest have several.
pub fn diagnostics(error: &Error) -> Vec<Diagnostic> {
    if let Error::Mounted(path, error) = error {
        let mut all = diagnostics(error);
        all.push(still_mounted(path));
        return all;
    }
    match error.without_context() {
        Error::Faulty(faulty) => faults::diagnostics(faulty),
        Error::Blocked(Blocked { obstacles, .. }) => {
            let mut all: Vec<Diagnostic> = obstacles.iter().map(from_obstacle).collect();
            all.push(plain(Severity::Note, "nothing was changed".to_owned()));
            all
        }
        Error::NotDone(not_done) => {
            let NotDone { failure, sources } = &**not_done;
            let lines = Lines::of(sources);
            let errors = failure.errors.iter().map(|failed| from_failed(failed, &lines));
            errors.chain(beside_errors(failure)).collect()
        }
        Error::LeftOut(left_out) => from_left_out(left_out),
        Error::MissingNeeds(obstacles) => {
            let diagnostic = |obstacle: &Obstacle| Diagnostic {
                hint: obstacle.hint(),
                ..plain(Severity::Error, obstacle.to_string())
            };
            obstacles.iter().map(diagnostic).collect()
        }
        Error::MissingFeatures(lacks) => lacks.iter().map(from_lack).collect(),
        Error::NotShown(_)
        | Error::Closed(_)
        | Error::Usage(_)
        | Error::Source(_)
        | Error::Untrusted(_)
        | Error::Account(_)
        | Error::Open(_)
        | Error::Mount(_)
        | Error::Lock(_)
        | Error::Walk(_)
        | Error::Execute(_)
        | Error::Read(_)
        | Error::Wake(_)
        | Error::Unwritten(_)
        | Error::Io(_)
        | Error::Other(_)
        | Error::Context(..)
        | Error::Mounted(..) => vec![from_chain(error)],
    }
}

/// A command that failed has changed this.
fn still_mounted(path: &Path) -> Diagnostic {
    note(format!("the bpffs that was mounted on {} stays there", Escaped::new(path)))
}

/// The remains of a failed plan, without the reasons why it failed.
fn beside_errors(failure: &Failure) -> Vec<Diagnostic> {
    let left = failure.left.iter().map(from_chain);
    let mut all: Vec<Diagnostic> = left.chain(failure.untidy.iter().map(warning)).collect();
    let severity = if failure.left.is_empty() { Severity::Note } else { Severity::Error };
    all.push(plain(severity, failure.to_string()));
    all
}

/// The faults, obstacles and errors of the entries that were left out.
pub fn from_left_out(left_out: &LeftOut) -> Vec<Diagnostic> {
    let faulty = left_out.faulty();
    let faults = faulty.iter().flat_map(faults::diagnostics);
    let obstacles = left_out.obstacles.iter().map(from_obstacle);
    let lines = Lines::of(&left_out.sources);
    let errors = left_out.errors.iter().map(|failed| from_failed(failed, &lines));
    faults.chain(obstacles).chain(errors).collect()
}

fn from_failed(failed: &Failed, lines: &Lines<'_>) -> Diagnostic {
    let place = failed.place.as_ref().and_then(|place| lines.line_of(place));
    Diagnostic { place, ..from_chain(&failed.error) }
}

/// Something that a command left untidy although it did its work.
pub fn warning(error: &impl Handled) -> Diagnostic {
    Diagnostic { severity: Severity::Warning, ..from_chain(error) }
}

/// Information.
pub fn note(message: impl Into<String>) -> Diagnostic {
    plain(Severity::Note, message.into())
}

/// The notes of a plan.
pub fn notes(notes: &[Note], bpffs: &Path) -> Vec<Diagnostic> {
    let diagnostic = |note: &Note| Diagnostic {
        hint: note.hint(bpffs),
        ..plain(Severity::Note, note.message(bpffs))
    };
    notes.iter().map(diagnostic).collect()
}

/// The obstacles that the rows of a plan do not show: those of the whole set, and the hints.
pub fn beside_rows(obstacles: &[Obstacle]) -> Vec<Diagnostic> {
    obstacles
        .iter()
        .filter_map(|obstacle| match (obstacle.path(), obstacle.hint()) {
            (None, _) => Some(from_obstacle(obstacle)),
            (Some(path), Some(hint)) => Some(note(format!("`{path}`: {hint}"))),
            (Some(_), None) => None,
        })
        .collect()
}

/// The report of a command that failed with `error`. Some tools show only the comment of a report, so the comment
/// contains the first reason.
pub fn report(error: &Error) -> Report {
    let diagnostics = diagnostics(error);
    let errors: Vec<&Diagnostic> =
        diagnostics.iter().filter(|one| one.severity == Severity::Error).collect();
    let comment = match (diagnostics.as_slice(), errors.as_slice()) {
        ([only], _) => in_one_line(only),
        (_, []) => error.to_string(),
        (_, [only]) => format!("{error}: {}", in_one_line(only)),
        (_, [first, ..]) => format!("{error}; the first: {}", in_one_line(first)),
    };
    let mut report = Report { diagnostics, ..Report::new(comment) };
    if let Error::Blocked(Blocked { obstacles, bpffs }) = error.without_context() {
        report.changes = blocked(obstacles, bpffs);
        report.summary.blocked = report.changes.len();
    }
    report
}

/// The first error among these, in one line.
pub fn first_reason(diagnostics: &[Diagnostic]) -> String {
    let first = diagnostics.iter().find(|one| one.severity == Severity::Error);
    first.map(in_one_line).unwrap_or_default()
}

/// Place, message and causes, without further lines such as a verifier's log.
fn in_one_line(diagnostic: &Diagnostic) -> String {
    let place = diagnostic
        .place
        .as_ref()
        .map(|SourceLine { file, line, column }| format!("{file}:{line}:{column}"));
    let parts = place.iter().chain([&diagnostic.message]).chain(&diagnostic.causes);
    let lines = parts.filter_map(|part| part.lines().next());
    let lines: Vec<&str> = lines.map(|line| line.trim_end_matches(':')).collect();
    lines.join(": ")
}

/// The obstacles in one line; `None` if there are none.
pub fn in_the_way(obstacles: &[Obstacle]) -> Option<String> {
    let first = in_one_line(&from_obstacle(obstacles.first()?));
    Some(match obstacles.len() {
        1 => first,
        number => format!("{number} things are in the way; the first: {first}"),
    })
}

fn from_chain(error: &impl Handled) -> Diagnostic {
    let causes = successors(error.source(), |cause| cause.source());
    Diagnostic {
        severity: Severity::Error,
        message: error.to_string(),
        causes: causes.map(ToString::to_string).collect(),
        hint: error.handling().hint,
        place: None,
        also: None,
    }
}

pub(super) fn plain(severity: Severity, message: String) -> Diagnostic {
    Diagnostic { severity, message, causes: Vec::new(), hint: None, place: None, also: None }
}

fn from_obstacle(obstacle: &Obstacle) -> Diagnostic {
    let message = match obstacle.path() {
        Some(path) => format!("`{path}`: {obstacle}"),
        None => obstacle.to_string(),
    };
    Diagnostic { hint: obstacle.hint(), ..plain(Severity::Error, message) }
}
