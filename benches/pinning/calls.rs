//! System calls that open or look: strace(1) counts them.

use std::fmt;
use std::fs;

use anyhow::{Context as _, ensure};

use super::scene::Scene;

/// How often each was made.
pub(super) struct Calls {
    bpf: f64,
    open: f64,
}

impl Calls {
    pub(super) const NONE: Self = Self { bpf: 0.0, open: 0.0 };

    /// One pin is opened and looked at: by its path, by BPF_OBJ_GET, and by its fdinfo.
    pub(super) const LOOK: Self = Self { bpf: 1.0, open: 2.0 };

    /// How many more they are, for each of so many.
    pub(super) fn more_than(&self, other: &Self, number: usize) -> Self {
        let each = |more: f64, less: f64| (more - less) / number as f64;
        Self { bpf: each(self.bpf, other.bpf), open: each(self.open, other.open) }
    }

    /// But for a hundredth, which the directories are.
    pub(super) fn within(&self, allowed: &Self) -> bool {
        self.bpf <= allowed.bpf + 0.01 && self.open <= allowed.open + 0.01
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Adding zero takes the sign from a negative zero.
        let rounded = |number: f64| (number * 100.0).round() / 100.0 + 0.0;
        write!(f, "{} bpf(2), {} open", rounded(self.bpf), rounded(self.open))
    }
}

/// Of a command and all its threads.
pub(super) fn count(scene: &Scene, command: &str) -> anyhow::Result<Calls> {
    scene.run(&format!("strace -f -qq -c -o calls -e trace=bpf,openat,openat2,?open {command}"))?;
    let table = fs::read_to_string(scene.path().join("calls"))?;
    let (mut bpf, mut open) = (0.0, 0.0);
    for line in table.lines() {
        // The fifth column, errors, may be empty.
        let words: Vec<&str> = line.split_whitespace().collect();
        let calls =
            || words.get(3).and_then(|calls| calls.parse::<f64>().ok()).context("no number");
        match words.last() {
            Some(&"bpf") => bpf += calls()?,
            Some(&("open" | "openat" | "openat2")) => open += calls()?,
            _ => {}
        }
    }
    ensure!(open > 0.0, "strace counted nothing: {table}");
    Ok(Calls { bpf, open })
}
