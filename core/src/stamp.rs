//! The record that is bound to a loaded program: to and from JSON. Pure.
//!
//! In: what apply knows when it loads a program. Out: the bytes of the map that is bound to it, and back.
//! Every user who may load programs can write such a map, so its contents are not trusted: if they cannot
//! be read, the pin is foreign.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::desired::{Program, Set};
use crate::ids::MapId;
use crate::names::{SetName, Sha256};

/// The variable of the stamp's map. bpftool shows variables with the prefix `bpf_metadata_`.
pub const VARIABLE: &str = "bpf_metadata_iterctl";

/// The version of the stamp's format. A later one is not read: its program is foreign to this version.
pub const FORMAT: u32 = 1;

/// Stamps longer than this, in bytes, are not read.
pub const LONGEST: usize = 64 * 1024;

/// The record, bound to a loaded program, of which set, object and configuration it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Always [`FORMAT`].
    pub format: u32,
    /// The owner of the pins of this program.
    pub set: SetName,
    /// The absolute `-f` arguments of the call that loaded it.
    pub source: Vec<String>,
    /// The object's absolute path.
    pub object: PathBuf,
    /// The object's digest.
    pub sha256: Sha256,
    /// The program's whole name; the kernel keeps 15 bytes of it.
    pub program: String,
    /// Initial values of the object's variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub globals: Option<StampedGlobals>,
    /// The ids of the existing maps that the program was given, by the names of the object's maps that they
    /// replace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub maps: BTreeMap<String, u32>,
    /// The sizes that other maps of the object were given, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub max_entries: BTreeMap<String, NonZeroU32>,
    /// The ids of the object's own maps, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub own_maps: BTreeMap<String, u32>,
    /// The version of iterctl that loaded it.
    pub version: String,
}

/// Initial values of variables: what was put where, as a digest, and as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StampedGlobals {
    /// The digest of the patches.
    pub sha256: Sha256,
    /// As written: an inline table of TOML.
    pub toml: String,
}

/// Why a map's value is not a stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidStamp {
    /// Longer than [`LONGEST`].
    TooLong(usize),
    /// Not the JSON of a stamp.
    Unreadable(String),
    /// A stamp of another format version.
    Format(u32),
}

impl Stamp {
    /// The stamp of `program`, loaded for `set`: `maps` are the existing maps that it was given,
    /// `own_maps` those that came with its object.
    pub fn new(
        set: &Set,
        program: &Program,
        maps: &BTreeMap<String, MapId>,
        own_maps: &BTreeMap<String, MapId>,
    ) -> Self {
        let numbers = |ids: &BTreeMap<String, MapId>| {
            ids.iter().map(|(name, id)| (name.clone(), id.0)).collect()
        };
        Self {
            format: FORMAT,
            set: set.name.clone(),
            source: set.source.clone(),
            object: program.object.clone(),
            sha256: program.sha256.clone(),
            program: program.name.clone(),
            globals: program
                .globals
                .digest()
                .map(|sha256| StampedGlobals { sha256, toml: program.globals.text.clone() }),
            maps: numbers(maps),
            max_entries: program.max_entries.clone(),
            own_maps: numbers(own_maps),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The value of the stamp's map: JSON and a NUL byte, so that it reads as a C string.
    ///
    /// # Errors
    /// If the object's path is not UTF-8, which JSON cannot hold.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(0);
        Ok(bytes)
    }

    /// Reads the value of a stamp's map.
    ///
    /// # Errors
    /// If it is not a stamp of this [`FORMAT`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidStamp> {
        // Only the format is read first: a later one may have any other keys.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }

        if bytes.len() > LONGEST {
            return Err(InvalidStamp::TooLong(bytes.len()));
        }
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let json = bytes.get(..end).unwrap_or_default();
        let unreadable = |error: serde_json::Error| InvalidStamp::Unreadable(error.to_string());
        let Format { format } = serde_json::from_slice(json).map_err(unreadable)?;
        if format != FORMAT {
            return Err(InvalidStamp::Format(format));
        }
        serde_json::from_slice(json).map_err(unreadable)
    }
}

impl fmt::Display for InvalidStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(length) => write!(f, "stamp of {length} bytes"),
            Self::Unreadable(why) => write!(f, "unreadable stamp: {why}"),
            Self::Format(format) => write!(f, "stamp of format {format}"),
        }
    }
}

impl std::error::Error for InvalidStamp {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{Globals, MapRef, Naming};
    use crate::globals::Patch;
    use crate::target::{Sleep, Target};

    fn stamp() -> Stamp {
        Stamp {
            format: FORMAT,
            set: "observe".parse().expect("a set name"),
            source: vec!["/etc/iters.toml".to_owned()],
            object: PathBuf::from("/opt/task.bpf.o"),
            sha256: Sha256::from([7; 32]),
            program: "dump_task_with_a_long_name".to_owned(),
            globals: None,
            maps: BTreeMap::new(),
            max_entries: BTreeMap::new(),
            own_maps: [("seen".to_owned(), 7)].into(),
            version: "0.1.0".to_owned(),
        }
    }

    #[test]
    fn a_stamp_is_read_back_with_padding() {
        let mut bytes = stamp().to_bytes().expect("paths are UTF-8 here");
        assert_eq!(Stamp::from_bytes(&bytes), Ok(stamp()));
        bytes.extend([0; 9]);
        assert_eq!(Stamp::from_bytes(&bytes), Ok(stamp()), "map values are padded");
    }

    #[test]
    fn the_longest_allowed_stamp_is_read() {
        let mut bytes = stamp().to_bytes().expect("paths are UTF-8 here");
        bytes.resize(LONGEST, 0);
        assert_eq!(Stamp::from_bytes(&bytes), Ok(stamp()));
    }

    #[test]
    fn values_for_a_program_are_stamped() {
        let patch = Patch { section: ".rodata".to_owned(), offset: 4, bytes: vec![1] };
        let globals = Globals { patches: vec![patch], text: "{ s = \"a\\u0000b\" }".to_owned() };
        let pinned = MapRef::Pinned(PathBuf::from("/sys/fs/bpf/seen"));
        let program = Program {
            object: PathBuf::from("/opt/task.bpf.o"),
            sha256: Sha256::from([7; 32]),
            name: "dump_task".to_owned(),
            target: Target::new("task"),
            sleep: Sleep::Never,
            globals: globals.clone(),
            maps: [("seen".to_owned(), pinned)].into(),
            held: ["seen".to_owned()].into(),
            externs: [].into(),
            max_entries: [("counts".to_owned(), NonZeroU32::MAX)].into(),
        };
        let set = Set {
            name: "observe".parse().expect("a set name"),
            naming: Naming::Taken,
            source: vec!["/etc/iters.toml".to_owned(), "-".to_owned()],
        };
        let maps = [("seen".to_owned(), MapId(u32::MAX))].into();
        let own_maps = [("counts".to_owned(), MapId(8)), ("conns".to_owned(), MapId(9))].into();
        let stamp = Stamp::new(&set, &program, &maps, &own_maps);
        let bytes = stamp.to_bytes().expect("paths are UTF-8 here");
        let read = Stamp::from_bytes(&bytes).expect("its own stamp");
        assert_eq!(read, stamp);
        assert_eq!(read.source, ["/etc/iters.toml", "-"]);
        assert_eq!(read.maps, [("seen".to_owned(), u32::MAX)].into());
        assert_eq!(read.max_entries, [("counts".to_owned(), NonZeroU32::MAX)].into());
        assert_eq!(read.own_maps, [("counts".to_owned(), 8), ("conns".to_owned(), 9)].into());
        let stamped = read.globals.expect("globals were given");
        assert_eq!((Some(stamped.sha256), stamped.toml), (globals.digest(), globals.text));

        let program = Program { globals: Globals::default(), ..program };
        let none = BTreeMap::new();
        assert_eq!(Stamp::new(&set, &program, &none, &none).globals, None);
    }

    #[test]
    fn values_that_are_not_given_are_not_written() {
        let bare = Stamp { own_maps: BTreeMap::new(), ..stamp() };
        let bytes = bare.to_bytes().expect("paths are UTF-8 here");
        let json = String::from_utf8(bytes).expect("JSON");
        for key in ["maps", "globals", "max_entries"] {
            assert!(!json.contains(key), "{json}");
        }
        assert_eq!(Stamp::from_bytes(json.as_bytes()), Ok(bare));
    }

    #[test]
    fn stamps_with_fewer_and_with_more_keys_are_read() {
        let digest = "07".repeat(32);
        let older = format!(
            r#"{{"format":1,"set":"observe","source":["/etc/iters.toml"],
                "object":"/opt/task.bpf.o","sha256":"{digest}",
                "program":"dump_task_with_a_long_name","version":"0.1.0"}}"#
        );
        let expected = Stamp { own_maps: BTreeMap::new(), ..stamp() };
        assert_eq!(Stamp::from_bytes(older.as_bytes()), Ok(expected.clone()));
        let newer = older.replace("\"set\"", "\"flavour\":{\"x\":[1]},\"set\"");
        assert_eq!(Stamp::from_bytes(newer.as_bytes()), Ok(expected));
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let error = Stamp::from_bytes(bytes).expect_err("this is no stamp");
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    #[test]
    fn forged_stamps_are_refused() {
        check(b"", "unreadable stamp");
        check(b"\xff\xfe", "unreadable stamp");
        check(b"[]", "unreadable stamp");
        check(b"{\"format\":1}", "unreadable stamp: missing field `set`");
        check(b"{\"format\":2,\"whatever\":[]}", "stamp of format 2");
        check(&[b' '; LONGEST + 1], "stamp of 65537 bytes");
        let bytes = stamp().to_bytes().expect("paths are UTF-8 here");
        let forged = String::from_utf8(bytes).expect("JSON").replace("observe", "../evil");
        check(forged.as_bytes(), "unreadable stamp: `../evil` is not a set name");
        let with =
            |key: &str| format!("{{\"{key},{}", forged.replace("../evil", "observe").split_at(1).1);
        check(with("maps\":{\"seen\":-1}").as_bytes(), "unreadable stamp: invalid value");
        check(with("maps\":[1]").as_bytes(), "unreadable stamp: invalid type");
        check(with("max_entries\":{\"seen\":0}").as_bytes(), "unreadable stamp: invalid value");
        check(with("globals\":{\"sha256\":\"ab\",\"toml\":\"\"}").as_bytes(), "unreadable stamp: ");
    }
}
