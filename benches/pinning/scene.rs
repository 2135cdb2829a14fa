//! The setting of a case: a bpffs of its own, and the same entries for iterctl, for bpftool and for the
//! floor.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use libbpf_rs::{MapHandle, MapType, libbpf_sys};

use super::timing::{self, Measure};
use super::tools::Tools;
use crate::own_bpffs::OwnBpffs;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// Applies the entries.
pub(super) const APPLY: &str = "./iterctl apply -f iters.toml";

/// The loop: one bpftool after the other, as in a boot script.
pub(super) const LOOP: &str = "sh loop.sh";

/// Pins the entries with only the unavoidable calls.
pub(super) const FLOOR: &str = "./floor pin floor.txt";

/// Looks at what is pinned in [`PINS`] with only the unavoidable calls.
pub(super) const FLOOR_LOOK: &str = "./floor look bpf/bench";

/// Where the entries' pins are.
const PINS: &str = "bpf/bench";

/// Removes the pins, and leaves their directories.
const CLEAR: &str = "find bpf/bench -type f -delete";

/// The number of pins in one directory.
const IN_ONE_DIRECTORY: usize = 100;

/// One iterator to pin.
pub(super) struct Entry {
    /// The name of the object, without `.bpf.o`.
    object: String,
    /// The path of the pin below the bpffs.
    path: String,
    /// The path of the map's pin below the bpffs.
    map: Option<String>,
}

/// Entries that share this number of objects, which differ in a string that they print.
pub(super) fn entries(count: usize, objects: usize) -> Vec<Entry> {
    let object = |number: usize| format!("tasks{}", number * objects / count);
    let entry = |number| Entry { object: object(number), path: path("bench", number), map: None };
    (0..count).map(entry).collect()
}

/// Entries that share one object, each over a map of its own.
pub(super) fn entries_over_maps(count: usize) -> Vec<Entry> {
    let entry = |number| Entry {
        object: "map_elements".to_owned(),
        path: path("bench", number),
        map: Some(path("maps", number)),
    };
    (0..count).map(entry).collect()
}

fn path(above: &str, number: usize) -> String {
    format!("{above}/d{}/p{number}", number / IN_ONE_DIRECTORY)
}

/// A folder with a bpffs and with files that ask each program for the same pins.
pub(super) struct Scene {
    own: OwnBpffs,
    entries: usize,
}

impl Scene {
    pub(super) fn new(tools: &Tools, entries: &[Entry]) -> anyhow::Result<Self> {
        let scene = Self { own: OwnBpffs::mount()?, entries: entries.len() };
        for name in Tools::NAMES {
            std::os::unix::fs::symlink(tools.folder().join(name), scene.file(name))?;
        }
        for object in entries.iter().map(|entry| &entry.object).collect::<BTreeSet<_>>() {
            fs::write(scene.file(&format!("{object}.bpf.o")), read_object(object)?)?;
            scene.run(&format!("./relocate {object}.bpf.o {object}.relocated"))?;
        }
        for entry in entries {
            scene.make_parent(&entry.path)?;
            if let Some(map) = &entry.map {
                scene.make_parent(map)?;
                pin_map(&scene.file("bpf").join(map))?;
            }
        }
        let bpffs = scene.file("bpf").display().to_string();
        fs::write(scene.file("iters.toml"), manifest(&bpffs, entries))?;
        let calls: String = entries.iter().map(|entry| format!("{}\n", bpftool(entry))).collect();
        fs::write(scene.file("loop.sh"), format!("set -e\n{calls}"))?;
        fs::write(scene.file("floor.txt"), floor_script(entries))?;
        Ok(scene)
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        self.own.path()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn make_parent(&self, pin: &str) -> io::Result<()> {
        let pin = self.file("bpf").join(pin);
        pin.parent().map_or(Ok(()), fs::create_dir_all)
    }

    /// Pins this number of iterators, which are foreign to iterctl.
    pub(super) fn pin_foreign(
        &self,
        count: usize,
        path: impl Fn(usize) -> String,
    ) -> anyhow::Result<()> {
        let mut script = String::from("load tasks0.relocated\n");
        for path in (0..count).map(path) {
            self.make_parent(&path)?;
            script += &format!("pin bpf/{path}\n");
        }
        fs::write(self.file("foreign.txt"), script)?;
        self.run("./floor pin foreign.txt").map(drop)
    }

    /// Runs a command, and returns its standard output.
    pub(super) fn run(&self, command: &str) -> anyhow::Result<String> {
        let mut words = command.split_whitespace();
        let output = Command::new(words.next().context("no command")?)
            .args(words)
            .current_dir(self.path())
            .output()
            .with_context(|| format!("`{command}` does not run"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{command}` failed: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Removes the pins, which is not part of the measurement.
    pub(super) fn clear(&self) -> anyhow::Result<()> {
        self.run(CLEAR).map(drop)
    }

    /// How long commands take that find everything pinned, or need no pins: medians in milliseconds.
    pub(super) fn time<const N: usize>(
        &self,
        measures: [Measure<'_>; N],
    ) -> anyhow::Result<[f64; N]> {
        let times = timing::side_by_side(self.path(), None, measures)?;
        Ok(times.map(|times| times.median()))
    }

    /// How long commands take to pin everything: medians in milliseconds.
    pub(super) fn time_cold<const N: usize>(
        &self,
        measures: [Measure<'_>; N],
    ) -> anyhow::Result<[f64; N]> {
        for Measure { command, .. } in measures {
            self.run(CLEAR)?;
            self.run(command)?;
            let pinned = count_files(&self.file(PINS))?;
            ensure!(pinned == self.entries, "`{command}` pinned {pinned} of {}", self.entries);
        }
        let times = timing::side_by_side(self.path(), Some(CLEAR), measures)?;
        Ok(times.map(|times| times.median()))
    }

    /// One call of bpftool, without a shell.
    pub(super) fn first_call_of_bpftool(&self) -> anyhow::Result<String> {
        let script = fs::read_to_string(self.file("loop.sh"))?;
        Ok(script.lines().nth(1).context("the loop is empty")?.to_owned())
    }
}

fn manifest(bpffs: &str, entries: &[Entry]) -> String {
    let entry = |Entry { object, path, map }: &Entry| {
        let map =
            map.as_ref().map_or(String::new(), |map| format!("map = {{ pinned = \"{map}\" }}\n"));
        format!("\n[[iter]]\nobj = \"{object}.bpf.o\"\npath = \"{path}\"\n{map}")
    };
    format!("bpffs = \"{bpffs}\"\n{}", entries.iter().map(entry).collect::<String>())
}

fn bpftool(Entry { object, path, map }: &Entry) -> String {
    let map = map.as_ref().map_or(String::new(), |map| format!(" map pinned bpf/{map}"));
    format!("bpftool iter pin {object}.bpf.o bpf/{path}{map}")
}

/// Entries of one object follow each other, so each object is loaded once.
fn floor_script(entries: &[Entry]) -> String {
    let mut script = String::new();
    let mut loaded = None;
    for Entry { object, path, map } in entries {
        if loaded != Some(object) {
            script += &format!("load {object}.relocated\n");
            loaded = Some(object);
        }
        let map = map.as_ref().map_or(String::new(), |map| format!(" bpf/{map}"));
        script += &format!("pin bpf/{path}{map}\n");
    }
    script
}

/// An example's object: `map_elements`, or `tasks` with a number, which then appears in its output.
fn read_object(name: &str) -> anyhow::Result<Vec<u8>> {
    let Some(number) = name.strip_prefix("tasks") else {
        return read_example("map-elements/map_elements.bpf.o");
    };
    let mut object = read_example("tasks/tasks.bpf.o")?;
    let printed = b" tgid comm\n\0";
    let column = b"comm".len();
    let place = object.windows(printed.len()).position(|bytes| bytes == printed);
    let end = place.context("tasks.bpf.o does not print `tgid comm`")? + printed.len() - 2;
    object.splice(end - column..end, format!("{number:0>column$}").into_bytes());
    Ok(object)
}

fn read_example(path: &str) -> anyhow::Result<Vec<u8>> {
    let path = Path::new(EXAMPLES).join(path);
    fs::read(&path).with_context(|| format!("no {}: run `make objects`", path.display()))
}

/// A hash map of the form that map_elements.bpf.o walks.
fn pin_map(path: &Path) -> anyhow::Result<()> {
    let opts = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let mut map = MapHandle::create(MapType::Hash, Some("walked"), 4, 8, 16, &opts)?;
    map.pin(path).with_context(|| format!("failed to pin a map at {}", path.display()))
}

fn count_files(directory: &Path) -> io::Result<usize> {
    let mut count = 0;
    for found in fs::read_dir(directory)? {
        let found = found?;
        count += if found.file_type()?.is_dir() { count_files(&found.path())? } else { 1 };
    }
    Ok(count)
}
