//! Calls that a seccomp filter, a sandbox or the kernel refuses: the error names the call, and the hint what refuses it.

use std::io;
use std::thread;

use iterctl_core::feature::Feature;
use rustix::mount::{MountFlags, mount};

use super::needs::{has, needs};
use super::sandbox::{ITERCTL, Run, Sandbox, entry};
use super::strace;

const SECCOMP: &str =
    "hint: a seccomp filter is set (`Seccomp: 2` in /proc/self/status), and probably refuses";

#[repr(C)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

#[expect(unsafe_code, reason = "neither std nor rustix has it with a filter")]
unsafe extern "C" {
    fn prctl(option: i32, ...) -> i32;
}

/// PR_SET_SECCOMP with SECCOMP_MODE_FILTER, for this thread and its children.
#[expect(unsafe_code, reason = "the only way to set one")]
fn set_filter(instructions: &[Instruction; 4]) {
    let program = Program { length: 4, instructions: instructions.as_ptr() };
    // SAFETY: the kernel copies the four instructions, which outlive the call, and keeps no pointer.
    let set = unsafe { prctl(22, 2_usize, &raw const program) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

/// The binary with a seccomp filter that answers a call with this errno. The filter is that of a thread, which the
/// process inherits.
#[track_caller]
fn filtered(sandbox: &Sandbox, (call, errno): (u32, u32), arguments: &str) -> Run {
    let mut command = sandbox.command(ITERCTL, arguments);
    // The number of the call is the first member of `struct seccomp_data`.
    let load = Instruction { code: 0x20, if_true: 0, if_false: 0, value: 0 };
    let is_it = Instruction { code: 0x15, if_true: 0, if_false: 1, value: call };
    // SECCOMP_RET_ERRNO and SECCOMP_RET_ALLOW of include/uapi/linux/seccomp.h.
    let refuse = Instruction { code: 0x06, if_true: 0, if_false: 0, value: 0x0005_0000 | errno };
    let allow = Instruction { code: 0x06, if_true: 0, if_false: 0, value: 0x7fff_0000 };
    thread::scope(|scope| {
        let run = scope.spawn(move || {
            set_filter(&[load, is_it, refuse, allow]);
            Run::of(&mut command)
        });
        run.join().expect("it ends")
    })
}

/// The number of openat2(2), the same on every architecture.
const OPENAT2: u32 = 437;

/// The number of bpf(2).
const BPF: u32 = if cfg!(target_arch = "x86_64") { 321 } else { 280 };

const ENOSYS: u32 = 38;
const EPERM: u32 = 1;

#[track_caller]
fn with_a_pin() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a/b"));
    sandbox.iterctl("apply -f iters.toml").exits(0);
    sandbox
}

const CALLS: [&str; 3] = ["plan -f iters.toml", "apply -f iters.toml", "unpin -f iters.toml"];

#[kernel_test]
fn a_call_that_a_filter_refuses_is_named_with_the_filter() {
    let sandbox = with_a_pin();
    let before = sandbox.tree();
    for call in CALLS {
        let run = filtered(&sandbox, (OPENAT2, ENOSYS), call).exits(69);
        let run = run.says("openat2(2) failed: Function not implemented (os error 38)\n");
        run.says(&format!("{SECCOMP} openat2(2)"));
        let run = filtered(&sandbox, (OPENAT2, EPERM), call).exits(77);
        let run = run.says("openat2(2) failed: Operation not permitted (os error 1)\n");
        run.says(&format!("{SECCOMP} openat2(2)"));
        let run = filtered(&sandbox, (BPF, ENOSYS), call).exits(69);
        run.says(&format!("{SECCOMP} bpf(2)"));
        let run = filtered(&sandbox, (BPF, EPERM), call).exits(77);
        run.says("it has every capability that it needs, but a seccomp filter is set")
            .says("bpf(2)");
    }
    assert_eq!(sandbox.tree(), before);
}

#[kernel_test]
fn loading_that_a_filter_refuses_is_told_with_the_filter() {
    let sandbox = Sandbox::new();
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let run = filtered(&sandbox, (BPF, ENOSYS), "apply -f iters.toml").exits(69);
    run.says("caused by: this kernel has no bpf(2)").says(&format!("{SECCOMP} bpf(2)"));
    let run = filtered(&sandbox, (BPF, EPERM), "apply -f iters.toml");
    if has(Feature::MemoryCgroup) {
        run.exits(77).says("not permitted to load BPF programs").says("a seccomp filter is set");
    } else {
        // Kernels before 5.11 give the same error for RLIMIT_MEMLOCK.
        run.exits(1).says("the limit on locked memory is too low");
    }
}

#[kernel_test]
fn another_call_that_is_not_there_is_not_taken_for_bpf() {
    let sandbox = with_a_pin();
    let openat2 = "-e trace=openat2 -e inject=openat2:error=ENOSYS";
    let (run, _) = strace::trace(&sandbox, openat2, "plan -f iters.toml");
    let run = run.exits(69).says("openat2(2) failed: Function not implemented");
    let run = run.says("hint: Linux has had openat2(2) since before 5.10: something refuses it");
    assert!(!run.stderr.contains("CONFIG_BPF_SYSCALL"), "{run}");
    let flock = "-e trace=flock -e inject=flock:error=ENOSYS";
    let (run, _) = strace::trace(&sandbox, flock, "apply -f iters.toml");
    let run = run.exits(69).says("failed to lock");
    assert!(!run.stderr.contains("CONFIG_BPF_SYSCALL"), "{run}");
}

#[kernel_test]
fn a_user_namespace_is_named() {
    let sandbox = with_a_pin();
    let unshare = format!("--user --map-root-user {ITERCTL} plan -f iters.toml");
    let run = sandbox.run("unshare", &unshare).exits(77);
    run.says("but it runs in a user namespace (/proc/self/uid_map)");
}

#[kernel_test]
fn types_that_sysfs_does_not_show_are_still_the_kernels() {
    // Before, generated loaders leave no type to the kernel.
    needs(Feature::KernelCore);
    let sandbox = Sandbox::new();
    let plain = sandbox.iterctl("-j check --kernel").exits(0).json();
    mount("tmpfs", "/sys/kernel/btf", "tmpfs", MountFlags::empty(), None).expect("root may");
    sandbox.manifest("iters.toml", &entry("tasks_v1.bpf.o", "a"));
    let masked = sandbox.iterctl("-j check --kernel -f iters.toml").exits(0).json();
    assert_eq!(masked["kernel"], plain["kernel"], "the same answers as with it");
    sandbox.iterctl("apply -f iters.toml").exits(0);
    assert_eq!(sandbox.first_line("a"), "v1\n");
    // An object that libbpf itself loads.
    let run = sandbox.iterctl("read tail_call.bpf.o --program dump").exits(69);
    run.says("caused by: this kernel's types (BTF) are not shown here\n  hint: libbpf needs them");
}
