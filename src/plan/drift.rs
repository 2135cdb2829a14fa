//! The reasons why an observed pin is not what is desired. Pure.

use std::fmt;

use crate::desired::DesiredPin;
use crate::meta::Mode;
use crate::observed::{LinkParam, ObservedPin};
use crate::path::{SetName, Sha256};
use crate::target::Target;

/// One reason. What was found comes first, then what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// The pin is somebody else's, and is to be taken over: whose set, if it is a set's.
    Foreign(Option<SetName>),
    /// The object file has other contents.
    Object(Sha256, Sha256),
    /// Another program of the object is wanted.
    Program(String, String),
    /// The link walks something else.
    Target(Target, Target),
    /// The link has another parameter.
    Param(LinkParam, LinkParam),
    /// The pin has another mode.
    Mode(Mode, Mode),
    /// The pin has another owner.
    Owner(u32, u32),
    /// The pin has another group.
    Group(u32, u32),
}

impl Drift {
    /// Every reason why `have` is not `want`, a pin of the set `set` with the parameter `param`.
    pub fn between(
        set: &SetName,
        want: &DesiredPin,
        param: LinkParam,
        have: &ObservedPin,
    ) -> Vec<Self> {
        let mut drift = Vec::new();
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
            }
            Some(stamp) => drift.push(Self::Foreign(Some(stamp.set.clone()))),
            None => drift.push(Self::Foreign(None)),
        }
        if have.link.target != want.program.target {
            drift.push(Self::Target(have.link.target.clone(), want.program.target.clone()));
        }
        if have.link.param != param {
            drift.push(Self::Param(have.link.param, param));
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

    /// Whether the pin must be replaced; otherwise its mode, owner or group is set.
    pub fn needs_another_link(&self) -> bool {
        match self {
            Self::Foreign(_)
            | Self::Object(..)
            | Self::Program(..)
            | Self::Target(..)
            | Self::Param(..) => true,
            Self::Mode(..) | Self::Owner(..) | Self::Group(..) => false,
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(None) => write!(f, "taken over from someone else"),
            Self::Foreign(Some(set)) => write!(f, "taken over from the set {set}"),
            Self::Object(..) => write!(f, "object changed"),
            Self::Program(found, wanted) => write!(f, "program changed: {found} -> {wanted}"),
            Self::Target(found, wanted) => write!(f, "target changed: {found} -> {wanted}"),
            Self::Param(LinkParam::Map(found), LinkParam::Map(wanted)) => {
                write!(f, "map changed: {found} -> {wanted}")
            }
            Self::Param(found, wanted) => {
                write!(f, "parameter changed: {} -> {}", OrNone(*found), OrNone(*wanted))
            }
            Self::Mode(found, wanted) => write!(f, "mode changed: {found} -> {wanted}"),
            Self::Owner(found, wanted) => write!(f, "owner changed: {found} -> {wanted}"),
            Self::Group(found, wanted) => write!(f, "group changed: {found} -> {wanted}"),
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
