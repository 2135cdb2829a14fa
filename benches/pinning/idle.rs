//! `watch`, while nothing happens.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::memory::mb;
use super::scene::{Scene, entries};
use super::table::Row;
use super::tools::Tools;

/// The time after the first round in which the next check, caused by that round's own changes, finishes
/// too.
const QUIET: Duration = Duration::from_secs(1);

/// Much less than its `--interval`.
const IDLE: Duration = Duration::from_secs(5);

pub(super) fn measure(tools: &Tools) -> anyhow::Result<Vec<Row>> {
    let scene = Scene::new(tools, &entries(1_000, 1))?;
    let watching = Watching::start(&scene)?;
    sleep(QUIET);
    let before = watching.wake_ups()?;
    sleep(IDLE);
    let wake_ups = watching.wake_ups()?.saturating_sub(before);
    let megabytes = watching.memory()?;
    let (seconds, memory) = (IDLE.as_secs(), mb(megabytes));
    Ok(vec![
        Row::new("watch, idle, 1,000 pins that it has made", &memory)
            .target("no wake-ups", format!("{wake_ups} in {seconds} s"), wake_ups == 0)
            .target("< 15 MB", memory, megabytes < 15.0),
    ])
}

/// The binary, running `watch`.
struct Watching(Child);

impl Watching {
    /// Starts it, and waits for the end of the first round.
    fn start(scene: &Scene) -> anyhow::Result<Self> {
        let child = Command::new("./iterctl")
            .args(["-j", "watch", "-f", "iters.toml"])
            .current_dir(scene.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to run iterctl")?;
        let mut watching = Self(child);
        let stdout = watching.0.stdout.as_mut().context("its output is no pipe")?;
        let mut report = String::new();
        BufReader::new(stdout).read_line(&mut report)?;
        ensure!(report.contains("\"changed\":true"), "it pinned nothing: {report}");
        Ok(watching)
    }

    fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.0.id()))
    }

    /// How often any of its threads was woken.
    fn wake_ups(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for thread in fs::read_dir(self.proc().join("task"))? {
            sum += field(&thread?.path().join("status"), "voluntary_ctxt_switches:")?;
        }
        Ok(sum)
    }

    /// Its memory in megabytes.
    fn memory(&self) -> anyhow::Result<f64> {
        Ok(field(&self.proc().join("status"), "VmRSS:")? as f64 * 1024.0 / 1e6)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // This fails only if it has already ended, which is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn field(status: &std::path::Path, name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(status)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let number = value.and_then(|value| value.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("no {name} in {}", status.display()))
}
