//! The verifier's reasons → hints. Pure.

use super::printable;
use crate::host::kernel::verdict;
use iterctl_core::anatomy::GPL_COMPATIBLE;

/// The hint for a program with this log, on a kernel with this lockdown mode.
pub(super) fn hint(log: &[String], lockdown: Option<&str>) -> Option<String> {
    if is_unoptimized(log) {
        let hint =
            "compile it with `clang -O2`: the verifier rejects most code that is not optimized";
        return Some(hint.to_owned());
    }
    of_reasons(&verdict::reasons(log), lockdown).or_else(|| verdict::suggestion(log))
}

fn of_reasons(reasons: &[&str], lockdown: Option<&str>) -> Option<String> {
    let says = |text: &str| reasons.iter().any(|reason| reason.contains(text));
    // `rdonly_buf_or_null` and `buf_or_null`; `rdwr_buf_or_null` before Linux 5.17 (`reg_type_str()` in
    // kernel/bpf/log.c).
    if says("buf_or_null") {
        let hint = "`ctx->key` and `ctx->value` may be NULL: copy each into a local variable, and check the \
                    variable before you use it";
        return Some(hint.to_owned());
    }
    if says("ptr_or_null_") {
        let hint = "a pointer in the context may be NULL: copy it into a local variable, and check the variable \
                    before you use it";
        return Some(hint.to_owned());
    }
    if says("from non-GPL compatible program") {
        let quoted = GPL_COMPATIBLE.map(|license| format!("`{license}`"));
        return Some(format!(
            "declare a licence that the kernel accepts as GPL-compatible, such as \
             `char LICENSE[] SEC(\"license\") = \"GPL\";`; accepted: {}",
            quoted.join(", ")
        ));
    }
    // `check_opcode()`: an indirect call (BPF_JMP | BPF_CALL | BPF_X).
    if says("unknown opcode 8d") {
        let hint = "the program calls a function through a pointer, which the kernel does not allow; compile it \
                    with `clang -O2`: without it, helpers are called in this way";
        return Some(hint.to_owned());
    }
    if let Some(hint) = reasons.iter().find_map(|reason| of_another_target(reason)) {
        return Some(hint);
    }
    // `unknown func` up to Linux 6.10 (`check_helper_call()` in kernel/bpf/verifier.c). libbpf makes
    // bpf_probe_read#4 of the newer ones if it finds that they cannot be used.
    let is_refused =
        says("cannot use helper bpf_probe_read") || says("unknown func bpf_probe_read");
    (is_refused && lockdown == Some("confidentiality")).then(|| {
        "the kernel is locked down (`confidentiality` in /sys/kernel/security/lockdown), and forbids helpers \
         that read its memory: read members directly, such as `task->pid`"
            .to_owned()
    })
}

/// The hint for a program that was written for the context of another target: it reads a member that the context does
/// not have (`btf_ctx_access()` in kernel/bpf/btf.c), or takes a structure for a larger one (`btf_struct_walk()`). If
/// the sizes allow it, such a program loads and prints nonsense.
fn of_another_target(reason: &str) -> Option<String> {
    const CHECK: &str = "check that SEC(\"iter/…\") and struct bpf_iter__… name the same target";
    if let Some(rest) = reason.strip_prefix("func 'bpf_iter_")
        && let Some((target, rest)) = rest.split_once("' doesn't have ")
        && rest.ends_with("-th argument")
    {
        let target = printable(target);
        return Some(format!(
            "the context of target `{target}` has no member at this offset: {CHECK}"
        ));
    }
    let rest = reason.strip_prefix("access beyond struct ")?;
    let (name, _) = rest.split_once(" at off ")?;
    let name = printable(name);
    Some(format!(
        "the kernel's `struct {name}` is smaller than what the program reads there: {CHECK}, and that its \
         structures have `preserve_access_index`"
    ))
}

/// Whether the code was compiled with -O0. Such code first puts the context on the stack. It uses the offset from a
/// relocation as an address, because the compiler did not fold the offset into the access.
fn is_unoptimized(log: &[String]) -> bool {
    let spills = |line: &String| {
        line.strip_prefix("0: (7b) *(u64 *)(r10 -").is_some_and(|rest| rest.contains(") = r1"))
    };
    // `inv` before Linux 5.18.
    let is_number = |line: &String| {
        line.ends_with(" invalid mem access 'scalar'")
            || line.ends_with(" invalid mem access 'inv'")
    };
    log.iter().any(spills) && log.iter().any(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(log: &str) -> Vec<String> {
        log.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn check(log: &str, lockdown: Option<&str>, expected: Option<&str>) {
        let hint = hint(&lines(log), lockdown);
        let begins = hint.as_deref().and_then(|hint| hint.split([',', ':']).next());
        assert_eq!(begins, expected, "{log}");
    }

    // The logs are those of Linux 6.18, unless something else is said.

    #[test]
    fn a_helper_that_lockdown_takes_away_is_told() {
        let locked =
            Some("the kernel is locked down (`confidentiality` in /sys/kernel/security/lockdown)");
        for reason in [
            "program of this type cannot use helper bpf_probe_read#4",
            "unknown func bpf_probe_read_kernel#113",
        ] {
            check(reason, Some("confidentiality"), locked);
            check(reason, Some("integrity"), None);
            check(reason, None, None);
        }
        check("unknown func bpf_get_socket_uid#47", Some("confidentiality"), None);
    }

    #[test]
    fn what_may_be_null_is_told() {
        let null = Some("a pointer in the context may be NULL");
        check("R1 invalid mem access 'trusted_ptr_or_null_'", None, null);
        let element = Some("`ctx->key` and `ctx->value` may be NULL");
        for kind in ["rdonly_buf_or_null", "buf_or_null", "rdwr_buf_or_null", "rdonly_buf_or_null_"]
        {
            let log = format!(
                "0: (79) r2 = *(u64 *)(r1 +16)         ; R1=ctx() R2={kind}(id=1)\n1: (61) r2 = *(u32 *)(r2 \
                 +0)\nR2 invalid mem access '{kind}'\n"
            );
            check(&log, None, element);
        }
    }

    #[test]
    fn a_licence_that_does_not_suffice_is_told() {
        let licence = Some("declare a licence that the kernel accepts as GPL-compatible");
        for reason in [
            "Cannot access kernel 'struct bpf_iter_meta' from non-GPL compatible program",
            "cannot call GPL-restricted function from non-GPL compatible program",
            "cannot call kernel function from non-GPL compatible program",
        ] {
            check(
                &format!("1: (79) r1 = *(u64 *)(r1 +0)\n{reason}\nprocessed 2 insns\n"),
                None,
                licence,
            );
        }
        let hint = of_reasons(&["x from non-GPL compatible program"], None).unwrap_or_default();
        assert!(hint.ends_with(
            "accepted: `GPL`, `GPL v2`, `GPL and additional rights`, `Dual BSD/GPL`, `Dual MIT/GPL`, `Dual MPL/GPL`"
        ));
    }

    #[test]
    fn code_that_was_not_optimized_is_told() {
        let folded = "\
1: (79) r1 = *(u64 *)(r10 -8)         ; R1=ctx() R10=fp0 fp-8=ctx()
2: (b7) r2 = 8                        ; R2=8
3: (79) r2 = *(u64 *)(r2 +0)
R2 invalid mem access 'scalar'
";
        let spills = "0: (7b) *(u64 *)(r10 -8) = r1          ; R1=ctx() R10=fp0 fp-8=ctx()";
        let compile = Some("compile it with `clang -O2`");
        check(&format!("{spills}\n{folded}"), None, compile);
        check(folded, None, None);
        let called = Some("the program calls a function through a pointer");
        check("unknown opcode 8d\nprocessed 0 insns (limit 1000000)\n", None, called);
        check("unknown opcode 8c\n", None, None);
    }

    #[test]
    fn a_context_of_another_target_is_told() {
        check(
            "0: (61) r2 = *(u32 *)(r1 +16)\nfunc 'bpf_iter_task' doesn't have 3-th argument\ninvalid \
             bpf_context access off=16 size=4\n",
            None,
            Some("the context of target `task` has no member at this offset"),
        );
        check(
            "2: (61) r2 = *(u32 *)(r2 +1264)\naccess beyond struct sock_common at off 1264 size 4\n",
            None,
            Some("the kernel's `struct sock_common` is smaller than what the program reads there"),
        );
    }
}
