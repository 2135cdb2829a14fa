//! Random disturbances of the manifest, the objects, the map, the pins and the bpffs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use proptest::prelude::RngExt as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::super::super::bpf;
use super::super::super::sandbox::{Sandbox, entry, entry_with};

/// Entries in every good manifest, so that the same directories are always watched.
const BASE: [&str; 3] = ["a", "observe/b", "observe/deep/c"];

/// Entries that are in some good manifests.
const MORE: [&str; 3] = ["x", "observe/y", "observe/deep/z"];

/// The iterator over the elements of the pinned map.
const WALK: &str = "conns";

/// The pinned map.
const MAP: &str = "maps/conns";

/// Where moved pins go.
const ELSEWHERE: [&str; 4] = ["elsewhere", "observe/elsewhere", "a", "observe/deep/z"];

/// A disturbance. It fails if there is nothing to disturb.
type Act<'a> = fn(&mut Disturber<'a>) -> io::Result<()>;

/// The source of all disturbances.
pub(super) struct Disturber<'a> {
    sandbox: &'a Sandbox,
    rng: TestRng,
    /// Paths at which something foreign is or was.
    foreign: BTreeSet<PathBuf>,
    /// The value of the one element of the map.
    element: u64,
    /// How often each disturbance was done.
    pub(super) done: BTreeMap<&'static str, u32>,
}

impl<'a> Disturber<'a> {
    /// Each disturbance, and how often it is done relative to the others.
    const DISTURBANCES: [(&'static str, u32, Act<'a>); 20] = [
        ("manifest edited in place", 10, Self::edits_in_place),
        ("manifest edited by rename", 10, Self::edits_by_rename),
        ("manifest written slowly", 3, Self::writes_slowly),
        ("manifest with faults", 5, Self::makes_faults),
        ("manifest cut off", 3, Self::cuts_off),
        ("manifest deleted", 3, Self::deletes_the_manifest),
        ("folder of the manifest deleted", 1, Self::deletes_the_folder),
        ("folder of the manifest moved", 1, Self::moves_the_folder),
        ("object replaced", 10, Self::replaces_an_object),
        ("object spoilt", 3, Self::spoils_an_object),
        ("object deleted", 3, Self::deletes_an_object),
        ("pin removed", 15, Self::removes_a_pin),
        ("mode or owner of a pin changed", 5, Self::changes_a_mode),
        ("pin moved", 5, Self::moves_a_pin),
        ("something foreign in the way", 5, Self::gets_in_the_way),
        ("what is foreign removed", 5, Self::gets_out_of_the_way),
        ("directory of pins removed", 5, Self::removes_a_directory),
        ("map made anew", 10, Self::makes_the_map_anew),
        ("map removed", 3, Self::removes_the_map),
        ("bpffs unmounted and mounted", 1, Self::mounts_anew),
    ];

    pub(super) fn new(sandbox: &'a Sandbox, seed: u64) -> Self {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed.to_le_bytes(); 4].concat());
        Self { sandbox, rng, foreign: BTreeSet::new(), element: 0, done: BTreeMap::new() }
    }

    /// Makes a disturbance, and waits for some time or not at all.
    pub(super) fn disturbs(&mut self) {
        let all = Self::DISTURBANCES.iter().map(|(_, often, _)| often).sum();
        let mut at = self.rng.random_range(0..all);
        for (what, often, act) in Self::DISTURBANCES {
            if at < often {
                // A missing thing cannot be disturbed, which is fine.
                if act(self).is_ok() {
                    *self.done.entry(what).or_default() += 1;
                }
                break;
            }
            at -= often;
        }
        let longest = self.one_of(&[0, 0, 0, 20, 100, 500]);
        self.waits(longest);
    }

    /// Makes a disturbance that `watch` alone must repair.
    pub(super) fn disturbs_what_is_pinned(&mut self) {
        let all = [
            Self::removes_a_pin,
            Self::changes_a_mode,
            Self::moves_a_pin,
            Self::removes_the_observers,
        ];
        let act: Act<'a> = self.one_of(&all);
        // Not every pin exists.
        let _ = act(self);
    }

    /// Makes everything good. Returns every pin that must exist, with the first line of its output.
    pub(super) fn puts_right(&mut self) -> io::Result<BTreeMap<String, String>> {
        // Some of it may be gone already.
        let _ = self.gets_out_of_the_way();
        fs::create_dir_all(self.sandbox.file("own"))?;
        let version = self.one_of(&["v1", "v2"]);
        self.puts(&format!("tasks_{version}.bpf.o"), "own/tasks.bpf.o")?;
        self.puts("elem.bpf.o", "own/elem.bpf.o")?;
        self.makes_the_map_anew()?;
        let (text, paths) = self.manifest();
        self.saves(&text)?;
        let tasks = paths.into_iter().map(|path| (path.to_owned(), format!("{version}\n")));
        let walk = (WALK.to_owned(), format!("1 {}\n", self.element));
        Ok(tasks.chain([walk, (MAP.to_owned(), "a map\n".to_owned())]).collect())
    }

    fn edits_in_place(&mut self) -> io::Result<()> {
        let (text, _) = self.manifest();
        fs::write(self.sandbox.file("own/iters.toml"), text)
    }

    fn edits_by_rename(&mut self) -> io::Result<()> {
        let (text, _) = self.manifest();
        self.saves(&text)
    }

    fn writes_slowly(&mut self) -> io::Result<()> {
        let (text, _) = self.manifest();
        let mut file = fs::File::create(self.sandbox.file("own/iters.toml"))?;
        for line in text.split_inclusive('\n') {
            file.write_all(line.as_bytes())?;
            self.waits(30);
        }
        Ok(())
    }

    fn makes_faults(&mut self) -> io::Result<()> {
        let (good, _) = self.manifest();
        let fault = self.one_of(&[
            "[[iter]\n",
            "unknown = 1\n",
            "[[iter]]\nobj = \"no.o\"\npath = \"p\"\n",
            "[[iter]]\nobj = \"tasks.bpf.o\"\npath = \"a.b\"\n",
            "\u{1b}",
        ]);
        self.saves(&(good + fault))
    }

    fn cuts_off(&mut self) -> io::Result<()> {
        let file = fs::File::options().write(true).open(self.sandbox.file("own/iters.toml"))?;
        let length = file.metadata()?.len();
        file.set_len(self.rng.random_range(0..=length))
    }

    fn deletes_the_manifest(&mut self) -> io::Result<()> {
        fs::remove_file(self.sandbox.file("own/iters.toml"))
    }

    fn deletes_the_folder(&mut self) -> io::Result<()> {
        fs::remove_dir_all(self.sandbox.file("own"))?;
        self.waits(100);
        self.puts_right().map(drop)
    }

    fn moves_the_folder(&mut self) -> io::Result<()> {
        fs::rename(self.sandbox.file("own"), self.sandbox.file("old"))?;
        self.waits(100);
        fs::rename(self.sandbox.file("old"), self.sandbox.file("own"))
    }

    fn replaces_an_object(&mut self) -> io::Result<()> {
        let from = self.one_of(&["tasks_v1.bpf.o", "tasks_v2.bpf.o"]);
        if self.rng.random() {
            return self.puts(from, "own/tasks.bpf.o");
        }
        fs::copy(self.sandbox.file(from), self.sandbox.file("own/tasks.bpf.o")).map(drop)
    }

    fn spoils_an_object(&mut self) -> io::Result<()> {
        let (object, bad) =
            (self.object(), self.one_of(&["rejected.bpf.o", "none.bpf.o", "iters"]));
        if bad != "iters" {
            return self.puts(bad, &object);
        }
        fs::write(self.sandbox.file(&object), "no object")
    }

    fn deletes_an_object(&mut self) -> io::Result<()> {
        let object = self.object();
        fs::remove_file(self.sandbox.file(&object))
    }

    fn removes_a_pin(&mut self) -> io::Result<()> {
        let path = self.path();
        fs::remove_file(self.sandbox.pin(path))
    }

    fn changes_a_mode(&mut self) -> io::Result<()> {
        let pin = self.sandbox.pin(self.path());
        if self.rng.random() {
            return chown(pin, Some(1), Some(1));
        }
        fs::set_permissions(pin, Permissions::from_mode(self.one_of(&[0o000, 0o444, 0o666])))
    }

    fn moves_a_pin(&mut self) -> io::Result<()> {
        let from = self.sandbox.pin(self.path());
        let to = self.sandbox.pin(self.one_of(&ELSEWHERE));
        fs::rename(&from, &to)?;
        if self.foreign.contains(&from) {
            self.foreign.insert(to);
        }
        Ok(())
    }

    fn gets_in_the_way(&mut self) -> io::Result<()> {
        let path = self.one_of(&["a", "x", "observe", "observe/b", "observe/deep", "conns"]);
        let pin = self.sandbox.pin(path);
        // The path holds our pin or another foreign one, which is then gone.
        let _ = fs::remove_file(&pin).or_else(|_| fs::remove_dir_all(&pin));
        self.foreign.insert(pin.clone());
        match self.rng.random_range(0..4) {
            0 => fs::create_dir(pin),
            1 => symlink("nowhere", pin),
            2 => bpf::hash_map("foreign").pin(pin).map_err(io::Error::other),
            _ => {
                let pin = format!("iter pin tasks_v2.bpf.o bpf/{path}");
                let is_pinned = self.sandbox.run("bpftool", &pin).succeeded();
                if is_pinned { Ok(()) } else { Err(io::ErrorKind::Other.into()) }
            }
        }
    }

    fn gets_out_of_the_way(&mut self) -> io::Result<()> {
        let foreign = std::mem::take(&mut self.foreign);
        let removed = foreign
            .iter()
            .filter(|pin| fs::remove_file(pin).or_else(|_| fs::remove_dir(pin)).is_ok());
        if removed.count() == 0 { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
    }

    fn removes_a_directory(&mut self) -> io::Result<()> {
        match self.one_of(&["observe", "observe/deep", ""]) {
            "" => {
                let all = fs::read_dir(self.sandbox.bpffs())?;
                all.filter_map(Result::ok).for_each(|entry| {
                    let path = entry.path();
                    // It may be gone already.
                    let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
                });
                Ok(())
            }
            directory => fs::remove_dir_all(self.sandbox.pin(directory)),
        }
    }

    fn removes_the_observers(&mut self) -> io::Result<()> {
        fs::remove_dir_all(self.sandbox.pin("observe"))
    }

    fn makes_the_map_anew(&mut self) -> io::Result<()> {
        let pin = self.sandbox.pin(MAP);
        // Both may exist or not.
        let _ = fs::remove_file(&pin);
        let _ = fs::create_dir(self.sandbox.pin("maps"));
        let mut map = bpf::hash_map("walked");
        self.element += 1;
        bpf::insert(&map, (1, self.element));
        map.pin(pin).map_err(io::Error::other)
    }

    fn removes_the_map(&mut self) -> io::Result<()> {
        fs::remove_file(self.sandbox.pin(MAP))
    }

    fn mounts_anew(&mut self) -> io::Result<()> {
        let how = self.one_of(&[UnmountFlags::empty(), UnmountFlags::DETACH]);
        unmount(self.sandbox.bpffs(), how)?;
        self.waits(100);
        mount("bpf", self.sandbox.bpffs(), "bpf", MountFlags::empty(), None)?;
        Ok(())
    }

    /// A good manifest, and the paths of its iterators of tasks.
    fn manifest(&mut self) -> (String, Vec<&'static str>) {
        let more = MORE.into_iter().filter(|_| self.rng.random());
        let paths: Vec<&str> = BASE.into_iter().chain(more).collect();
        let entries: String = paths.iter().map(|path| entry("tasks.bpf.o", path)).collect();
        let walk = entry_with("elem.bpf.o", WALK, &format!("map = {{ pinned = \"{MAP}\" }}"));
        (self.sandbox.with_bpffs(&(entries + &walk)), paths)
    }

    fn saves(&self, text: &str) -> io::Result<()> {
        fs::write(self.sandbox.file("own/new"), text)?;
        fs::rename(self.sandbox.file("own/new"), self.sandbox.file("own/iters.toml"))
    }

    /// Replaces a file by another one with a rename.
    fn puts(&self, from: &str, to: &str) -> io::Result<()> {
        fs::copy(self.sandbox.file(from), self.sandbox.file("own/new"))?;
        fs::rename(self.sandbox.file("own/new"), self.sandbox.file(to))
    }

    fn object(&mut self) -> String {
        self.one_of(&["own/tasks.bpf.o", "own/elem.bpf.o"]).to_owned()
    }

    fn path(&mut self) -> &'static str {
        let all: Vec<&str> = BASE.into_iter().chain(MORE).chain([WALK]).collect();
        self.one_of(&all)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.rng.random_range(0..all.len())]
    }

    /// Waits for some time, at most this many milliseconds.
    fn waits(&mut self, longest: u64) {
        sleep(Duration::from_millis(self.rng.random_range(0..=longest)));
    }
}
