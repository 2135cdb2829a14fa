//! A report → text for people.

use std::borrow::Cow;

use anstream::adapter::strip_str;
use anstyle::{AnsiColor, Style};

use super::{Action, Change, ClosedPath, ListedPin, Report, Shown, kernel};
use iterctl_core::escaped::{Escaped, escape_lines};

const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const RED: Style = AnsiColor::Red.on_default();
const ALARM: Style = AnsiColor::BrightRed.on_default().bold();
const HEADER: Style = Style::new().bold();

/// The report as styled lines. Diagnostics are not part of it: they go to standard error.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    text.extend(report.kernel.as_ref().map(kernel::render));
    text.extend(report.changes.iter().map(change_line));
    match (report.pins.as_deref().unwrap_or_default(), report.closed.as_slice()) {
        ([], []) => text.push_str(&format!("{}\n", escape_lines(&report.comment))),
        (pins, closed) => text.push_str(&table(pins, closed)),
    }
    let manifest = report.manifest.as_deref().unwrap_or_default();
    match report.shown {
        Shown::Changes => text,
        Shown::ChangesAndManifest => format!("{text}\n{manifest}"),
        Shown::Manifest => manifest.to_owned(),
    }
}

/// One unstyled line for each change.
pub fn changes(report: &Report) -> Vec<String> {
    let plain = |change| strip_str(change_line(change).trim_end()).to_string();
    report.changes.iter().map(plain).collect()
}

/// One line for a change: a sign, the path, the reasons.
fn change_line(change: &Change) -> String {
    let (style, sign) = match change.action {
        Action::Pin => (GREEN, '+'),
        Action::Replace | Action::Update => (YELLOW, '~'),
        Action::Unpin => (RED, '-'),
        Action::Blocked => (ALARM, '!'),
    };
    let reasons: Vec<&str> = change.reasons.iter().map(|reason| reason.message.as_str()).collect();
    format!("{style}{sign}{style:#} {}  {}\n", change.relative, Escaped::new(&reasons.join(", ")))
}

fn table(pins: &[ListedPin], closed: &[ClosedPath]) -> String {
    let header =
        ["PATH", "TARGET", "PARAMETER", "PROGRAM", "ID", "SET", "OBJECT"].map(Cow::Borrowed);
    let rows: Vec<Cells<'_>> = pins.iter().map(row).chain(closed.iter().map(closed_row)).collect();
    let mut widths = header.clone().map(|title| title.len());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = HEADER.to_string();
    push_line(&mut text, &header, &widths);
    text.push_str(&format!("{HEADER:#}\n"));
    for row in &rows {
        push_line(&mut text, row, &widths);
        text.push('\n');
    }
    text
}

type Cells<'a> = [Cow<'a, str>; 7];

fn push_line(text: &mut String, cells: &Cells<'_>, widths: &[usize; 7]) {
    for (cell, width) in cells.iter().zip(widths) {
        text.push_str(cell);
        let gap = width.saturating_sub(cell.chars().count()) + 2;
        text.extend(std::iter::repeat_n(' ', gap));
    }
    text.truncate(text.trim_end().len());
}

fn row(pin: &ListedPin) -> Cells<'_> {
    fn or_dash(value: Option<&String>) -> Cow<'_, str> {
        value.map_or("-", String::as_str).into()
    }
    // A stamp may contain any text: any process that may load programs can forge one.
    let printable = |text| Escaped::new(text).text();
    let state = &pin.state;
    [
        pin.relative.to_string().into(),
        printable(&state.target),
        state.parameter.as_ref().map_or("-".into(), printable),
        printable(&state.program),
        state.program_id.map_or("-".into(), |id| id.to_string().into()),
        or_dash(state.set.as_ref()),
        state.object.as_ref().map_or("-".into(), printable),
    ]
}

/// The row of a path that this user may not look at: the rest is unknown.
fn closed_row(closed: &ClosedPath) -> Cells<'_> {
    let ClosedPath { directory, mode, uid, gid, relative, .. } = closed;
    let slash = if *directory { "/" } else { "" };
    let path = format!("{}{slash}", Escaped::new(relative)).into();
    let why = format!("closed: mode {mode}, owner {uid}, group {gid}").into();
    let unknown = || Cow::Borrowed("?");
    [path, unknown(), unknown(), unknown(), unknown(), unknown(), why]
}
