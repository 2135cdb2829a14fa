//! Which capabilities this process lacks for what iterctl does.

use std::fs;

/// A capability, its number in include/uapi/linux/capability.h, and what it does for iterctl.
type Capability = (&'static str, u32, &'static str);

const BPF: u32 = 39;
const PERFMON: u32 = 38;
const SYS_ADMIN: u32 = 21;

/// What iterctl always needs.
const NEEDED: &[Capability] = &[
    ("CAP_BPF", BPF, "loads programs and makes maps"),
    ("CAP_PERFMON", PERFMON, "lets iterators read the kernel's memory"),
    ("CAP_SYS_ADMIN", SYS_ADMIN, "opens programs and maps by id, which stamps need"),
];

/// What it needs for the files of others.
const SOMETIMES: &[Capability] = &[
    ("CAP_CHOWN", 0, "gives a pin to another owner"),
    ("CAP_FOWNER", 3, "changes the mode of what others own"),
    ("CAP_DAC_OVERRIDE", 1, "opens what others have closed"),
];

/// The way out for a process that may not do something.
pub fn hint() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    hint_for(effective(&status), lockdown().as_deref())
}

/// How much the kernel is locked down; nothing where it is not, or where securityfs is not mounted.
pub(super) fn lockdown() -> Option<String> {
    mode(&fs::read_to_string("/sys/kernel/security/lockdown").ok()?).map(str::to_owned)
}

/// The effective capabilities in the text of `/proc/self/status`.
fn effective(status: &str) -> Option<u64> {
    let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let written = u64::from_str_radix(hex.trim(), 16).ok()?;
    // Whoever has this one has what it was split into in Linux 5.8 (bpf_capable() and perfmon_capable()).
    let is_admin = written & (1 << SYS_ADMIN) != 0;
    Some(if is_admin { written | (1 << BPF) | (1 << PERFMON) } else { written })
}

/// Whether this process lacks one of those that are always needed.
pub(super) fn is_lacking() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective(&status).is_some_and(|effective| !lacking(effective, NEEDED).is_empty())
}

fn lacking(effective: u64, of: &[Capability]) -> Vec<String> {
    of.iter()
        .filter(|(_, number, _)| effective & (1 << number) == 0)
        .map(|(name, _, what)| format!("{name}, which {what}"))
        .collect()
}

/// How much the kernel is locked down, in the text of its file: `none [integrity] confidentiality`.
/// Nothing where it is not.
fn mode(lockdown: &str) -> Option<&str> {
    let (_, rest) = lockdown.split_once('[')?;
    let (mode, _) = rest.split_once(']')?;
    (mode != "none").then_some(mode)
}

fn forbidden_by(lockdown: Option<&str>) -> String {
    match lockdown {
        Some(mode) => format!(
            "kernel lockdown may forbid it, which is in the mode `{mode}` \
             (/sys/kernel/security/lockdown); or a security module does (see `dmesg`), or it runs in a \
             user namespace"
        ),
        None => "a security module or kernel lockdown may forbid it (see `dmesg`), or it runs in a user \
                 namespace"
            .to_owned(),
    }
}

fn hint_for(effective: Option<u64>, lockdown: Option<&str>) -> String {
    let Some(effective) = effective else { return "run it as root".to_owned() };
    let mut lacks = lacking(effective, NEEDED);
    if lacks.is_empty() {
        lacks = lacking(effective, SOMETIMES);
    }
    match lacks.as_slice() {
        [] => format!("it has every capability that it needs: {}", forbidden_by(lockdown)),
        some => format!("run it as root; it lacks {}", some.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: &str, expected: &str) {
        check_locked(status, "", expected);
    }

    #[track_caller]
    fn check_locked(status: &str, lockdown: &str, expected: &str) {
        let hint = hint_for(effective(status), mode(lockdown));
        assert!(hint.starts_with(expected), "{hint}");
    }

    #[test]
    fn the_mode_of_a_locked_down_kernel_is_named() {
        let (all, begin) =
            ("CapEff:\t000001ffffffffff\n", "it has every capability that it needs: ");
        let free = format!("{begin}a security module or kernel lockdown may forbid it");
        let locked = |mode: &str| {
            format!("{begin}kernel lockdown may forbid it, which is in the mode `{mode}`")
        };
        check_locked(all, "[none] integrity confidentiality\n", &free);
        check_locked(all, "", &free);
        check_locked(all, "none [integrity] confidentiality\n", &locked("integrity"));
        check_locked(all, "none integrity [confidentiality]\n", &locked("confidentiality"));
        check_locked(
            "CapEff:\t0\n",
            "none [integrity] confidentiality\n",
            "run it as root; it lacks",
        );
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
