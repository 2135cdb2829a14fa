//! A part of the kernel that a program uses and this kernel lacks or has in another form, as reported by
//! libbpf's messages and the verifier's log. Pure.

use std::borrow::Cow;
use std::fmt;

use crate::escaped::Escaped;

/// Something that a program uses and that this kernel does not have in that form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// A function (`__ksym`) that is declared without `__weak`.
    Function(String),
    /// A function that is declared `__weak` and called without a check.
    UncheckedFunction(String),
    /// A function that has other parameters or another result in this kernel.
    FunctionDiffers(String),
    /// A symbol without a type (`extern const void x __ksym`).
    Symbol(String),
    /// A symbol whose name belongs to several addresses.
    AmbiguousSymbol(String),
    /// A variable with a type (`__ksym`).
    Variable(String),
    /// A variable that has another type in this kernel.
    VariableDiffers {
        /// Its name.
        name: String,
        /// The type that the program declares.
        declared: String,
        /// The type in this kernel.
        found: String,
    },
    /// A variable that BTF describes, but whose address is not listed.
    Address(String),
    /// An option of the kernel's configuration (`__kconfig`) that is not set.
    Config(String),
    /// An option whose value does not fit the program's variable.
    ConfigDiffers {
        /// Its name.
        name: String,
        /// libbpf's words.
        why: String,
    },
    /// The whole configuration of the kernel, which cannot be read.
    ConfigFile,
    /// A `__kconfig` variable that is neither an option nor known to libbpf.
    Virtual(String),
    /// A member of a structure: `struct task_struct.pid`.
    Member(String),
    /// A value of an enumeration: `enum pid_type::PIDTYPE_PID`.
    EnumValue(String),
}

/// Text of an object or of the kernel, escaped for people.
fn printable(text: &str) -> Cow<'_, str> {
    Escaped::new(text).text()
}

impl Unmet {
    /// Parses a message of `bpf_object__resolve_externs()` or of the functions that it calls (libbpf 1.7).
    pub fn from_message(message: &str) -> Option<Self> {
        if message == "failed to open system Kconfig" {
            return Some(Self::ConfigFile);
        }
        let rest = message.strip_prefix("extern ")?;
        let strong =
            rest.strip_prefix('\'').and_then(|it| it.strip_suffix("' (strong): not resolved"));
        if let Some(name) = strong {
            let is_option = name.starts_with("CONFIG_");
            let name = name.to_owned();
            return Some(if is_option { Self::Config(name) } else { Self::Symbol(name) });
        }
        let (kind, rest) = rest.split_once(" '")?;
        let (name, why) = rest.split_once("': ")?;
        let name = name.to_owned();
        match kind {
            "(func ksym)" if why.starts_with("not found") => Some(Self::Function(name)),
            "(func ksym)" if why.contains(" incompatible with ") => {
                Some(Self::FunctionDiffers(name))
            }
            "(var ksym)" if why.starts_with("not found") => Some(Self::Variable(name)),
            "(var ksym)" => {
                let (declared, found) = types(why)?;
                Some(Self::VariableDiffers { name, declared, found })
            }
            "(ksym)" if why.starts_with("resolution is ambiguous") => {
                Some(Self::AmbiguousSymbol(name))
            }
            "(kcfg)" if why == "unrecognized virtual extern" => Some(Self::Virtual(name)),
            // This is only a warning: libbpf continues with the text that it has cut.
            "(kcfg)" if why.contains(" truncated to ") => None,
            "(kcfg)" => Some(Self::ConfigDiffers { name, why: why.to_owned() }),
            _ => None,
        }
    }

    /// Parses the verifier's log, in which libbpf reports what it has made unusable
    /// (`fixup_verifier_log()`, libbpf 1.7).
    pub fn from_log(log: &[String]) -> Option<Self> {
        log.iter().rev().find_map(|line| {
            if let Some(spec) = line.strip_prefix("failed to resolve CO-RE relocation ") {
                return relocation(spec);
            }
            if let Some(rest) = line.strip_prefix("kfunc '") {
                let name = rest.strip_suffix("' is referenced but wasn't resolved")?;
                return Some(Self::UncheckedFunction(name.to_owned()));
            }
            // `check_pseudo_btf_id()` in kernel/bpf/verifier.c.
            let rest =
                line.strip_prefix("ldimm64 failed to find the address for kernel symbol '")?;
            Some(Self::Address(rest.strip_suffix("'.")?.to_owned()))
        })
    }

    /// The hint.
    pub fn hint(&self) -> String {
        match self {
            Self::Function(name) => format!(
                "if a kernel module provides it, load the module; otherwise, in the object's source, declare it `__weak` \
                 and call it only if `bpf_ksym_exists({})`",
                printable(name)
            ),
            Self::UncheckedFunction(name) => {
                format!("call it only if `bpf_ksym_exists({})`", printable(name))
            }
            Self::FunctionDiffers(_) => {
                "declare it as the kernel's BTF does: `bpftool btf dump file /sys/kernel/btf/vmlinux format c`"
                    .to_owned()
            }
            Self::Symbol(name) => format!(
                "in the object's source, declare it `__weak` and use it only if `bpf_ksym_exists(&{})`; kernels with \
                 CONFIG_KALLSYMS_ALL=y list variables, too",
                printable(name)
            ),
            Self::AmbiguousSymbol(_) => {
                "use a symbol that appears only once in /proc/kallsyms".to_owned()
            }
            Self::Variable(name) => format!(
                "in the object's source, declare it `__weak` and use it only if `bpf_ksym_exists(&{name})`; the BTF of \
                 many kernels has only per-CPU variables: for others, `extern const void {name} __ksym` takes the address",
                name = printable(name)
            ),
            Self::VariableDiffers { .. } => "declare it with the kernel's type".to_owned(),
            Self::Address(_) => "use a kernel with CONFIG_KALLSYMS_ALL=y".to_owned(),
            Self::Config(name) => format!(
                "use a kernel with {}, or declare it `__weak` in the object's source: then it is 0 if the option is not \
                 set",
                printable(name)
            ),
            Self::ConfigDiffers { .. } => "declare it with a type that its value fits".to_owned(),
            Self::ConfigFile => "use a kernel with CONFIG_IKCONFIG_PROC=y, or put its configuration into \
                                 /boot; in a container, mount the host's /boot"
                .to_owned(),
            Self::Virtual(_) => "a `__kconfig` variable must be `CONFIG_…`, LINUX_KERNEL_VERSION, \
                                 LINUX_HAS_BPF_COOKIE or LINUX_HAS_SYSCALL_WRAPPER"
                .to_owned(),
            Self::Member(_) => {
                "guard the access with `bpf_core_field_exists()`, or use a kernel that has it".to_owned()
            }
            Self::EnumValue(_) => {
                "guard its use with `bpf_core_enum_value_exists()`, or use a kernel that has it".to_owned()
            }
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(name) | Self::UncheckedFunction(name) => {
                write!(f, "this kernel has no kernel function `{}`", printable(name))
            }
            Self::FunctionDiffers(name) => write!(
                f,
                "the parameters or the return type of this kernel's function `{}` differ from what the program declares",
                printable(name)
            ),
            Self::Symbol(name) => write!(f, "this kernel lists no symbol `{}`", printable(name)),
            Self::AmbiguousSymbol(name) => {
                write!(f, "this kernel has several symbols named `{}`", printable(name))
            }
            Self::Variable(name) => {
                write!(f, "this kernel's BTF has no variable `{}`", printable(name))
            }
            Self::VariableDiffers { name, declared, found } => write!(
                f,
                "this kernel's variable `{}` is of type `{}`, and the program declares `{}`",
                printable(name),
                printable(found),
                printable(declared)
            ),
            Self::Address(name) => {
                write!(f, "this kernel does not list the address of `{}`", printable(name))
            }
            Self::Config(name) => {
                write!(f, "this kernel's configuration does not set `{}`", printable(name))
            }
            Self::ConfigDiffers { name, why } => write!(
                f,
                "this kernel's `{}` does not fit the program's variable: {}",
                printable(name),
                printable(why)
            ),
            Self::ConfigFile => write!(
                f,
                "this kernel's configuration cannot be read from /proc/config.gz or /boot/config-…"
            ),
            Self::Virtual(name) => {
                write!(f, "libbpf has no value for `{}`", printable(name))
            }
            Self::Member(what) | Self::EnumValue(what) => {
                write!(f, "this kernel has no `{}`", printable(what))
            }
        }
    }
}

/// The declared type and the kernel's, from libbpf's message: each is an id, a kind and a name.
fn types(why: &str) -> Option<(String, String)> {
    let both = why.strip_prefix("incompatible types, expected [")?;
    let (declared, found) = both.split_once(", but kernel has [")?;
    let name = |text: &str| {
        let (_, text) = text.split_once("] ")?;
        Some(text.strip_prefix("int ").unwrap_or(text).to_owned())
    };
    Some((name(declared)?, name(found)?))
}

/// The subject of a relocation, from the text of `bpf_core_format_spec()` (relo_core.c, libbpf 1.7).
/// Relocations of types alone never fail: they are 0 if there is no such type
/// (`bpf_core_calc_type_relo()`).
fn relocation(spec: &str) -> Option<Unmet> {
    let (kind, rest) = spec.strip_prefix('<')?.split_once("> [")?;
    let (_, what) = rest.split_once("] ")?;
    if kind.starts_with("enumval") {
        let (name, _) = what.rsplit_once(" = ").unwrap_or((what, ""));
        return Some(Unmet::EnumValue(without_flavor(name, "::")));
    }
    let (name, _) = what.rsplit_once(" (").unwrap_or((what, ""));
    Some(Unmet::Member(without_flavor(name, ".")))
}

/// The kernel's name for the type. The part behind three underscores only tells variants of a type apart
/// within the program.
fn without_flavor(name: &str, separator: &str) -> String {
    let (of_type, rest) = name.split_at(name.find(separator).unwrap_or(name.len()));
    let (of_type, _) = of_type.rsplit_once("___").unwrap_or((of_type, ""));
    format!("{of_type}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, expected: Option<&str>) {
        let unmet = Unmet::from_message(message).map(|unmet| unmet.to_string());
        assert_eq!(unmet.as_deref(), expected, "{message}");
    }

    #[track_caller]
    fn check_log(log: &str, expected: Option<&str>, hint: &str) {
        let lines: Vec<String> = log.lines().map(str::to_owned).collect();
        let unmet = Unmet::from_log(&lines);
        assert_eq!(unmet.as_ref().map(ToString::to_string).as_deref(), expected, "{log}");
        assert_eq!(unmet.map(|unmet| unmet.hint()).unwrap_or_default(), hint, "{log}");
    }

    // All texts are printed by libbpf 1.7 on Linux 6.18.

    #[test]
    fn unmet_options_of_the_kernel_are_named() {
        check(
            "extern 'CONFIG_NO_SUCH_THING' (strong): not resolved",
            Some("this kernel's configuration does not set `CONFIG_NO_SUCH_THING`"),
        );
        check(
            "extern (kcfg) 'CONFIG_HZ': value '250' implies integer type",
            Some(
                "this kernel's `CONFIG_HZ` does not fit the program's variable: value '250' implies integer \
                 type",
            ),
        );
        check(
            "failed to open system Kconfig",
            Some(
                "this kernel's configuration cannot be read from /proc/config.gz or /boot/config-…",
            ),
        );
        check(
            "extern (kcfg) 'LINUX_NO_SUCH': unrecognized virtual extern",
            Some("libbpf has no value for `LINUX_NO_SUCH`"),
        );
        check(
            "extern (kcfg) 'CONFIG_CC_VERSION_TEXT': long string '\"gcc 12\"' of (6 bytes) truncated to 3 bytes",
            None,
        );
    }

    #[test]
    fn unmet_functions_and_variables_of_the_kernel_are_named() {
        check(
            "extern (func ksym) 'bpf_no_such': not found in kernel or module BTFs",
            Some("this kernel has no kernel function `bpf_no_such`"),
        );
        check(
            "extern (func ksym) 'bpf_task_release': func_proto [8] incompatible with vmlinux [48520]",
            Some(
                "the parameters or the return type of this kernel's function `bpf_task_release` differ from what the \
                 program declares",
            ),
        );
        check(
            "extern 'bpf_prog_fops' (strong): not resolved",
            Some("this kernel lists no symbol `bpf_prog_fops`"),
        );
        check(
            "extern (ksym) 'init_once': resolution is ambiguous: 0xffffffff816e2660 or 0xffffffff81777bf0",
            Some("this kernel has several symbols named `init_once`"),
        );
        check(
            "extern (var ksym) 'no_such_percpu': not found in kernel BTF",
            Some("this kernel's BTF has no variable `no_such_percpu`"),
        );
        check(
            "extern (var ksym) 'runqueues': incompatible types, expected [6] int int, but kernel has [10200] \
             struct rq",
            Some(
                "this kernel's variable `runqueues` is of type `struct rq`, and the program declares `int`",
            ),
        );
    }

    #[test]
    fn other_messages_are_ignored() {
        check("failed to load object 'tasks'", None);
        check("extern 'x': unrecognized extern kind", None);
        check("extern (kcfg) 'LINUX_KERNEL_VERSION'", None);
        check("extern (func ksym) 'x': something new", None);
        check("extern (ksym) 'x': something new", None);
    }

    #[test]
    fn names_cannot_forge_lines() {
        check(
            "extern 'a\nerror: b' (strong): not resolved",
            Some("this kernel lists no symbol `a\\nerror: b`"),
        );
    }

    #[test]
    fn unmet_relocations_are_named() {
        const GUARD: &str =
            "guard the access with `bpf_core_field_exists()`, or use a kernel that has it";
        check_log(
            "5: (7b) *(u64 *)(r10 -16) = r3\n6: <invalid CO-RE relocation>\nfailed to resolve CO-RE relocation \
             <byte_off> [8] struct task_struct.no_such_member (0:1 @ offset 4)\nprocessed 7 insns\n",
            Some("this kernel has no `struct task_struct.no_such_member`"),
            GUARD,
        );
        check_log(
            "failed to resolve CO-RE relocation <byte_sz> [8] struct task_struct___old.signal.shared[2] \
             (0:1:3 @ offset 4.3)",
            Some("this kernel has no `struct task_struct.signal.shared[2]`"),
            GUARD,
        );
        check_log(
            "0: <invalid CO-RE relocation>\nfailed to resolve CO-RE relocation <enumval_value> [8] enum \
             pid_type::NO_SUCH_VALUE = 77\n",
            Some("this kernel has no `enum pid_type::NO_SUCH_VALUE`"),
            "guard its use with `bpf_core_enum_value_exists()`, or use a kernel that has it",
        );
    }

    #[test]
    fn weak_symbols_used_without_a_check_are_reported() {
        check_log(
            "1: (b7) r1 = 1                        ; R1=1\n2: <invalid kfunc call>\nkfunc 'bpf_no_such' is \
             referenced but wasn't resolved\n",
            Some("this kernel has no kernel function `bpf_no_such`"),
            "call it only if `bpf_ksym_exists(bpf_no_such)`",
        );
        check_log(
            "ldimm64 failed to find the address for kernel symbol 'runqueues'.\nprocessed 0 insns\n",
            Some("this kernel does not list the address of `runqueues`"),
            "use a kernel with CONFIG_KALLSYMS_ALL=y",
        );
        check_log("R1 invalid mem access 'scalar'\n", None, "");
    }
}
