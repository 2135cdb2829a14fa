//! Notes that are printed with a plan. They do not stop it. Pure.

use std::collections::BTreeMap;
use std::path::Path;

use super::Drift;
use crate::access::{Meta, Mode};
use crate::desired::Desired;
use crate::escaped::Escaped;
use crate::pin_path::PinPath;

/// Something that the user may not expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A directory is not as stated, and stays so, because it is not only the set's.
    SharedDirectory {
        /// The directory.
        directory: PinPath,
        /// The differences.
        drift: Vec<Drift>,
        /// Something in it that does not belong to the set.
        other: PinPath,
    },
    /// A pin's mode lets users read it who cannot reach it.
    KeptOut {
        /// The directory that they cannot enter; `None` for the bpffs root.
        directory: Option<PinPath>,
        /// Its mode, owner and group after the plan.
        meta: Meta,
        /// Those users.
        readers: Readers,
        /// The first of the pins.
        first: PinPath,
        /// How many other pins there are.
        others: usize,
    },
}

/// Users whom a pin's mode lets read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readers {
    /// Its owner, of that uid.
    Owner(u32),
    /// Its group, of that gid.
    Group(u32),
    /// Every user.
    Everybody,
}

impl Readers {
    /// Root can read everything, and root's group is rarely meant to read: both are left out.
    fn of_pin(meta: Meta) -> impl Iterator<Item = Self> {
        let bits = meta.mode.bits();
        let owner = (bits & 0o400 != 0 && meta.uid != 0).then_some(Self::Owner(meta.uid));
        let group = (bits & 0o040 != 0 && meta.gid != 0).then_some(Self::Group(meta.gid));
        let everybody = (bits & 0o004 != 0).then_some(Self::Everybody);
        [owner, group, everybody].into_iter().flatten()
    }

    /// Whether the directory keeps them out. A user may be a member of any group: if the directory lets its group in,
    /// a single user counts as let in.
    fn are_kept_out(self, directory: Meta) -> bool {
        let may = |bits: u32| directory.mode.bits() & bits != 0;
        match self {
            Self::Owner(uid) if uid == directory.uid => !may(0o100),
            Self::Owner(_) => !may(0o011),
            Self::Group(gid) if gid == directory.gid => !may(0o010),
            Self::Group(_) | Self::Everybody => !may(0o001),
        }
    }
}

/// Every pin whose readers cannot reach it, told once for each directory and kind of readers. `directories` and `root`
/// are as they will be after the plan.
pub(super) fn kept_out(
    desired: &Desired,
    directories: &BTreeMap<PinPath, Meta>,
    root: Option<Meta>,
) -> Vec<Note> {
    let mut found: BTreeMap<(Option<PinPath>, Readers), (Meta, PinPath, usize)> = BTreeMap::new();
    for (path, pin) in &desired.pins {
        for readers in Readers::of_pin(pin.meta) {
            let above = path.ancestors().filter_map(|directory| {
                let meta = *directories.get(&directory)?;
                Some((Some(directory), meta))
            });
            for (directory, meta) in above.chain(root.map(|meta| (None, meta))) {
                if readers.are_kept_out(meta) {
                    let told = found.entry((directory, readers));
                    told.and_modify(|(_, _, others)| *others += 1)
                        .or_insert_with(|| (meta, path.clone(), 0));
                }
            }
        }
    }
    let note = |((directory, readers), (meta, first, others))| Note::KeptOut {
        directory,
        meta,
        readers,
        first,
        others,
    };
    found.into_iter().map(note).collect()
}

impl Note {
    /// The note, in words; `bpffs` is where the bpffs is mounted.
    pub fn message(&self, bpffs: &Path) -> String {
        match self {
            Self::SharedDirectory { directory, drift, other } => {
                let drift: Vec<String> = drift.iter().map(Drift::to_string).collect();
                format!(
                    "the directory `{directory}` is left as it is ({}), because `{other}` in it does not belong to the set",
                    drift.join(", ")
                )
            }
            Self::KeptOut { directory, meta, readers, first, others } => {
                let who = match readers {
                    Readers::Owner(uid) => format!("the user {uid}"),
                    Readers::Group(gid) => format!("the group {gid}"),
                    Readers::Everybody => "every user".to_owned(),
                };
                let pins = match others {
                    0 => format!("`{first}`"),
                    1 => format!("`{first}` and 1 other pin"),
                    number => format!("`{first}` and {number} other pins"),
                };
                let place = match directory {
                    Some(directory) => format!("the directory `{directory}`"),
                    None => format!("the bpffs {}", Escaped::new(bpffs)),
                };
                let Meta { mode, uid, gid } = meta;
                format!(
                    "{who} may read {pins}, but may not enter {place} (mode {mode}, owner {uid}, group {gid})"
                )
            }
        }
    }

    /// The way out, if there is one.
    pub fn hint(&self, bpffs: &Path) -> Option<String> {
        let Self::KeptOut { directory, meta, readers, .. } = self else { return None };
        let with = |bits: u32| Mode::from_stat(meta.mode.bits() | bits);
        // To enter a directory does not need the right to list it. Its owner is never changed: an owner may remove
        // every pin in it.
        let mode = match readers {
            Readers::Owner(uid) if *uid == meta.uid => with(0o100),
            Readers::Group(gid) if *gid == meta.gid => with(0o010),
            Readers::Owner(_) | Readers::Group(_) | Readers::Everybody => with(0o001),
        };
        Some(match (directory, readers) {
            (None, _) => format!("`chmod {mode} {}`", Escaped::new(bpffs)),
            (Some(_), Readers::Group(gid)) if *gid != meta.gid => {
                let group = with(0o010);
                format!(
                    "write `dir-mode = \"{mode}\"`, or `dir-group = \"{gid}\"` and `dir-mode = \"{group}\"`"
                )
            }
            (Some(_), _) => format!("write `dir-mode = \"{mode}\"`"),
        })
    }
}
