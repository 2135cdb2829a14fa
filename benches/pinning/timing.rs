//! Times, as measured by hyperfine(1).

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use libbpf_rs::btf::Btf;
use serde_json::Value;
use toml::de::DeTable;

/// How often each command has its turn.
const TURNS: usize = 3;

/// Milliseconds, in ascending order.
pub(super) struct Times(Vec<f64>);

impl Times {
    fn new(mut milliseconds: Vec<f64>) -> Self {
        milliseconds.sort_by(f64::total_cmp);
        Self(milliseconds)
    }

    pub(super) fn median(&self) -> f64 {
        let middle = |index: usize| self.0.get(index).copied().unwrap_or(f64::NAN);
        let count = self.0.len();
        f64::midpoint(middle(count.saturating_sub(1) / 2), middle(count / 2))
    }
}

/// A measurement: a command, run without a shell, and how often.
#[derive(Clone, Copy)]
pub(super) struct Measure<'a> {
    pub(super) command: &'a str,
    pub(super) runs: usize,
}

/// The commands take turns, so that other load on the machine affects them all alike. `prepare` runs before
/// each run, and is not measured.
pub(super) fn side_by_side<const N: usize>(
    folder: &Path,
    prepare: Option<&str>,
    measures: [Measure<'_>; N],
) -> anyhow::Result<[Times; N]> {
    let mut milliseconds = [const { Vec::new() }; N];
    for turn in 0..TURNS {
        for (Measure { command, runs }, times) in measures.iter().zip(&mut milliseconds) {
            // The runs that are left, in equal parts.
            let now = (runs - times.len()).div_ceil(TURNS - turn);
            if now > 0 {
                times.extend(time(folder, prepare, command, now)?);
            }
        }
    }
    Ok(milliseconds.map(Times::new))
}

fn time(
    folder: &Path,
    prepare: Option<&str>,
    command: &str,
    runs: usize,
) -> anyhow::Result<Vec<f64>> {
    let output = Command::new("hyperfine")
        .args(["--shell=none", "--style=none", "--export-json=times.json", "--warmup=1"])
        .arg(format!("--runs={runs}"))
        .args(prepare.map(|prepare| format!("--prepare={prepare}")))
        .arg(command)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .context("hyperfine does not run: run `make bench`")?;
    ensure!(
        output.status.success(),
        "`{command}` cannot be measured: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let exported = fs::read_to_string(folder.join("times.json"))?;
    let exported: Value = serde_json::from_str(&exported)?;
    let seconds = exported["results"][0]["times"].as_array().context("hyperfine gave no times")?;
    Ok(seconds.iter().filter_map(Value::as_f64).map(|seconds| seconds * 1000.0).collect())
}

/// How long the libbpf that iterctl is built with takes to parse the kernel's BTF.
pub(super) fn vmlinux_btf_parse(runs: usize) -> anyhow::Result<Times> {
    repeat(runs, || Btf::from_vmlinux().context("the kernel has no BTF"))
}

/// How long the `toml` crate takes to parse a manifest, in a process that has parsed it before.
pub(super) fn toml_parse(manifest: &Path, runs: usize) -> anyhow::Result<Times> {
    let text = fs::read_to_string(manifest)?;
    repeat(runs, || {
        let (table, errors) = DeTable::parse_recoverable(&text);
        ensure!(errors.is_empty(), "the manifest has faults");
        Ok(table)
    })
}

/// What is made is freed, and that is not measured.
fn repeat<T>(runs: usize, make: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<Times> {
    let once = || {
        let start = Instant::now();
        let made = make()?;
        let took = start.elapsed();
        drop(made);
        Ok(took.as_secs_f64() * 1000.0)
    };
    Ok(Times::new((0..runs).map(|_| once()).collect::<anyhow::Result<_>>()?))
}
