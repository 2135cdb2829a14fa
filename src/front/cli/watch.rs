//! The arguments of `watch`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::duration::{DELAY, PERIOD};
use super::{ManifestArgs, PolicyArgs};

/// `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// `-f` and `--set`.
    #[command(flatten)]
    pub manifest: ManifestArgs,

    /// `--adopt`, `--allow-empty` and `--insecure`.
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// Mount a bpffs where the manifest wants one, if there is none
    #[arg(long)]
    pub mount: bool,

    /// How long it must have been quiet.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "100ms",
        value_parser = DELAY.parser(),
        help = DELAY.help("How long to wait after the last change before a round begins")
    )]
    pub debounce: Duration,

    /// How long continuing changes can delay a round.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "2s",
        value_parser = DELAY.parser(),
        help = DELAY.help("The longest time that continuing changes can delay a round")
    )]
    pub max_delay: Duration,

    /// The time between two looks without an event.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "60s",
        value_parser = PERIOD.parser(),
        help = PERIOD.help("How often to re-check what sends no events, such as the id behind a map's name")
    )]
    pub interval: Duration,

    /// Only report pins that another process has removed, replaced or changed. Changes of the
    /// manifest, the objects and the maps are still applied
    #[arg(long)]
    pub no_heal: bool,

    /// Unpin the set at the end. Otherwise its pins are kept
    #[arg(long)]
    pub unpin_on_exit: bool,

    /// Write metrics to this file, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
}
