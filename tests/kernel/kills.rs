//! An apply is killed: each path is the old or the new iterator and can be read, the next apply completes
//! the work, and then nothing is left of the killed one, on bpffs or in the kernel.
//!
//! `ITERCTL_KILLS` says how often it is killed at a random moment, and also has it killed at every single
//! system call. If it is not set, it is killed a few dozen times in each way. `ITERCTL_SEED` selects the
//! same moments again.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::attempts::{APPLY, Attempts, Reached, large, small};
use super::sandbox::finish;
use super::strace;

/// Calls that change bpffs, or that make something that could leak.
const CHANGING: [&str; 7] =
    ["renameat2", "mkdirat", "unlinkat", "fchownat", "fchmodat", "fchmod", "bpf"];

/// The first path that is unpinned: unpins come first, by path.
const FIRST_CHANGE: &str = "old/deep/tasks0";

/// One of the last changes; after it some pins are replaced.
const LATE_CHANGE: &str = "new/deep/map5";

/// The event from which the time to a kill is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Start,
    FirstChange,
}

/// How many kills came at which stage.
type Tally = BTreeMap<Reached, usize>;

/// How many kills the long run makes, if this is one.
fn asked_for() -> Option<usize> {
    let number = std::env::var("ITERCTL_KILLS").ok()?;
    Some(number.parse().expect("ITERCTL_KILLS is a number"))
}

impl Attempts {
    /// Kills an apply, checks what it has left, lets the next one complete the work, and goes back.
    #[track_caller]
    fn survives(&self, killed: &str, kill: impl FnOnce()) -> Reached {
        let before = self.now();
        kill();
        let reached = self.every_path_is_old_or_new(&before, killed);
        self.converges(killed);
        self.go_back();
        reached
    }

    /// Kills it when it is about to make this call.
    #[track_caller]
    fn survives_at(&self, call: &str, number: usize) -> Option<Reached> {
        let mut was_killed = false;
        let reached = self.survives(&format!("killed at {call} number {number}"), || {
            let when = number.to_string();
            let sandbox = &self.sandbox;
            (_, was_killed) = strace::try_to_inject(sandbox, call, "signal=KILL", &when, APPLY);
        });
        // The number of calls that allocate memory is not the same each time.
        was_killed.then_some(reached)
    }

    /// Kills it this long after its start, or after its first change.
    #[track_caller]
    fn survives_after(&self, from: From, delay: Duration) -> Reached {
        self.survives(&format!("killed {delay:?} after its {from:?}"), || {
            let mut child = self.sandbox.start(APPLY);
            if from == From::FirstChange {
                self.first_change();
            }
            thread::sleep(delay);
            child.kill().expect("it is a child of this process");
            finish(APPLY, child);
        })
    }

    /// How long an apply takes that is not killed, and how long its changes take.
    #[track_caller]
    fn usual_times(&self) -> [Duration; 2] {
        let times = [(); 5].map(|()| {
            let start = Instant::now();
            let child = self.sandbox.start(APPLY);
            self.first_change();
            let first = start.elapsed();
            self.wait_for(LATE_CHANGE, true);
            let changes = start.elapsed() - first;
            finish(APPLY, child).exits(0);
            let all = start.elapsed();
            self.go_back();
            [all, changes]
        });
        // The times are sorted separately, and neither the longest nor the shortest is used: on a busy
        // machine an apply may be late, and this process may be so late that it sees the first change with
        // the last.
        [0, 1].map(|which| {
            let mut each = times.map(|both| both[which]);
            each.sort();
            each[each.len() / 2]
        })
    }

    #[track_caller]
    fn first_change(&self) {
        self.wait_for(FIRST_CHANGE, false);
    }

    /// Waits until a pin exists, or no longer exists.
    #[track_caller]
    fn wait_for(&self, path: &str, is_there: bool) {
        let (pin, start) = (self.sandbox.pin(path), Instant::now());
        while pin.exists() != is_there {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing comes of {path}");
            thread::yield_now();
        }
    }
}

fn interrupted(tally: &Tally) -> usize {
    [Reached::Staging, Reached::Some].iter().filter_map(|reached| tally.get(reached)).sum()
}

/// Numbers that look random: splitmix64.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[kernel_test]
fn killed_at_any_moment() {
    let attempts = large();
    let kills = asked_for().unwrap_or(30);
    let seed = std::env::var("ITERCTL_SEED").ok().map_or_else(
        || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs(),
        |seed| seed.parse().expect("ITERCTL_SEED is a number"),
    );
    let [all, changes] = attempts.usual_times();
    println!("ITERCTL_SEED={seed}: {kills} kills; an apply takes {all:?}, its changes {changes:?}");
    let mut tally = Tally::new();
    let mut random = seed;
    for number in 0..kills {
        // Preparing takes most of the time: half of the kills come after it.
        let (from, span) =
            if number % 2 == 0 { (From::Start, all) } else { (From::FirstChange, changes) };
        let share = next_random(&mut random) as f64 / u64::MAX as f64;
        let reached = attempts.survives_after(from, span.mul_f64(1.1 * share));
        *tally.entry(reached).or_default() += 1;
    }
    println!("{kills} kills found: {tally:?}");
    assert!(interrupted(&tally) * 10 >= kills, "too few kills interrupt anything: {tally:?}");
    // The changes take a millisecond: if there are few kills, or the machine is busy, most of them may miss
    // this time. `killed_at_any_call` never does.
    let halfway = tally.get(&Reached::Some).copied().unwrap_or_default();
    assert!(kills < 100 || halfway * 50 >= kills, "too few interrupt the changes: {tally:?}");
}

#[kernel_test]
fn killed_at_any_call() {
    let attempts = large();
    let calls = strace::calls_from(&attempts.sandbox, "flock", APPLY);
    attempts.go_back();
    let chosen: Vec<&(String, usize)> = if asked_for().is_some() {
        calls.iter().collect()
    } else {
        let changing = calls.iter().filter(|(name, _)| CHANGING.contains(&name.as_str()));
        let changing: Vec<_> = changing.collect();
        let evenly = calls.iter().step_by(calls.len() / 15);
        evenly.chain(changing.iter().copied().step_by(changing.len() / 25)).collect()
    };
    let mut tally = Tally::new();
    for (call, number) in &chosen {
        if let Some(reached) = attempts.survives_at(call, *number) {
            *tally.entry(reached).or_default() += 1;
        }
    }
    let kills: usize = tally.values().sum();
    println!("{kills} kills at {} of {} calls found: {tally:?}", chosen.len(), calls.len());
    assert!(kills * 20 >= chosen.len() * 19, "only {kills} calls of {} were met", chosen.len());
    assert!(interrupted(&tally) * 3 >= kills, "too few kills interrupt anything: {tally:?}");
    assert!(tally.contains_key(&Reached::Some), "no kill interrupts the changes: {tally:?}");
}

#[kernel_test]
fn killed_at_every_change() {
    let attempts = small();
    for call in CHANGING.into_iter().filter(|call| *call != "bpf") {
        for number in 1..=attempts.count(call) {
            let reached = attempts.survives_at(call, number);
            assert!(reached.is_some(), "{call} number {number} was not made");
        }
    }
}
