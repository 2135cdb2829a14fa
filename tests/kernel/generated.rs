//! libbpf's generated loaders: used if the kernel supports them; if not, the result is the same.

use iterctl_core::feature::Feature;

use super::needs::needs;
use super::sandbox::{Sandbox, entry};
use super::strace;

const APPLY: &str = "apply -f iters.toml";

/// The index of the call that loads the loader, among the calls of bpf(2).
#[track_caller]
fn load_of_the_loader(sandbox: &Sandbox) -> usize {
    let (run, calls) = strace::trace(sandbox, "-e trace=bpf", APPLY);
    run.exits(0);
    let is_load = |call: &String| call.contains("BPF_PROG_LOAD") && call.contains("__loader.prog");
    1 + calls.iter().position(is_load).expect("this kernel knows loaders")
}

#[kernel_test]
fn without_generated_loaders_libbpf_loads() {
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

/// `--debug` changes what is shown, and not what is done.
#[kernel_test]
fn debug_only_shows_more() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let traced = |arguments: &str| {
        let (run, calls) = strace::trace(&sandbox, "-e trace=bpf", arguments);
        let run = run.exits(0);
        sandbox.iterctl("unpin -f iters.toml").exits(0);
        // The call without the number of the process.
        let name = |call: &String| {
            call.split([' ', ','])
                .find(|part| part.starts_with("bpf("))
                .unwrap_or_default()
                .to_owned()
        };
        (run.stderr, calls.iter().map(name).collect::<Vec<_>>())
    };
    let (silent, calls) = traced(APPLY);
    let (told, calls_of_debug) = traced("-d apply -f iters.toml");
    assert_eq!(calls, calls_of_debug);
    assert_eq!(silent, "");
    assert!(told.contains("libbpf: loading object 'tasks_v1' from buffer"), "{told}");
}

/// The number of lines: tasks come and go.
fn lines(output: String) -> usize {
    output.lines().count().min(2)
}
