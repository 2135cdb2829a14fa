//! The words of comments: counts of iterators and changes.

use super::left_out::rows;
use super::{Action, Change, Report, Summary};
use crate::front::errors::LeftOut;

/// The summary line of `apply`.
pub fn applied(summary: Summary) -> String {
    let unchanged = summary.unchanged;
    if summary.changes() == 0 {
        return format!("nothing to do: {} in sync", iterators(unchanged));
    }
    let changes = done(summary);
    match unchanged {
        0 => changes,
        number => format!("{changes}; {number} in sync already"),
    }
}

/// The summary line of `unpin`.
pub fn unpinned(summary: Summary) -> String {
    match summary.changes() {
        0 => "nothing to do: the set has no pins".to_owned(),
        _ => done(summary),
    }
}

fn done(summary: Summary) -> String {
    count_changes(summary, ["pinned", "replaced", "updated", "unpinned"])
}

/// "1 to pin, 2 to replace": the numbers of a summary, with these words for pinning, replacing, updating and
/// unpinning.
pub fn count_changes(summary: Summary, words: [&str; 4]) -> String {
    let numbers = [summary.pin, summary.replace, summary.update, summary.unpin];
    let parts: Vec<String> = numbers
        .iter()
        .zip(words)
        .filter(|(number, _)| **number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    parts.join(", ")
}

/// Adds the entries that were left out to a report of the others.
pub fn add_left_out(report: &mut Report, left_out: &LeftOut) {
    report.changes.extend(rows(left_out));
    report.changes.sort_by(Change::by_path);
    let is_blocked = |change: &&Change| change.action == Action::Blocked;
    report.summary.blocked = report.changes.iter().filter(is_blocked).count();
    report.comment = format!("{}; {} left out", report.comment, report.summary.blocked);
}

/// "1 iterator", "2 iterators".
pub fn iterators(number: usize) -> String {
    if number == 1 { "1 iterator".to_owned() } else { format!("{number} iterators") }
}
