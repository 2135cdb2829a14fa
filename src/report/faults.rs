//! Faults of a manifest → text with file, line and caret, and the same as diagnostics.

use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{AlsoSee, Diagnostic, Severity, SourceLine};
use crate::fault::{Fault, Faults, Place};
use crate::manifest::Source;

/// A manifest with faults, and the text to show them in.
#[derive(Debug)]
pub struct Faulty {
    /// What is wrong.
    pub faults: Faults,
    /// Where.
    pub sources: Vec<Source>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.faults)
    }
}

impl std::error::Error for Faulty {}

/// Every fault with its place, one after the other.
pub fn render(faulty: &Faulty, renderer: &Renderer) -> String {
    let rendered: Vec<String> =
        faulty.faults.iter().map(|fault| render_one(fault, &faulty.sources, renderer)).collect();
    rendered.join("\n\n")
}

fn render_one(fault: &Fault, sources: &[Source], renderer: &Renderer) -> String {
    let title = fault.problem.to_string();
    let help = fault.problem.help();
    let title = Level::ERROR.primary_title(title);
    let mut group = match fault.place.as_ref().and_then(|place| snippet(place, fault, sources)) {
        Some(snippet) => title.element(snippet),
        None => Group::with_title(title),
    };
    if let Some(other) = see_also(fault, sources) {
        group = group.element(other);
    }
    if let Some(help) = help {
        group = group.element(Level::HELP.message(help));
    }
    renderer.render(&[group])
}

fn snippet<'a>(
    place: &Place,
    fault: &Fault,
    sources: &'a [Source],
) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let source = sources.get(place.source)?;
    let mut snippet = Snippet::source(&source.text)
        .path(&source.name)
        .annotation(AnnotationKind::Primary.span(place.span()));
    if let Some((also, label)) = fault.problem.see_also()
        && also.source == place.source
    {
        snippet = snippet.annotation(AnnotationKind::Context.span(also.span()).label(label));
    }
    Some(snippet)
}

/// The other place of a problem, where it is in another file.
fn see_also<'a>(
    fault: &Fault,
    sources: &'a [Source],
) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let (also, label) = fault.problem.see_also()?;
    if fault.place.as_ref().is_some_and(|place| place.source == also.source) {
        return None;
    }
    let source = sources.get(also.source)?;
    let annotation = AnnotationKind::Context.span(also.span()).label(label);
    Some(Snippet::source(&source.text).path(&source.name).annotation(annotation))
}

/// The same as values.
pub fn diagnostics(faulty: &Faulty) -> Vec<Diagnostic> {
    faulty
        .faults
        .iter()
        .map(|fault| Diagnostic {
            severity: Severity::Error,
            message: fault.problem.to_string(),
            causes: Vec::new(),
            hint: fault.problem.help(),
            place: fault.place.as_ref().and_then(|place| line_of(&faulty.sources, place)),
            also: fault.problem.see_also().and_then(|(place, message)| {
                Some(AlsoSee { place: line_of(&faulty.sources, place)?, message })
            }),
        })
        .collect()
}

/// The file, line and column where a place begins.
pub(super) fn line_of(sources: &[Source], place: &Place) -> Option<SourceLine> {
    let source = sources.get(place.source)?;
    let before = source.text.get(..place.start)?;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some(SourceLine {
        file: source.name.clone(),
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..)?.chars().count() + 1,
    })
}
