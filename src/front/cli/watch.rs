//! What `watch` takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{ManifestArgs, PolicyArgs, duration};

/// `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Which manifest.
    #[command(flatten)]
    pub manifest: ManifestArgs,

    /// What may be done.
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// Mount a bpffs where the manifest wants one and there is none
    #[arg(long)]
    pub mount: bool,

    /// How long it must have been quiet after a change before anything is done
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration)]
    pub debounce: Duration,

    /// How long changes that never end can hold everything back
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub max_delay: Duration,

    /// How often to look at what tells nobody when it changes, such as the id behind a map's name
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = more_than_nothing)]
    pub interval: Duration,

    /// Only report pins that somebody else has removed, replaced or changed. What the manifest, the
    /// objects or the maps change is applied
    #[arg(long)]
    pub no_heal: bool,

    /// Unpin the set at the end. Otherwise its pins stay
    #[arg(long)]
    pub unpin_on_exit: bool,

    /// Keep figures in this file, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
}

fn more_than_nothing(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("expected more than nothing".to_owned()),
        duration => Ok(duration),
    }
}
