//! The date, the machine and the versions of the measurement.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// A list in Markdown.
pub(super) fn describe() -> anyhow::Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let field = |name: &str| {
        let line = cpu.lines().find(|line| line.split(':').next().map(str::trim) == Some(name));
        line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
    };
    let model = field("model name").unwrap_or_else(|| "unknown CPU".to_owned());
    let flags = field("flags").unwrap_or_default();
    let kind = match flags.split(' ').any(|flag| flag == "hypervisor") {
        true => "a virtual machine",
        false => "no virtual machine",
    };
    let cores = std::thread::available_parallelism()?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // rustup's folder is not on root's PATH, but cargo gives the path of its own binary.
    let rustc = env::var_os("CARGO").map_or("rustc".into(), |cargo| {
        PathBuf::from(cargo).with_file_name("rustc").into_os_string()
    });
    let iterctl = said(Command::new(env!("CARGO_BIN_EXE_iterctl")).arg("-V"))?;
    let bpftool = said(Command::new("bpftool").arg("version"))?;
    let lines = |text: &str| text.lines().take(2).collect::<Vec<_>>().join(", ");
    Ok(format!(
        "- {model}, {cores} cores, {kind}; load average at the start {load}\n\
         - Linux {}\n- {}\n- {}\n- {}\n- {}\n",
        // The rest of the release identifies a build.
        kernel.trim().split('-').next().unwrap_or_default(),
        lines(&iterctl),
        lines(&bpftool),
        said(Command::new(rustc).arg("--version"))?.trim(),
        said(Command::new("hyperfine").arg("--version"))?.trim(),
    ))
}

/// The date in the form 2026-11-23.
pub(super) fn today() -> anyhow::Result<String> {
    Ok(said(Command::new("date").arg("+%F"))?.trim().to_owned())
}

fn said(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?} does not run"))?;
    ensure!(output.status.success(), "{command:?} failed");
    Ok(String::from_utf8(output.stdout)?)
}
