//! The arguments of `pin` and `read`: one entry of a manifest.

use std::path::PathBuf;

use clap::Args;

use super::{LockArgs, TrustArgs};
use iterctl_core::desired::DEFAULT_BPFFS;

/// The settings of an iterator, as flags.
#[derive(Debug, Default, Args)]
pub struct GivenArgs {
    /// The program, if the object holds several iterators
    #[arg(long, value_name = "NAME")]
    pub program: Option<String>,

    /// The cgroup to walk from: its directory, or its id
    #[arg(long, value_name = "DIR|ID", requires = "order")]
    pub cgroup: Option<String>,

    /// The order in which cgroups are walked: self-only, descendants-pre, descendants-post, ancestors-up
    /// or children
    #[arg(long, value_name = "ORDER", requires = "cgroup")]
    pub order: Option<String>,

    /// The one process to walk
    #[arg(long, value_name = "PID", conflicts_with = "tid")]
    pub pid: Option<u32>,

    /// The one thread to walk
    #[arg(long, value_name = "TID")]
    pub tid: Option<u32>,

    /// The initial value of a global variable; may be repeated. The value is read as TOML; if it is
    /// not TOML, it is a string
    #[arg(long = "global", value_name = "NAME=VALUE")]
    pub globals: Vec<String>,

    /// An existing map for the object's own map NAME; may be repeated
    #[arg(long = "reuse", value_name = "NAME=id:N|pinned:FILE|name:NAME")]
    pub reuse: Vec<String>,

    /// The size of the object's own map NAME, in elements; of a ring buffer, in bytes. May be repeated
    #[arg(long, value_name = "NAME=N")]
    pub max_entries: Vec<String>,

    /// Refuse any other object than the one with this SHA-256
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
}

impl GivenArgs {
    /// Returns whether no flag is given.
    pub fn is_empty(&self) -> bool {
        let Self { program, cgroup, order, pid, tid, globals, reuse, max_entries, sha256 } = self;
        program.is_none()
            && cgroup.is_none()
            && order.is_none()
            && pid.is_none()
            && tid.is_none()
            && globals.is_empty()
            && reuse.is_empty()
            && max_entries.is_empty()
            && sha256.is_none()
    }
}

/// `pin`.
#[derive(Debug, Args)]
pub struct PinArgs {
    /// The compiled BPF object
    #[arg(value_name = "OBJ")]
    pub obj: PathBuf,

    /// The pin: absolute, or relative to the bpffs, or to the current directory if that is on bpffs
    #[arg(value_name = "PATH")]
    pub path: PathBuf,

    /// The map to walk: `map id N`, `map pinned FILE` (relative to the current directory),
    /// `map name NAME`, or `map own NAME` for one that the object defines
    #[arg(value_name = "map MAP", num_args = 0..)]
    pub map: Vec<String>,

    /// The settings of the iterator.
    #[command(flatten)]
    pub given: GivenArgs,

    /// The pin's mode, in octal; 0600 by default
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,

    /// The pin's owner
    #[arg(long, value_name = "USER")]
    pub owner: Option<String>,

    /// The pin's group
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,

    /// The mode of the directories above the pin, with set-id and sticky bits. Default for new directories:
    /// 0700. Existing ones are kept as they are
    #[arg(long, value_name = "MODE")]
    pub dir_mode: Option<String>,

    /// The owner of the directories above the pin. Default for new directories: the pin's owner. Existing
    /// ones are kept as they are
    #[arg(long, value_name = "USER")]
    pub dir_owner: Option<String>,

    /// The group of the directories above the pin. Default for new directories: the pin's group. Existing
    /// ones are kept as they are
    #[arg(long, value_name = "GROUP")]
    pub dir_group: Option<String>,

    /// The set that will own the pin. Its other pins are kept
    #[arg(long, value_name = "NAME", default_value = "adhoc")]
    pub set: String,

    /// The bpffs; by default the one that an absolute PATH is on, or else /sys/fs/bpf
    #[arg(long, value_name = "DIR")]
    pub bpffs: Option<PathBuf>,

    /// Take over an iterator that another tool or set has pinned there
    #[arg(long)]
    pub adopt: bool,

    /// Mount a bpffs if there is none
    #[arg(long)]
    pub mount: bool,

    /// Also print the entry of a manifest that does the same
    #[arg(short, long)]
    pub verbose: bool,

    /// `--insecure`.
    #[command(flatten)]
    pub trust: TrustArgs,

    /// `--lock-timeout`.
    #[command(flatten)]
    pub lock: LockArgs,
}

/// `read`.
#[derive(Debug, Args)]
pub struct ReadArgs {
    /// A pin: absolute, or relative to the bpffs, or to the current directory if that is on a bpffs; or a
    /// compiled BPF object, which is run once
    #[arg(value_name = "PATH|OBJ")]
    pub what: PathBuf,

    /// The map to walk, if an object is run: `map id N`, `map pinned FILE`, `map name NAME` or `map own NAME`
    #[arg(value_name = "map MAP", num_args = 0..)]
    pub map: Vec<String>,

    /// The settings of the iterator.
    #[command(flatten)]
    pub given: GivenArgs,

    /// The bpffs
    #[arg(long, value_name = "DIR", default_value = DEFAULT_BPFFS)]
    pub bpffs: PathBuf,

    /// Do not escape control characters on a terminal. Files and pipes always receive the bytes of the iterator
    #[arg(long)]
    pub raw: bool,

    /// `--insecure`.
    #[command(flatten)]
    pub trust: TrustArgs,
}
