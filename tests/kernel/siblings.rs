//! Iterators in objects with programs that need other kernels, privileges or loaders: whatever only those
//! programs need does not matter and is not created.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::Func;
use libbpf_rs::query::{MapInfoIter, ProgInfoIter, ProgInfoQueryOptions};
use libbpf_rs::{MapCore as _, MapHandle};
use rustix::process::Signal;

use super::sandbox::{Run, Sandbox, entry_with};
use super::strace;
use super::walked::{Process, Thread};
use super::watch::Watching;

/// An object whose program `dump` prints the number of every task, in a sandbox.
struct Fixture {
    sandbox: Sandbox,
    /// A name for the object that no other object has: libbpf names the maps of variables after it, and
    /// keeps 7 bytes of it before the longest of their suffixes (`internal_map_name()`, libbpf 1.7).
    stem: String,
    /// The maps that only other programs need. No other object of the tests has maps of these names.
    others: &'static [&'static str],
}

impl Fixture {
    /// Creates it, with a manifest that has the iterator at `x`.
    #[track_caller]
    fn new(object: &str, others: &'static [&'static str]) -> Self {
        let sandbox = Sandbox::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let stem = format!("{:05x}{number:02x}", std::process::id() & 0xf_ffff);
        let copy = format!("{stem}.bpf.o");
        sandbox.copy(object, &copy);
        sandbox.manifest("iters.toml", &entry_with(&copy, "x", "program = \"dump\""));
        Self { sandbox, stem, others }
    }

    /// The arguments of `pin` and `read` for it.
    fn words(&self) -> String {
        format!("--bpffs {} {}.bpf.o --program dump", self.sandbox.bpffs().display(), self.stem)
    }

    /// It is pinned and prints what it should. Nothing exists that only the other programs need: no pin,
    /// and no map in the whole kernel.
    #[track_caller]
    fn is_pinned(&self) {
        assert_eq!(self.sandbox.paths(), ["x"]);
        lists_tasks(|| self.sandbox.read("x"));
        let program = self.sandbox.number("x", "prog_id");
        let constants = format!("{}.rodata", self.stem);
        assert_eq!(
            maps_of(program),
            [constants.as_str(), "iterctl.rodata"].map(str::to_owned).into()
        );
        let is_ours = |name: &String| {
            name.starts_with(&format!("{}.", self.stem)) || self.others.contains(&name.as_str())
        };
        let all = MapInfoIter::default().map(|map| map.name.to_string_lossy().into_owned());
        assert_eq!(all.filter(is_ours).collect::<Vec<_>>(), [constants]);
    }
}

/// The names of the maps that a program holds.
#[track_caller]
fn maps_of(program: u32) -> BTreeSet<String> {
    let with_maps = ProgInfoQueryOptions::default().include_map_ids(true);
    let mut all = ProgInfoIter::with_query_opts(with_maps);
    let program = all.find(|one| one.id == program).expect("it is loaded");
    let name = |id: &u32| {
        let map = MapHandle::from_map_id(*id).expect("the program holds it");
        map.info().expect("root may ask").name().expect("UTF-8").to_owned()
    };
    program.map_ids.iter().map(name).collect()
}

/// The output consists of numbers, each once. It contains the number of this process and of another one,
/// and nearly all numbers are in /proc.
#[track_caller]
fn lists_tasks(read: impl FnOnce() -> String) {
    let (process, thread) = (Process::start(), Thread::start());
    let before = tasks();
    let output = read();
    let after = tasks();
    let lines: Vec<u32> =
        output.lines().map(|line| line.parse().expect("a number in each line")).collect();
    let listed: BTreeSet<u32> = lines.iter().copied().collect();
    assert_eq!(listed.len(), lines.len(), "{output}");
    for number in [std::process::id(), process.pid(), thread.tid()] {
        assert!(listed.contains(&number), "{number} is not in: {output}");
    }
    // Other tasks have come and gone.
    let known = listed.iter().filter(|tid| before.contains(tid) || after.contains(tid)).count();
    assert!(2 * known > listed.len(), "most are not in /proc: {output}");
}

fn tasks() -> BTreeSet<u32> {
    let numbers = |folder: String| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
    };
    numbers("/proc".to_owned()).flat_map(|pid| numbers(format!("/proc/{pid}/task"))).collect()
}

/// Tests every command that loads, with and without `--debug`.
#[track_caller]
fn loads(object: &str, others: &'static [&'static str]) {
    for debug in ["", "--debug "] {
        let run = |fixture: &Fixture, arguments: &str| -> Run {
            fixture.sandbox.iterctl(&format!("{debug}{arguments}")).exits(0)
        };
        for command in ["apply -f iters.toml", "apply --keep-going -f iters.toml"] {
            let fixture = Fixture::new(object, others);
            run(&fixture, command).plans(&["+ x  task"]);
            fixture.is_pinned();
            run(&fixture, "plan --detailed-exitcode -f iters.toml");
            run(&fixture, "unpin -f iters.toml");
            assert_eq!(fixture.sandbox.paths(), [] as [&str; 0]);
        }

        let fixture = Fixture::new(object, others);
        let words = format!("pin {} x", fixture.words());
        run(&fixture, &words);
        fixture.is_pinned();

        let fixture = Fixture::new(object, others);
        lists_tasks(|| run(&fixture, &format!("read {}", fixture.words())).stdout);
        assert_eq!(fixture.sandbox.paths(), [] as [&str; 0]);

        let fixture = Fixture::new(object, others);
        let (watching, first) = Watching::start(&fixture.sandbox, debug.trim());
        assert_eq!(first["changed"], true, "{first:#}");
        fixture.is_pinned();
        watching.has_nothing_to_do();
        watching.stop(Signal::TERM);
        fixture.is_pinned();
    }

    // No such object exists even while the command runs.
    let fixture = Fixture::new(object, others);
    let (run, calls) = strace::trace(&fixture.sandbox, "-s 64 -e trace=bpf", "apply -f iters.toml");
    run.exits(0);
    let made =
        |name: &&&str| calls.iter().any(|call| call.contains(&format!("map_name=\"{name}\"")));
    assert_eq!(others.iter().find(made), None, "{calls:#?}");
}

#[kernel_test]
fn operations_of_the_kernel_need_not_be_there() {
    loads("beside_struct_ops.bpf.o", &["halving"]);
}

#[kernel_test]
fn operations_that_stand_first_need_not_be_there() {
    loads("behind_struct_ops.bpf.o", &["ticking"]);
}

#[kernel_test]
fn an_arena_need_not_be_there() {
    loads("beside_arena.bpf.o", &["pages"]);
}

#[kernel_test]
fn maps_that_cannot_be_made_need_not_be_there() {
    loads("beside_maps.bpf.o", &["sized_later", "of_tomorrow", "settings", "packet_steps"]);
}

#[kernel_test]
fn externs_that_no_kernel_has_need_not_be_there() {
    loads("beside_externs.bpf.o", &[]);
}

/// The function that the kernel calls when the program throws is loaded with it, and so is what that
/// function uses.
#[kernel_test]
fn exception_callbacks_are_loaded_too() {
    let btf = Btf::from_vmlinux().expect("every kernel of the tests has BTF");
    if btf.type_by_name::<Func<'_>>("bpf_throw").is_none() {
        panic!("skipped: this kernel lacks the function `bpf_throw` (since Linux 6.7)");
    }
    let sandbox = Sandbox::new();
    let run = sandbox.iterctl("read --bpffs bpf throwing.bpf.o").exits(0);
    let own = std::process::id().to_string();
    assert!(run.stdout.lines().any(|line| line == own), "{run}");
}
