//! libbpf's generated loaders: used where the kernel knows them; where it does not, nobody notices.

use iterctl::feature::Feature;

use super::needs::needs;
use super::sandbox::{Sandbox, entry};
use super::strace;

const APPLY: &str = "apply -f iters.toml";

/// The number of the call that loads the loader, among those of bpf(2).
#[track_caller]
fn load_of_the_loader(sandbox: &Sandbox) -> usize {
    let (run, calls) = strace::trace(sandbox, "-e trace=bpf", APPLY);
    run.exits(0);
    let is_load = |call: &String| call.contains("BPF_PROG_LOAD") && call.contains("__loader.prog");
    1 + calls.iter().position(is_load).expect("this kernel knows loaders")
}

#[test]
#[ignore = "needs root: make test runs it"]
fn where_the_kernel_knows_none_libbpf_loads() {
    needs(Feature::Loader);
    needs(Feature::KernelCore);
    let sandbox = Sandbox::new();
    let entries = entry("tasks_v1.bpf.o", "a") + &entry("own_map.bpf.o", "b");
    let entries = entries + "map = { own = 'own_elems' }\n" + &entry("globals.bpf.o", "c");
    sandbox.manifest("iters.toml", &entries);
    let number = load_of_the_loader(&sandbox);
    let read = |sandbox: &Sandbox| ["a", "b", "c"].map(|path| sandbox.read(path));
    let by_loader = read(&sandbox);
    sandbox.iterctl("unpin -f iters.toml").exits(0);

    let options = format!("-e trace=bpf -e inject=bpf:error=EINVAL:when={number}");
    let (run, calls) = strace::trace(&sandbox, &options, APPLY);
    run.exits(0);
    let loads = |name: &str| calls.iter().filter(|call| call.contains(name)).count();
    // It is not tried again for the other programs.
    assert_eq!(loads("prog_name=\"__loader.prog\""), 1, "{calls:#?}");
    assert_eq!(loads("prog_name=\"dump\""), 3, "{calls:#?}");
    assert_eq!(read(&sandbox).map(lines), by_loader.map(lines));
}

#[test]
#[ignore = "needs root: make test runs it"]
fn with_debug_libbpf_loads_and_tells() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let (run, calls) = strace::trace(&sandbox, "-e trace=bpf", "-d apply -f iters.toml");
    run.exits(0).says("libbpf: prog 'dump': relo #0");
    assert!(!calls.iter().any(|call| call.contains("__loader.prog")), "{calls:#?}");
}

/// How many lines: tasks come and go.
fn lines(output: String) -> usize {
    output.lines().count().min(2)
}
