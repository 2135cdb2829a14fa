//! How long it takes from the last event until the pin is in place: `make bench`.
//!
//! It runs `watch` on a bpffs of its own, in a mount namespace of its own, and checks the pin until its
//! link has changed. It prints a table and asserts nothing.

#[path = "shared/own_bpffs.rs"]
mod own_bpffs;

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use own_bpffs::OwnBpffs;

const OBJECTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/objects");

/// How often each case is measured.
const ROUNDS: usize = 30;

/// The default of `--debounce`.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// How often the pin is checked.
const LOOK: Duration = Duration::from_micros(50);

/// The time after a round in which the next check, caused by that round's own changes, finishes too.
const QUIET: Duration = Duration::from_millis(300);

/// If something has not happened by then, it never will.
const NEVER: Duration = Duration::from_secs(10);

fn main() -> anyhow::Result<()> {
    let own = OwnBpffs::mount()?;
    print(&Bench::start(own.path())?.measure()?);
    Ok(())
}

/// One line of the table.
struct Case {
    name: &'static str,
    target: Duration,
    /// From the event to the pin, in ascending order.
    times: Vec<Duration>,
}

fn print(cases: &[Case]) {
    println!("milliseconds from the last event to the pin in place, {ROUNDS} rounds each:\n");
    println!("| case | median | 95th percentile | median − debounce | 95th − debounce | target |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for Case { name, target, times } in cases {
        let (median, high) = (percentile(times, 50), percentile(times, 95));
        let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
        println!(
            "| {name} | {} | {} | {} | {} | < {} |",
            ms(median),
            ms(high),
            ms(median.saturating_sub(DEBOUNCE)),
            ms(high.saturating_sub(DEBOUNCE)),
            target.as_millis(),
        );
    }
}

fn percentile(ascending: &[Duration], percent: usize) -> Duration {
    let rank = (ascending.len() * percent).div_ceil(100);
    ascending.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// `watch`, and the files that it watches.
struct Bench {
    folder: PathBuf,
    child: Child,
    /// Its reports.
    reports: Lines<BufReader<ChildStdout>>,
}

impl Bench {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        for object in ["tasks_v1.bpf.o", "tasks_v2.bpf.o"] {
            let from = Path::new(OBJECTS).join(object);
            fs::copy(&from, folder.join(object))
                .with_context(|| format!("no {}: run `make objects`", from.display()))?;
        }
        write_manifest(folder, "tasks_v1.bpf.o")?;
        fs::rename(folder.join("new"), folder.join("iters.toml"))?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_iterctl"))
            .args(["-j", "watch", "-f", "iters.toml"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to run iterctl")?;
        let stdout = child.stdout.take().context("its output is no pipe")?;
        let reports = BufReader::new(stdout).lines();
        let mut bench = Self { folder: folder.to_path_buf(), child, reports };
        bench.wait_for_the_round()?;
        Ok(bench)
    }

    fn measure(&mut self) -> anyhow::Result<Vec<Case>> {
        let load = |bench: &mut Self, round: usize| {
            let object = ["tasks_v2.bpf.o", "tasks_v1.bpf.o"][round % 2];
            write_manifest(&bench.folder, object)?;
            let (from, to) = (bench.folder.join("new"), bench.folder.join("iters.toml"));
            bench.time("observe/a", || fs::rename(from, to))
        };
        let remove = |bench: &mut Self, _| {
            let pin = bench.pin("observe/a");
            bench.time("observe/a", || fs::remove_file(pin))
        };
        Ok(vec![
            self.case("a change that loads one program", 20, load)?,
            self.case("a removed pin whose program is loaded", 5, remove)?,
        ])
    }

    fn case(
        &mut self,
        name: &'static str,
        target: u64,
        time: impl Fn(&mut Self, usize) -> anyhow::Result<Duration>,
    ) -> anyhow::Result<Case> {
        let times: anyhow::Result<Vec<_>> = (0..ROUNDS).map(|round| time(self, round)).collect();
        let mut times = times.context(name)?;
        times.sort();
        Ok(Case { name, target: Duration::from_millis(target), times })
    }

    /// How long after the change the pin has another link.
    fn time(
        &mut self,
        path: &str,
        change: impl FnOnce() -> std::io::Result<()>,
    ) -> anyhow::Result<Duration> {
        let pin = self.pin(path);
        let inode = || fs::symlink_metadata(&pin).ok().map(|stat| stat.ino());
        let old = inode();
        change()?;
        let start = Instant::now();
        let took = loop {
            if inode().is_some_and(|inode| Some(inode) != old) {
                break start.elapsed();
            }
            if start.elapsed() > NEVER {
                bail!("{path} was not pinned in {} s", NEVER.as_secs());
            }
            sleep(LOOK);
        };
        self.wait_for_the_round()?;
        Ok(took)
    }

    fn pin(&self, path: &str) -> PathBuf {
        self.folder.join("bpf").join(path)
    }

    fn wait_for_the_round(&mut self) -> anyhow::Result<()> {
        let report = self.reports.next().context("it has ended")??;
        ensure!(report.contains("\"changed\":true"), "nothing was changed: {report}");
        sleep(QUIET);
        Ok(())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // This fails only if it has already ended, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two iterators of one program, in a file beside the manifest.
fn write_manifest(folder: &Path, object: &str) -> anyhow::Result<()> {
    let entry = |path: &str| format!("[[iter]]\nobj = \"{object}\"\npath = \"{path}\"\n");
    let bpffs = folder.join("bpf");
    let (a, b) = (entry("observe/a"), entry("observe/b"));
    fs::write(folder.join("new"), format!("bpffs = \"{}\"\n{a}{b}", bpffs.display()))?;
    Ok(())
}
