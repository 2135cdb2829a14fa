//! The messages and hints for the obstacles of a plan. Pure.

use std::fmt;

use super::Obstacle;
use crate::desired::MapRef;
use crate::escaped::Escaped;
use crate::fault::NO_CGROUP2;
use crate::observed::{CgroupProblem, MapProblem, Provenance};
use crate::pin_path::PinPath;
use crate::value::quote;

impl Obstacle {
    /// The path that it concerns; `None` if it concerns the whole set.
    pub fn path(&self) -> Option<&PinPath> {
        match self {
            Self::Foreign { path, .. }
            | Self::NotAnIterator { path, .. }
            | Self::Directory { path }
            | Self::ParentNotADirectory { path, .. }
            | Self::BehindMount { path, .. }
            | Self::Map { path, .. }
            | Self::Cgroup { path, .. }
            | Self::NotPinned { path } => Some(path),
            Self::ReadOnly { .. } | Self::OtherSource { .. } | Self::Empty { .. } => None,
        }
    }

    /// The hint, if there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Foreign { .. } => Some("`--adopt` takes it over".to_owned()),
            Self::NotAnIterator { .. } | Self::Directory { .. } => {
                Some("remove it, or choose another path".to_owned())
            }
            Self::ParentNotADirectory { .. } | Self::BehindMount { bpffs: None, .. } => {
                Some("choose another path".to_owned())
            }
            Self::BehindMount { path, parent, bpffs: Some(bpffs) } => {
                let below = path.as_path().strip_prefix(parent.as_path()).unwrap_or(path.as_path());
                let below = below.to_string_lossy();
                Some(format!(
                    "to pin it there, write `path = {}` in a manifest of its own with `bpffs = {}`",
                    quote(&below),
                    quote(&bpffs.to_string_lossy())
                ))
            }
            Self::ReadOnly { .. } => Some(WRITABLE.to_owned()),
            Self::Map { map, replaces, why: MapProblem::Missing, .. } => {
                Some(missing_map_hint(map, replaces.is_some()).to_owned())
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

/// The hint for a bpffs that is mounted read-only.
pub const WRITABLE: &str = "mount it writable: in a container, its volume may be `readOnly`; in a systemd unit, \
    `ProtectKernelTunables=` and `ReadOnlyPaths=` make it read-only; `mount -o remount,rw DIR` elsewhere";

fn missing_map_hint(map: &MapRef, replaces_own: bool) -> &'static str {
    match (map, replaces_own) {
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
                Provenance::Unstamped => write!(f, "pinned by another tool"),
                Provenance::Illegible(why) => write!(f, "pinned by another tool ({why})"),
                Provenance::OtherUser(uid) => {
                    write!(f, "pinned by another tool, for the user {uid}")
                }
            },
            Self::NotAnIterator { kind, .. } => write!(f, "not an iterator but {kind}"),
            Self::Directory { .. } => write!(f, "not an iterator but a directory"),
            Self::ParentNotADirectory { parent, .. } => {
                write!(f, "its parent `{parent}` is not a directory")
            }
            Self::BehindMount { parent, bpffs: Some(_), .. } => {
                write!(f, "another bpffs is mounted on its parent `{parent}`")
            }
            Self::BehindMount { parent, bpffs: None, .. } => {
                write!(f, "another file system is mounted on its parent `{parent}`")
            }
            Self::ReadOnly { bpffs } => {
                write!(f, "the bpffs {} is mounted read-only", Escaped::new(bpffs))
            }
            Self::Map { map: MapRef::Pinned(pin), replaces, why: MapProblem::Missing, .. } => {
                write!(f, "no map is pinned at {}", Escaped::new(pin))?;
                match replaces {
                    Some(name) => {
                        write!(f, ", which the object's map `{}` needs", Escaped::new(name))
                    }
                    None => Ok(()),
                }
            }
            Self::Map { map, replaces: None, why, .. } => write!(f, "map {map}: {why}"),
            Self::Map { map, replaces: Some(name), why, .. } => {
                write!(f, "map {map}, for the object's map `{}`: {why}", Escaped::new(name))
            }
            Self::Cgroup { cgroup, why, .. } => write!(f, "cgroup {}: {why}", Escaped::new(cgroup)),
            Self::NotPinned { .. } => write!(f, "nothing is pinned there"),
            Self::OtherSource { set, ours, theirs } => write!(
                f,
                "pins of the set `{set}` come from {}, and this is {}",
                // A stamp may hold any text.
                Escaped::new(&theirs.join(", ")),
                Escaped::new(&ours.join(", "))
            ),
            Self::Empty { set } => write!(f, "the manifest of the set `{set}` lists nothing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::desired::MapRef;
    use crate::ids::MapId;
    use crate::observed::Kind;

    fn path() -> PinPath {
        "observe/conns".parse().expect("a pin path")
    }

    /// Its message, its hint, and whether it concerns one pin or the whole set.
    #[track_caller]
    fn check(obstacle: &Obstacle, words: &str, hint: Option<&str>, pin: Option<PinPath>) {
        assert_eq!(obstacle.to_string(), words);
        assert_eq!(obstacle.hint().as_deref(), hint, "{words}");
        assert_eq!(obstacle.path(), pin.as_ref(), "{words}");
    }

    #[test]
    fn what_is_there_can_be_removed_or_avoided() {
        let program = Obstacle::NotAnIterator { path: path(), kind: Kind::Program };
        let other_path = Some("remove it, or choose another path");
        check(&program, "not an iterator but a pinned program", other_path, Some(path()));
        let directory = Obstacle::Directory { path: path() };
        check(&directory, "not an iterator but a directory", other_path, Some(path()));
        let parent = path().parent().expect("it has one");
        let below = Obstacle::ParentNotADirectory { path: path(), parent };
        let words = "its parent `observe` is not a directory";
        check(&below, words, Some("choose another path"), Some(path()));
        let parent = || path().parent().expect("it has one");
        let mounted = Obstacle::BehindMount { path: path(), parent: parent(), bpffs: None };
        let words = "another file system is mounted on its parent `observe`";
        check(&mounted, words, Some("choose another path"), Some(path()));
        let bpffs = Some(PathBuf::from("/bpf/observe"));
        let nested = Obstacle::BehindMount { path: path(), parent: parent(), bpffs };
        let words = "another bpffs is mounted on its parent `observe`";
        let hint = "to pin it there, write `path = \"conns\"` in a manifest of its own with `bpffs = \"/bpf/observe\"`";
        check(&nested, words, Some(hint), Some(path()));
        let nothing = Obstacle::NotPinned { path: path() };
        check(&nothing, "nothing is pinned there", None, Some(path()));
    }

    #[test]
    fn the_hint_for_a_map_fits_its_problem() {
        #[track_caller]
        fn map(why: MapProblem, words: &str, hint: Option<&str>) {
            let map = MapRef::Name("conns".parse().expect("a map name"));
            let walked = Obstacle::Map { path: path(), map, replaces: None, why };
            check(&walked, &format!("map name conns: {words}"), hint, Some(path()));
        }
        let start = "start the program that creates it, then try again";
        map(MapProblem::Missing, "there is no such map", Some(start));
        let ids = || vec![MapId(7), MapId(9)];
        let other_name = Some(
            "stop the owner of the map that is not meant, or name the map by `id` or `pinned`; `bpftool map` shows which \
             process has which map open",
        );
        let several = "several maps have that name: ids 7, 9";
        map(MapProblem::Ambiguous(ids()), several, other_name);
        let why = "/proc is not mounted".to_owned();
        let words =
            format!("{several}; iterctl could not find out which of them are in use: {why}");
        map(MapProblem::Unsettled(ids(), why), &words, other_name);
        let root = "run it as root; to open maps by id or name, it lacks CAP_SYS_ADMIN";
        map(MapProblem::NotPermitted, "not permitted to open it", Some(root));
        map(MapProblem::NotAMap(Kind::Symlink), "a symbolic link is there instead", None);
        map(MapProblem::Unreadable("no memory".to_owned()), "no memory", None);

        let given = Obstacle::Map {
            path: path(),
            map: MapRef::Id(MapId(7)),
            replaces: Some("se\nen".to_owned()),
            why: MapProblem::Missing,
        };
        let words = "map id 7, for the object's map `se\\nen`: there is no such map";
        let other_id = "`bpftool map` lists the ids; a map that is created again has another id, so prefer `name` or `pinned`";
        check(&given, words, Some(other_id), Some(path()));
    }

    #[test]
    fn the_hint_for_a_cgroup_names_where_cgroup_v2_is() {
        #[track_caller]
        fn cgroup(why: CgroupProblem, words: &str, hint: Option<&str>) {
            let cgroup = PathBuf::from("/cgroup/a");
            let obstacle = Obstacle::Cgroup { path: path(), cgroup, why };
            check(&obstacle, &format!("cgroup /cgroup/a: {words}"), hint, Some(path()));
        }
        let outside = |mount: Option<&str>| CgroupProblem::Outside {
            why: "not there".to_owned(),
            mount: mount.map(PathBuf::from),
        };
        let mounted = "cgroup v2 is mounted on /sys/fs/cgroup";
        cgroup(outside(Some("/sys/fs/cgroup")), "not there", Some(mounted));
        cgroup(outside(None), "not there", Some(NO_CGROUP2));
        cgroup(CgroupProblem::Unusable("too deep".to_owned()), "too deep", None);
        cgroup(CgroupProblem::NotLookedFor, "it was not looked for", None);
    }

    #[test]
    fn a_whole_set_has_no_path() {
        let set = || "observe".parse().expect("a set name");
        let empty = Obstacle::Empty { set: set() };
        let words = "the manifest of the set `observe` lists nothing";
        let hint = "`--allow-empty` unpins all of the set `observe`";
        check(&empty, words, Some(hint), None);
        let source = |files: &[&str]| files.iter().map(|file| (*file).to_owned()).collect();
        let other = Obstacle::OtherSource {
            set: set(),
            ours: source(&["a.toml", "b.toml"]),
            theirs: source(&["/etc/\x1b.toml", "-"]),
        };
        let words =
            "pins of the set `observe` come from /etc/\\u{1b}.toml, -, and this is a.toml, b.toml";
        assert_eq!(other.to_string(), words);
        assert_eq!(other.path(), None);
        let hint = other.hint().unwrap_or_default();
        assert!(hint.contains("`set = \"observe\"`") && hint.contains("`--set observe`"), "{hint}");
    }
}
