//! What may be desired and what may exist, with so few names that the two often meet.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use iterctl_core::access::{Meta, Mode};
use iterctl_core::desired::{
    CgroupRef, Desired, DesiredPin, DirectoryAccess, Globals, KeyPlaces, MapRef, Naming, Order,
    Param, Program, Set, Wanted,
};
use iterctl_core::fault::Place;
use iterctl_core::globals::Patch;
use iterctl_core::ids::MapId;
use iterctl_core::names::Sha256;
use iterctl_core::observed::{
    CgroupProblem, Kind, LinkParam, MapProblem, Node, Observed, ObservedPin, Provenance,
};
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::Foreign;
use iterctl_core::stamp::InvalidStamp;
use iterctl_core::target::{Sleep, Target};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

use crate::model::{Loaded, Nodes, OWN_MAPS, is_below};

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) desired: Desired,
    pub(crate) observed: Observed,
}

pub(crate) fn worlds() -> impl Strategy<Value = World> {
    let wanted = vec((paths(), pins()), 0..=8);
    let there = vec((paths(), found()), 0..=10);
    let root = prop_oneof![Just(None), metas().prop_map(Some)];
    (wanted, there, root, maps(), cgroups()).prop_map(|(wanted, there, root, maps, cgroups)| {
        let desired = desired(wanted);
        let named = Observed { root, maps, cgroups, ..Observed::default() };
        let nodes = nodes(there, &desired, &named);
        World { desired, observed: Observed { nodes, ..named } }
    })
}

pub(crate) fn foreign() -> impl Strategy<Value = Foreign> {
    select(vec![Foreign::Refuse, Foreign::Adopt])
}

pub(crate) fn path_sets() -> impl Strategy<Value = BTreeSet<PinPath>> {
    btree_set(paths(), 0..=6)
}

fn paths() -> impl Strategy<Value = PinPath> {
    let all = ["a", "a/b", "a/b/c", "a/b/d", "a/c", "a/c/d/e", "b", "b/c", "b/c/d", "b/d", "c"];
    select(all.map(|path| path.parse().expect("a pin path")).to_vec())
}

/// As `desired` guarantees, no path is another's parent.
fn desired(wanted: Vec<(PinPath, DesiredPin)>) -> Desired {
    let mut pins = BTreeMap::<PinPath, DesiredPin>::new();
    for (path, pin) in wanted {
        if !pins.keys().any(|other| is_below(other, &path) || is_below(&path, other)) {
            pins.insert(path, pin);
        }
    }
    Desired {
        set: set("observe"),
        bpffs: PathBuf::from("/sys/fs/bpf"),
        pins,
        left_out: BTreeSet::new(),
        warnings: Vec::new(),
    }
}

fn set(name: &str) -> Set {
    let name = name.parse().expect("a set name");
    Set { name, naming: Naming::Written, source: vec!["/etc/iters.toml".to_owned()] }
}

fn pins() -> impl Strategy<Value = DesiredPin> {
    let given = (programs(), globals(), given_maps(), sizes());
    (given, params(), metas(), directories()).prop_map(|(given, param, meta, directory)| {
        let (program, globals, maps, mut max_entries) = given;
        // As `desired` guarantees, no map that is given has a size.
        max_entries.retain(|name, _| !maps.contains_key(name));
        let held = maps.keys().cloned().collect();
        let program = Arc::new(Program { globals, maps, held, max_entries, ..program });
        let param = match param {
            // As `desired` guarantees, an own map is not one that is given.
            Param::OwnMap(name) if program.maps.contains_key(&name) => Param::None,
            param @ (Param::None
            | Param::Map(_)
            | Param::OwnMap(_)
            | Param::Thread(_)
            | Param::Process(_)
            | Param::Cgroup(..)) => param,
        };
        let place = || Place::new(0, 0..0);
        let keys = KeyPlaces { obj: place(), param: None, maps: BTreeMap::new() };
        let directory = DirectoryAccess {
            uid: directory.uid.map_or(Wanted::Default(meta.uid), Wanted::Stated),
            gid: directory.gid.map_or(Wanted::Default(meta.gid), Wanted::Stated),
            mode: directory.mode,
        };
        DesiredPin { program, param, meta, directory, place: place(), keys }
    })
}

/// Two objects of one program, another program, and another target.
fn programs() -> impl Strategy<Value = Program> {
    let program = |digest: u8, name: &str, target: &str| Program {
        object: PathBuf::from("/opt/many.bpf.o"),
        sha256: Sha256::from([digest; 32]),
        name: name.to_owned(),
        target: Target::new(target),
        sleep: Sleep::Never,
        globals: Globals::default(),
        maps: BTreeMap::new(),
        held: BTreeSet::new(),
        externs: BTreeSet::new(),
        max_entries: BTreeMap::new(),
    };
    select(vec![
        program(1, "dump", "task"),
        program(2, "dump", "task"),
        program(1, "walk", "task"),
        program(1, "dump", "bpf_map_elem"),
    ])
}

/// No globals, two different ones, and two spellings of one.
fn globals() -> impl Strategy<Value = Globals> {
    let level = |byte: u8, text: &str| {
        let patch = Patch { section: ".rodata".to_owned(), offset: 0, bytes: vec![byte] };
        Globals { patches: vec![patch], text: text.to_owned() }
    };
    prop_oneof![
        3 => Just(Globals::default()),
        2 => select(vec![
            level(1, "{ level = 1 }"),
            level(1, "{ level = \"LOW\" }"),
            level(2, "{ level = 2 }"),
        ]),
    ]
}

fn given_maps() -> impl Strategy<Value = BTreeMap<String, MapRef>> {
    let one = || prop_oneof![3 => Just(None), 1 => select(map_refs().to_vec()).prop_map(Some)];
    [one(), one()].prop_map(|maps| {
        let names = OWN_MAPS.into_iter().map(str::to_owned);
        names.zip(maps).filter_map(|(name, map)| Some((name, map?))).collect()
    })
}

fn sizes() -> impl Strategy<Value = BTreeMap<String, NonZeroU32>> {
    let sizes = vec![NonZeroU32::MIN, NonZeroU32::MAX];
    let one = || prop_oneof![3 => Just(None), 1 => select(sizes.clone()).prop_map(Some)];
    [one(), one()].prop_map(|sizes| {
        let names = OWN_MAPS.into_iter().map(str::to_owned);
        names.zip(sizes).filter_map(|(name, size)| Some((name, size?))).collect()
    })
}

fn map_refs() -> [MapRef; 3] {
    [
        MapRef::Id(MapId(20)),
        MapRef::Pinned(PathBuf::from("/sys/fs/bpf/conns")),
        MapRef::Name("conns".parse().expect("a map name")),
    ]
}

fn slices() -> [PathBuf; 2] {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/system.slice"].map(PathBuf::from)
}

fn params() -> impl Strategy<Value = Param> {
    let orders = select(vec![Order::SelfOnly, Order::DescendantsPre]);
    let cgroup = prop_oneof![
        2 => select(slices().map(CgroupRef::Path).to_vec()),
        1 => select(vec![CgroupRef::Id(1), CgroupRef::Id(2)]),
    ];
    let own = select(OWN_MAPS.map(str::to_owned).to_vec());
    prop_oneof![
        3 => Just(Param::None),
        2 => select(map_refs().to_vec()).prop_map(Param::Map),
        2 => own.prop_map(Param::OwnMap),
        1 => select(vec![1, 2]).prop_map(Param::Thread),
        1 => select(vec![1, 2]).prop_map(Param::Process),
        2 => (cgroup, orders).prop_map(|(cgroup, order)| Param::Cgroup(cgroup, order)),
    ]
}

/// Most cgroups are there; others are not, or were not looked for.
fn cgroups() -> impl Strategy<Value = BTreeMap<PathBuf, Result<u64, CgroupProblem>>> {
    let why = "No such file or directory".to_owned();
    let gone = CgroupProblem::Unusable(why);
    let cgroup = || {
        prop_oneof![
            6 => select(vec![1, 2]).prop_map(|id| Some(Ok(id))),
            1 => Just(Some(Err(gone.clone()))),
            1 => Just(None),
        ]
    };
    [cgroup(), cgroup()].prop_map(|found| {
        let cgroups = slices().into_iter().zip(found);
        cgroups.filter_map(|(path, found)| Some((path, found?))).collect()
    })
}

/// Most maps are there; others have a problem, or were not looked for.
fn maps() -> impl Strategy<Value = BTreeMap<MapRef, Result<MapId, MapProblem>>> {
    let map = prop_oneof![
        12 => select(vec![20, 31]).prop_map(|id| Some(Ok(MapId(id)))),
        1 => select(vec![
            MapProblem::Missing,
            MapProblem::Ambiguous(vec![MapId(20), MapId(31)]),
            MapProblem::Unsettled(vec![MapId(20), MapId(31)], "EPERM".to_owned()),
            MapProblem::NotAMap(Kind::Program),
            MapProblem::Unreadable("EACCES".to_owned()),
        ])
        .prop_map(|problem| Some(Err(problem))),
        1 => Just(None),
    ];
    [map.clone(), map.clone(), map].prop_map(|found| {
        let maps = map_refs().into_iter().zip(found);
        maps.filter_map(|(map, found)| found.map(|found| (map, found))).collect()
    })
}

fn metas() -> impl Strategy<Value = Meta> {
    (modes(), select(vec![0, 7]), select(vec![0, 8])).prop_map(|(mode, uid, gid)| Meta {
        mode,
        uid,
        gid,
    })
}

/// Few pins state something about their directories.
#[derive(Clone, Debug)]
struct Directories {
    mode: Wanted<Mode>,
    uid: Option<u32>,
    gid: Option<u32>,
}

fn directories() -> impl Strategy<Value = Directories> {
    let modes = [0o700, 0o711, 0o2750].map(Mode::from_stat).to_vec();
    let mode = prop_oneof![
        3 => Just(Wanted::Default(Mode::from_stat(0o700))),
        1 => select(modes).prop_map(Wanted::Stated),
    ];
    let id = || select(vec![None, None, None, Some(0), Some(9)]);
    (mode, id(), id()).prop_map(|(mode, uid, gid)| Directories { mode, uid, gid })
}

fn modes() -> impl Strategy<Value = Mode> {
    select(vec![Mode::from_stat(0o600), Mode::from_stat(0o755)])
}

/// What exists at a path.
#[derive(Clone, Debug)]
enum Found {
    /// An unrelated pin, for everything that is not as desired.
    Pin(Whose, What, Box<DesiredPin>, LinkParam),
    Directory(Meta),
    Other(Kind),
}

#[derive(Clone, Debug)]
enum Whose {
    Ours,
    AnotherSets,
    NoSets(Provenance),
}

#[derive(Clone, Copy, Debug)]
enum What {
    Any,
    /// As desired at that path, if anything is desired there.
    AsWanted,
    /// As desired, except for the program.
    OtherProgram,
    /// As desired, except for the link's parameter.
    OtherParam,
    /// As desired, but loaded by a version that stamped no globals, maps and sizes.
    OlderStamp,
    /// As desired, except for mode, owner and group.
    OtherMeta,
}

fn found() -> impl Strategy<Value = Found> {
    let mut kinds = vec![Kind::Map, Kind::Program, Kind::Link("tracing".to_owned()), Kind::Symlink];
    kinds.extend([Kind::Mount, Kind::Bpffs("/run/bpf".into())]);
    prop_oneof![
        8 => (whose(), what(), pins(), link_params())
            .prop_map(|(whose, what, pin, param)| Found::Pin(whose, what, Box::new(pin), param)),
        1 => metas().prop_map(Found::Directory),
        1 => select(kinds).prop_map(Found::Other),
    ]
}

fn whose() -> impl Strategy<Value = Whose> {
    let illegible = Provenance::Illegible(InvalidStamp::Format(2));
    let provenances = vec![Provenance::Unstamped, illegible, Provenance::OtherUser(990)];
    prop_oneof![
        6 => Just(Whose::Ours),
        1 => Just(Whose::AnotherSets),
        1 => select(provenances).prop_map(Whose::NoSets),
    ]
}

fn what() -> impl Strategy<Value = What> {
    use What::{Any, AsWanted, OlderStamp, OtherMeta, OtherParam, OtherProgram};
    prop_oneof![
        4 => select(vec![AsWanted, OlderStamp]),
        4 => select(vec![Any, OtherProgram, OtherParam, OtherMeta]),
    ]
}

fn link_params() -> impl Strategy<Value = LinkParam> {
    select(vec![
        LinkParam::None,
        LinkParam::Map(MapId(20)),
        LinkParam::Map(MapId(31)),
        LinkParam::Thread(1),
        LinkParam::Process(1),
        LinkParam::Cgroup { id: 1, order: 2 },
        LinkParam::Cgroup { id: 1, order: 9 },
    ])
}

/// A tree of what was found; what does not fit into it is left out.
fn nodes(there: Vec<(PinPath, Found)>, desired: &Desired, named: &Observed) -> Nodes {
    let mut nodes = Nodes::new();
    for (number, (path, found)) in (1..).zip(there) {
        let is_file = |path: &PinPath| !matches!(nodes.get(path), None | Some(Node::Directory(_)));
        if nodes.contains_key(&path) || path.ancestors().any(|parent| is_file(&parent)) {
            continue;
        }
        for parent in path.ancestors() {
            nodes.entry(parent).or_insert(Node::Directory(Meta {
                mode: Mode::from_stat(0o711),
                uid: 5,
                gid: 6,
            }));
        }
        nodes.insert(path.clone(), node(&path, found, number, desired, named));
    }
    nodes
}

fn node(path: &PinPath, found: Found, number: u32, desired: &Desired, named: &Observed) -> Node {
    let (whose, what, any, any_param) = match found {
        Found::Pin(whose, what, pin, param) => (whose, what, *pin, param),
        Found::Directory(meta) => return Node::Directory(meta),
        Found::Other(kind) => return Node::Other(kind),
    };
    let of_set = match whose {
        Whose::Ours | Whose::NoSets(_) => desired.set.clone(),
        Whose::AnotherSets => set("audit"),
    };
    let want = desired.pins.get(path).cloned();
    let (pin, its_param) = match (want, what) {
        (None, _) | (Some(_), What::Any) => (any, Some(any_param)),
        (Some(want), What::OtherParam) => (want, Some(any_param)),
        (Some(want), What::AsWanted | What::OlderStamp) => (want, None),
        (Some(want), What::OtherProgram) => (DesiredPin { program: any.program, ..want }, None),
        (Some(want), What::OtherMeta) => (DesiredPin { meta: any.meta, ..want }, None),
    };
    // A map that cannot be looked up now may have existed when the pin was made.
    let given = pin.program.maps.iter();
    let given = given.filter_map(|(name, map)| Some((name.clone(), looked_up(map, named)?)));
    let loaded = Loaded::new(&of_set, &pin.program, &given.collect(), number);
    let own_map = |name: &str| loaded.own_map(name);
    let param = its_param.or_else(|| resolved(&pin.param, named, own_map));
    let mut pin = loaded.pinned(&pin, param.unwrap_or(LinkParam::None), number);
    if let (What::OlderStamp, Provenance::Stamped(stamp)) = (what, &mut pin.provenance) {
        let stamp = Arc::make_mut(stamp);
        (stamp.globals, stamp.maps, stamp.max_entries, stamp.own_maps) = Default::default();
    }
    Node::Iterator(match whose {
        Whose::Ours | Whose::AnotherSets => pin,
        Whose::NoSets(provenance) => ObservedPin { provenance, ..pin },
    })
}

/// The parameter that a link must have; `None` if a name in it cannot be looked up.
pub(crate) fn resolved(
    param: &Param,
    named: &Observed,
    own_map: impl Fn(&str) -> Option<MapId>,
) -> Option<LinkParam> {
    Some(match param {
        Param::None => LinkParam::None,
        Param::Map(map) => LinkParam::Map(looked_up(map, named)?),
        Param::OwnMap(name) => LinkParam::Map(own_map(name)?),
        Param::Thread(tid) => LinkParam::Thread(*tid),
        Param::Process(pid) => LinkParam::Process(*pid),
        Param::Cgroup(cgroup, order) => {
            let id = match cgroup {
                CgroupRef::Id(id) => *id,
                CgroupRef::Path(path) => *named.cgroups.get(path)?.as_ref().ok()?,
            };
            // include/uapi/linux/bpf.h, `enum bpf_cgroup_iter_order`.
            let order = match order {
                Order::SelfOnly => 1,
                Order::DescendantsPre => 2,
                Order::DescendantsPost => 3,
                Order::AncestorsUp => 4,
                Order::Children => 5,
            };
            LinkParam::Cgroup { id, order }
        }
    })
}

/// The id of that map, if it can be used.
pub(crate) fn looked_up(map: &MapRef, named: &Observed) -> Option<MapId> {
    named.maps.get(map)?.as_ref().ok().copied()
}
