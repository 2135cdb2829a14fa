//! `--wait`: what other services bring later at boot is waited for, on events.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use humantime::format_duration;

use super::keep_going::Outcome;
use crate::front::command::{Progress, Say};
use crate::front::report::{Blocked, Faulty, NotDone, error};
use crate::host::bpffs::OpenError;
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
    pub(super) came_to: anyhow::Result<Outcome>,
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
) -> anyhow::Result<Outcome> {
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
            bail!("told to stop while waiting");
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
fn missing(result: &anyhow::Result<Outcome>) -> String {
    match result {
        Ok(Outcome { left_out, .. }) => error::first_reason(&error::of_left_out(left_out)),
        Err(failed) => error::first_reason(&error::diagnostics(failed)),
    }
}

/// Whether the next try may come to more.
fn is_waited_for(result: &anyhow::Result<Outcome>) -> bool {
    match result {
        Ok(Outcome { left_out, .. }) => {
            left_out.faults.values().flatten().any(is_missing_object)
                || left_out.obstacles.iter().any(is_missing)
                || left_out.errors.iter().any(|failed| is_to_come(&failed.error))
        }
        Err(error) => is_to_come(error),
    }
}

/// Whether it failed only for what somebody else may bring yet.
fn is_to_come(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        if let Some(error) = cause.downcast_ref::<OpenError>() {
            match error {
                OpenError::Missing(_) | OpenError::NotBpffs(_) | OpenError::Gone(_) => true,
                OpenError::Unusable(..) => false,
            }
        } else if let Some(faulty) = cause.downcast_ref::<Faulty>() {
            faulty.faults.iter().all(is_missing_object)
        } else if let Some(Blocked { obstacles, .. }) = cause.downcast_ref() {
            obstacles.iter().all(is_missing)
        } else if let Some(NotDone { failure, .. }) = cause.downcast_ref() {
            failure.left.is_empty() && failure.errors.iter().all(|failed| is_to_come(&failed.error))
        } else {
            false
        }
    })
}

fn is_missing_object(fault: &Fault) -> bool {
    matches!(fault.problem, Problem::Object(ObjectFault::Missing(_)))
}

fn is_missing(obstacle: &Obstacle) -> bool {
    matches!(obstacle, Obstacle::Map { why: MapProblem::Missing, .. } | Obstacle::Cgroup { .. })
}
