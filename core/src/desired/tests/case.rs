//! Helpers: manifests in a few words, facts that fit them, and the results as a few lines.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::objects::{bad, holding, needy, odd, without_maps};
use crate::desired::{
    CgroupRef, Desired, DesiredPin, DirectoryAccess, Facts, Globals, MapRef, Naming, Param,
    Program, Sound, resolve, resolve_sound,
};
use crate::fault::{Fault, Faults, ObjectFault, Place, Warning};
use crate::globals::Patch;
use crate::language::Language;
use crate::manifest::{Argument, Input, Source, parse};
use crate::pin_path::PinPath;

/// The input of one call: by default each file is a `-f` argument of its own.
pub(super) struct Call(pub(super) Input);

/// `/etc/iterctl/iters.toml` with this text.
pub(super) fn file(text: &str) -> Call {
    files(&[("/etc/iterctl/iters.toml", text)])
}

pub(super) fn files(files: &[(&str, &str)]) -> Call {
    let source = |(name, text): &(&str, &str)| Source {
        name: (*name).to_owned(),
        text: (*text).to_owned(),
        base: PathBuf::from("/etc/iterctl"),
    };
    let argument = |(name, _): &(&str, &str)| Argument::File(PathBuf::from(name));
    Call(Input {
        sources: files.iter().map(source).collect(),
        arguments: files.iter().map(argument).collect(),
        set: None,
    })
}

impl Call {
    pub(super) fn set(mut self, name: &str) -> Self {
        self.0.set = Some(name.to_owned());
        self
    }

    /// The same files, but given with these `-f` arguments.
    pub(super) fn given(mut self, arguments: &[Argument]) -> Self {
        self.0.arguments = arguments.to_vec();
        self
    }

    pub(super) fn resolve(&self) -> Result<Desired, Faults> {
        resolve(&parse(&self.0), &facts())
    }

    pub(super) fn resolve_sound(&self) -> Result<Sound, Faults> {
        resolve_sound(&parse(&self.0), &facts())
    }

    /// The text at that place.
    fn text(&self, place: &Place) -> &str {
        &self.0.sources[place.source].text[place.span()]
    }
}

pub(super) fn directory(path: &str) -> Argument {
    Argument::Directory(PathBuf::from(path))
}

/// An entry that pins the only program of this object at `a`, with these keys.
pub(super) fn of(object: &str, keys: &str) -> String {
    format!("[[iter]]\nobj = '{object}'\npath = \"a\"\n{keys}\n")
}

pub(super) fn task(keys: &str) -> String {
    of("task.bpf.o", keys)
}

pub(super) fn elem(keys: &str) -> String {
    of("elem.bpf.o", keys)
}

/// Entries of this object, each with its keys, at `p0`, `p1`, …
pub(super) fn entries(object: &str, keys: &[&str]) -> String {
    let entry = |(number, keys): (usize, &&str)| {
        format!("[[iter]]\nobj = '{object}'\npath = 'p{number}'\n{keys}\n")
    };
    keys.iter().enumerate().map(entry).collect()
}

/// An entry that pins the program of `task.bpf.o` at this path.
pub(super) fn at(path: &str) -> String {
    format!("[[iter]]\nobj = 'task.bpf.o'\npath = \"{path}\"\n")
}

pub(super) fn paths<'a>(paths: impl IntoIterator<Item = &'a PinPath>) -> Vec<String> {
    paths.into_iter().map(PinPath::to_string).collect()
}

/// Each fault of the call: the text that it points at (empty if none), and its message.
#[track_caller]
pub(super) fn check(call: Call, expected: &[(&str, &str)]) {
    let faults = call.resolve().err();
    let of_fault = |fault: &Fault| {
        let text = fault.place.as_ref().map(|place| call.text(place)).unwrap_or_default();
        (text.to_owned(), fault.problem.message(Language::Manifest))
    };
    let found: Vec<_> = faults.iter().flat_map(Faults::iter).map(of_fault).collect();
    let expected: Vec<_> =
        expected.iter().map(|(at, what)| ((*at).to_owned(), (*what).to_owned())).collect();
    assert_eq!(found, expected);
}

/// Each warning of the call: the text that it points at, and its message.
#[track_caller]
pub(super) fn check_warnings(call: Call, expected: &[(&str, &str)]) {
    let desired = call.resolve().expect("a manifest without faults");
    let of_warning = |one: &Warning| (call.text(&one.place).to_owned(), one.concern.to_string());
    let found: Vec<_> = desired.warnings.iter().map(of_warning).collect();
    let expected: Vec<_> =
        expected.iter().map(|(at, what)| ((*at).to_owned(), (*what).to_owned())).collect();
    assert_eq!(found, expected);
}

/// Each pin that the call wants: path, program, parameter, access, mode of new directories.
#[track_caller]
pub(super) fn check_pins(call: Call, expected: &[&str]) {
    let desired = call.resolve().expect("a manifest without faults");
    let lines: Vec<String> =
        desired.pins.iter().map(|(path, pin)| format!("{path} {}", pin_line(pin))).collect();
    assert_eq!(lines, expected);
    for pin in desired.pins.values() {
        let at = call.text(&pin.place);
        assert!(at.starts_with('"'), "a pin's place is its path, not {at}");
    }
}

/// The existing maps for the only pin's program.
#[track_caller]
pub(super) fn check_maps(call: Call, expected: &[&str]) {
    let line = |(name, map): (&String, &MapRef)| format!("{name}: {map}");
    assert_eq!(only_program(&call).maps.iter().map(line).collect::<Vec<_>>(), expected);
}

/// The sizes of maps of the only pin's program.
#[track_caller]
pub(super) fn check_max_entries(call: Call, expected: &[(&str, u32)]) {
    let program = only_program(&call);
    let sizes = program.max_entries.iter().map(|(name, size)| (name.as_str(), size.get()));
    assert_eq!(sizes.collect::<Vec<_>>(), expected);
}

/// The patches for the only pin's program, and their text.
#[track_caller]
pub(super) fn check_patches(call: Call, expected: &[&str], text: &str) {
    let Globals { patches, text: found } = &only_program(&call).globals;
    let line = |patch: &Patch| format!("{}+{}: {:?}", patch.section, patch.offset, patch.bytes);
    assert_eq!(patches.iter().map(line).collect::<Vec<_>>(), expected);
    assert_eq!(found, text);
}

#[track_caller]
pub(super) fn only_program(call: &Call) -> Arc<Program> {
    let desired = call.resolve().expect("a manifest without faults");
    assert_eq!(desired.pins.len(), 1);
    let pins: Vec<DesiredPin> = desired.pins.into_values().collect();
    Arc::clone(&pins[0].program)
}

fn pin_line(pin: &DesiredPin) -> String {
    let param = match &pin.param {
        Param::None => String::new(),
        Param::Map(map) => format!(" map {map}"),
        Param::OwnMap(name) => format!(" own map {name}"),
        Param::Thread(tid) => format!(" tid {tid}"),
        Param::Process(pid) => format!(" pid {pid}"),
        Param::Cgroup(CgroupRef::Id(id), order) => format!(" cgroup {id} {order}"),
        Param::Cgroup(CgroupRef::Path(path), order) => {
            format!(" cgroup {} {order}", path.display())
        }
    };
    let (program, meta) = (&pin.program, pin.meta);
    let access = format!("{} {}:{} below {}", meta.mode, meta.uid, meta.gid, below(&pin.directory));
    format!("{}/{}{param} {access}", program.target, program.name)
}

/// The mode; owner and group if they are stated.
fn below(directory: &DirectoryAccess) -> String {
    let mode = directory.mode.value();
    match (directory.uid.stated(), directory.gid.stated()) {
        (None, None) => mode.to_string(),
        (uid, gid) => {
            let id = |id: Option<u32>| id.map_or_else(String::new, |id| id.to_string());
            format!("{mode} {}:{}", id(uid), id(gid))
        }
    }
}

/// The set of the call, and how its name was chosen.
#[track_caller]
pub(super) fn check_set(call: Call, name: &str, naming: Naming) {
    let set = call.resolve().expect("a manifest without faults").set;
    assert_eq!((set.name.as_str(), set.naming), (name, naming));
}

/// The only fault's hint.
#[track_caller]
pub(super) fn check_help(call: Call, expected: &str) {
    let faults = call.resolve().expect_err("a manifest with a fault");
    let help: Vec<_> =
        faults.iter().filter_map(|fault| fault.problem.help(Language::Manifest)).collect();
    assert_eq!(help, [expected]);
}

/// Each fault's other place: the number of its file, the text there, and the note about it.
#[track_caller]
pub(super) fn check_also(call: Call, expected: &[(usize, &str, &str)]) {
    let faults = call.resolve().expect_err("a manifest with a fault");
    let also = faults.iter().filter_map(|fault| fault.problem.see_also());
    let found: Vec<_> = also.map(|(place, what)| (place.source, call.text(place), what)).collect();
    assert_eq!(found, expected);
}

/// This process is 1000:1000. The objects are in `/etc/iterctl`, the folder of all files.
fn facts() -> Facts {
    let objects = [
        ("task.bpf.o", holding(&["task/dump_task"])),
        ("elem.bpf.o", holding(&["bpf_map_elem/dump_elem"])),
        ("many.bpf.o", holding(&["task/first", "tcp/second"])),
        ("cgroup.bpf.o", holding(&["cgroup/walk"])),
        ("future.bpf.o", holding(&["warp_core/dump_core"])),
        ("none.bpf.o", holding(&[])),
        ("mapless.bpf.o", holding(&["bpf_map_elem/dump_elem"]).map(without_maps)),
        ("needy.bpf.o", needy("task/dump_task")),
        ("needy_elem.bpf.o", needy("bpf_map_elem/dump_elem")),
        ("bad.bpf.o", bad()),
        ("odd.bpf.o", odd()),
        ("text.bpf.o", Err(ObjectFault::NotElf(in_base("text.bpf.o")))),
    ];
    Facts {
        objects: objects.into_iter().map(|(name, found)| (in_base(name), found)).collect(),
        users: [("root".to_owned(), Some(0)), ("nobody_here".to_owned(), None)].into(),
        groups: [("observers".to_owned(), Some(50)), ("nobody_here".to_owned(), None)].into(),
        uid: 1000,
        gid: 1000,
        cgroup2: Some(PathBuf::from("/sys/fs/cgroup/unified")),
    }
}

fn in_base(name: &str) -> PathBuf {
    Path::new("/etc/iterctl").join(name)
}
