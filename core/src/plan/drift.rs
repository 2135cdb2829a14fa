//! The reasons why an observed pin is not what is desired. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;

use super::WantedParam;
use crate::access::{Meta, Mode};
use crate::desired::{DesiredPin, DirectoryAccess};
use crate::escaped::Escaped;
use crate::ids::MapId;
use crate::names::{SetName, Sha256};
use crate::observed::{LinkParam, ObservedPin};
use crate::stamp::Stamp;
use crate::target::Target;

/// One reason. The observed value comes first, then the desired one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// The pin is foreign and is to be adopted; the set that owns it, if there is one.
    Foreign(Option<SetName>),
    /// The object file has other contents.
    Object(Sha256, Sha256),
    /// Another program of the object is wanted.
    Program(String, String),
    /// The link walks another target.
    Target(Target, Target),
    /// The link has another parameter.
    Param(LinkParam, WantedParam),
    /// The object's variables have other initial values.
    Globals,
    /// The program was given another map.
    GivenMap {
        /// The object's map that it replaces.
        name: String,
        /// The map that it was given; `None` if it has the object's own.
        found: Option<MapId>,
        /// The map that it must be given; `None` if it must have the object's own.
        wanted: Option<MapId>,
    },
    /// The stamp says that the program was given a map, but the program does not hold it.
    MapNotHeld {
        /// The object's map that it should replace.
        name: String,
        /// The map.
        wanted: MapId,
    },
    /// A map of the object's own was created with another size.
    MaxEntries {
        /// The map.
        name: String,
        /// The size that it was given; `None` if it has the object's.
        found: Option<NonZeroU32>,
        /// The size that it must be given; `None` if it must have the object's.
        wanted: Option<NonZeroU32>,
    },
    /// The pin has another mode.
    Mode(Mode, Mode),
    /// The pin has another owner.
    Owner(u32, u32),
    /// The pin has another group.
    Group(u32, u32),
    /// The directory has another mode.
    DirectoryMode(Mode, Mode),
    /// The directory has another owner.
    DirectoryOwner(u32, u32),
    /// The directory has another group.
    DirectoryGroup(u32, u32),
}

impl Drift {
    /// Every reason why `have` differs from `want`, a pin of the set `set` with the parameter `param`,
    /// whose program is given `maps`.
    pub fn between(
        set: &SetName,
        want: &DesiredPin,
        param: &WantedParam,
        maps: &BTreeMap<String, MapId>,
        have: &ObservedPin,
    ) -> Vec<Self> {
        let mut drift = Vec::new();
        let mut param_drifted = match param {
            WantedParam::Link(param) => have.link.param != *param,
            WantedParam::OwnMap(_) => !matches!(have.link.param, LinkParam::Map(_)),
        };
        match have.provenance.stamp() {
            Some(stamp) if stamp.set == *set => {
                if stamp.sha256 != want.program.sha256 {
                    let found = stamp.sha256.clone();
                    drift.push(Self::Object(found, want.program.sha256.clone()));
                }
                if stamp.program != want.program.name {
                    let found = stamp.program.clone();
                    drift.push(Self::Program(found, want.program.name.clone()));
                }
                let globals = stamp.globals.as_ref().map(|globals| &globals.sha256);
                if globals != want.program.globals.digest().as_ref() {
                    drift.push(Self::Globals);
                }
                drift.extend(given_maps(&stamp.maps, maps));
                drift.extend(maps_not_held(stamp, want, maps, have));
                drift.extend(max_entries(&stamp.max_entries, &want.program.max_entries));
                if let WantedParam::OwnMap(name) = param {
                    let own = stamp.own_maps.get(name).map(|id| LinkParam::Map(MapId(*id)));
                    param_drifted = own != Some(have.link.param);
                }
            }
            Some(stamp) => drift.push(Self::Foreign(Some(stamp.set.clone()))),
            None => drift.push(Self::Foreign(None)),
        }
        if have.link.target != want.program.target {
            drift.push(Self::Target(have.link.target.clone(), want.program.target.clone()));
        }
        if param_drifted {
            drift.push(Self::Param(have.link.param, param.clone()));
        }
        if have.meta.mode != want.meta.mode {
            drift.push(Self::Mode(have.meta.mode, want.meta.mode));
        }
        if have.meta.uid != want.meta.uid {
            drift.push(Self::Owner(have.meta.uid, want.meta.uid));
        }
        if have.meta.gid != want.meta.gid {
            drift.push(Self::Group(have.meta.gid, want.meta.gid));
        }
        drift
    }

    /// Every reason why a directory is not as entries state.
    pub(super) fn of_directory(want: &DirectoryAccess, have: Meta) -> Vec<Self> {
        let mode = want.mode.stated().filter(|mode| *mode != have.mode);
        let uid = want.uid.stated().filter(|uid| *uid != have.uid);
        let gid = want.gid.stated().filter(|gid| *gid != have.gid);
        let mode = mode.map(|mode| Self::DirectoryMode(have.mode, mode));
        let uid = uid.map(|uid| Self::DirectoryOwner(have.uid, uid));
        let gid = gid.map(|gid| Self::DirectoryGroup(have.gid, gid));
        [mode, uid, gid].into_iter().flatten().collect()
    }

    /// Whether the pin must be replaced. If not, it is enough to set its mode, owner or group.
    pub(crate) fn needs_another_link(&self) -> bool {
        match self {
            Self::Foreign(_)
            | Self::Object(..)
            | Self::Program(..)
            | Self::Target(..)
            | Self::Param(..)
            | Self::Globals
            | Self::GivenMap { .. }
            | Self::MapNotHeld { .. }
            | Self::MaxEntries { .. } => true,
            Self::Mode(..)
            | Self::Owner(..)
            | Self::Group(..)
            | Self::DirectoryMode(..)
            | Self::DirectoryOwner(..)
            | Self::DirectoryGroup(..) => false,
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(None) => write!(f, "taken over from another tool"),
            Self::Foreign(Some(set)) => write!(f, "taken over from the set {set}"),
            Self::Object(..) => write!(f, "object changed"),
            Self::Program(found, wanted) => {
                // A stamp may hold any text.
                write!(f, "program changed: {} -> {}", Escaped::new(found), Escaped::new(wanted))
            }
            Self::Target(found, wanted) => write!(f, "target changed: {found} -> {wanted}"),
            Self::Param(LinkParam::Map(found), WantedParam::Link(LinkParam::Map(wanted))) => {
                write!(f, "map changed: {found} -> {wanted}")
            }
            Self::Param(found, wanted) => {
                write!(f, "parameter changed: {} -> {wanted}", OrNone(*found))
            }
            Self::Globals => write!(f, "globals changed"),
            Self::GivenMap { name, found, wanted } => {
                let id =
                    |map: &Option<MapId>| map.map_or_else(|| "own".to_owned(), |id| id.to_string());
                let name = Escaped::new(name);
                write!(f, "map `{name}` changed: {} -> {}", id(found), id(wanted))
            }
            Self::MapNotHeld { name, wanted } => {
                write!(f, "the program does not use map {wanted} as `{}`", Escaped::new(name))
            }
            Self::MaxEntries { name, found, wanted } => {
                let size = |size: &Option<NonZeroU32>| {
                    size.map_or_else(|| "own".to_owned(), |size| size.to_string())
                };
                let name = Escaped::new(name);
                write!(f, "max-entries of `{name}` changed: {} -> {}", size(found), size(wanted))
            }
            Self::Mode(found, wanted) => write!(f, "mode changed: {found} -> {wanted}"),
            Self::Owner(found, wanted) => write!(f, "owner changed: {found} -> {wanted}"),
            Self::Group(found, wanted) => write!(f, "group changed: {found} -> {wanted}"),
            Self::DirectoryMode(found, wanted) => {
                write!(f, "dir-mode changed: {found} -> {wanted}")
            }
            Self::DirectoryOwner(found, wanted) => {
                write!(f, "dir-owner changed: {found} -> {wanted}")
            }
            Self::DirectoryGroup(found, wanted) => {
                write!(f, "dir-group changed: {found} -> {wanted}")
            }
        }
    }
}

/// The maps for which the stamp says what is wanted, but that the program does not hold.
fn maps_not_held(
    stamp: &Stamp,
    want: &DesiredPin,
    maps: &BTreeMap<String, MapId>,
    have: &ObservedPin,
) -> Vec<Drift> {
    let is_lost = |(name, id): &(&String, &MapId)| {
        want.program.held.contains(*name)
            && stamp.maps.get(*name) == Some(&id.0)
            && !have.maps.contains(*id)
    };
    maps.iter()
        .filter(is_lost)
        .map(|(name, id)| Drift::MapNotHeld { name: name.clone(), wanted: *id })
        .collect()
}

/// The maps for which the program was given something else than it must be given.
fn given_maps(found: &BTreeMap<String, u32>, wanted: &BTreeMap<String, MapId>) -> Vec<Drift> {
    let found = found.iter().map(|(name, id)| (name.clone(), MapId(*id))).collect();
    differing(&found, wanted, |name, found, wanted| Drift::GivenMap { name, found, wanted })
}

fn max_entries(
    found: &BTreeMap<String, NonZeroU32>,
    wanted: &BTreeMap<String, NonZeroU32>,
) -> Vec<Drift> {
    differing(found, wanted, |name, found, wanted| Drift::MaxEntries { name, found, wanted })
}

/// One reason for each name whose found and wanted values differ.
fn differing<T: Copy + PartialEq>(
    found: &BTreeMap<String, T>,
    wanted: &BTreeMap<String, T>,
    drift: impl Fn(String, Option<T>, Option<T>) -> Drift,
) -> Vec<Drift> {
    let names: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    names
        .into_iter()
        .map(|name| (name, found.get(name).copied(), wanted.get(name).copied()))
        .filter(|(_, found, wanted)| found != wanted)
        .map(|(name, found, wanted)| drift(name.clone(), found, wanted))
        .collect()
}

impl fmt::Display for WantedParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(param) => write!(f, "{}", OrNone(*param)),
            Self::OwnMap(name) => write!(f, "own map {}", Escaped::new(name)),
        }
    }
}

struct OrNone(LinkParam);

impl fmt::Display for OrNone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            LinkParam::None => write!(f, "none"),
            LinkParam::Map(_)
            | LinkParam::Thread(_)
            | LinkParam::Process(_)
            | LinkParam::Cgroup { .. } => write!(f, "{}", self.0),
        }
    }
}
