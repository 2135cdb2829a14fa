//! The command line: commands, options, and their help. No logic.

mod duration;
mod entry;
mod form;
mod print;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};

use self::duration::ANY;
pub use entry::{GivenArgs, PinArgs, ReadArgs};
pub use form::Form;
pub use print::{CompletionsArgs, ManArgs, Schema, SchemaArgs};
pub use watch::WatchArgs;

use iterctl_core::desired::DEFAULT_BPFFS;

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
   1  failed; bpffs is unchanged, or the report says what has changed
   2  plan --detailed-exitcode found changes
  64  usage
  65  manifest or object invalid
  69  bpffs or a kernel feature is missing
  73  a foreign pin is in the way
  75  another apply holds the lock
  77  not permitted
 129  stopped by SIGHUP
 130  stopped by SIGINT
 143  stopped by SIGTERM";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check manifests and the objects that they name, without privilege; or ask what the kernel has
    #[command(
        after_help = "Examples:\n  iterctl check -f iters.toml\n  iterctl check --kernel\n  iterctl check --kernel -f iters.toml"
    )]
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
    /// Apply, then again whenever the manifest, an object, a pinned map or a pin changes
    #[command(
        after_help = "Examples:\n  iterctl watch -f iters.toml\n  iterctl watch -f /etc/iterctl.d --metrics-file /var/lib/node_exporter/iterctl.prom"
    )]
    Watch(WatchArgs),
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
    Pin(Box<PinArgs>),
    /// Print the output of a pinned iterator; or load an object, run it once, and pin nothing
    #[command(
        after_help = "Examples:\n  iterctl read observe/tasks\n  iterctl read task.bpf.o\n  iterctl read conn.bpf.o map name conns"
    )]
    Read(ReadArgs),
    /// Print a manifest of what is pinned
    #[command(after_help = "Example:\n  iterctl export --set observe > iters.toml")]
    Export(ExportArgs),
    /// Print the JSON schema of a manifest, or of the report
    #[command(after_help = "Example:\n  iterctl schema > manifest.json")]
    Schema(SchemaArgs),
    /// Print the completions for a shell
    #[command(after_help = "Example:\n  iterctl completions bash > /etc/bash_completion.d/iterctl")]
    Completions(CompletionsArgs),
    /// Print a man page, or write them all
    #[command(
        after_help = "Examples:\n  iterctl man apply | man -l -\n  iterctl man --dir /usr/local/share/man/man1"
    )]
    Man(ManArgs),
}

impl Command {
    /// Whether its work is to change something; the work of the others is their report.
    pub fn changes(&self) -> bool {
        match self {
            Self::Apply(_) | Self::Watch(_) | Self::Unpin(_) | Self::Pin(_) => true,
            Self::Check(_)
            | Self::Plan(_)
            | Self::List(_)
            | Self::Read(_)
            | Self::Export(_)
            | Self::Schema(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }
}

/// The manifest, and the name of its set.
#[derive(Debug, Args)]
pub struct ManifestArgs {
    /// A manifest, a directory of `*.toml`, or `-` for standard input; may be repeated: all files
    /// of one call are one manifest and one set
    #[arg(short, long = "file", value_name = "MANIFEST", required = true)]
    pub file: Vec<PathBuf>,

    /// The name of the set, whatever the manifest says
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,
}

/// Actions that need explicit consent.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// Take over iterators that another tool or set has pinned at a path of the manifest; never a
    /// pinned map or program
    #[arg(long)]
    pub adopt: bool,

    /// Accept a manifest that lists nothing: all pins of the set are removed
    #[arg(long)]
    pub allow_empty: bool,

    /// `--insecure`.
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// Whether files that another user could have changed may be used.
#[derive(Debug, Args)]
pub struct TrustArgs {
    /// As root or with capabilities, also use files that another user could have changed
    #[arg(long)]
    pub insecure: bool,
}

/// The option that decides about the other entries if one fails.
#[derive(Debug, Args)]
pub struct KeepGoingArgs {
    /// Skip entries that fail, and carry out the others. The exit status is still 1, and existing
    /// pins of skipped entries are kept
    #[arg(long)]
    pub keep_going: bool,
}

/// How long to wait for another apply.
#[derive(Debug, Args)]
pub struct LockArgs {
    /// How long to wait for another apply to end.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "30s",
        value_parser = ANY.parser(),
        help = ANY.help("How long to wait for another apply to end: seconds, or a duration such as `500ms` or `2min`")
    )]
    pub lock_timeout: Duration,
}

/// `check`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["file", "kernel"]))]
pub struct CheckArgs {
    /// A manifest, a directory of `*.toml`, or `-` for standard input; may be repeated: all files
    /// of one call are one manifest and one set
    #[arg(short, long = "file", value_name = "MANIFEST")]
    pub file: Vec<PathBuf>,

    /// The name of the set, whatever the manifest says
    #[arg(long, value_name = "NAME", requires = "file")]
    pub set: Option<String>,

    /// Ask the kernel which targets, parameters and other features it has; with a manifest, also
    /// whether it has what each entry needs
    #[arg(long)]
    pub kernel: bool,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// `-f` and `--set`.
    #[command(flatten)]
    pub manifest: ManifestArgs,

    /// `--adopt`, `--allow-empty` and `--insecure`.
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// `--keep-going`.
    #[command(flatten)]
    pub keep_going: KeepGoingArgs,

    /// Exit with 2 if apply would change something
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// `-f` and `--set`.
    #[command(flatten)]
    pub manifest: ManifestArgs,

    /// `--adopt`, `--allow-empty` and `--insecure`.
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// `--keep-going`.
    #[command(flatten)]
    pub keep_going: KeepGoingArgs,

    /// `--lock-timeout`.
    #[command(flatten)]
    pub lock: LockArgs,

    /// How long to wait for what does not exist yet.
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = ANY.parser(),
        help = ANY.help("Wait up to this long for the bpffs, the objects and the maps that do not exist yet, as at boot")
    )]
    pub wait: Option<Duration>,

    /// Mount a bpffs at the path that the manifest names, if none is mounted there
    #[arg(long)]
    pub mount: bool,
}

/// `unpin`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["file", "set", "paths"]))]
pub struct UnpinArgs {
    /// A manifest, a directory of `*.toml`, or `-`: all pins of its set are removed, listed or not
    #[arg(short, long = "file", value_name = "MANIFEST")]
    pub file: Vec<PathBuf>,

    /// The name of a set: all its pins are removed
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,

    /// The pins to remove: relative to the bpffs, or absolute
    #[arg(value_name = "PATH", conflicts_with_all = ["file", "set"])]
    pub paths: Vec<PathBuf>,

    /// The bpffs, if no manifest names it; by default the one that absolute PATHs are on, or else
    /// /sys/fs/bpf
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    pub bpffs: Option<PathBuf>,

    /// Also unpin iterators at PATH that iterctl has not pinned
    #[arg(long, requires = "paths", conflicts_with_all = ["file", "set"])]
    pub adopt: bool,

    /// `--insecure`.
    #[command(flatten)]
    pub trust: TrustArgs,

    /// `--lock-timeout`.
    #[command(flatten)]
    pub lock: LockArgs,
}

/// `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The set; required if several sets have pins
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
}
