//! Names of users and groups → their numbers, from the system's databases.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use nix::errno::Errno;
use nix::unistd::{Group, User};

/// The database could not be searched for a name.
#[derive(Debug)]
pub enum LookupError {
    /// The name of a user.
    User(String, Errno),
    /// The name of a group.
    Group(String, Errno),
}

/// Looks up the uid of every user: `None` if there is no such user.
///
/// # Errors
/// If the database cannot be searched.
pub(crate) fn users(names: BTreeSet<&str>) -> Result<BTreeMap<String, Option<u32>>, LookupError> {
    names
        .into_iter()
        .map(|name| {
            let user = found(User::from_name(name))
                .map_err(|error| LookupError::User(name.to_owned(), error))?;
            Ok((name.to_owned(), user.map(|user| user.uid.as_raw())))
        })
        .collect()
}

/// Looks up the gid of every group: `None` if there is no such group.
///
/// # Errors
/// If the database cannot be searched.
pub(crate) fn groups(names: BTreeSet<&str>) -> Result<BTreeMap<String, Option<u32>>, LookupError> {
    names
        .into_iter()
        .map(|name| {
            let group = found(Group::from_name(name))
                .map_err(|error| LookupError::Group(name.to_owned(), error))?;
            Ok((name.to_owned(), group.map(|group| group.gid.as_raw())))
        })
        .collect()
}

/// A container may have no database. getpwnam(3) then returns an error, but it means that there is no such user.
fn found<T>(answer: nix::Result<Option<T>>) -> nix::Result<Option<T>> {
    match answer {
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        Ok(_) | Err(_) => answer,
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name, _) => {
                write!(f, "failed to look up the user `{}`", name.escape_debug())
            }
            Self::Group(name, _) => {
                write!(f, "failed to look up the group `{}`", name.escape_debug())
            }
        }
    }
}

impl std::error::Error for LookupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::User(_, error) | Self::Group(_, error) => Some(error),
        }
    }
}
