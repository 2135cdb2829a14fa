//! An object needs something that this kernel lacks or refuses: the reason is given word for word, not the
//! errno that comes with it. The answer is the same with `--debug`.

use std::fs;
use std::path::Path;

use super::bpf;
use super::errors::{fails, pin};
use super::sandbox::{Sandbox, entry_with};

/// `pin` with these arguments fails with this message, in which `WHAT` is the failed operation; with
/// `--debug`, too.
#[track_caller]
fn check(sandbox: &Sandbox, words: &str, status: i32, what: &str, cause: &str, hint: &str) {
    let expected =
        format!("error: {what}\n  caused by: {cause}\n  hint: {hint}\nnote: nothing was changed\n");
    let plain = sandbox.iterctl(&pin(sandbox, words));
    let said = plain.stderr.clone();
    fails(sandbox, plain, status, &expected);
    let debug = sandbox.iterctl(&pin(sandbox, &format!("{words} --debug"))).exits(status);
    assert!(debug.stderr.ends_with(&said), "{debug}");
}

/// Loading `program` of this object fails with this message.
#[track_caller]
fn check_load(object: &str, program: &str, status: i32, cause: &str, hint: &str) {
    let sandbox = Sandbox::new();
    let what = format!("failed to load `{program}` of DIR/{object} for `x`");
    check(&sandbox, &format!("{object} x --program {program}"), status, &what, cause, hint);
}

/// The verifier rejects `program` of this object, and this is the hint.
#[track_caller]
fn check_rejected(object: &str, program: &str, hint: &str) {
    let cause = "the verifier rejected it; the last lines of its log (all with --debug):";
    check_load(object, program, 1, cause, hint);
}

#[kernel_test]
fn an_option_that_the_kernel_does_not_set() {
    // libbpf reads one of these files.
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("it can be read");
    let of_release = format!("/boot/config-{}", release.trim());
    let is_readable = ["/proc/config.gz", &of_release].iter().any(|file| Path::new(file).exists());
    let (cause, hint) = if is_readable {
        (
            "this kernel's configuration does not set `CONFIG_ITERCTL_HAS_NO_SUCH_OPTION`",
            "use a kernel with CONFIG_ITERCTL_HAS_NO_SUCH_OPTION, or declare it `__weak` in the object\'s source: then it is 0 if the option \
             is not set",
        )
    } else {
        (
            "this kernel's configuration cannot be read from /proc/config.gz or /boot/config-…",
            "use a kernel with CONFIG_IKCONFIG_PROC=y, or put its configuration into /boot; in a \
             container, mount the host's /boot",
        )
    };
    check_load("unmet_config.bpf.o", "dump", 69, cause, hint);
}

#[kernel_test]
fn a_function_that_the_kernel_does_not_have() {
    check_load(
        "unmet_function.bpf.o",
        "dump",
        69,
        "this kernel has no kernel function `iterctl_has_no_such_function`",
        "if a kernel module provides it, load the module; otherwise, in the object's source, declare it \
         `__weak` and call it only if `bpf_ksym_exists(iterctl_has_no_such_function)`",
    );
}

#[kernel_test]
fn a_symbol_that_the_kernel_does_not_have() {
    check_load(
        "unmet_symbol.bpf.o",
        "dump",
        69,
        "this kernel lists no symbol `iterctl_has_no_such_symbol`",
        "in the object's source, declare it `__weak` and use it only if \
         `bpf_ksym_exists(&iterctl_has_no_such_symbol)`; kernels \
         with CONFIG_KALLSYMS_ALL=y list variables, too",
    );
}

#[kernel_test]
fn a_member_that_the_kernels_structure_does_not_have() {
    check_load(
        "unmet_member.bpf.o",
        "dump",
        69,
        "this kernel has no `struct task_struct.no_such_member`",
        "guard the access with `bpf_core_field_exists()`, or use a kernel that has it",
    );
}

#[kernel_test]
fn a_map_that_the_kernel_does_not_create() {
    check_load(
        "odd_map.bpf.o",
        "dump",
        1,
        "failed to create the object's map `odd`: Invalid argument (os error 22)",
        "this kernel does not accept such a map: type array, 1 entries, keys of 4 bytes, \
         values of 8 bytes, flags 0x1",
    );
}

#[kernel_test]
fn a_licence_that_does_not_suffice() {
    check_rejected(
        "unlicensed.bpf.o",
        "dump",
        "declare a licence that the kernel accepts as GPL-compatible, such as \
         `char LICENSE[] SEC(\"license\") = \"GPL\";`; accepted: `GPL`, `GPL v2`, `GPL and additional rights`, \
         `Dual BSD/GPL`, `Dual MIT/GPL`, `Dual MPL/GPL`",
    );
}

#[kernel_test]
fn a_key_or_a_value_that_may_be_null() {
    let sandbox = Sandbox::new();
    let map = bpf::hash_map("conns");
    for program in ["dump_key", "dump_value"] {
        check(
            &sandbox,
            &format!("unchecked_elem.bpf.o x map id {} --program {program}", bpf::id(&map)),
            1,
            &format!("failed to load `{program}` of DIR/unchecked_elem.bpf.o for `x`"),
            "the verifier rejected it; the last lines of its log (all with --debug):",
            "`ctx->key` and `ctx->value` may be NULL: copy each into a local variable, and check the \
             variable before you use it",
        );
    }
}

#[kernel_test]
fn a_context_of_another_target() {
    check_rejected(
        "other_context.bpf.o",
        "files_as_tasks",
        "the context of target `task` has no member at this offset: check that SEC(\"iter/…\") and struct \
         bpf_iter__… name the same target",
    );
    check_rejected(
        "other_context.bpf.o",
        "tasks_as_maps",
        "the kernel's `struct bpf_map` is smaller than what the program reads there: check that \
         SEC(\"iter/…\") and struct bpf_iter__… name the same target, and that its structures have \
         `preserve_access_index`",
    );
}

#[kernel_test]
fn a_map_of_the_objects_own_that_is_too_small() {
    let sandbox = Sandbox::new();
    let keys = "map = { own = \"narrow\" }";
    sandbox.manifest("iters.toml", &entry_with("own_narrow.bpf.o", "x", keys));
    fails(
        &sandbox,
        sandbox.iterctl("apply -f iters.toml"),
        1,
        "\
error: failed to attach `x`
 --> iters.toml:5:7
  |
5 | map = { own = \"narrow\" }
  |       ^^^^^^^^^^^^^^^^^^
  caused by: the object's map `narrow` has smaller keys or values than the program reads
  hint: walk a map whose keys and values are at least as large as those that the program reads
note: nothing was changed
",
    );
}
