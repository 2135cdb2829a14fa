//! The measured programs: iterctl, and the C programs of this folder, compiled.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::timing::Measure;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches");

/// A folder with all of them. It is removed when this is dropped.
pub(super) struct Tools {
    folder: TempDir,
    quick: bool,
}

impl Tools {
    /// The name of each in its folder and in every scene's.
    pub(super) const NAMES: [&str; 3] = ["iterctl", "floor", "relocate"];

    pub(super) fn build() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("iterctl-bench-").tempdir()?;
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_iterctl"), folder.path().join("iterctl"))?;
        // Linked statically, because dynamic linking at each start is avoidable.
        compile(folder.path(), "floor", &["-O2", "-static"], &[])?;
        compile(folder.path(), "relocate", &["-O2"], &["-lbpf"])?;
        Ok(Self { folder, quick: std::env::var_os("ITERCTL_QUICK").is_some() })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether the run only checks that everything works.
    pub(super) fn quick(&self) -> bool {
        self.quick
    }

    /// A measurement of this many runs of a command.
    pub(super) fn measure<'a>(&self, command: &'a str, runs: usize) -> Measure<'a> {
        Measure { command, runs: self.runs(runs) }
    }

    /// The number of runs, which is `full` unless the run is quick.
    pub(super) fn runs(&self, full: usize) -> usize {
        if self.quick { 2 } else { full }
    }
}

fn compile(folder: &Path, name: &str, flags: &[&str], libraries: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("cc")
        .args(flags)
        .arg("-Wall")
        .arg("-o")
        .arg(folder.join(name))
        .arg(Path::new(SOURCES).join(name).with_extension("c"))
        .args(libraries)
        .status()
        .context("cc does not run: run `make deps`")?;
    ensure!(status.success(), "{name}.c was not compiled");
    Ok(())
}
