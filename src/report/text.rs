//! A report → text for people.

use std::path::Path;

use anstream::adapter::strip_str;
use anstyle::{AnsiColor, Style};

use super::{Action, Change, ListedPin, Report, Shown, kernel};
use crate::path::Printable;

const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const RED: Style = AnsiColor::Red.on_default();
const ALARM: Style = AnsiColor::BrightRed.on_default().bold();
const HEADER: Style = Style::new().bold();

/// The whole answer: styled, each line with its newline. Diagnostics are talk, not answer, and are
/// left out.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    text.extend(report.kernel.as_ref().map(kernel::render));
    text.extend(report.changes.iter().map(change_line));
    match report.pins.as_deref() {
        None | Some([]) => text.push_str(&format!("{}\n", report.comment)),
        Some(pins) => text.push_str(&table(pins)),
    }
    let manifest = report.manifest.as_deref().unwrap_or_default();
    match report.shown {
        Shown::Changes => text,
        Shown::ChangesAndManifest => format!("{text}\n{manifest}"),
        Shown::Manifest => manifest.to_owned(),
    }
}

/// What is shown of each change, unstyled, a line each.
pub fn changes(report: &Report) -> Vec<String> {
    let plain = |change| strip_str(change_line(change).trim_end()).to_string();
    report.changes.iter().map(plain).collect()
}

/// A sign, a path, the reasons.
fn change_line(change: &Change) -> String {
    let (style, sign) = match change.action {
        Action::Pin => (GREEN, '+'),
        Action::Replace | Action::Update => (YELLOW, '~'),
        Action::Unpin => (RED, '-'),
        Action::Blocked => (ALARM, '!'),
    };
    let reasons: Vec<&str> = change.reasons.iter().map(|reason| reason.message.as_str()).collect();
    format!("{style}{sign}{style:#} {}  {}\n", change.relative, reasons.join(", "))
}

fn table(pins: &[ListedPin]) -> String {
    let header = ["PATH", "TARGET", "PARAMETER", "PROGRAM", "ID", "SET", "OBJECT"];
    let rows: Vec<[String; 7]> = pins.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &[String; 7]| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut text = format!("{HEADER}{}{HEADER:#}\n", line(&header.map(str::to_owned)));
    for row in &rows {
        text.push_str(&line(row));
        text.push('\n');
    }
    text
}

fn row(pin: &ListedPin) -> [String; 7] {
    let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    // A stamp may hold any text: whoever may load programs can forge one.
    let printable = |text: &str| Printable(Path::new(text)).to_string();
    let state = &pin.state;
    [
        pin.relative.clone(),
        state.target.clone(),
        or_dash(&state.parameter),
        printable(&state.program),
        state.program_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
        or_dash(&state.set),
        or_dash(&state.object.as_deref().map(printable)),
    ]
}
