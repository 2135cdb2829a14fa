//! `--wait`: what other services bring later at boot is waited for, on events.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::bpffs::OpenError;
use crate::execute::Failure;
use crate::fault::{ObjectFault, Problem};
use crate::kernel::LoadError;
use crate::observed::MapProblem;
use crate::plan::Obstacle;
use crate::report::{Blocked, Faulty};
use crate::watch::{Ended, Interest, Service, Waits, Watch, Woken};

/// How long it must have been quiet before the next try.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// How long events that never end can hold a try back.
const MAX_DELAY: Duration = Duration::from_millis(500);

/// How often it is tried without any event: nothing tells of a map's name or id.
const INTERVAL: Duration = Duration::from_secs(1);

/// One try: what it came to, and what is to be watched before the next one.
pub(super) struct Try<T> {
    pub(super) result: anyhow::Result<T>,
    /// The objects.
    pub(super) objects: BTreeSet<PathBuf>,
    /// Pins, maps and cgroups.
    pub(super) others: BTreeSet<PathBuf>,
}

/// Tries again until it goes well, fails for something that waiting does not mend, or the time is up.
///
/// # Errors
/// Those of the last try.
pub(super) fn wait<T>(time: Duration, mut attempt: impl FnMut() -> Try<T>) -> anyhow::Result<T> {
    let first = attempt();
    if first.result.as_ref().err().is_none_or(|error| !is_to_come(error)) {
        return first.result;
    }
    let end = Instant::now() + time;
    let waits = Waits { debounce: DEBOUNCE, max_delay: MAX_DELAY, interval: INTERVAL };
    let mut watch = Watch::new(waits)?;
    // This process is no service that is up: it says nothing.
    let mut silent = Service::default();
    let mut tried = first;
    loop {
        let directories = BTreeSet::new();
        watch.set_interest(Interest { directories, inputs: tried.objects, others: tried.others });
        if watch.next(&mut silent) == Woken::Stop {
            bail!("told to stop while waiting");
        }
        tried = attempt();
        match tried.result {
            Err(error) if is_to_come(&error) => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(error);
                }
                watch.end(Ended::Well);
                watch.ask_in(left.min(INTERVAL));
                tried.result = Err(error);
            }
            done => return done,
        }
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
            let is_missing =
                |problem: &Problem| matches!(problem, Problem::Object(ObjectFault::Missing(_)));
            faulty.faults.iter().all(|fault| is_missing(&fault.problem))
        } else if let Some(Blocked(obstacles)) = cause.downcast_ref() {
            obstacles.iter().all(is_missing)
        } else if let Some(Failure { errors, left, .. }) = cause.downcast_ref() {
            left.is_empty() && errors.iter().all(is_to_come)
        } else {
            matches!(cause.downcast_ref(), Some(LoadError::MapNotPinned { .. }))
        }
    })
}

fn is_missing(obstacle: &Obstacle) -> bool {
    matches!(obstacle, Obstacle::Map { why: MapProblem::Missing, .. } | Obstacle::Cgroup { .. })
}
