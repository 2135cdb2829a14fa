//! The peak memory of a command, as measured by time(1).

use std::fs;

use anyhow::Context as _;

use super::scene::{APPLY, Scene, entries};
use super::table::Row;
use super::tools::Tools;

pub(super) fn measure(tools: &Tools) -> anyhow::Result<Vec<Row>> {
    let scene = Scene::new(tools, &entries(1_000, 1))?;
    let cold = peak(tools, &scene, true)?;
    let unchanged = peak(tools, &scene, false)?;
    let scene = Scene::new(tools, &entries(1_000, 10))?;
    let ten_objects = peak(tools, &scene, true)?;
    Ok(vec![
        row("peak memory, apply, 1,000 entries of one object, cold", cold, 40.0),
        row("peak memory, apply, 1,000 entries of 10 objects, cold", ten_objects, 40.0),
        row("peak memory, apply, nothing to do, 1,000 pins", unchanged, 15.0),
    ])
}

fn row(case: &str, megabytes: f64, bound: f64) -> Row {
    let found = mb(megabytes);
    Row::new(case, &found).target(&format!("< {bound} MB"), found, megabytes < bound)
}

pub(super) fn mb(megabytes: f64) -> String {
    format!("{megabytes:.1} MB")
}

/// The highest peak of some runs, in megabytes.
fn peak(tools: &Tools, scene: &Scene, cold: bool) -> anyhow::Result<f64> {
    let mut highest = 0.0_f64;
    for _ in 0..tools.runs(5) {
        if cold {
            scene.clear()?;
        }
        scene.run(&format!("/usr/bin/time -f %M -o peak {APPLY}"))?;
        let kibibytes = fs::read_to_string(scene.path().join("peak"))?;
        let kibibytes: f64 = kibibytes.trim().parse().context("time(1) gave no number")?;
        highest = highest.max(kibibytes * 1024.0 / 1e6);
    }
    Ok(highest)
}
