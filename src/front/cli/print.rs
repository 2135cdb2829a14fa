//! The arguments of the commands that only print something: `schema`, `completions`, `man`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

/// `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The document that the schema describes
    #[arg(value_name = "WHAT", default_value = "manifest")]
    pub what: Schema,
}

/// The documents that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Schema {
    /// A manifest, for editors
    Manifest,
    /// The report that `--json` prints
    Report,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The page: `iterctl`, a command, or `iterctl.toml`
    #[arg(value_name = "PAGE", default_value = "iterctl")]
    pub page: String,

    /// Write all pages into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "page")]
    pub dir: Option<PathBuf>,
}
