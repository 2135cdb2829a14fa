//! Values → what people and programs read: text, JSON, faults with carets.
//!
//! Every command ends in one [`Report`], which is printed as text or as JSON.

mod build;
pub mod error;
pub mod faults;
mod kernel;
mod left_out;
pub mod terminal;
pub mod text;
pub mod words;

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::Serialize;

pub use build::{changes, closed, pins};
pub use kernel::{FeatureRow, FeatureState, KernelReport};

use iterctl_core::pin_path::PinPath;

/// The version of the report's form. Keys may be added within one version.
pub const FORMAT_VERSION: u32 = 1;

/// The results of a command. The one JSON document that `--json` prints.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(title = "iterctl report")]
pub struct Report {
    /// The version of this form: 1.
    pub format_version: u32,
    /// Whether anything was changed; of `plan`, whether `apply` would change anything.
    pub changed: bool,
    /// One line for people. Of an error, it says the first reason too, with its place.
    pub comment: String,
    /// How many pins there are of each kind.
    pub summary: Summary,
    /// Every pin that was changed, would be changed, or cannot be.
    pub changes: Vec<Change>,
    /// `list` only: every pinned iterator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pins: Option<Vec<ListedPin>>,
    /// `list` only: what this user may not look at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<ClosedPath>,
    /// `pin` and `export` only: a manifest that says the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// `check --kernel` only: what the kernel has and lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelReport>,
    /// The parts that are shown as text.
    #[serde(skip)]
    pub shown: Shown,
    /// `read` only: what the iterator printed. What is not UTF-8 is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Errors, warnings and notes.
    pub diagnostics: Vec<Diagnostic>,
}

/// How many pins there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Summary {
    /// New ones.
    pub pin: usize,
    /// Those that are replaced by another iterator.
    pub replace: usize,
    /// Those that get another mode, owner or group.
    pub update: usize,
    /// Those that are removed.
    pub unpin: usize,
    /// Those that cannot be made as the manifest wants them.
    pub blocked: usize,
    /// Those that are in sync.
    pub unchanged: usize,
}

/// One pin that changes.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Change {
    /// The pin's absolute path.
    pub path: String,
    /// The kind of change.
    pub action: Action,
    /// Why; at least one.
    pub reasons: Vec<Reason>,
    /// The pin before the change.
    pub before: Option<PinState>,
    /// The pin after the change, made or planned.
    pub after: Option<PinState>,
    /// The entry that asks for it, if it is in a file.
    pub source: Option<SourceLine>,
    /// The path below bpffs, as a manifest would write it.
    #[serde(skip)]
    pub relative: PinPath,
}

/// A kind of change to a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Pinned at a free path.
    Pin,
    /// Replaces another iterator.
    Replace,
    /// Given another mode, owner or group.
    Update,
    /// Unpinned.
    Unpin,
    /// Nothing, because something is wrong with it. Without `--keep-going`, nothing else is done either.
    Blocked,
}

/// Why a pin changes.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Reason {
    /// A word for programs: `missing`, `object-changed`, `map-changed`, `no-longer-listed`, …
    pub kind: &'static str,
    /// The same for people.
    pub message: String,
}

/// The properties of a pin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PinState {
    /// The target that the iterator walks.
    pub target: String,
    /// Its parameter, such as `map 20`.
    pub parameter: Option<String>,
    /// The program's name.
    pub program: String,
    /// The kernel's id of the program; none if it is not loaded yet.
    pub program_id: Option<u32>,
    /// The kernel's id of the link; none if it does not exist yet.
    pub link_id: Option<u32>,
    /// The set that owns it; none if it has no stamp.
    pub set: Option<String>,
    /// The object's absolute path, if it is known.
    pub object: Option<String>,
    /// The object's SHA-256, if it is known.
    pub sha256: Option<String>,
    /// The pin's mode, in octal.
    pub mode: String,
    /// The owner's uid.
    pub uid: u32,
    /// The group's gid.
    pub gid: u32,
}

/// A pinned iterator.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ListedPin {
    /// The pin's absolute path.
    pub path: String,
    /// Its properties.
    #[serde(flatten)]
    pub state: PinState,
    /// The path below bpffs.
    #[serde(skip)]
    pub relative: PinPath,
}

/// A pin that this user may not look at, or a directory that it may not look into.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ClosedPath {
    /// The absolute path.
    pub path: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// The mode, in octal.
    pub mode: String,
    /// The owner's uid.
    pub uid: u32,
    /// The group's gid.
    pub gid: u32,
    /// The path below bpffs.
    #[serde(skip)]
    pub relative: String,
}

/// A line of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceLine {
    /// The file, as the user named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// Something to know.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The message, without its causes.
    pub message: String,
    /// The causes, the nearest first.
    pub causes: Vec<String>,
    /// A way out for the user, if one is known.
    pub hint: Option<String>,
    /// The place in the manifest, if it has one.
    pub place: Option<SourceLine>,
    /// Another place in the manifest that has to do with it.
    pub also: Option<AlsoSee>,
}

/// Another place, and what is there.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AlsoSee {
    /// The place.
    pub place: SourceLine,
    /// A description of that place.
    pub message: &'static str,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The command has failed.
    Error,
    /// The command has not failed, but something is not as it should be.
    Warning,
    /// Information.
    Note,
}

/// The parts of a report that are shown as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The changes and the comment, or the pins.
    Changes,
    /// These, and then the manifest.
    ChangesAndManifest,
    /// The manifest alone.
    Manifest,
}

impl Report {
    /// A report that contains only a comment.
    pub fn new(comment: impl Into<String>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            changed: false,
            comment: comment.into(),
            summary: Summary::default(),
            changes: Vec::new(),
            pins: None,
            closed: Vec::new(),
            manifest: None,
            kernel: None,
            shown: Shown::Changes,
            output: None,
            diagnostics: Vec::new(),
        }
    }
}

impl Change {
    /// The order of a report.
    pub fn by_path(&self, other: &Self) -> Ordering {
        self.relative.cmp(&other.relative)
    }
}

impl Summary {
    /// The number of pins with this action.
    pub fn count(&mut self, action: Action) -> &mut usize {
        match action {
            Action::Pin => &mut self.pin,
            Action::Replace => &mut self.replace,
            Action::Update => &mut self.update,
            Action::Unpin => &mut self.unpin,
            Action::Blocked => &mut self.blocked,
        }
    }

    /// The number of pins that change.
    pub fn changes(&self) -> usize {
        self.pin + self.replace + self.update + self.unpin
    }
}
