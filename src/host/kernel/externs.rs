//! The names of what programs use from the kernel → those that this kernel lacks. The rules are those by which libbpf
//! resolves them when it loads an object (`bpf_object__resolve_externs()`, libbpf 1.7).
//!
//! If this process may not read a list of the kernel's names, nothing in it is reported as lacking.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use flate2::read::GzDecoder;
use libbpf_rs::btf::{Btf, BtfKind, BtfType};

use super::log;
use iterctl_core::anatomy::Extern;
use iterctl_core::feature::Unmet;

/// The values that libbpf itself provides.
const VIRTUAL: [&str; 3] =
    ["LINUX_KERNEL_VERSION", "LINUX_HAS_BPF_COOKIE", "LINUX_HAS_SYSCALL_WRAPPER"];

/// Most bytes that are read of the kernel's configuration, which has about 250,000.
const LONGEST: u64 = 16 * 1024 * 1024;

/// The directory with the types of the kernel and of its modules.
const BTF: &str = "/sys/kernel/btf";

/// Returns those of the externs that this kernel lacks, each with the reason.
pub(crate) fn unmet(externs: &BTreeSet<&Extern>) -> BTreeMap<Extern, Unmet> {
    let (mut functions, mut symbols, mut options) = (Vec::new(), Vec::new(), Vec::new());
    for one in externs.iter().copied() {
        match one {
            Extern::Function(name) => functions.push((one, name.as_str())),
            Extern::Symbol(name) => symbols.push((one, name.as_str())),
            Extern::Config(name) => options.push((one, name.as_str())),
        }
    }
    retain_without_type(&mut functions, BtfKind::Func);
    retain_unmet_symbols(&mut symbols);
    let functions =
        functions.into_iter().map(|(one, name)| (one, Unmet::Function(name.to_owned())));
    let symbols = symbols.into_iter().map(|(one, name)| (one, Unmet::Symbol(name.to_owned())));
    let unmet = functions.chain(symbols).chain(unmet_options(options));
    unmet.map(|(one, unmet)| (one.clone(), unmet)).collect()
}

/// Externs and their names.
type Named<'a> = Vec<(&'a Extern, &'a str)>;

fn retain_unmet_symbols(symbols: &mut Named<'_>) {
    retain_without_type(symbols, BtfKind::Var);
    if symbols.is_empty() {
        return;
    }
    let Ok(list) = fs::read_to_string("/proc/kallsyms") else { return symbols.clear() };
    let listed: BTreeSet<&str> =
        list.lines().filter_map(|line| line.split_ascii_whitespace().nth(2)).collect();
    symbols.retain(|(_, name)| !listed.contains(name));
}

/// Keeps the externs that neither the kernel nor a loaded module has in its BTF. Keeps none if the BTF cannot be read.
fn retain_without_type(externs: &mut Named<'_>, kind: BtfKind) {
    if externs.is_empty() {
        return;
    }
    let (kernel, _) = log::collect(Btf::from_vmlinux);
    let Ok(kernel) = kernel else { return externs.clear() };
    for one in kernel.type_by_kind::<BtfType<'_>>().filter(|one| one.kind() == kind) {
        if let Some(found) = one.name().and_then(|name| name.to_str()) {
            externs.retain(|(_, name)| *name != found);
        }
    }
    if externs.is_empty() {
        return;
    }
    let Ok(modules) = fs::read_dir(BTF) else { return externs.clear() };
    for module in modules.flatten().filter(|module| module.file_name() != "vmlinux") {
        let Ok(bytes) = fs::read(module.path()) else { continue };
        // The name is looked for in the strings of the BTF, each of which ends with a NUL. The kind is not checked.
        let strings: BTreeSet<&[u8]> = bytes.split(|byte| *byte == 0).collect();
        externs.retain(|(_, name)| !strings.contains(name.as_bytes()));
    }
}

fn unmet_options(options: Named<'_>) -> Vec<(&Extern, Unmet)> {
    let is_option = |(_, name): &(&Extern, &str)| name.starts_with("CONFIG_");
    let (options, others): (Vec<_>, Vec<_>) = options.into_iter().partition(is_option);
    let others = others.into_iter().filter(|(_, name)| !VIRTUAL.contains(name));
    let others = others.map(|(one, name)| (one, Unmet::Virtual(name.to_owned())));
    if options.is_empty() {
        return others.collect();
    }
    let Ok(text) = configuration() else {
        return others
            .chain(options.into_iter().map(|(one, _)| (one, Unmet::ConfigFile)))
            .collect();
    };
    let set: BTreeSet<&str> =
        text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    let unset = options.into_iter().filter(|(_, name)| !set.contains(name));
    others.chain(unset.map(|(one, name)| (one, Unmet::Config(name.to_owned())))).collect()
}

/// The kernel's configuration, read from the same files as by libbpf (`bpf_object__read_kconfig_file()`, libbpf 1.7).
fn configuration() -> io::Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let file = Path::new("/boot").join(format!("config-{}", release.trim()));
    let bytes = fs::read(file).or_else(|_| fs::read("/proc/config.gz"))?;
    let mut text = String::new();
    // libbpf opens either file with gzopen(), which also reads files that are not compressed.
    if bytes.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(bytes.as_slice()).take(LONGEST).read_to_string(&mut text)?;
    } else {
        bytes.as_slice().take(LONGEST).read_to_string(&mut text)?;
    }
    Ok(text)
}
