//! The news of a round: for the log, for JSON, for the service manager and for the metrics.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anstream::adapter::strip_str;
use tracing::{debug, error, info, warn};

use super::metrics::{Measured, Metrics};
use super::rounds::Round;
use crate::front::report::words::iterators;
use crate::front::report::{Diagnostic, Report, Severity, error, text};
use crate::host::wake::Cause;

/// The messages that were told so far.
pub(super) struct News {
    /// The state that was told last; `None` if it was as desired.
    wrong: Option<Wrong>,
    is_first: bool,
    last_change: Option<String>,
    /// The notes of the last round that had any: rounds that repair the same thing repeat them.
    notes: BTreeSet<String>,
    metrics: Option<Metrics>,
}

/// A state that is not as desired: one line, and the whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wrong {
    Failed(String, String),
    /// Another process has changed pins, and they are left as they are.
    Drifted(String, String),
}

impl News {
    pub(super) fn new(metrics: Option<Metrics>) -> Self {
        Self { wrong: None, is_first: true, last_change: None, notes: BTreeSet::new(), metrics }
    }

    /// Logs and measures a round. Returns its report if there is anything new in it.
    pub(super) fn tell(&mut self, round: &Round, cause: Cause, took: Duration) -> Option<Report> {
        let report = report(round);
        let wrong = wrong(round);
        let is_otherwise = wrong != self.wrong;
        let is_news = report.changed || is_otherwise || self.is_first || cause == Cause::Reload;
        if let Some(done) = done(round) {
            text::changes(done).iter().for_each(|line| info!("{line}"));
            info!("{}", done.comment);
            self.last_change = Some(format!("{} ({})", now(), done.comment));
        }
        match &wrong {
            Some(wrong) if is_otherwise => wrong.log(),
            Some(wrong) => debug!("as before: {}", wrong.line()),
            None if report.changed => {}
            None if is_news => info!("{}", report.comment),
            None => debug!("{}", report.comment),
        }
        match round {
            Round::Well(report) | Round::Badly(_, Some(report)) => {
                self.log(&report.diagnostics, cause);
            }
            Round::Badly(_, None) => {}
        }
        self.measure(round, &report, took);
        self.wrong = wrong;
        self.is_first = false;
        is_news.then_some(report)
    }

    /// Logs what a round tells. Notes are repeated only if the user asks for a round.
    fn log(&mut self, diagnostics: &[Diagnostic], cause: Cause) {
        let mut notes = BTreeSet::new();
        for diagnostic in diagnostics {
            let text = strip_str(&error::render_one(diagnostic)).to_string();
            match diagnostic.severity {
                Severity::Error => error!("{text}"),
                Severity::Warning => warn!("{text}"),
                Severity::Note => {
                    if self.notes.contains(&text) && cause != Cause::Reload {
                        debug!("{text}");
                    } else {
                        info!("{text}");
                    }
                    notes.insert(text);
                }
            }
        }
        if !notes.is_empty() {
            self.notes = notes;
        }
    }

    /// The state, in one line.
    pub(super) fn status(&self, pins: Option<usize>) -> String {
        let mut status = pins.map_or_else(|| "nothing applied yet".to_owned(), iterators);
        if let Some(change) = &self.last_change {
            status.push_str(&format!("; last change {change}"));
        }
        if let Some(wrong) = &self.wrong {
            status.push_str(&format!("; {}", wrong.line()));
        }
        status
    }

    fn measure(&mut self, round: &Round, report: &Report, took: Duration) {
        let Some(metrics) = &mut self.metrics else { return };
        let (summary, failed) = match round {
            Round::Well(report) => (Some(report.summary), false),
            Round::Badly(_, kept) => (kept.as_ref().map(|kept| kept.summary), true),
        };
        if let Err(error) =
            metrics.round(&Measured { summary, changed: report.changed, failed, took })
        {
            warn!("failed to write the metrics file: {error}");
        }
    }
}

impl Wrong {
    fn line(&self) -> &str {
        match self {
            Self::Failed(line, _) | Self::Drifted(line, _) => line,
        }
    }

    fn log(&self) {
        match self {
            Self::Failed(_, all) => error!("{all}"),
            Self::Drifted(_, all) => warn!("{all}"),
        }
    }
}

/// The one report of a round.
fn report(round: &Round) -> Report {
    match round {
        Round::Well(report) => report.clone(),
        Round::Badly(error, None) => error::report(error),
        Round::Badly(error, Some(kept)) => {
            let Report { comment, mut diagnostics, .. } = error::report(error);
            diagnostics.extend(kept.diagnostics.iter().cloned());
            let comment = format!("{comment}; of the last good manifest: {}", kept.comment);
            Report { comment, diagnostics, ..kept.clone() }
        }
    }
}

/// The report of what was changed, also if it was for the last good manifest.
fn done(round: &Round) -> Option<&Report> {
    let done = match round {
        Round::Well(report) => Some(report),
        Round::Badly(_, kept) => kept.as_ref(),
    };
    done.filter(|report| report.changed)
}

fn wrong(round: &Round) -> Option<Wrong> {
    match round {
        Round::Badly(error, _) => {
            let all = strip_str(&error::render(error)).to_string();
            Some(Wrong::Failed(error::report(error).comment, all))
        }
        Round::Well(report) if !report.changed && !report.changes.is_empty() => {
            let mut all = text::changes(report);
            all.push(report.comment.clone());
            Some(Wrong::Drifted(report.comment.clone(), all.join("\n")))
        }
        Round::Well(_) => None,
    }
}

fn now() -> impl std::fmt::Display {
    humantime::format_rfc3339_seconds(SystemTime::now())
}
