//! `--wait`: waits for what other services bring later at boot, by events.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use humantime::format_duration;

use super::keep_going::Outcome;
use crate::front::command::{Progress, Say};
use crate::front::errors::{Error, Result};
use crate::front::report::{Diagnostic, Severity, error};
use crate::host::bpffs::{LockError, OpenError};
use crate::host::execute::{self, Failure};
use crate::host::wake::{Ended, Interest, Notice, Service, Waits, Wake};
use iterctl_core::fault::{Fault, ObjectFault, Problem};
use iterctl_core::observed::MapProblem;
use iterctl_core::plan::Obstacle;

/// How long it must have been quiet before the next try.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// The longest time that continuing events can delay a try.
const MAX_DELAY: Duration = Duration::from_millis(500);

/// The time between two tries without an event: maps send none when one gets a name or an id.
const INTERVAL: Duration = Duration::from_secs(1);

/// One try.
pub(super) struct Attempt {
    /// The pins, maps and cgroups that the manifest names, as far as it could be resolved: they are watched
    /// until the next try.
    pub(super) names: BTreeSet<PathBuf>,
    pub(super) came_to: Result<Outcome>,
}

/// Tries again until it succeeds, fails for something that waiting does not fix, or the time is up. `objects`
/// are those that the manifest names.
///
/// No signal is caught, so that one that ends the process ends it at once, as it ends an apply that does not wait.
///
/// # Errors
/// Those of the last try.
pub(super) fn wait(
    time: Duration,
    objects: &BTreeSet<PathBuf>,
    attempt: impl Fn() -> Attempt,
    say: Say<'_>,
) -> Result<Outcome> {
    let Attempt { mut names, came_to: mut tried } = attempt();
    if !is_waited_for(&tried) {
        return tried;
    }
    let end = Instant::now() + time;
    let waits = Waits { debounce: DEBOUNCE, max_delay: MAX_DELAY, interval: INTERVAL };
    let mut wake = Wake::new(waits);
    // A service manager that is told nothing waits for the end of this process.
    let mut silent = Service::default();
    let mut said = None;
    loop {
        let why = missing(&tried);
        let how_long = match &said {
            None => Some(format!("waiting for up to {}", format_duration(time))),
            Some(before) => (*before != why).then(|| "still waiting".to_owned()),
        };
        if let Some(how_long) = how_long {
            say(Progress::Waits(error::note(format!("{how_long}: {why}"))))?;
            said = Some(why);
        }
        let (directories, inputs) = (BTreeSet::new(), objects.clone());
        wake.set_interest(Interest { directories, inputs, others: names });
        for notice in wake.notices() {
            say(Progress::Waits(told(&notice)))?;
        }
        // No signal is caught, so it is always time to try again.
        let _ = wake.next(&mut silent);
        let before = tried;
        Attempt { names, came_to: tried } = attempt();
        if let (Ok(outcome), Ok(before)) = (&mut tried, before) {
            outcome.after(before.report);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || !is_waited_for(&tried) {
            return tried;
        }
        wake.end(Ended::Well);
        wake.ask_in(left.min(INTERVAL));
    }
}

fn told(notice: &Notice) -> Diagnostic {
    match notice {
        Notice::Slower(lack) => {
            let every = format_duration(INTERVAL);
            Diagnostic {
                severity: Severity::Warning,
                ..error::note(format!("changes may be found only every {every}: {lack}"))
            }
        }
        Notice::AsUsual => error::note("inotify works again: changes are found at once"),
    }
}

/// The first thing that is waited for.
fn missing(result: &Result<Outcome>) -> String {
    match result {
        Ok(Outcome { left_out, .. }) => error::first_reason(&error::from_left_out(left_out)),
        Err(failed) => error::first_reason(&error::diagnostics(failed)),
    }
}

/// Whether the next try may come to more.
fn is_waited_for(result: &Result<Outcome>) -> bool {
    match result {
        Ok(Outcome { left_out, .. }) => {
            left_out.faults.values().flatten().any(is_missing_object)
                || left_out.obstacles.iter().any(is_missing)
                || left_out.errors.iter().any(|failed| is_step_to_come(&failed.error))
        }
        Err(error) => is_to_come(error),
    }
}

/// Whether it failed only because of something that another process may bring later.
fn is_to_come(error: &Error) -> bool {
    match error {
        Error::Faulty(faulty) => faulty.faults.iter().all(is_missing_object),
        Error::Blocked(blocked) => blocked.obstacles.iter().all(is_missing),
        Error::NotDone(not_done) => {
            let Failure { left, errors, .. } = &not_done.failure;
            left.is_empty() && errors.iter().all(|failed| is_step_to_come(&failed.error))
        }
        Error::Open(error) | Error::Lock(LockError::Gone(error)) => is_bpffs_to_come(error),
        Error::Execute(error) => is_step_to_come(error),
        Error::Context(_, error) | Error::Mounted(_, error) => is_to_come(error),
        Error::LeftOut(_)
        | Error::MissingNeeds(_)
        | Error::MissingFeatures(_)
        | Error::NotShown(_)
        | Error::Closed(_)
        | Error::Usage(_)
        | Error::Source(_)
        | Error::Untrusted(_)
        | Error::Account(_)
        | Error::Mount(_)
        | Error::Lock(LockError::Locked(_) | LockError::Stopped(_) | LockError::Failed(..))
        | Error::Walk(_)
        | Error::Read(_)
        | Error::Wake(_)
        | Error::Unwritten(_)
        | Error::Io(_)
        | Error::Other(_) => false,
    }
}

/// The same of a step of the transaction.
fn is_step_to_come(error: &execute::Error) -> bool {
    match error {
        execute::Error::Open(error) => is_bpffs_to_come(error),
        execute::Error::Context(_, error) => is_step_to_come(error),
        execute::Error::Load(_)
        | execute::Error::Attach(_)
        | execute::Error::Walk(_)
        | execute::Error::Stopped(_)
        | execute::Error::Unexpected(_)
        | execute::Error::Io(_) => false,
    }
}

fn is_bpffs_to_come(error: &OpenError) -> bool {
    match error {
        OpenError::Missing(_) | OpenError::NotBpffs(_) | OpenError::Gone(_) => true,
        OpenError::NoProc | OpenError::Unusable(..) => false,
    }
}

fn is_missing_object(fault: &Fault) -> bool {
    matches!(fault.problem, Problem::Object(ObjectFault::Missing(_)))
}

fn is_missing(obstacle: &Obstacle) -> bool {
    matches!(obstacle, Obstacle::Map { why: MapProblem::Missing, .. } | Obstacle::Cgroup { .. })
}
