//! A program is the same whether a generated loader or libbpf itself loads it: every iterator of every
//! object is loaded both ways, and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use iterctl::host::execute::parameter;
use iterctl::host::kernel::{IteratorLink, Loaded, load, load_by_libbpf, load_by_loader};
use iterctl::host::object::facts_of;
use iterctl_core::desired::{Globals, ObjectFacts, Program};
use iterctl_core::feature::Feature;
use iterctl_core::ids::MapId;
use iterctl_core::observed::LinkParam;
use iterctl_core::plan::WantedParam;
use iterctl_core::target::Takes;
use libbpf_rs::{MapHandle, MapType};

use super::bpf;
use super::needs::needs;
use super::sandbox::Sandbox;
use super::walked::Cgroup;

mod loaded;

/// Programs that only libbpf itself may load, grouped by the reason.
const ORDINARY: &[(&str, &str)] = &[
    // Their objects have maps of a kind that was not tried, or maps that are left out.
    ("behind_struct_ops", "dump"),
    ("beside_arena", "dump"),
    ("beside_maps", "dump"),
    ("beside_struct_ops", "dump"),
    ("maps_in_maps", "array"),
    ("maps_in_maps", "hash"),
    ("other_maps", "in_queue"),
    ("other_maps", "in_ring"),
    ("other_maps", "in_trie"),
    ("subprograms", "alone"),
    ("target_bpf_sk_storage_map", "dump"),
    ("variables", "one"),
    // They, or other programs of their objects, have externs.
    ("beside_externs", "dump"),
    ("configured", "options"),
    ("configured", "version"),
    ("linked", "function"),
    ("linked", "lacking"),
    ("linked", "symbol"),
    ("linked", "variable"),
    // They are loaded together with another program, or without the map of programs.
    ("tail_call", "dump"),
    ("tail_call", "print"),
];

/// Programs that a generated loader must be able to load on every kernel that has such loaders. Without
/// them, nothing would be compared.
const GENERATED: &[(&str, &str)] = &[
    ("callback", "dump"),
    ("core_kinds", "bits"),
    ("core_kinds", "enums"),
    ("core_kinds", "fields"),
    ("core_kinds", "ids"),
    ("core_kinds", "local_ids"),
    ("core_kinds", "types"),
    ("globals", "dump"),
    ("map_kinds", "dump"),
    ("own_map", "dump"),
    ("own_map_used", "dump"),
    ("subprograms", "called"),
    ("tasks_v1", "dump"),
    ("variables", "all"),
];

#[kernel_test]
fn whichever_way_a_program_is_loaded_it_is_the_same() {
    needs(Feature::Loader);
    needs(Feature::KernelCore);
    let sandbox = Sandbox::new();
    let world = World::new(&sandbox);
    let mut ways: BTreeMap<(String, String), Way> = BTreeMap::new();
    let mut differences = String::new();
    for path in objects() {
        let bytes = fs::read(&path).expect("the object can be read");
        // An object that is refused as a whole is never loaded.
        let Ok(facts) = facts_of(&path, &bytes) else { continue };
        for program in programs(&path, &facts) {
            let name = (stem(&path), program.name.clone());
            match compare(&world, &program, &bytes, &facts) {
                Ok(way) => drop(ways.insert(name, way)),
                Err(why) => differences += &format!("{name:?}: {why}\n"),
            }
        }
    }
    drop(world);
    assert!(differences.is_empty(), "{differences}");

    let of = |way: Way| -> Vec<String> {
        let those = ways.iter().filter(|(_, one)| **one == way);
        those.map(|((object, program), _)| format!("{object} {program}")).collect()
    };
    let [generated, ordinary, neither] = [Way::Generated, Way::Ordinary, Way::Neither].map(of);
    println!("{} by a generated loader: {generated:#?}", generated.len());
    println!("{} by libbpf alone: {ordinary:#?}", ordinary.len());
    println!("{} not at all: {neither:#?}", neither.len());
    assert!(!generated.is_empty());
    let way = |one: &&(&str, &str)| ways.get(&(one.0.to_owned(), one.1.to_owned())).copied();
    let wrong: Vec<_> = ORDINARY
        .iter()
        .filter(|one| !matches!(way(one), Some(Way::Ordinary | Way::Neither)))
        .collect();
    assert!(wrong.is_empty(), "a loader was generated for {wrong:?}, or there is no such program");
    let wrong: Vec<_> = GENERATED.iter().filter(|one| way(one) != Some(Way::Generated)).collect();
    assert!(wrong.is_empty(), "no loader loaded {wrong:?}");
}

/// `BPF_CGROUP_ITER_SELF_ONLY`.
const SELF_ONLY: u32 = 1;

/// How a program was loaded into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By a generated loader, and in the same form by libbpf itself.
    Generated,
    /// Only by libbpf itself.
    Ordinary,
    Neither,
}

/// Loads a program both ways. Returns the difference as an error.
fn compare(
    world: &World,
    program: &Program,
    bytes: &[u8],
    facts: &ObjectFacts,
) -> Result<Way, String> {
    let given = BTreeMap::new();
    let own = own_to_walk(program, facts);
    let walked: BTreeSet<&str> = own.as_deref().into_iter().collect();
    let by_loader = load_by_loader(program, bytes, &given, &walked);
    let by_libbpf = load_by_libbpf(program, bytes, &given, &walked);
    let (by_loader, by_libbpf) = match (by_loader, by_libbpf) {
        (Ok(Some(by_loader)), Ok(by_libbpf)) => (by_loader, by_libbpf),
        (Ok(None), Ok(_)) => return Ok(Way::Ordinary),
        (Ok(Some(_)), Err(why)) => return Err(format!("libbpf alone fails: {why}")),
        (Err(_) | Ok(None), Err(why)) => {
            let why = why.to_string();
            let said = load(program, bytes, &given, &walked).map(|_| "nothing".to_owned());
            let said = said.unwrap_or_else(|error| error.to_string());
            return same("errors", &said, &why).map(|()| Way::Neither);
        }
        (Err(why), Ok(_)) => return Err(format!("the loader fails: {why}")),
    };
    let (one, other) = (loaded::describe(by_loader.as_fd()), loaded::describe(by_libbpf.as_fd()));
    same("numbers of instructions and maps", &one.len(), &other.len())?;
    for (one, other) in one.iter().zip(&other) {
        same("instructions or maps", one, other)?;
    }
    let names = |loaded: &Loaded| loaded.own_maps().keys().cloned().collect::<Vec<_>>();
    same("own maps", &names(&by_loader), &names(&by_libbpf))?;
    let param = world.param(program, own);
    let one = Output::of(&by_loader, program, &param);
    let other = Output::of(&by_libbpf, program, &param);
    one.compare(&other, matches!(param, WantedParam::Link(LinkParam::None)))?;
    Ok(Way::Generated)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, one: &T, other: &T) -> Result<(), String> {
    if one == other {
        return Ok(());
    }
    Err(format!("{what} differ: by a loader {one:?}, by libbpf {other:?}"))
}

/// The output of an iterator, and the error that ends it.
#[derive(Debug, PartialEq, Eq)]
struct Output {
    text: String,
    end: String,
}

impl Output {
    fn of(loaded: &Loaded, program: &Program, param: &WantedParam) -> Self {
        let run = || {
            let (link, _) = parameter(param, loaded)
                .and_then(|param| IteratorLink::attach(loaded, program, &param))
                .map_err(|why| why.to_string())?;
            let mut file = File::from(link.run().map_err(|why| why.to_string())?);
            let mut bytes = Vec::new();
            let end = file.read_to_end(&mut bytes);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Ok::<_, String>(Self {
                text,
                end: end.map_or_else(|why| why.to_string(), |_| String::new()),
            })
        };
        run().unwrap_or_else(|end| Self { text: String::new(), end })
    }

    /// Processes, maps and sockets come and go between two runs, so not all lines can be equal.
    fn compare(&self, other: &Self, may_change: bool) -> Result<(), String> {
        same("ends", &self.end, &other.end)?;
        let lines = |output: &Self| output.text.lines().count();
        if !may_change || lines(self).max(lines(other)) == 1 {
            return same("outputs", &self.text, &other.text);
        }
        let shapes = |output: &Self| output.text.lines().map(shape).collect::<BTreeSet<_>>();
        let first = |output: &Self| output.text.lines().next().map(shape);
        same("first lines", &first(self), &first(other))?;
        let (one, two) = (shapes(self), shapes(other));
        if 2 * one.intersection(&two).count() >= one.len().max(two.len()) {
            return Ok(());
        }
        same("shapes of lines", &one, &two)
    }
}

/// The line with one digit in place of each number.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for character in line.chars() {
        let character = if character.is_ascii_digit() { '0' } else { character };
        if !(matches!(character, '0' | ' ') && shape.ends_with(character)) {
            shape.push(character);
        }
    }
    shape
}

/// Things for iterators to walk.
struct World {
    elements: MapHandle,
    sockets: MapHandle,
    cgroup: Cgroup,
}

impl World {
    #[track_caller]
    fn new(sandbox: &Sandbox) -> Self {
        let elements = bpf::hash_map("both_ways");
        bpf::insert(&elements, (1, 2));
        bpf::insert(&elements, (3, 0));
        Self {
            elements,
            sockets: bpf::map(MapType::Sockmap, "both_ways", 4),
            cgroup: Cgroup::new(sandbox),
        }
    }

    fn param(&self, program: &Program, own: Option<String>) -> WantedParam {
        let map = |map: &MapHandle| WantedParam::Link(LinkParam::Map(MapId(bpf::id(map))));
        let takes = program.target.known().map(|known| known.takes);
        match (takes, own) {
            (Some(Takes::Map), Some(own)) => WantedParam::OwnMap(own),
            (Some(Takes::Map), None) => map(match program.target.as_str() {
                "sockmap" => &self.sockets,
                _ => &self.elements,
            }),
            (Some(Takes::Cgroup), _) => {
                let id = self.cgroup.id("");
                WantedParam::Link(LinkParam::Cgroup { id, order: SELF_ONLY })
            }
            (Some(Takes::Nothing | Takes::Task) | None, _) => WantedParam::Link(LinkParam::None),
        }
    }
}

/// A map of the object's own for an iterator that walks one.
fn own_to_walk(program: &Program, facts: &ObjectFacts) -> Option<String> {
    let walks = program.target.known().is_some_and(|known| known.takes == Takes::Map);
    let first = facts.maps.first().map(|map| map.name.clone());
    first.filter(|_| walks)
}

fn programs(path: &Path, facts: &ObjectFacts) -> Vec<Program> {
    let program = |one: &iterctl_core::fault::Candidate| Program {
        object: path.to_path_buf(),
        sha256: facts.sha256.clone(),
        name: one.program.clone(),
        target: one.target.clone(),
        sleep: one.sleep,
        globals: Globals::default(),
        maps: BTreeMap::new(),
        held: BTreeSet::new(),
        max_entries: BTreeMap::new(),
        externs: BTreeSet::new(),
    };
    facts.iterators.iter().map(program).collect()
}

/// Every object: those of the tests, and the examples if they are there.
#[track_caller]
fn objects() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.expect("it can be listed").path()).collect::<Vec<_>>()
    };
    let folders = listed(&root.join("examples")).into_iter().chain([root.join("tests/objects")]);
    let files = folders.flat_map(|folder| listed(&folder));
    let sources = files.filter(|file| file.to_string_lossy().ends_with(".bpf.c"));
    let mut objects: Vec<PathBuf> = sources.map(|source| source.with_extension("o")).collect();
    objects.sort();
    let missing: Vec<_> = objects.iter().filter(|object| !object.is_file()).collect();
    assert!(missing.is_empty(), "{missing:?} are missing: run `make objects`");
    objects
}

fn stem(path: &Path) -> String {
    let name = path.file_name().expect("a file has a name").to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}
