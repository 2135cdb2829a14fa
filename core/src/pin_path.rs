//! Pin paths: text from a manifest or a directory listing → a type that holds only paths which bpffs and
//! iterctl accept. Pure.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::escaped::Escaped;

/// Directories with this prefix in a bpffs root hold pins that are not in place yet.
pub const STAGING_PREFIX: &str = "iterctl-staging-";

/// Directories with this prefix in a bpffs root hold maps that pinned iterators need.
pub const KEPT_PREFIX: &str = "iterctl-kept-";

/// Directories with this prefix on a bpffs are locks, or have been.
pub const LOCK_PREFIX: &str = "iterctl-lock";

/// The first bytes of paths that are not for pins.
const RESERVED: [&str; 3] = [STAGING_PREFIX, KEPT_PREFIX, LOCK_PREFIX];

/// `NAME_MAX` of Linux: bytes in one component of a path.
const NAME_MAX: usize = 255;
/// Bytes in a whole pin path. The kernel's `PATH_MAX` is 4096 with the terminating NUL.
const PATH_MAX: usize = 4095;

/// Components of a pin path. `PATH_MAX` would allow 2,048 of them, with names of one byte; people who choose names
/// that can be read need few. With this bound, the time for a look at a bpffs is linear in what is on it: a directory
/// is opened by its path, and the kernel looks up each component.
pub const DEEPEST: usize = 64;

/// A pin's path below a bpffs root: relative, normal, without a dot in any component.
///
/// It is shared by its clones: another user can make 100,000 directories with paths of 4 KB.
///
/// bpffs reserves names with a dot: `bpf_lookup()` in kernel/bpf/inode.c returns `EPERM` for them.
#[derive(Clone, Debug, Eq)]
pub struct PinPath(Arc<Path>);

/// Why a text is not a pin path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidPinPath {
    /// An empty text.
    Empty,
    /// Two slashes in a row, or one at the end.
    EmptyComponent,
    /// `.` or `..`.
    NotNormal(String),
    /// A component with a dot in it.
    Dot(String),
    /// A component longer than 255 bytes.
    ComponentTooLong(usize),
    /// More than 4095 bytes in all.
    TooLong(usize),
    /// More than [`DEEPEST`] components.
    TooDeep(usize),
    /// A NUL byte or another control character.
    Control,
    /// The first component has a prefix that `apply` uses for its own directories.
    Reserved(&'static str),
}

impl PinPath {
    /// The path of `name` in the directory `parent`; `None` stands for the bpffs root.
    ///
    /// # Errors
    /// If `name` is one that bpffs reserves, such as `maps.debug`, or that no pin can have; if the path is longer or
    /// deeper than a manifest can name: directories can be nested that deeply.
    pub fn below(parent: Option<&Self>, name: &OsStr) -> Result<Self, InvalidPinPath> {
        check_component(name.as_bytes())?;
        let parent = parent.map_or(&[][..], Self::bytes);
        let slash = if parent.is_empty() { &b""[..] } else { b"/" };
        let path = [parent, slash, name.as_bytes()].concat();
        if path.len() > PATH_MAX {
            return Err(InvalidPinPath::TooLong(path.len()));
        }
        check_depth(&path)?;
        Ok(Self(Path::new(OsStr::from_bytes(&path)).into()))
    }

    /// The path, relative to the bpffs root.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The last component.
    pub fn name(&self) -> &OsStr {
        // A pin path has at least one component, so there is always a name.
        self.0.file_name().unwrap_or_default()
    }

    /// The directory that holds this path; `None` if that is the bpffs root.
    pub fn parent(&self) -> Option<Self> {
        match self.0.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => Some(Self(parent.into())),
            Some(_) | None => None,
        }
    }

    /// All directories above this path, the nearest first, without the bpffs root.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// Whether `other` is one of these directories.
    pub fn is_below(&self, other: &Self) -> bool {
        self.bytes().strip_prefix(other.bytes()).is_some_and(|rest| rest.starts_with(b"/"))
    }

    /// Whether both are in the same directory.
    pub(crate) fn has_same_parent(&self, other: &Self) -> bool {
        self.0.parent() == other.0.parent()
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_os_str().as_bytes()
    }
}

impl FromStr for PinPath {
    type Err = InvalidPinPath;

    fn from_str(text: &str) -> Result<Self, InvalidPinPath> {
        if text.is_empty() {
            return Err(InvalidPinPath::Empty);
        }
        if text.len() > PATH_MAX {
            return Err(InvalidPinPath::TooLong(text.len()));
        }
        check_depth(text.as_bytes())?;
        let reserved = RESERVED.into_iter().find(|prefix| text.starts_with(prefix));
        if is_plain(text.as_bytes()) && reserved.is_none() {
            return Ok(Self(Path::new(text).into()));
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidPinPath::Control);
        }
        // Components that lead elsewhere are reported before those that bpffs does not accept.
        let goes_elsewhere = |component: &&str| matches!(*component, "." | "..");
        if let Some(component) = text.split('/').find(goes_elsewhere) {
            return Err(InvalidPinPath::NotNormal(component.to_owned()));
        }
        for component in text.split('/') {
            check_component(component.as_bytes())?;
        }
        match reserved {
            Some(prefix) => Err(InvalidPinPath::Reserved(prefix)),
            None => Ok(Self(Path::new(text).into())),
        }
    }
}

/// Whether a path needs no closer check, as nearly all do not: it is printable ASCII without a dot, and its
/// components are neither empty nor too long.
fn is_plain(text: &[u8]) -> bool {
    let mut length = 0;
    for byte in text {
        length = match byte {
            b'/' if length > 0 => 0,
            b' '..=b'~' if !matches!(byte, b'/' | b'.') && length < NAME_MAX => length + 1,
            _ => return false,
        };
    }
    length > 0
}

fn check_depth(path: &[u8]) -> Result<(), InvalidPinPath> {
    // A path with fewer bytes has fewer components, and nearly all paths are that short.
    let slashes = if path.len() < 2 * DEEPEST {
        0
    } else {
        path.iter().filter(|byte| **byte == b'/').count()
    };
    if slashes < DEEPEST { Ok(()) } else { Err(InvalidPinPath::TooDeep(slashes + 1)) }
}

fn check_component(name: &[u8]) -> Result<(), InvalidPinPath> {
    if name.is_empty() {
        return Err(InvalidPinPath::EmptyComponent);
    }
    if name == b"." || name == b".." {
        return Err(InvalidPinPath::NotNormal(lossy(name)));
    }
    if name.contains(&b'.') {
        return Err(InvalidPinPath::Dot(lossy(name)));
    }
    if name.len() > NAME_MAX {
        return Err(InvalidPinPath::ComponentTooLong(name.len()));
    }
    Ok(())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// By component, as [`Path`] does it: a directory's entries follow directly after it. As the paths are
/// normal, their bytes can be compared, with the slash before all others; for 10,000 pins, splitting them
/// into components each time was a tenth of all work (`perf`).
impl Ord for PinPath {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.bytes(), other.bytes());
        match a.iter().zip(b).find(|(a, b)| a != b) {
            Some((b'/', _)) => Ordering::Less,
            Some((_, b'/')) => Ordering::Greater,
            Some((a, b)) => a.cmp(b),
            None => a.len().cmp(&b.len()),
        }
    }
}

/// As the paths are normal, equal ones are equal byte by byte.
impl PartialEq for PinPath {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Hash for PinPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialOrd for PinPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<Path> for PinPath {
    fn borrow(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for PinPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Escaped::new(self.as_path()))
    }
}

impl Serialize for PinPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string_lossy())
    }
}

impl fmt::Display for InvalidPinPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "pin path is empty"),
            Self::EmptyComponent => write!(f, "pin path has an empty component"),
            Self::NotNormal(name) => write!(f, "pin path has a `{name}` component"),
            Self::Dot(_) => write!(f, "pin path has a dot, which bpffs reserves"),
            Self::ComponentTooLong(length) => {
                write!(f, "pin path has a component of {length} bytes, and {NAME_MAX} are allowed")
            }
            Self::TooLong(length) => {
                write!(f, "pin path has {length} bytes, and {PATH_MAX} are allowed")
            }
            Self::TooDeep(number) => {
                write!(f, "pin path has {number} components, and {DEEPEST} are allowed")
            }
            Self::Control => write!(f, "pin path has a control character"),
            Self::Reserved(prefix) => {
                write!(f, "pin path begins with `{prefix}`, which apply uses itself")
            }
        }
    }
}

impl std::error::Error for InvalidPinPath {}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), InvalidPinPath>) {
        assert_eq!(text.parse::<PinPath>().map(|_| ()), expected, "{text:?}");
    }

    #[test]
    fn pin_paths_are_those_that_bpffs_accepts() {
        check("tasks", Ok(()));
        check("observe/tasks", Ok(()));
        check("a b/ü", Ok(()));
        check("", Err(InvalidPinPath::Empty));
        check("/tasks", Err(InvalidPinPath::EmptyComponent));
        check("a//b", Err(InvalidPinPath::EmptyComponent));
        check("a/", Err(InvalidPinPath::EmptyComponent));
        check("a/../b", Err(InvalidPinPath::NotNormal("..".to_owned())));
        check("./a", Err(InvalidPinPath::NotNormal(".".to_owned())));
        check("observe/tcp.v4", Err(InvalidPinPath::Dot("tcp.v4".to_owned())));
        check("a\0b", Err(InvalidPinPath::Control));
        check("a\nb", Err(InvalidPinPath::Control));
        check("ü\u{85}", Err(InvalidPinPath::Control));
        check(&"x".repeat(255), Ok(()));
        check(&"x".repeat(256), Err(InvalidPinPath::ComponentTooLong(256)));
        check(&("ü".repeat(127) + "x"), Ok(()));
        check(&"ü".repeat(128), Err(InvalidPinPath::ComponentTooLong(256)));
        check(&"x/".repeat(2048), Err(InvalidPinPath::TooLong(4096)));
        check("iterctl-staging-1/a", Err(InvalidPinPath::Reserved(STAGING_PREFIX)));
        check("iterctl-kept-1", Err(InvalidPinPath::Reserved(KEPT_PREFIX)));
        check("iterctl-lock", Err(InvalidPinPath::Reserved(LOCK_PREFIX)));
        check("iterctl-lock/a", Err(InvalidPinPath::Reserved(LOCK_PREFIX)));
        check("a/iterctl-lock", Ok(()));
    }

    #[test]
    fn a_path_is_as_long_as_the_kernels_may_be() {
        let name = "x".repeat(63);
        let longest = [name.as_str(); DEEPEST].join("/");
        check(&longest, Ok(()));
        check(&(longest.clone() + "y"), Err(InvalidPinPath::TooLong(4096)));
        let below = |parent: &str, name: &str| {
            let parent = parent.parse().expect("a pin path");
            PinPath::below(Some(&parent), OsStr::new(name)).map(|path| path.to_string())
        };
        let parent = [name.as_str(); DEEPEST - 1].join("/");
        assert_eq!(below(&parent, &name), Ok(longest));
        assert_eq!(below(&parent, &(name + "y")), Err(InvalidPinPath::TooLong(4096)));
        assert_eq!(below("a", "b.c"), Err(InvalidPinPath::Dot("b.c".to_owned())));
        assert_eq!(below("a", ".."), Err(InvalidPinPath::NotNormal("..".to_owned())));
        assert_eq!(below("a", ""), Err(InvalidPinPath::EmptyComponent));
    }

    #[test]
    fn the_depth_of_a_path_is_limited() {
        let deepest = ["x"; DEEPEST].join("/");
        check(&deepest, Ok(()));
        check(&(deepest.clone() + "/x"), Err(InvalidPinPath::TooDeep(DEEPEST + 1)));
        let deepest: PinPath = deepest.parse().expect("a pin path");
        let below = PinPath::below(Some(&deepest), OsStr::new("x"));
        assert_eq!(below, Err(InvalidPinPath::TooDeep(DEEPEST + 1)));
        let above = deepest.parent().expect("it has one");
        assert_eq!(PinPath::below(Some(&above), OsStr::new("x")), Ok(deepest));
    }

    #[test]
    fn usual_paths_need_no_closer_check() {
        let longest = "x".repeat(NAME_MAX);
        for text in ["tasks", "observe/tasks", "a b/~/!0", &longest, &format!("a/{longest}/b")] {
            assert!(is_plain(text.as_bytes()), "{text}");
        }
        let too_long = "x".repeat(NAME_MAX + 1);
        for text in ["", "/a", "a//b", "a/", "a.b", "..", "ü", "a\n", "\x7f", &too_long] {
            assert!(!is_plain(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn paths_are_ordered_by_component() {
        let short =
            ["a", "a/b", "a/b/c", "a/bc", "a!", "a-b", "a b", "a0", "ab", "ab/c", "b", "ä", "ä/b"];
        let below = short.map(|end| format!("in/{end}"));
        let texts: Vec<String> = short.map(str::to_owned).into_iter().chain(below).collect();
        for (a, b) in texts.iter().flat_map(|a| texts.iter().map(move |b| (a, b))) {
            let path = |text: &str| text.parse::<PinPath>().expect("a pin path");
            assert_eq!(path(a).cmp(&path(b)), Path::new(a).cmp(Path::new(b)), "{a} {b}");
            let is_below = a != b && Path::new(a).starts_with(b);
            assert_eq!(path(a).is_below(&path(b)), is_below, "{a} {b}");
        }
    }

    /// [`Borrow`] promises that both have the same hash and the same order.
    #[test]
    fn a_pin_path_is_found_by_its_path() {
        let paths = ["a", "a/b", "ä"].map(|text| text.parse::<PinPath>().expect("a pin path"));
        let (hashed, sorted) = (HashSet::from(paths.clone()), BTreeSet::from(paths.clone()));
        for path in &paths {
            assert!(hashed.contains(path.as_path()) && sorted.contains(path.as_path()), "{path}");
        }
        assert!(!hashed.contains(Path::new("b")) && !sorted.contains(Path::new("b")));
    }

    #[test]
    fn ancestors_end_below_the_root() {
        let path: PinPath = "a/b/c".parse().expect("a plain path");
        let above: Vec<String> = path.ancestors().map(|dir| dir.to_string()).collect();
        assert_eq!(above, ["a/b", "a"]);
    }

    #[test]
    fn control_characters_are_escaped_for_people() {
        let path = PinPath::below(None, OsStr::new("a\x1b[31m\nb")).expect("a name bpffs takes");
        assert_eq!(path.to_string(), "a\\u{1b}[31m\\nb");
    }
}
