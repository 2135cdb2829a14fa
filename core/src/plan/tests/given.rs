//! Plans for parameters, globals and the maps that a program is given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::case::{
    check, check_pin, dir, from, given, max_entries, named, ours, ours_but, over, owned_by, pinned,
    put, sized, stamped, taking, task, unstamped, walking, want,
};
use crate::desired::{CgroupRef, DesiredPin, Globals, MapRef, Order, Param};
use crate::globals::Patch;
use crate::ids::MapId;
use crate::names::Sha256;
use crate::observed::{Kind, LinkParam, MapProblem, Node, ObservedPin};

fn id(number: u32) -> MapRef {
    MapRef::Id(MapId(number))
}

fn own(name: &str) -> DesiredPin {
    taking(Param::OwnMap(name.to_owned()))
}

fn slice() -> PathBuf {
    PathBuf::from("/sys/fs/cgroup/system.slice")
}

#[test]
fn equal_parameters_are_left_alone() {
    #[track_caller]
    fn right(param: Param, have: LinkParam) {
        check(want(&[("a", taking(param))]).have(&[("a", over(have))]), &["= a"]);
    }
    right(Param::Thread(7), LinkParam::Thread(7));
    right(Param::Process(7), LinkParam::Process(7));
    for (order, number) in [
        (Order::SelfOnly, 1),
        (Order::DescendantsPre, 2),
        (Order::DescendantsPost, 3),
        (Order::AncestorsUp, 4),
        (Order::Children, 5),
    ] {
        let have = LinkParam::Cgroup { id: u64::MAX, order: number };
        right(Param::Cgroup(CgroupRef::Id(u64::MAX), order), have);
    }
}

#[test]
fn changed_parameters_are_replaced() {
    #[track_caller]
    fn drifted(param: Param, have: LinkParam, words: &str) {
        let case = want(&[("a", taking(param))]).have(&[("a", over(have))]);
        check(case, &[&format!("replace a: parameter changed: {words}")]);
    }
    let from = |id, order| LinkParam::Cgroup { id, order };
    let to = |id, order| Param::Cgroup(CgroupRef::Id(id), order);
    drifted(Param::Thread(2), LinkParam::Thread(1), "tid 1 -> tid 2");
    drifted(Param::Process(2), LinkParam::Process(1), "pid 1 -> pid 2");
    drifted(Param::Process(1), LinkParam::Thread(1), "tid 1 -> pid 1");
    drifted(Param::Thread(1), LinkParam::Process(1), "pid 1 -> tid 1");
    drifted(Param::Thread(1), LinkParam::None, "none -> tid 1");
    drifted(Param::None, LinkParam::Process(1), "pid 1 -> none");
    drifted(Param::Thread(1), LinkParam::Map(MapId(1)), "map 1 -> tid 1");
    drifted(to(2, Order::SelfOnly), from(1, 1), "cgroup 1 self-only -> cgroup 2 self-only");
    drifted(
        to(1, Order::DescendantsPost),
        from(1, 2),
        "cgroup 1 descendants-pre -> cgroup 1 descendants-post",
    );
    drifted(to(1, Order::Children), from(1, 9), "cgroup 1 order 9 -> cgroup 1 children");
    drifted(to(1, Order::AncestorsUp), LinkParam::None, "none -> cgroup 1 ancestors-up");
}

#[test]
fn new_pins_get_their_parameter() {
    check(want(&[("a", taking(Param::Thread(1)))]), &["pin a tid 1"]);
    check(want(&[("a", own("seen"))]), &["pin a own map seen"]);
    let walk = taking(Param::Cgroup(CgroupRef::Path(slice()), Order::SelfOnly));
    check(want(&[("a", walk)]).cgroup(&slice(), Ok(5)), &["pin a cgroup 5 self-only"]);
    check(want(&[("a", walking(named()))]).map(named(), Ok(31)), &["pin a map 31"]);
}

#[test]
fn a_cgroup_is_found_by_its_directory() {
    let walk = || taking(Param::Cgroup(CgroupRef::Path(slice()), Order::SelfOnly));
    let have = || over(LinkParam::Cgroup { id: 5, order: 1 });
    let found = |id| want(&[("a", walk())]).cgroup(&slice(), Ok(id)).have(&[("a", have())]);
    check(found(5), &["= a"]);
    let lines = ["replace a: parameter changed: cgroup 5 self-only -> cgroup 6 self-only"];
    check(found(6), &lines);
}

#[test]
fn a_cgroup_that_cannot_be_used_is_an_obstacle() {
    let walk = || taking(Param::Cgroup(CgroupRef::Path(slice()), Order::SelfOnly));
    let have = || over(LinkParam::Cgroup { id: 5, order: 1 });
    let gone = || Err("No such file or directory");
    let lines = ["! a needs /sys/fs/cgroup/system.slice: No such file or directory"];
    check(want(&[("a", walk())]).cgroup(&slice(), gone()), &lines);
    check(want(&[("a", walk())]).cgroup(&slice(), gone()).have(&[("a", have())]), &lines);
    let lines = ["! a needs /sys/fs/cgroup/system.slice: it was not looked for"];
    check(want(&[("a", walk())]).cgroup(Path::new("/sys/fs/cgroup"), Ok(1)), &lines);
    let plan = want(&[("a", walk())]).cgroup(&slice(), gone()).plan();
    let words: Vec<_> = plan.obstacles.iter().map(ToString::to_string).collect();
    assert_eq!(words, ["cgroup /sys/fs/cgroup/system.slice: No such file or directory"]);
}

/// A pin over map 7, loaded with the maps `seen`, 7, and `counts`, 8.
fn over_seen() -> Node {
    ours_but(|pin, stamp| {
        pin.link.param = LinkParam::Map(MapId(7));
        stamp.own_maps = [("seen".to_owned(), 7), ("counts".to_owned(), 8)].into();
    })
}

#[test]
fn an_own_map_is_known_by_the_stamp() {
    #[track_caller]
    fn drifted(have: Node, words: &str) {
        let case = want(&[("a", own("seen"))]).have(&[("a", have)]);
        check(case, &[&format!("replace a: parameter changed: {words}")]);
    }
    check(want(&[("a", own("seen"))]).have(&[("a", over_seen())]), &["= a"]);
    check(
        want(&[("a", own("counts"))]).have(&[("a", over_seen())]),
        &["replace a: parameter changed: map 7 -> own map counts"],
    );
    let other = |param| {
        ours_but(|pin, stamp| {
            pin.link.param = param;
            stamp.own_maps = [("seen".to_owned(), 7)].into();
        })
    };
    drifted(other(LinkParam::Map(MapId(8))), "map 8 -> own map seen");
    drifted(other(LinkParam::None), "none -> own map seen");
    drifted(other(LinkParam::Thread(7)), "tid 7 -> own map seen");
    drifted(over(LinkParam::Map(MapId(7))), "map 7 -> own map seen");
    let renamed = ours_but(|pin, stamp| {
        pin.link.param = LinkParam::Map(MapId(7));
        stamp.own_maps = [("old".to_owned(), 7)].into();
    });
    drifted(renamed, "map 7 -> own map seen");
}

#[test]
fn an_own_map_and_an_existing_one_are_told_apart_by_id_alone() {
    let case = want(&[("a", walking(id(7)))]).map(id(7), Ok(7));
    check(case.have(&[("a", over_seen())]), &["= a"]);
    let case = want(&[("a", walking(id(9)))]).map(id(9), Ok(9));
    check(case.have(&[("a", over_seen())]), &["replace a: map changed: 7 -> 9"]);
}

#[test]
fn a_changed_object_is_the_only_reason_for_its_own_map() {
    let have = stamped(over_seen(), |stamp| stamp.sha256 = Sha256::from([2; 32]));
    check(want(&[("a", own("seen"))]).have(&[("a", have)]), &["replace a: object changed"]);
}

#[test]
fn a_stamp_tells_own_maps_also_when_it_is_adopted() {
    let adopt = |have: Node| want(&[("a", own("seen"))]).have(&[("a", have)]).adopt();
    let other = "replace a: taken over from the set audit, \
                 parameter changed: none -> own map seen";
    check(adopt(owned_by("audit")), &[other]);
    let set = || "audit".parse().expect("a set name");
    let alike = stamped(over_seen(), |stamp| stamp.set = set());
    check(adopt(alike), &["replace a: taken over from the set audit"]);
    let other = "replace a: taken over from another tool, \
                 parameter changed: none -> own map seen";
    check(adopt(unstamped()), &[other]);
}

fn level(number: u8, text: &str) -> Globals {
    let patch = Patch { section: ".rodata".to_owned(), offset: 4, bytes: vec![number] };
    Globals { patches: vec![patch], text: text.to_owned() }
}

#[test]
fn changed_globals_are_replaced() {
    #[track_caller]
    fn drifted(from: Globals, to: Globals) {
        let case = want(&[("a", put(to, task()))]).have(&[("a", loaded(&put(from, task())))]);
        check(case, &["replace a: globals changed"]);
    }
    drifted(Globals::default(), level(1, "{ level = 1 }"));
    drifted(level(1, "{ level = 1 }"), level(2, "{ level = 2 }"));
    drifted(level(1, "{ level = 1 }"), Globals::default());
    let elsewhere = |section: &str, offset| {
        let patch = Patch { section: section.to_owned(), offset, bytes: vec![1] };
        Globals { patches: vec![patch], text: "{ level = 1 }".to_owned() }
    };
    drifted(level(1, "{ level = 1 }"), elsewhere(".rodata", 5));
    drifted(level(1, "{ level = 1 }"), elsewhere(".data", 4));
}

#[test]
fn globals_are_compared_by_bytes_and_not_by_text() {
    let have = loaded(&put(level(1, "{ level = \"LOW\" }"), task()));
    let case = want(&[("a", put(level(1, "{ level = 1 }"), task()))]);
    check(case.have(&[("a", have)]), &["= a"]);
}

/// A pin whose program was loaded as `pin` wants it, with the maps that its stamp says.
fn loaded(pin: &DesiredPin) -> Node {
    let globals = pin.program.globals.digest();
    ours_but(|_, stamp| {
        let toml = pin.program.globals.text.clone();
        stamp.globals = globals.map(|sha256| crate::stamp::StampedGlobals { sha256, toml });
    })
}

fn with_maps(maps: &[(&str, u32)]) -> Node {
    let maps: BTreeMap<String, u32> =
        maps.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect();
    let held = maps.values().map(|id| MapId(*id)).collect();
    ours_but(|pin, stamp| {
        pin.maps = Arc::new(held);
        stamp.maps = maps;
    })
}

#[test]
fn a_given_map_that_the_program_does_not_hold_is_given_again() {
    let without = |node: Node| match node {
        Node::Iterator(pin) => Node::Iterator(ObservedPin { maps: Arc::default(), ..pin }),
        other @ (Node::Directory(_) | Node::Other(_)) => other,
    };
    let have = without(with_maps(&[("seen", 5)]));
    let case =
        || want(&[("a", given(&[("seen", id(5))]))]).map(id(5), Ok(5)).have(&[("a", have.clone())]);
    check(case(), &["replace a: the program does not use map 5 as `seen`"]);

    // A program does not hold a map that it does not refer to.
    let mut unheld = given(&[("seen", id(5))]);
    Arc::make_mut(&mut unheld.program).held.clear();
    check(want(&[("a", unheld)]).map(id(5), Ok(5)).have(&[("a", have)]), &["= a"]);
}

#[test]
fn changed_given_maps_are_replaced() {
    #[track_caller]
    fn compared(from: &[(&str, u32)], to: &[(&str, u32)], expected: &str) {
        let refs: Vec<_> = to.iter().map(|(name, number)| (*name, id(*number))).collect();
        let case = want(&[("a", given(&refs))]).have(&[("a", with_maps(from))]);
        let case = to.iter().fold(case, |case, (_, number)| case.map(id(*number), Ok(*number)));
        check(case, &[expected]);
    }
    compared(&[], &[], "= a");
    compared(&[("seen", 5)], &[("seen", 5)], "= a");
    compared(&[], &[("seen", 5)], "replace a: map `seen` changed: own -> 5");
    compared(&[("seen", 4)], &[("seen", 5)], "replace a: map `seen` changed: 4 -> 5");
    compared(&[("seen", 4)], &[], "replace a: map `seen` changed: 4 -> own");
    compared(
        &[("seen", 4), ("same", 1)],
        &[("counts", 4), ("same", 1)],
        "replace a: map `counts` changed: own -> 4, map `seen` changed: 4 -> own",
    );
}

#[test]
fn changed_sizes_of_maps_are_replaced() {
    #[track_caller]
    fn compared(from: &[(&str, u32)], to: &[(&str, u32)], expected: &str) {
        let have = ours_but(|_, stamp| stamp.max_entries = max_entries(from));
        check(want(&[("a", sized(to))]).have(&[("a", have)]), &[expected]);
    }
    compared(&[], &[], "= a");
    compared(&[("seen", 64)], &[("seen", 64)], "= a");
    compared(&[], &[("seen", 64)], "replace a: max-entries of `seen` changed: own -> 64");
    compared(
        &[("seen", 64)],
        &[("seen", 128)],
        "replace a: max-entries of `seen` changed: 64 -> 128",
    );
    compared(&[("seen", 64)], &[], "replace a: max-entries of `seen` changed: 64 -> own");
    compared(
        &[("seen", 64), ("same", 1)],
        &[("counts", 64), ("same", 1)],
        "replace a: max-entries of `counts` changed: own -> 64, \
         max-entries of `seen` changed: 64 -> own",
    );
}

#[test]
fn changing_a_given_map_into_a_sized_own_one_has_two_reasons() {
    let case = want(&[("a", sized(&[("seen", 64)]))]).have(&[("a", with_maps(&[("seen", 4)]))]);
    let reasons = "map `seen` changed: 4 -> own, max-entries of `seen` changed: own -> 64";
    check(case, &[&format!("replace a: {reasons}")]);
}

#[test]
fn a_recreated_pinned_map_is_given_again() {
    let case = |id| want(&[("a", given(&[("seen", pinned())]))]).map(pinned(), Ok(id));
    check(case(4).have(&[("a", with_maps(&[("seen", 4)]))]), &["= a"]);
    let lines = ["replace a: map `seen` changed: 4 -> 5"];
    check(case(5).have(&[("a", with_maps(&[("seen", 4)]))]), &lines);
}

#[test]
fn every_missing_map_and_cgroup_is_an_obstacle() {
    let missing = || Err(MapProblem::Missing);
    let needs = |what: &str| format!("! a needs {what}: there is no such map");
    let case = want(&[("a", given(&[("seen", pinned())]))]).map(pinned(), missing());
    let pinned_line = needs("pinned /sys/fs/bpf/conns");
    check(case.have(&[("a", with_maps(&[("seen", 4)]))]), &[&pinned_line]);
    let not_looked_for = want(&[("a", given(&[("seen", named())]))]);
    check(not_looked_for, &[&needs("name conns")]);
    let other = Err(MapProblem::NotAMap(Kind::Program));
    let two = given(&[("counts", named()), ("seen", pinned())]);
    let case = want(&[("a", two), ("b", task())]).map(named(), other).map(pinned(), missing());
    let named_line = "! a needs name conns: a pinned program is there instead";
    check(case, &["pin b", named_line, &pinned_line]);
    let walk = Param::Cgroup(CgroupRef::Path(slice()), Order::SelfOnly);
    let both = DesiredPin { param: walk, ..given(&[("seen", pinned())]) };
    let case = want(&[("a", both)]).map(pinned(), missing()).cgroup(&slice(), Err("gone"));
    check(case, &[&pinned_line, "! a needs /sys/fs/cgroup/system.slice: gone"]);
}

#[test]
fn a_map_that_is_missing_twice_is_one_obstacle() {
    let twice = DesiredPin {
        param: Param::Map(pinned()),
        ..given(&[("counts", pinned()), ("seen", pinned())])
    };
    let pins = [("a", twice.clone()), ("b", twice)];
    let case = want(&pins).map(pinned(), Err(MapProblem::Missing));
    let needs =
        |path: &str| format!("! {path} needs pinned /sys/fs/bpf/conns: there is no such map");
    check(case, &[&needs("a"), &needs("b")]);
}

#[test]
fn a_plan_knows_the_maps_of_its_steps() {
    let pin = DesiredPin {
        param: Param::Map(named()),
        ..given(&[("counts", id(7)), ("seen", pinned())])
    };
    let case = want(&[("a", pin)]).map(named(), Ok(5)).map(id(7), Ok(7)).map(pinned(), Ok(9));
    let plan = case.map(id(99), Ok(99)).plan();
    let expected = [(id(7), MapId(7)), (pinned(), MapId(9)), (named(), MapId(5))];
    assert_eq!(plan.maps, expected.into());
    assert_eq!(want(&[("a", own("seen"))]).plan().maps, BTreeMap::new());
}

#[test]
fn every_reason_for_a_program_is_listed() {
    let pin = put(level(1, "{ level = 1 }"), given(&[("seen", id(5))]));
    let pin = DesiredPin { param: Param::Process(1), ..pin };
    let have = ours_but(|_, stamp| stamp.sha256 = Sha256::from([2; 32]));
    let reasons = "object changed, globals changed, map `seen` changed: own -> 5, \
                   parameter changed: none -> pid 1";
    let case = want(&[("a", pin)]).map(id(5), Ok(5)).have(&[("a", have)]);
    check(case, &[&format!("replace a: {reasons}")]);
}

#[test]
fn pinning_one_leaves_the_rest_of_its_set() {
    let rest = [("b", ours()), ("c", dir()), ("c/d", ours())];
    check_pin(want(&[("a", task())]).have(&rest), &["pin a"]);
    check_pin(want(&[("c/e/f", task())]).have(&rest), &["mkdir c/e 0700", "pin c/e/f"]);
    check_pin(want(&[("b", task())]).have(&rest), &["= b"]);
    check_pin(
        want(&[("b", taking(Param::Thread(1)))]).have(&rest),
        &["replace b: parameter changed: none -> tid 1"],
    );
    check_pin(want(&[("c", task())]).have(&rest), &["! c is a directory"]);
    check_pin(want(&[("b/x", task())]).have(&rest), &["! b/x is below b"]);
    check_pin(want(&[("a", task())]).have(&[("b", from("/srv/iters.toml"))]), &["pin a"]);
}

#[test]
fn pinning_one_replaces_no_foreign_pin_without_consent() {
    check_pin(want(&[("a", task())]).have(&[("a", owned_by("audit"))]), &["! a is foreign"]);
    let adopted = ["replace a: taken over from the set audit"];
    check_pin(want(&[("a", task())]).have(&[("a", owned_by("audit"))]).adopt(), &adopted);
    check_pin(want(&[]).have(&[("a", ours())]), &["! observe is empty"]);
    let one_more = want(&[("a", task())]).have(&[("a", unstamped()), ("b", ours())]);
    check_pin(one_more.adopt(), &["replace a: taken over from another tool"]);
}
