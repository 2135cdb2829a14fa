//! What may be desired and what may be there, over so few names that the two often meet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use iterctl::desired::{Desired, DesiredPin, MapRef, Naming, Param, Program, Set};
use iterctl::fault::Place;
use iterctl::meta::{MapId, Meta, Mode};
use iterctl::observed::{Kind, LinkParam, MapProblem, Node, Observed, ObservedPin, Provenance};
use iterctl::path::{PinPath, Sha256};
use iterctl::plan::Foreign;
use iterctl::stamp::InvalidStamp;
use iterctl::target::Target;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

use crate::model::{Nodes, is_below, pinned};

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) desired: Desired,
    pub(crate) observed: Observed,
}

pub(crate) fn worlds() -> impl Strategy<Value = World> {
    let wanted = vec((paths(), pins()), 0..=8);
    let there = vec((paths(), found()), 0..=10);
    (wanted, there, maps()).prop_map(|(wanted, there, maps)| {
        let desired = desired(wanted);
        let nodes = nodes(there, &desired, &maps);
        World { desired, observed: Observed { nodes, maps } }
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
    Desired { set: set("observe"), bpffs: PathBuf::from("/sys/fs/bpf"), pins }
}

fn set(name: &str) -> Set {
    let name = name.parse().expect("a set name");
    Set { name, naming: Naming::Written, source: vec!["/etc/iters.toml".to_owned()] }
}

fn pins() -> impl Strategy<Value = DesiredPin> {
    (programs(), params(), metas(), modes()).prop_map(|(program, param, meta, dir_mode)| {
        DesiredPin { program: Arc::new(program), param, meta, dir_mode, place: Place::new(0, 0..0) }
    })
}

/// Two objects of one program, another program, and another target.
fn programs() -> impl Strategy<Value = Program> {
    let program = |digest: u8, name: &str, target: &str| Program {
        object: PathBuf::from("/opt/many.bpf.o"),
        sha256: Sha256::from([digest; 32]),
        name: name.to_owned(),
        target: Target::new(target),
    };
    select(vec![
        program(1, "dump", "task"),
        program(2, "dump", "task"),
        program(1, "walk", "task"),
        program(1, "dump", "bpf_map_elem"),
    ])
}

fn map_refs() -> [MapRef; 3] {
    [
        MapRef::Id(MapId(20)),
        MapRef::Pinned(PathBuf::from("/sys/fs/bpf/conns")),
        MapRef::Name("conns".parse().expect("a map name")),
    ]
}

fn params() -> impl Strategy<Value = Param> {
    prop_oneof![3 => Just(Param::None), 2 => select(map_refs().to_vec()).prop_map(Param::Map)]
}

/// Most maps are there; others have a problem, or were not looked for.
fn maps() -> impl Strategy<Value = BTreeMap<MapRef, Result<MapId, MapProblem>>> {
    let map = prop_oneof![
        12 => select(vec![20, 31]).prop_map(|id| Some(Ok(MapId(id)))),
        1 => select(vec![
            MapProblem::Missing,
            MapProblem::Ambiguous(vec![MapId(20), MapId(31)]),
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

fn modes() -> impl Strategy<Value = Mode> {
    select(vec![Mode::of_stat(0o600), Mode::of_stat(0o755)])
}

/// What stands at a path.
#[derive(Clone, Debug)]
enum Found {
    /// The last two are what is not as desired there.
    Pin(Whose, What, DesiredPin, LinkParam),
    Directory(Meta),
    Other(Kind),
}

#[derive(Clone, Debug)]
enum Whose {
    Ours,
    AnotherSets,
    Nobodys(Provenance),
}

#[derive(Clone, Copy, Debug)]
enum What {
    Any,
    /// What is desired there, if anything is.
    AsWanted,
    /// The same but for the program.
    OtherProgram,
    /// The same but for the link's parameter.
    OtherParam,
    /// The same but for mode, owner and group.
    OtherMeta,
}

fn found() -> impl Strategy<Value = Found> {
    let kinds = vec![Kind::Map, Kind::Program, Kind::Link("tracing".to_owned()), Kind::Symlink];
    prop_oneof![
        8 => (whose(), what(), pins(), link_params())
            .prop_map(|(whose, what, pin, param)| Found::Pin(whose, what, pin, param)),
        1 => metas().prop_map(Found::Directory),
        1 => select(kinds).prop_map(Found::Other),
    ]
}

fn whose() -> impl Strategy<Value = Whose> {
    let nobodys = vec![Provenance::Unstamped, Provenance::Illegible(InvalidStamp::Format(2))];
    prop_oneof![
        6 => Just(Whose::Ours),
        1 => Just(Whose::AnotherSets),
        1 => select(nobodys).prop_map(Whose::Nobodys),
    ]
}

fn what() -> impl Strategy<Value = What> {
    use What::{Any, AsWanted, OtherMeta, OtherParam, OtherProgram};
    select(vec![Any, AsWanted, OtherProgram, OtherParam, OtherMeta])
}

fn link_params() -> impl Strategy<Value = LinkParam> {
    select(vec![
        LinkParam::None,
        LinkParam::Map(MapId(20)),
        LinkParam::Map(MapId(31)),
        LinkParam::Thread(1),
        LinkParam::Cgroup { id: 1, order: 2 },
    ])
}

/// A tree of what was found; what does not fit into it is left out.
fn nodes(
    there: Vec<(PinPath, Found)>,
    desired: &Desired,
    maps: &BTreeMap<MapRef, Result<MapId, MapProblem>>,
) -> Nodes {
    let mut nodes = Nodes::new();
    for (number, (path, found)) in (1..).zip(there) {
        let is_file = |path: &PinPath| !matches!(nodes.get(path), None | Some(Node::Directory(_)));
        if nodes.contains_key(&path) || path.ancestors().any(|parent| is_file(&parent)) {
            continue;
        }
        for parent in path.ancestors() {
            nodes.entry(parent).or_insert(Node::Directory(Meta {
                mode: Mode::of_stat(0o711),
                uid: 5,
                gid: 6,
            }));
        }
        nodes.insert(path.clone(), node(&path, found, number, desired, maps));
    }
    nodes
}

fn node(
    path: &PinPath,
    found: Found,
    number: u32,
    desired: &Desired,
    maps: &BTreeMap<MapRef, Result<MapId, MapProblem>>,
) -> Node {
    let (whose, what, any, param) = match found {
        Found::Pin(whose, what, pin, param) => (whose, what, pin, param),
        Found::Directory(meta) => return Node::Directory(meta),
        Found::Other(kind) => return Node::Other(kind),
    };
    let of_set = match whose {
        Whose::Ours | Whose::Nobodys(_) => desired.set.clone(),
        Whose::AnotherSets => set("audit"),
    };
    let any = (any, param);
    let (pin, param) = match desired.pins.get(path).cloned() {
        None => any,
        Some(want) => {
            let wanted_param = resolved(&want.param, maps);
            match what {
                What::Any => any,
                What::AsWanted => (want, wanted_param),
                What::OtherProgram => (DesiredPin { program: any.0.program, ..want }, wanted_param),
                What::OtherParam => (want, param),
                What::OtherMeta => (DesiredPin { meta: any.0.meta, ..want }, wanted_param),
            }
        }
    };
    let pin = pinned(&of_set, &pin, param, number);
    Node::Iterator(match whose {
        Whose::Ours | Whose::AnotherSets => pin,
        Whose::Nobodys(provenance) => ObservedPin { provenance, ..pin },
    })
}

/// The parameter that a link must have; none where the map cannot be used.
pub(crate) fn resolved(
    param: &Param,
    maps: &BTreeMap<MapRef, Result<MapId, MapProblem>>,
) -> LinkParam {
    match param {
        Param::None => LinkParam::None,
        Param::Map(map) => match maps.get(map) {
            Some(Ok(id)) => LinkParam::Map(*id),
            Some(Err(_)) | None => LinkParam::None,
        },
    }
}
