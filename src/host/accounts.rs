//! Names of users and groups → their numbers, from the system's databases.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::unistd::{Group, User};

/// The uid of every user, if there is such a user.
///
/// # Errors
/// Where the database cannot be asked.
pub fn users(names: BTreeSet<&str>) -> anyhow::Result<BTreeMap<String, Option<u32>>> {
    names
        .into_iter()
        .map(|name| {
            let user = found(User::from_name(name))
                .with_context(|| format!("failed to look up the user `{}`", name.escape_debug()))?;
            Ok((name.to_owned(), user.map(|user| user.uid.as_raw())))
        })
        .collect()
}

/// The gid of every group, if there is such a group.
///
/// # Errors
/// Where the database cannot be asked.
pub fn groups(names: BTreeSet<&str>) -> anyhow::Result<BTreeMap<String, Option<u32>>> {
    names
        .into_iter()
        .map(|name| {
            let group = found(Group::from_name(name)).with_context(|| {
                format!("failed to look up the group `{}`", name.escape_debug())
            })?;
            Ok((name.to_owned(), group.map(|group| group.gid.as_raw())))
        })
        .collect()
}

/// In a container there may be no database at all: nobody is in that, which getpwnam(3) says in its own way.
fn found<T>(answer: nix::Result<Option<T>>) -> nix::Result<Option<T>> {
    match answer {
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        Ok(_) | Err(_) => answer,
    }
}
