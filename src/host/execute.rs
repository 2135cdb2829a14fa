//! [`Plan`] → bpffs: the transaction. All of it, or none of it.
//!
//! In: a plan without obstacles, under the lock. Out: nothing, or every failure, with bpffs as it
//! was, or what could not be put back.
//!
//! First everything is *prepared*: loaded, stamped, attached and pinned in a staging directory,
//! where nobody sees it. Then it is *committed* by renames, of which none leaves a path without an
//! iterator that had one and is to have one. Then it is *verified*: somebody looks again. On a failure
//! the renames are *undone* in reverse.

mod commit;
mod error;
mod prepare;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

pub use error::Error;

use self::prepare::Prepared;
use crate::host::bpffs::{Bpffs, Staging};
use crate::host::kernel::{AttachError, Loaded, Parameter};
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
    /// What could not be put back: empty where bpffs is as it was.
    pub left: Vec<Error>,
    /// Where that is kept, until the next apply.
    pub kept: Option<PathBuf>,
    /// What is untidy besides: for instance a staging directory that could not be removed.
    pub untidy: Vec<Error>,
}

/// One thing that went wrong.
#[derive(Debug)]
pub struct Failed {
    /// The pins that could not be made for it, and nothing else; none where it concerns others, too.
    pub paths: Vec<PinPath>,
    /// The key that asks for it, in the entry of the first of them.
    pub place: Option<Place>,
    /// What.
    pub error: Error,
}

/// What is carried out.
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

/// What was carried out.
#[derive(Debug)]
pub struct Done<T> {
    /// What the look at it came to.
    pub verified: T,
    /// What is untidy all the same: for instance a staging directory that could not be removed.
    pub untidy: Vec<Error>,
}

/// Carries a plan out. `verify` looks whether everything is as it is to be, while it can still be undone.
///
/// # Errors
/// [`Failure`]: everything that went wrong, and what could not be undone.
pub fn execute<T>(
    work: Work<'_>,
    bpffs: &Bpffs,
    verify: impl FnOnce() -> Result<T, Error>,
) -> Result<Done<T>, Failure> {
    let mut staging = Staging::new(bpffs).map_err(|error| {
        let what = "failed to make a staging directory on bpffs";
        Failure::new(vec![Failed::all(Error::from(error).context(what))])
    })?;
    let prepared = match work {
        Work::Plan(plan, load) => prepare::prepare(plan, load, &mut staging),
        Work::Removal(_) => Ok(Prepared::default()),
    };
    let Prepared { staged, kept } = match prepared {
        Ok(prepared) => prepared,
        Err(errors) => return Err(Failure { untidy: tidy(staging), ..Failure::new(errors) }),
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
/// Where the object came without that map.
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
