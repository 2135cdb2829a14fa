//! [`Plan`] → bpffs: the transaction. All of it, or none of it.
//!
//! In: a plan without obstacles, under the lock. Out: nothing, or every failure, with bpffs as it
//! was, or what could not be put back.
//!
//! First everything is *prepared*: loaded, stamped, attached and pinned in a staging directory, which no other
//! user can enter. Then it is *committed* by renames. No path that has an iterator, and will have one, is ever
//! without one. Then it is *verified*: the caller looks again. If anything fails, the renames are *undone* in
//! reverse order.
//!
//! A signal stops it before the first rename, and not after.

mod commit;
mod error;
mod prepare;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

pub use error::Error;

use self::prepare::Prepared;
use crate::host::bpffs::{Lock, Staging};
use crate::host::kernel::{AttachError, Loaded, Parameter};
use crate::host::sys::signals::Signals;
use iterctl_core::desired::Program;
use iterctl_core::escaped::Escaped;
use iterctl_core::fault::Place;
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::{Plan, Removal, WantedParam};

/// How a program is loaded: from which bytes and with which stamp is the caller's business. The names are those
/// of its object's own maps that are to be walked. Distinct programs are loaded side by side.
pub type Load<'a> = &'a (dyn Fn(&Program, &BTreeSet<&str>) -> Result<Loaded, Error> + Sync);

/// Why a plan was not carried out.
#[derive(Debug)]
pub struct Failure {
    /// Everything that went wrong; at least one.
    pub errors: Vec<Failed>,
    /// The errors of putting things back; empty if bpffs is as it was.
    pub left: Vec<Error>,
    /// The directory that keeps the old state until the next apply.
    pub kept: Option<PathBuf>,
    /// Remains that do no harm, such as a staging directory that could not be removed.
    pub untidy: Vec<Error>,
}

/// One thing that went wrong.
#[derive(Debug)]
pub struct Failed {
    /// The only pins that could not be made because of it; none if it concerns others, too.
    pub paths: Vec<PinPath>,
    /// The key that asks for it, in the entry of the first of them.
    pub place: Option<Place>,
    /// The error.
    pub error: Error,
}

/// The work to carry out.
#[derive(Clone, Copy)]
pub enum Work<'a> {
    /// Pins come, change and go; the programs of new ones are loaded so.
    Plan(&'a Plan, Load<'a>),
    /// Pins only go.
    Removal(&'a Removal),
}

impl<'a> Work<'a> {
    fn plan(self) -> &'a Plan {
        match self {
            Self::Plan(plan, _) => plan,
            Self::Removal(removal) => removal.plan(),
        }
    }
}

/// The result of work that was carried out.
#[derive(Debug)]
pub struct Done<T> {
    /// The result of `verify`.
    pub verified: T,
    /// Remains that do no harm, such as a staging directory that could not be removed.
    pub untidy: Vec<Error>,
}

/// Carries a plan out. `verify` checks that everything is as desired, while it can still be undone.
///
/// # Errors
/// [`Failure`]: everything that went wrong, and what could not be undone.
pub fn execute<T>(
    work: Work<'_>,
    lock: &Lock,
    signals: &Signals,
    verify: impl FnOnce() -> Result<T, Error>,
) -> Result<Done<T>, Failure> {
    let bpffs = lock.bpffs();
    let mut staging = Staging::new(lock).map_err(|error| {
        let what = "failed to make a staging directory on bpffs";
        Failure::new(vec![Failed::all(Error::from(error).context(what))])
    })?;
    let prepared = match work {
        Work::Plan(plan, load) => prepare::prepare(plan, load, signals, &mut staging),
        Work::Removal(_) => Ok(Prepared::default()),
    };
    // After this, a signal stops nothing: everything is changed, or nothing.
    let stopped = signals.check().map_err(|stopped| vec![Failed::all(stopped.into())]);
    let Prepared { staged, kept } = match (prepared, stopped) {
        (Ok(prepared), Ok(())) => prepared,
        (Ok(prepared), Err(errors)) => {
            prepare::release(&prepared.kept, bpffs);
            return Err(Failure { untidy: tidy(staging), ..Failure::new(errors) });
        }
        // The failure may be due to the signal.
        (Err(_), Err(errors)) | (Err(errors), Ok(())) => {
            return Err(Failure { untidy: tidy(staging), ..Failure::new(errors) });
        }
    };
    let (failed, left) = match commit::commit(work.plan(), staged, bpffs, &mut staging, verify) {
        Ok(verified) => return Ok(Done { verified, untidy: tidy(staging) }),
        Err(failed) => failed,
    };
    if left.is_empty() {
        prepare::release(&kept, bpffs);
    }
    let failure = Failure::new(vec![failed]);
    Err(if left.is_empty() {
        Failure { untidy: tidy(staging), ..failure }
    } else {
        Failure { left, kept: Some(staging.keep()), ..failure }
    })
}

/// A plan's parameter as the kernel takes it: by now, a map of the object's own has an id.
///
/// # Errors
/// If the object has no such map.
pub fn parameter(wanted: &WantedParam, loaded: &Loaded) -> Result<Parameter, AttachError> {
    match wanted {
        WantedParam::Link(param) => Ok(Parameter::Of(*param)),
        WantedParam::OwnMap(name) => loaded.own_map(name),
    }
}

fn tidy(staging: Staging<'_>) -> Vec<Error> {
    let what = "failed to remove the staging directory; the next apply will";
    staging.remove().map_err(|error| Error::from(error).context(what)).err().into_iter().collect()
}

impl Failed {
    fn all(error: Error) -> Self {
        Self { paths: Vec::new(), place: None, error }
    }
}

impl Failure {
    fn new(errors: Vec<Failed>) -> Self {
        Self { errors, left: Vec::new(), kept: None, untidy: Vec::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes = match self.left.len() {
            0 => return write!(f, "nothing was changed"),
            1 => "1 change".to_owned(),
            number => format!("{number} changes"),
        };
        write!(f, "{changes} could not be undone")?;
        match &self.kept {
            Some(kept) => write!(
                f,
                "; what was there before is kept in {} until the next apply",
                Escaped::new(kept)
            ),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
