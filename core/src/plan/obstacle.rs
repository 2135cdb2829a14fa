//! The words for what stands in a plan's way. Pure.

use std::fmt;

use super::Obstacle;
use crate::desired::MapRef;
use crate::escaped::Escaped;
use crate::fault::NO_CGROUP2;
use crate::observed::{CgroupProblem, MapProblem, Provenance};
use crate::pin_path::PinPath;

impl Obstacle {
    /// The path that it concerns; `None` where it concerns the whole set.
    pub fn path(&self) -> Option<&PinPath> {
        match self {
            Self::Foreign { path, .. }
            | Self::NotAnIterator { path, .. }
            | Self::Directory { path }
            | Self::ParentNotADirectory { path, .. }
            | Self::Map { path, .. }
            | Self::Cgroup { path, .. }
            | Self::NotPinned { path } => Some(path),
            Self::OtherSource { .. } | Self::Empty { .. } => None,
        }
    }

    /// The way out, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Foreign { .. } => Some("`--adopt` takes it over".to_owned()),
            Self::NotAnIterator { .. } | Self::Directory { .. } => {
                Some("remove it, or choose another path".to_owned())
            }
            Self::ParentNotADirectory { .. } => Some("choose another path".to_owned()),
            Self::Map { map, stands_for, why: MapProblem::Missing, .. } => {
                Some(missing_map_hint(map, stands_for.is_some()).to_owned())
            }
            Self::Map { why: MapProblem::Ambiguous(_) | MapProblem::Unsettled(..), .. } => Some(
                "stop the owner of the map that is not meant, or name the map by `id` or `pinned`; `bpftool map` \
                 shows which process has which map open"
                    .to_owned(),
            ),
            Self::Map { why: MapProblem::NotPermitted, .. } => Some(
                "run it as root; to open maps by id or name, it lacks CAP_SYS_ADMIN".to_owned(),
            ),
            Self::Cgroup { why: CgroupProblem::Outside { mount, .. }, .. } => Some(match mount {
                Some(mount) => format!("cgroup v2 is mounted on {}", Escaped::new(mount)),
                None => NO_CGROUP2.to_owned(),
            }),
            Self::Map { .. }
            | Self::Cgroup {
                why: CgroupProblem::NotLookedFor | CgroupProblem::Unusable(_), ..
            }
            | Self::NotPinned { .. } => None,
            Self::OtherSource { set, .. } => Some(format!(
                "if it is the same set, write `set = \"{set}\"` or give `--set {set}`; \
                 if it is another one, give it another name so"
            )),
            Self::Empty { set } => Some(format!("`--allow-empty` unpins all of the set `{set}`")),
        }
    }
}

fn missing_map_hint(map: &MapRef, stands_for_another: bool) -> &'static str {
    match (map, stands_for_another) {
        (MapRef::Id(_), _) => {
            "`bpftool map` lists the ids; a map that is created again has another id, so prefer `name` or `pinned`"
        }
        (MapRef::Pinned(_), true) => {
            "start the program that pins it, or name another map with `maps` (`--reuse`), then try again"
        }
        (MapRef::Pinned(_), false) => "start the program that pins it, then try again",
        (MapRef::Name(_), _) => "start the program that creates it, then try again",
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign { have, .. } => match &have.provenance {
                Provenance::Stamped(stamp) => write!(f, "pinned by the set {}", stamp.set),
                Provenance::Unstamped => write!(f, "pinned by someone else"),
                Provenance::Illegible(why) => write!(f, "pinned by someone else ({why})"),
            },
            Self::NotAnIterator { kind, .. } => write!(f, "not an iterator but {kind}"),
            Self::Directory { .. } => write!(f, "not an iterator but a directory"),
            Self::ParentNotADirectory { parent, .. } => {
                write!(f, "its parent `{parent}` is not a directory")
            }
            Self::Map {
                map: MapRef::Pinned(pin), stands_for, why: MapProblem::Missing, ..
            } => {
                write!(f, "no map is pinned at {}", Escaped::new(pin))?;
                match stands_for {
                    Some(name) => {
                        write!(f, ", which the object's map `{}` needs", Escaped::new(name))
                    }
                    None => Ok(()),
                }
            }
            Self::Map { map, stands_for: None, why, .. } => write!(f, "map {map}: {why}"),
            Self::Map { map, stands_for: Some(name), why, .. } => {
                write!(f, "map {map}, for the object's map `{}`: {why}", Escaped::new(name))
            }
            Self::Cgroup { cgroup, why, .. } => write!(f, "cgroup {}: {why}", cgroup.display()),
            Self::NotPinned { .. } => write!(f, "nothing is pinned there"),
            Self::OtherSource { set, ours, theirs } => write!(
                f,
                "pins of the set `{set}` come from {}, and this is {}",
                // A stamp may hold any text.
                Escaped::new(&theirs.join(", ")),
                ours.join(", ")
            ),
            Self::Empty { set } => write!(f, "the manifest of the set `{set}` lists nothing"),
        }
    }
}
