//! The capabilities that iterctl needs and this process lacks, and what else may confine it.

use std::fs;

/// A capability, its number in include/uapi/linux/capability.h, and what it does for iterctl.
type Capability = (&'static str, u32, &'static str);

const BPF: u32 = 39;
const PERFMON: u32 = 38;
const SYS_ADMIN: u32 = 21;

/// The capabilities that iterctl always needs.
const NEEDED: &[Capability] = &[
    ("CAP_BPF", BPF, "loads programs and makes maps"),
    ("CAP_PERFMON", PERFMON, "lets iterators read the kernel's memory"),
    ("CAP_SYS_ADMIN", SYS_ADMIN, "opens programs and maps by id, which stamps need"),
];

/// The capabilities that it needs for the files of others.
const SOMETIMES: &[Capability] = &[
    ("CAP_CHOWN", 0, "gives a pin to another owner"),
    ("CAP_FOWNER", 3, "changes the mode of what others own"),
    ("CAP_DAC_OVERRIDE", 1, "opens what others have closed"),
];

/// The restrictions of this process besides its capabilities.
#[derive(Clone, Copy, Debug, Default)]
struct Confined<'a> {
    /// A seccomp filter is set.
    by_filter: bool,
    /// It runs in a user namespace, in which a capability counts for nothing outside.
    by_namespace: bool,
    /// The mode of a kernel that is locked down.
    lockdown: Option<&'a str>,
}

/// The hint for a process that may not do something.
pub fn hint() -> String {
    let (status, uid_map, lockdown) = (status(), uid_map(), lockdown());
    let confined = Confined {
        by_filter: has_filter(&status),
        by_namespace: is_in_user_namespace(&uid_map),
        lockdown: lockdown.as_deref(),
    };
    hint_for(effective(&status), confined)
}

/// The hint for a process that may not make a call, or for a kernel that does not have it; `otherwise` if no seccomp
/// filter is set.
pub fn hint_for_call(call: &str, otherwise: impl FnOnce() -> String) -> String {
    if has_filter(&status()) { filtered(call) } else { otherwise() }
}

fn filtered(call: &str) -> String {
    format!(
        "a seccomp filter is set (`Seccomp: 2` in /proc/self/status), and probably refuses {call}: allow it in the \
         seccomp profile of the container, or in the systemd unit, where `SystemCallFilter=`, \
         `RestrictSUIDSGID=` and `DynamicUser=` set such filters"
    )
}

fn status() -> String {
    fs::read_to_string("/proc/self/status").unwrap_or_default()
}

fn uid_map() -> String {
    fs::read_to_string("/proc/self/uid_map").unwrap_or_default()
}

/// Whether the text of `/proc/self/status` has the mode `SECCOMP_MODE_FILTER` of include/uapi/linux/seccomp.h.
fn has_filter(status: &str) -> bool {
    status.lines().any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2"))
}

/// Whether the text of `/proc/self/uid_map` is that of a user namespace: only the initial one maps every uid to
/// itself (user_namespaces(7)).
fn is_in_user_namespace(uid_map: &str) -> bool {
    let numbers: Vec<&str> = uid_map.split_whitespace().collect();
    !numbers.is_empty() && numbers != ["0", "0", "4294967295"]
}

/// The mode of a kernel that is locked down; `None` if it is not, or if securityfs is not mounted.
pub(super) fn lockdown() -> Option<String> {
    mode(&fs::read_to_string("/sys/kernel/security/lockdown").ok()?).map(str::to_owned)
}

/// The effective capabilities in the text of `/proc/self/status`.
fn effective(status: &str) -> Option<u64> {
    let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let written = u64::from_str_radix(hex.trim(), 16).ok()?;
    // CAP_SYS_ADMIN includes what was split from it in Linux 5.8 (bpf_capable() and perfmon_capable()).
    let is_admin = written & (1 << SYS_ADMIN) != 0;
    Some(if is_admin { written | (1 << BPF) | (1 << PERFMON) } else { written })
}

/// Whether this process lacks one of those that are always needed.
pub(super) fn is_lacking() -> bool {
    effective(&status()).is_some_and(|effective| !lacking(effective, NEEDED).is_empty())
}

fn lacking(effective: u64, of: &[Capability]) -> Vec<String> {
    of.iter()
        .filter(|(_, number, _)| effective & (1 << number) == 0)
        .map(|(name, _, what)| format!("{name}, which {what}"))
        .collect()
}

/// The mode in the text of the kernel's lockdown file, `none [integrity] confidentiality`; `None` if the kernel is not
/// locked down.
fn mode(lockdown: &str) -> Option<&str> {
    let (_, rest) = lockdown.split_once('[')?;
    let (mode, _) = rest.split_once(']')?;
    (mode != "none").then_some(mode)
}

fn hint_for(effective: Option<u64>, confined: Confined<'_>) -> String {
    let Some(effective) = effective else { return "run it as root".to_owned() };
    let mut lacks = lacking(effective, NEEDED);
    if lacks.is_empty() {
        lacks = lacking(effective, SOMETIMES);
    }
    match lacks.as_slice() {
        [] => format!("it has every capability that it needs, but {}", forbidden_by(confined)),
        some => format!("run it as root; it lacks {}", some.join("; ")),
    }
}

fn forbidden_by(confined: Confined<'_>) -> String {
    match confined {
        Confined { by_namespace: true, .. } => {
            "it runs in a user namespace (/proc/self/uid_map), where \
            they do not count for BPF: run it outside, in a container without a user namespace"
                .to_owned()
        }
        Confined { by_filter: true, .. } => filtered("bpf(2)"),
        Confined { lockdown: Some(mode), .. } => format!(
            "kernel lockdown may forbid it, which is in the mode `{mode}` (/sys/kernel/security/lockdown), or a \
             security module does (see `dmesg`)"
        ),
        Confined { lockdown: None, .. } => {
            "a security module or kernel lockdown may forbid it (see `dmesg`)".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: &str, expected: &str) {
        check_confined(status, Confined::default(), expected);
    }

    #[track_caller]
    fn check_confined(status: &str, confined: Confined<'_>, expected: &str) {
        let hint = hint_for(effective(status), confined);
        assert!(hint.starts_with(expected), "{hint}");
    }

    const ALL: &str = "CapEff:\t000001ffffffffff\n";

    #[test]
    fn the_mode_of_a_locked_down_kernel_is_named() {
        let begin = "it has every capability that it needs, but ";
        let free = format!("{begin}a security module or kernel lockdown may forbid it");
        let locked = |mode: &str| {
            format!("{begin}kernel lockdown may forbid it, which is in the mode `{mode}`")
        };
        let check = |status: &str, lockdown: &str, expected: &str| {
            let confined = Confined { lockdown: mode(lockdown), ..Confined::default() };
            check_confined(status, confined, expected);
        };
        check(ALL, "[none] integrity confidentiality\n", &free);
        check(ALL, "", &free);
        check(ALL, "none [integrity] confidentiality\n", &locked("integrity"));
        check(ALL, "none integrity [confidentiality]\n", &locked("confidentiality"));
        check("CapEff:\t0\n", "none [integrity] confidentiality\n", "run it as root; it lacks");
    }

    #[test]
    fn what_confines_a_process_is_named() {
        let confined =
            |by_filter, by_namespace| Confined { by_filter, by_namespace, lockdown: None };
        let begin = "it has every capability that it needs, but ";
        check_confined(ALL, confined(true, false), &format!("{begin}a seccomp filter is set"));
        check_confined(ALL, confined(true, true), &format!("{begin}it runs in a user namespace"));
        check_confined("CapEff:\t0\n", confined(true, true), "run it as root; it lacks");
    }

    #[test]
    fn a_filter_and_a_namespace_are_recognized() {
        assert!(has_filter("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
        assert!(!has_filter("Seccomp:\t0\nSeccomp_filters:\t0\n"));
        assert!(!has_filter("Seccomp:\t1\n") && !has_filter(""));
        assert!(!is_in_user_namespace("         0          0 4294967295\n"));
        assert!(is_in_user_namespace("         0       1000          1\n"));
        assert!(is_in_user_namespace("0 1000 1\n1 100000 65536\n"));
        assert!(!is_in_user_namespace(""), "a kernel without them");
    }

    #[test]
    fn what_is_lacking_is_named() {
        check("Name:\tx\nCapEff:\t000001ffffffffff\n", "it has every capability");
        check("CapEff:\t0000000000000000\n", "run it as root; it lacks CAP_BPF, which loads");
        check("CapEff:\t000000c000000000\n", "run it as root; it lacks CAP_SYS_ADMIN, which opens");
        check("CapEff:\t000000000020000a\n", "run it as root; it lacks CAP_CHOWN, which gives");
        check("CapEff:\t000001fffffffffe\n", "run it as root; it lacks CAP_CHOWN, which gives");
        check("CapEff:\tnonsense\n", "run it as root");
        check("", "run it as root");
    }
}
