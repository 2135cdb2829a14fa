//! `--wait`: what other services bring later at boot is waited for, on events.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use humantime::format_duration;

use super::keep_going::Outcome;
use crate::front::command::{Progress, Say};
use crate::front::errors::{Error, Result};
use crate::front::report::error;
use crate::host::bpffs::{LockError, OpenError};
use crate::host::execute::{self, Failure};
use crate::host::watch::{Ended, Interest, Service, Waits, Watch, Woken};
use iterctl_core::fault::{Fault, ObjectFault, Problem};
use iterctl_core::observed::MapProblem;
use iterctl_core::plan::Obstacle;

/// How long it must have been quiet before the next try.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// How long events that never end can hold a try back.
const MAX_DELAY: Duration = Duration::from_millis(500);

/// How often it is tried without any event: nothing tells of a map's name or id.
const INTERVAL: Duration = Duration::from_secs(1);

/// One try.
pub(super) struct Attempt {
    /// The pins, maps and cgroups that the manifest names, as far as it could be resolved: they are watched
    /// until the next try.
    pub(super) names: BTreeSet<PathBuf>,
    /// What it came to.
    pub(super) came_to: Result<Outcome>,
}

/// Tries again until it goes well, fails for something that waiting does not mend, or the time is up. `objects`
/// are those that the manifest names.
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
    let mut watch = Watch::new(waits)?;
    // This process is no service that is up: it says nothing.
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
        watch.set_interest(Interest { directories, inputs, others: names });
        if watch.next(&mut silent) == Woken::Stop {
            return Err(Error::other("told to stop while waiting"));
        }
        let before = tried;
        Attempt { names, came_to: tried } = attempt();
        if let (Ok(outcome), Ok(before)) = (&mut tried, before) {
            outcome.after(before.report);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || !is_waited_for(&tried) {
            return tried;
        }
        watch.end(Ended::Well);
        watch.ask_in(left.min(INTERVAL));
    }
}

/// What is waited for, the first of it.
fn missing(result: &Result<Outcome>) -> String {
    match result {
        Ok(Outcome { left_out, .. }) => error::first_reason(&error::of_left_out(left_out)),
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

/// Whether it failed only for what another process may bring later.
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
        Error::Context(_, error) => is_to_come(error),
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
        | Error::Lock(LockError::Locked(_) | LockError::Failed(..))
        | Error::Walk(_)
        | Error::Read(_)
        | Error::Watch(_)
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
        | execute::Error::Unexpected(_)
        | execute::Error::Io(_) => false,
    }
}

fn is_bpffs_to_come(error: &OpenError) -> bool {
    match error {
        OpenError::Missing(_) | OpenError::NotBpffs(_) | OpenError::Gone(_) => true,
        OpenError::Unusable(..) => false,
    }
}

fn is_missing_object(fault: &Fault) -> bool {
    matches!(fault.problem, Problem::Object(ObjectFault::Missing(_)))
}

fn is_missing(obstacle: &Obstacle) -> bool {
    matches!(obstacle, Obstacle::Map { why: MapProblem::Missing, .. } | Obstacle::Cgroup { .. })
}
