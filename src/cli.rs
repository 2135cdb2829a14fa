//! The command line: what can be said, and the help for it. No logic.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::desired::DEFAULT_BPFFS;

/// The declarative provisioner for BPF iterators.
///
/// A TOML manifest lists iterators; `iterctl apply -f iters.toml` makes bpffs match it: it pins what
/// is missing, replaces what drifted, unpins what the manifest no longer lists, and touches nothing
/// else.
#[derive(Debug, Parser)]
#[command(
    name = "iterctl",
    after_help = STATUSES,
    max_term_width = 100,
    disable_version_flag = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Print the versions of iterctl and libbpf, and what was compiled in
    #[arg(short = 'V', long)]
    pub version: bool,

    /// Print one JSON document instead of text
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub json: bool,

    /// The same, indented
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub pretty: bool,

    /// Print all that libbpf and the verifier say, to standard error
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub debug: bool,

    /// What to do
    #[command(subcommand)]
    pub command: Option<Command>,
}

const GLOBAL: &str = "Global options";

const STATUSES: &str = "Exit statuses:
   0  done, or nothing to do
   1  failed; bpffs is as it was, or the report says what is not
   2  plan --detailed-exitcode found changes
  64  usage
  65  manifest or object invalid
  69  bpffs or a kernel feature is missing
  73  a foreign pin is in the way
  75  another apply holds the lock
  77  not permitted";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check manifests and the objects that they name: no privilege, no kernel
    #[command(after_help = "Example:\n  iterctl check -f iters.toml")]
    Check(CheckArgs),
    /// Show what apply would change, and why
    #[command(
        after_help = "Example:\n  iterctl plan -f iters.toml --detailed-exitcode; [ $? -eq 2 ] && echo drift"
    )]
    Plan(PlanArgs),
    /// Make bpffs match the manifest: all of it, or nothing
    #[command(
        after_help = "Examples:\n  iterctl apply -f iters.toml\n  iterctl apply -f /etc/iterctl.d"
    )]
    Apply(ApplyArgs),
    /// Unpin all pins of a set, or those at the paths given
    #[command(
        after_help = "Examples:\n  iterctl unpin --set observe\n  iterctl unpin -f iters.toml\n  iterctl unpin observe/tasks"
    )]
    Unpin(UnpinArgs),
    /// List every iterator that is pinned on bpffs
    #[command(after_help = "Example:\n  iterctl list")]
    List(ListArgs),
    /// Pin one iterator, in bpftool's own grammar: OBJ PATH [map MAP]
    #[command(
        after_help = "Examples:\n  iterctl pin task.bpf.o observe/tasks\n  iterctl pin conn.bpf.o /sys/fs/bpf/observe/conns map pinned /sys/fs/bpf/conns\n  iterctl pin task.bpf.o observe/init --pid 1 --global verbose=true"
    )]
    Pin(PinArgs),
    /// Print what an iterator prints: of a pin, or of an object that is run once and not pinned
    #[command(
        after_help = "Examples:\n  iterctl read observe/tasks\n  iterctl read task.bpf.o\n  iterctl read conn.bpf.o map name conns"
    )]
    Read(ReadArgs),
    /// Print a manifest of what is pinned
    #[command(after_help = "Example:\n  iterctl export --set observe > iters.toml")]
    Export(ExportArgs),
}

/// Which manifest.
#[derive(Debug, Args)]
pub struct ManifestArgs {
    /// A manifest, a directory of `*.toml`, or `-` for standard input; may be repeated: what one call
    /// is given is one manifest and one set
    #[arg(short, long = "file", value_name = "MANIFEST", required = true)]
    pub file: Vec<PathBuf>,

    /// The name of the set, whatever the manifest says
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,
}

/// What may be done that is not done unasked.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// Take over iterators that someone else has pinned where the manifest wants one; never a pinned
    /// map or program
    #[arg(long)]
    pub adopt: bool,

    /// Accept a manifest that lists nothing: all pins of the set go
    #[arg(long)]
    pub allow_empty: bool,

    /// Whose files may be used.
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// Whose files may be used.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// As root, also use manifests and objects that someone else could have written
    #[arg(long)]
    pub insecure: bool,
}

/// How long to wait for another apply.
#[derive(Debug, Args)]
pub struct LockArgs {
    /// How long to wait for another apply to end: seconds, or a duration such as `500ms` or `2min`
    #[arg(long, value_name = "DURATION", default_value = "30", value_parser = duration)]
    pub lock_timeout: Duration,
}

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Which manifest.
    #[command(flatten)]
    pub manifest: ManifestArgs,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Which manifest.
    #[command(flatten)]
    pub manifest: ManifestArgs,

    /// What may be done.
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// Exit with 2 if apply would change something
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Which manifest.
    #[command(flatten)]
    pub manifest: ManifestArgs,

    /// What may be done.
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// How long to wait.
    #[command(flatten)]
    pub lock: LockArgs,

    /// Mount a bpffs where the manifest wants one and there is none
    #[arg(long)]
    pub mount: bool,
}

/// `unpin`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["file", "set", "paths"]))]
pub struct UnpinArgs {
    /// A manifest, a directory of `*.toml`, or `-`: all pins of its set go, listed or not
    #[arg(short, long = "file", value_name = "MANIFEST")]
    pub file: Vec<PathBuf>,

    /// The name of the set of which all pins go
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,

    /// The pins that go: relative to the bpffs, or absolute
    #[arg(value_name = "PATH", conflicts_with_all = ["file", "set"])]
    pub paths: Vec<PathBuf>,

    /// The bpffs, where no manifest names it
    #[arg(long, value_name = "DIR", default_value = DEFAULT_BPFFS, conflicts_with = "file")]
    pub bpffs: PathBuf,

    /// Also unpin iterators at PATH that iterctl has not pinned
    #[arg(long, requires = "paths", conflicts_with_all = ["file", "set"])]
    pub adopt: bool,

    /// How long to wait.
    #[command(flatten)]
    pub lock: LockArgs,
}

/// What an iterator is given, as flags.
#[derive(Debug, Default, Args)]
pub struct GivenArgs {
    /// The program, where the object holds several iterators
    #[arg(long, value_name = "NAME")]
    pub program: Option<String>,

    /// The cgroup to walk from: its directory, or its id
    #[arg(long, value_name = "DIR|ID", requires = "order")]
    pub cgroup: Option<String>,

    /// The order in which cgroups are walked
    #[arg(long, value_name = "ORDER", requires = "cgroup")]
    pub order: Option<String>,

    /// The one process to walk
    #[arg(long, value_name = "PID", conflicts_with = "tid")]
    pub pid: Option<u32>,

    /// The one thread to walk
    #[arg(long, value_name = "TID")]
    pub tid: Option<u32>,

    /// The initial value of a global variable; may be repeated. The value is TOML, or else a string
    #[arg(long = "global", value_name = "NAME=VALUE")]
    pub globals: Vec<String>,

    /// An existing map for the object's own map NAME; may be repeated
    #[arg(long = "reuse", value_name = "NAME=id:N|pinned:FILE|name:NAME")]
    pub reuse: Vec<String>,

    /// Refuse any other object than the one with this SHA-256
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
}

impl GivenArgs {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        let Self { program, cgroup, order, pid, tid, globals, reuse, sha256 } = self;
        program.is_none()
            && cgroup.is_none()
            && order.is_none()
            && pid.is_none()
            && tid.is_none()
            && globals.is_empty()
            && reuse.is_empty()
            && sha256.is_none()
    }
}

/// `pin`.
#[derive(Debug, Args)]
pub struct PinArgs {
    /// The compiled BPF object
    #[arg(value_name = "OBJ")]
    pub obj: PathBuf,

    /// The pin: absolute, or relative to the bpffs, or to the current folder where that is on bpffs
    #[arg(value_name = "PATH")]
    pub path: PathBuf,

    /// The map to walk: `map id N`, `map pinned FILE` (relative to the current folder), `map name
    /// NAME`, or `map own NAME` for one that the object defines
    #[arg(value_name = "map MAP", num_args = 0..)]
    pub map: Vec<String>,

    /// What it is given.
    #[command(flatten)]
    pub given: GivenArgs,

    /// The pin's mode, in octal; 0600 if nothing else is said
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,

    /// The pin's owner
    #[arg(long, value_name = "USER")]
    pub owner: Option<String>,

    /// The pin's group
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,

    /// The mode of parent directories that have to be made; 0700 if nothing else is said
    #[arg(long, value_name = "MODE")]
    pub dir_mode: Option<String>,

    /// The set that will own the pin. Its other pins stay
    #[arg(long, value_name = "NAME", default_value = "adhoc")]
    pub set: String,

    /// The bpffs
    #[arg(long, value_name = "DIR", default_value = DEFAULT_BPFFS)]
    pub bpffs: PathBuf,

    /// Take over an iterator that someone else has pinned there
    #[arg(long)]
    pub adopt: bool,

    /// Mount a bpffs where there is none
    #[arg(long)]
    pub mount: bool,

    /// Also print the manifest that would do the same
    #[arg(short, long)]
    pub verbose: bool,

    /// Whose files may be used.
    #[command(flatten)]
    pub trust: TrustArgs,

    /// How long to wait.
    #[command(flatten)]
    pub lock: LockArgs,
}

/// `read`.
#[derive(Debug, Args)]
pub struct ReadArgs {
    /// A pin, relative to the bpffs or absolute; or a compiled BPF object, which is run once
    #[arg(value_name = "PATH|OBJ")]
    pub what: PathBuf,

    /// Of an object, the map to walk: `map id N`, `map pinned FILE`, `map name NAME` or `map own NAME`
    #[arg(value_name = "map MAP", num_args = 0..)]
    pub map: Vec<String>,

    /// What it is given.
    #[command(flatten)]
    pub given: GivenArgs,

    /// The bpffs
    #[arg(long, value_name = "DIR", default_value = DEFAULT_BPFFS)]
    pub bpffs: PathBuf,

    /// Whose files may be used.
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The set; needed where several sets have pins
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,

    /// The bpffs
    #[arg(long, value_name = "DIR", default_value = DEFAULT_BPFFS)]
    pub bpffs: PathBuf,
}

/// `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The bpffs
    #[arg(long, value_name = "DIR", default_value = DEFAULT_BPFFS)]
    pub bpffs: PathBuf,

    /// Only the pins of this set
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|number| Duration::try_from_secs_f64(number).ok());
    seconds
        .or_else(|| humantime::parse_duration(text).ok())
        .ok_or_else(|| "expected seconds, or a duration such as `500ms`".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let call = format!("  iterctl {}", command.get_name());
            assert!(help.starts_with("Example") && help.contains(&call), "{}", command.get_name());
        }
    }

    #[test]
    fn durations_are_seconds_or_have_a_unit() {
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("-1").is_err());
        assert!(duration("soon").is_err());
        assert!(duration("1e300").is_err());
    }
}
