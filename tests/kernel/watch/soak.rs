//! A long run with random disturbances: whatever happens to the manifest, the objects, the map and the
//! pins, at any time and in any order, once everything is right again the pins are those of the manifest,
//! and `watch` is as small as before.
//!
//! `ITERCTL_SOAK` says how long, in seconds; 5 if it is not set. `ITERCTL_SEED` repeats the same
//! disturbances, though not to the microsecond.

mod disturber;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use self::disturber::Disturber;
use super::super::sandbox::{ITERCTL, Sandbox};
use super::idle::size;
use super::{NEVER, Watching};

#[kernel_test]
fn in_the_end_the_pins_are_those_of_the_manifest() {
    let length = Duration::from_secs(number("ITERCTL_SOAK").unwrap_or(5));
    let seed = number("ITERCTL_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("ITERCTL_SEED={seed}");
    let sandbox = Sandbox::new();
    let mut disturber = Disturber::new(&sandbox, seed);
    disturber.puts_right().expect("own folder");
    // There is no check after an interval: each event must be noticed.
    let options = "-f own/iters.toml --debounce 20ms --max-delay 500ms --interval 1day";
    let mut watching = Watching::spawn(&sandbox, ITERCTL, options, &[]);
    let mut rounds = Rounds::default();
    let start = Instant::now();
    // The first part is the warm-up.
    let mut at_first = None;
    while at_first.is_none() || start.elapsed() < length {
        let leg = Instant::now();
        while leg.elapsed() < (length / 5).min(Duration::from_secs(30)) {
            disturber.disturbs();
            watching.rounds.try_iter().for_each(|round| rounds.count(&round));
        }
        let pins = disturber.puts_right().expect("own folder");
        rounds.settle(&watching);
        // No other event helps to notice this one.
        for _ in 0..3 {
            disturber.disturbs_what_is_pinned();
            rounds.settle(&watching);
        }
        assert!(watching.child.try_wait().expect("it is a child").is_none(), "it has ended");
        assert_eq!(found(&sandbox), pins, "{}", watching.log());
        let (descriptors, memory) = size(&watching);
        let now = (descriptors, inotify_watches(&watching));
        let (first, memory_at_first) = *at_first.get_or_insert((now, memory));
        assert_eq!(now, first, "descriptors and watches\n{}", watching.log());
        // The allocator keeps some pages for every thread that loads.
        assert!(memory < memory_at_first + 4096, "{memory_at_first} kB became {memory} kB");
        println!(
            "{:>6.1} s: {:>6} disturbances; {rounds}; {memory} kB, {} descriptors, {} watches",
            start.elapsed().as_secs_f64(),
            disturber.done.values().sum::<u32>(),
            now.0,
            now.1,
        );
    }
    disturber.done.iter().for_each(|(what, times)| println!("{times:>8}  {what}"));
    watching.stop(Signal::TERM);
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Every pin, with the first line of its output.
fn found(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let tree = sandbox.tree();
    assert!(!tree.keys().any(|path| path.starts_with("iterctl-")), "staging: {tree:?}");
    let pins = tree.into_iter().filter(|(_, what)| !what.starts_with("directory "));
    let read = |(path, what): (String, String)| {
        let is_link = what.starts_with("link_id ");
        let first = if is_link { sandbox.first_line(&path) } else { "a map\n".to_owned() };
        assert!(is_link || what.starts_with("map_id "), "{path}: {what}");
        (path, first)
    };
    pins.map(read).collect()
}

/// The number of directories that the kernel watches for it.
fn inotify_watches(watching: &Watching<'_>) -> usize {
    let descriptors = fs::read_dir(watching.proc("fdinfo")).expect("it runs");
    let infos = descriptors.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    infos.map(|info| info.lines().filter(|line| line.starts_with("inotify ")).count()).sum()
}

/// The output of `watch`.
#[derive(Default)]
struct Rounds {
    changed: u32,
    failed: u32,
}

impl Rounds {
    fn count(&mut self, round: &Value) {
        let is_failure = round["diagnostics"].to_string().contains("\"error\"");
        self.changed += u32::from(round["changed"] == true);
        self.failed += u32::from(is_failure);
    }

    /// Everything is right: waits until `watch` has found that by itself, and has nothing left to do.
    #[track_caller]
    fn settle(&mut self, watching: &Watching<'_>) {
        let start = Instant::now();
        loop {
            let plan = watching.sandbox.iterctl("plan -f own/iters.toml --detailed-exitcode");
            if plan.succeeded() {
                break;
            }
            assert!(start.elapsed() < NEVER, "it has missed something: {plan}\n{}", watching.log());
            if let Ok(round) = watching.rounds.recv_timeout(Duration::from_millis(100)) {
                self.count(&round);
            }
        }
        watching.signal(Signal::HUP);
        loop {
            let round = watching.round();
            self.count(&round);
            let comment = round["comment"].as_str().expect("there is one");
            if comment.starts_with("nothing to do: ") {
                return;
            }
        }
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rounds changed something, {} failures were said", self.changed, self.failed)
    }
}
