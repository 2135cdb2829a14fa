//! `export`: bpffs and the kernel → observed → a manifest, for which `plan` finds nothing to do.

mod directories;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::Path;

use self::directories::Directories;
use super::Answer;
use super::observe::{look, too_deep};
use crate::front::cli::ExportArgs;
use crate::front::errors::{Error, Result};
use crate::front::report::words::iterators;
use crate::front::report::{Report, Shown, error};
use crate::host::bpffs::Bpffs;
use iterctl_core::access::Meta;
use iterctl_core::desired::Order;
use iterctl_core::manifest::parse_value;
use iterctl_core::names::SetName;
use iterctl_core::observed::{LinkParam, ObservedPin};
use iterctl_core::pin_path::PinPath;
use iterctl_core::stamp::Stamp;
use iterctl_core::value::{Value, quote, quote_key};

pub(super) fn export(args: &ExportArgs) -> Result<Answer> {
    let bpffs = Bpffs::open(&std::path::absolute(&args.bpffs)?)?;
    let observed = look(&bpffs, None)?;
    let sets: BTreeSet<&SetName> =
        observed.iterators().filter_map(|(_, pin)| pin.provenance.set()).collect();
    let set = choose(&sets, args.set.as_deref())?;
    let directories = Directories::new(&observed, set);
    let mut entries = Vec::new();
    let mut left_out = Vec::new();
    for (path, pin) in observed.iterators() {
        match pin.provenance.stamp() {
            Some(stamp) if Some(&stamp.set) == set => {
                entries.push(entry(path, pin, stamp, directories.stated(path)));
            }
            Some(_) => {}
            None => left_out.push(path.to_string()),
        }
    }
    let mut report = Report::new(format!("{} exported", iterators(entries.len())));
    report.manifest = Some(manifest(set, bpffs.path(), &entries));
    report.shown = Shown::Manifest;
    report.diagnostics.extend(too_deep(&observed));
    if !left_out.is_empty() {
        let note =
            format!("left out, because no stamp names their objects: {}", left_out.join(", "));
        report.diagnostics.push(error::note(note));
    }
    Ok(Answer::done(report))
}

/// The set that was asked for, or the only one that has pins.
fn choose<'a>(sets: &BTreeSet<&'a SetName>, asked: Option<&str>) -> Result<Option<&'a SetName>> {
    let names: Vec<String> = sets.iter().map(|set| format!("`{set}`")).collect();
    let mut all = sets.iter().copied();
    match (asked, all.next(), all.next()) {
        (Some(name), _, _) => {
            let found = sets.iter().find(|set| set.as_str() == name).copied();
            let none = || Error::Usage(format!("no set `{}` has pins", name.escape_debug()));
            Ok(Some(found.ok_or_else(none)?))
        }
        (None, only, None) => Ok(only),
        (None, _, Some(_)) => {
            let names = names.join(", ");
            Err(Error::Usage(format!("several sets have pins: choose one with `--set`: {names}")))
        }
    }
}

fn manifest(set: Option<&SetName>, bpffs: &Path, entries: &[String]) -> String {
    let set = set.map(|set| format!("set = {}\n", quote(set.as_str()))).unwrap_or_default();
    let bpffs = quote(&bpffs.to_string_lossy());
    format!("{set}bpffs = {bpffs}\n{}", entries.concat())
}

fn entry(path: &PinPath, pin: &ObservedPin, stamp: &Stamp, directory: Option<Meta>) -> String {
    let mut toml = format!(
        "\n[[iter]]\nobj = {}\npath = {}\nprogram = {}\n",
        quote(&stamp.object.to_string_lossy()),
        quote(&path.as_path().to_string_lossy()),
        quote(&stamp.program),
    );
    if let Some(param) = parameter(pin.link.param, stamp) {
        toml += &format!("{param}\n");
    }
    if let Some(globals) = &stamp.globals {
        toml += &match read_again(&globals.toml) {
            Some(table) => format!("globals = {table}\n"),
            None => "# the globals in the stamp cannot be read\n".to_owned(),
        };
    }
    if !stamp.maps.is_empty() {
        toml += &format!("maps = {}\n", given_maps(&stamp.maps));
    }
    if !stamp.max_entries.is_empty() {
        toml += &format!("max-entries = {}\n", sizes(&stamp.max_entries));
    }
    let Meta { mode, uid, gid } = pin.meta;
    toml += &format!("mode = \"{mode}\"\nowner = \"{uid}\"\ngroup = \"{gid}\"\n");
    if let Some(Meta { mode, uid, gid }) = directory {
        toml += &format!("dir-mode = \"{mode}\"\ndir-owner = \"{uid}\"\ndir-group = \"{gid}\"\n");
    }
    toml
}

/// The globals of a stamp, parsed and written again: any process that may load a program can put any text there.
fn read_again(toml: &str) -> Option<String> {
    let value = parse_value(toml)?;
    matches!(value, Value::Table(_)).then(|| value.to_string())
}

fn given_maps(maps: &BTreeMap<String, u32>) -> String {
    let entries: Vec<String> =
        maps.iter().map(|(name, id)| format!("{} = {{ id = {id} }}", quote_key(name))).collect();
    format!("{{ {} }}", entries.join(", "))
}

fn sizes(sizes: &BTreeMap<String, NonZeroU32>) -> String {
    let entries: Vec<String> =
        sizes.iter().map(|(name, size)| format!("{} = {size}", quote_key(name))).collect();
    format!("{{ {} }}", entries.join(", "))
}

fn parameter(param: LinkParam, stamp: &Stamp) -> Option<String> {
    Some(match param {
        LinkParam::None => return None,
        LinkParam::Map(id) => match stamp.own_maps.iter().find(|(_, own)| **own == id.0) {
            Some((name, _)) => format!("map = {{ own = {} }}", quote(name)),
            None => format!("map = {{ id = {id} }}"),
        },
        LinkParam::Thread(tid) => format!("task = {{ tid = {tid} }}"),
        LinkParam::Process(pid) => format!("task = {{ pid = {pid} }}"),
        LinkParam::Cgroup { id, order } => match Order::from_number(order) {
            Some(order) => format!("cgroup = {{ id = {id}, order = \"{order}\" }}"),
            None => format!("# cgroup {id} in the order {order}, which this version does not know"),
        },
    })
}
