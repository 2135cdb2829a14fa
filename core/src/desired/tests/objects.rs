//! The facts about the objects that the cases name.

use std::collections::BTreeMap;

use crate::anatomy::Extern;
use crate::anatomy::{Anatomy, Needs};
use crate::desired::{ObjectFacts, ObjectMap};
use crate::fault::{Candidate, ObjectFault};
use crate::globals::{Global, Member, Type};
use crate::names::Sha256;
use crate::target::{Sleep, Target};

pub(super) fn holding(iterators: &[&str]) -> Result<ObjectFacts, ObjectFault> {
    let candidate = |text: &&str| {
        let (target, program) = text.split_once('/').expect("TARGET/PROGRAM");
        let (program, target) = (program.to_owned(), Target::new(target));
        Candidate { program, target, sleep: Sleep::Never, context: None }
    };
    let iterators = iterators.iter().map(candidate).collect();
    let map = |name: &str| ObjectMap { name: name.to_owned(), ..ObjectMap::default() };
    Ok(ObjectFacts {
        sha256: Sha256::from([0xab; 32]),
        iterators,
        maps: ["seen", "counts"].map(map).to_vec(),
        globals: globals(),
        externs: Vec::new(),
        anatomy: Anatomy::default(),
    })
}

pub(super) fn without_maps(facts: ObjectFacts) -> ObjectFacts {
    ObjectFacts { maps: Vec::new(), ..facts }
}

fn names(names: &[&str]) -> std::collections::BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// An object with one iterator, which needs only some of its maps.
pub(super) fn needy(iterator: &str) -> Result<ObjectFacts, ObjectFault> {
    let map = |name: &str, lacks_size, is_pinned_by_name| ObjectMap {
        name: name.to_owned(),
        lacks_size,
        is_pinned_by_name,
    };
    let facts = holding(&[iterator])?;
    let is_elem = iterator.starts_with("bpf_map_elem");
    let needs = Needs {
        maps: names(if is_elem { &[] } else { &["open", "seen", "shared"] }),
        held: names(if is_elem { &[] } else { &["open", "seen"] }),
        externs: names(&["strong", "weak"]),
        ..Needs::default()
    };
    let name = facts.iterators[0].program.clone();
    Ok(ObjectFacts {
        maps: vec![
            map("open", true, false),
            map("other", true, false),
            map("seen", false, false),
            map("shared", false, true),
        ],
        externs: ["strong", "weak"].map(|name| Extern::Function(name.to_owned())).to_vec(),
        anatomy: Anatomy {
            programs: [(name, needs)].into(),
            licence: Some("GPL".to_owned()),
            weak: names(&["weak"]),
        },
        ..facts
    })
}

/// An object whose programs cannot be loaded, except `silent`.
pub(super) fn bad() -> Result<ObjectFacts, ObjectFault> {
    let mut facts =
        holding(&["tasks/misspelt", "tcp/sleeps", "task/prints", "task/calls", "task/silent"])?;
    facts.iterators[1].sleep = Sleep::Allowed;
    let prints = Needs { helpers: [126].into(), ..Needs::default() };
    let programs = BTreeMap::from([
        ("prints".to_owned(), prints),
        ("calls".to_owned(), Needs { externs: names(&["f"]), ..Needs::default() }),
        ("silent".to_owned(), Needs { helpers: [1].into(), ..Needs::default() }),
    ]);
    let licence = Some("Apache-2.0".to_owned());
    facts.externs = vec![Extern::Function("f".to_owned())];
    facts.anatomy = Anatomy { programs, licence, ..Anatomy::default() };
    Ok(facts)
}

/// An object whose program can be loaded, but is likely a mistake.
pub(super) fn odd() -> Result<ObjectFacts, ObjectFault> {
    let mut facts = holding(&["task/odd"])?;
    facts.iterators[0].context = Some("tcp".to_owned());
    let needs = Needs { reads_fixed_layout: true, ..Needs::default() };
    facts.anatomy.programs = [("odd".to_owned(), needs)].into();
    Ok(facts)
}

/// The variables of every object.
fn globals() -> Vec<Global> {
    let u8 = || Type::Int { size: 1, signed: false };
    let member = |name: &str, offset| Member { name: name.to_owned(), offset, kind: u8() };
    let kinds = [
        ("level", Type::Int { size: 1, signed: true }),
        ("enabled", Type::Bool),
        ("name", Type::Array { element: Box::new(Type::Char { signed: true }), length: 4 }),
        ("ports", Type::Array { element: Box::new(u8()), length: 3 }),
        (
            "kind",
            Type::Enum {
                size: 4,
                signed: false,
                values: vec![("TCP".to_owned(), 6), ("UDP".to_owned(), 17)],
            },
        ),
        ("range", Type::Struct { size: 2, members: vec![member("from", 0), member("to", 1)] }),
        ("next", Type::Other { what: "a pointer".to_owned(), size: 8 }),
    ];
    let global = |(offset, (name, kind)): (usize, (&str, Type))| Global {
        name: name.to_owned(),
        section: ".rodata".to_owned(),
        offset,
        kind,
    };
    (0..).step_by(16).zip(kinds).map(global).collect()
}
