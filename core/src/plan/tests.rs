//! The contents of plans, case by case.

mod case;
mod directories;
mod given;

use std::path::PathBuf;

use case::{
    Case, below, check, check_unpin, check_unpin_set, dir, from, mode, named, other, ours,
    ours_but, over, owned_by, pinned, task, unstamped, walking, want, without_owner,
};

use crate::access::Meta;
use crate::desired::MapRef;
use crate::ids::MapId;
use crate::names::Sha256;
use crate::observed::{Kind, LinkParam, MapProblem, Node, Provenance};
use crate::plan::Plan;
use crate::stamp::InvalidStamp;
use crate::target::Target;

#[test]
fn pins_that_are_as_desired_are_left_alone() {
    check(want(&[("a", task())]).have(&[("a", ours())]), &["= a"]);
    let case = want(&[("a/b", walking(pinned()))]).map(pinned(), Ok(20));
    check(case.have(&[("a", dir()), ("a/b", over(LinkParam::Map(MapId(20))))]), &["= a/b"]);
}

#[test]
fn pins_of_entries_that_are_left_out_stay() {
    let nodes = [
        ("a", dir()),
        ("a/b", ours()),
        ("a/c", ours()),
        ("d", without_owner(Provenance::Unstamped)),
    ];
    let case = want(&[("a/b", task()), ("d", task())]).have(&nodes);
    check(case.left_out(&["a/b", "d"]), &["unpin a/c"]);
    check(want(&[("a/b", task())]).left_out(&["a/b"]), &[]);
}

#[test]
fn another_source_is_no_drift() {
    let moved = ours_but(|_, stamp| stamp.object = PathBuf::from("/srv/task.bpf.o"));
    check(want(&[("a", task())]).have(&[("a", moved)]), &["= a"]);
    let older = ours_but(|_, stamp| stamp.version = "0.0.1".to_owned());
    check(want(&[("a", task())]).have(&[("a", older)]), &["= a"]);
    let cut = ours_but(|pin, _| pin.program_name = "dump_a_long_nam".into());
    check(want(&[("a", task())]).have(&[("a", cut)]), &["= a"]);
}

#[test]
fn missing_pins_are_pinned_below_directories_that_are_made() {
    check(want(&[("a", task())]), &["pin a"]);
    check(want(&[("a/b/c", task())]), &["mkdir a 0700", "mkdir a/b 0700", "pin a/b/c"]);
    check(want(&[("a/b/c", task())]).have(&[("a", dir())]), &["mkdir a/b 0700", "pin a/b/c"]);
    let case = want(&[("a/b", below("0711")), ("a/c/d", below("0755"))]);
    check(case, &["mkdir a 0711", "mkdir a/c 0755", "pin a/b", "pin a/c/d"]);
}

#[test]
fn other_programs_are_replaced() {
    #[track_caller]
    fn drifted(have: Node, reason: &str) {
        check(want(&[("a", task())]).have(&[("a", have)]), &[&format!("replace a: {reason}")]);
    }
    drifted(ours_but(|_, stamp| stamp.sha256 = Sha256::from([2; 32])), "object changed");
    drifted(
        ours_but(|_, stamp| stamp.program = "dump".to_owned()),
        "program changed: dump -> dump_task",
    );
    drifted(ours_but(|pin, _| pin.link.target = Target::new("tcp")), "target changed: tcp -> task");
    drifted(over(LinkParam::Map(MapId(20))), "parameter changed: map 20 -> none");
    drifted(over(LinkParam::Process(1)), "parameter changed: pid 1 -> none");
    drifted(over(LinkParam::Thread(1)), "parameter changed: tid 1 -> none");
    drifted(
        over(LinkParam::Cgroup { id: 1, order: 2 }),
        "parameter changed: cgroup 1 descendants-pre -> none",
    );
}

#[test]
fn mode_owner_and_group_are_set_in_place() {
    #[track_caller]
    fn drifted(change: impl FnOnce(&mut Meta), reason: &str) {
        let have = ours_but(|pin, _| change(&mut pin.meta));
        check(want(&[("a", task())]).have(&[("a", have)]), &[&format!("set a: {reason}")]);
    }
    drifted(|meta| meta.mode = mode("0444"), "mode changed: 0444 -> 0600");
    drifted(|meta| meta.uid = 5, "owner changed: 5 -> 0");
    drifted(|meta| meta.gid = 6, "group changed: 6 -> 0");
    drifted(
        |meta| *meta = Meta { mode: mode("0644"), uid: 1, gid: 2 },
        "mode changed: 0644 -> 0600, owner changed: 1 -> 0, group changed: 2 -> 0",
    );
}

#[test]
fn every_reason_is_given_and_one_step_settles_them_all() {
    let have = ours_but(|pin, stamp| {
        stamp.sha256 = Sha256::from([2; 32]);
        pin.link.param = LinkParam::Thread(9);
        pin.meta.gid = 6;
    });
    let lines =
        ["replace a: object changed, parameter changed: tid 9 -> none, group changed: 6 -> 0"];
    check(want(&[("a", task())]).have(&[("a", have)]), &lines);
}

#[test]
fn changed_map_is_replaced_in_one_step() {
    let case = want(&[("a", walking(MapRef::Id(MapId(31))))]).map(MapRef::Id(MapId(31)), Ok(31));
    let lines = ["replace a: map changed: 20 -> 31"];
    check(case.have(&[("a", over(LinkParam::Map(MapId(20))))]), &lines);
    let case = want(&[("a", walking(named()))]).map(named(), Ok(31));
    check(case.have(&[("a", ours())]), &["replace a: parameter changed: none -> map 31"]);
}

#[test]
fn recreated_pinned_map_is_replaced_though_the_manifest_is_the_same() {
    let before = want(&[("a", walking(pinned()))]).map(pinned(), Ok(20));
    check(before.have(&[("a", over(LinkParam::Map(MapId(20))))]), &["= a"]);
    let after = want(&[("a", walking(pinned()))]).map(pinned(), Ok(21));
    let lines = ["replace a: map changed: 20 -> 21"];
    check(after.have(&[("a", over(LinkParam::Map(MapId(20))))]), &lines);
}

#[test]
fn map_that_cannot_be_used_is_an_obstacle() {
    #[track_caller]
    fn unusable(why: MapProblem, line: &str) {
        check(want(&[("a", walking(pinned()))]).map(pinned(), Err(why)), &[line]);
    }
    let needs = "! a needs pinned /sys/fs/bpf/conns: ";
    unusable(MapProblem::Missing, &format!("{needs}there is no such map"));
    unusable(
        MapProblem::NotAMap(Kind::Program),
        &format!("{needs}a pinned program is there instead"),
    );
    unusable(MapProblem::Unreadable("Gone fishing".to_owned()), &format!("{needs}Gone fishing"));
    check(
        want(&[("a", walking(named()))])
            .map(named(), Err(MapProblem::Ambiguous(vec![MapId(1), MapId(2)]))),
        &["! a needs name conns: several maps have that name: ids 1, 2"],
    );
    let unsettled = MapProblem::Unsettled(vec![MapId(1), MapId(2)], "gone fishing".to_owned());
    check(
        want(&[("a", walking(named()))]).map(named(), Err(unsettled)),
        &["! a needs name conns: several maps have that name: ids 1, 2; \
           iterctl could not find out which of them are in use: gone fishing"],
    );
    check(want(&[("a", walking(named()))]), &["! a needs name conns: there is no such map"]);
}

#[test]
fn missing_map_does_not_unpin_iterators_of_the_old_one() {
    let case = want(&[("a", walking(pinned()))]).map(pinned(), Err(MapProblem::Missing));
    let lines = ["! a needs pinned /sys/fs/bpf/conns: there is no such map"];
    check(case.have(&[("a", over(LinkParam::Map(MapId(20))))]), &lines);
}

#[test]
fn pins_that_are_no_longer_listed_are_unpinned_first() {
    let case = want(&[("a", task())]).have(&[("a", ours()), ("b", ours())]);
    check(case, &["unpin b", "= a"]);
    let case = want(&[("a", task())]).have(&[("b", ours())]);
    check(case, &["unpin b", "pin a"]);
}

#[test]
fn directories_that_unpins_empty_are_removed() {
    let tree = [("a", dir()), ("a/b", dir()), ("a/b/c", ours())];
    let case = want(&[("x", task())]).have(&tree);
    check(case, &["unpin a/b/c", "rmdir a/b", "rmdir a", "pin x"]);
    let case = want(&[("a/x", task())]).have(&tree);
    check(case, &["unpin a/b/c", "rmdir a/b", "pin a/x"]);
    let case = want(&[("a/b/x", task())]).have(&tree);
    check(case, &["unpin a/b/c", "pin a/b/x"]);
}

#[test]
fn directories_that_hold_anything_else_stay() {
    for kept in [unstamped(), owned_by("audit"), dir(), other(Kind::Map), other(Kind::Symlink)] {
        let case = want(&[("x", task())]).have(&[("a", dir()), ("a/b", ours()), ("a/c", kept)]);
        check(case, &["unpin a/b", "pin x"]);
    }
}

#[test]
fn directories_that_were_empty_before_stay() {
    check(want(&[("x", task())]).have(&[("a", dir()), ("a/b", dir())]), &["pin x"]);
}

#[test]
fn foreign_pins_are_refused() {
    #[track_caller]
    fn refused(have: Node) {
        check(want(&[("a", task())]).have(&[("a", have)]), &["! a is foreign"]);
    }
    refused(unstamped());
    refused(owned_by("audit"));
    refused(without_owner(Provenance::Illegible(InvalidStamp::Format(2))));
    refused(without_owner(Provenance::OtherUser(990)));
}

#[test]
fn foreign_pins_at_other_paths_are_left_alone() {
    let illegible = without_owner(Provenance::Illegible(InvalidStamp::TooLong(9)));
    let others =
        [("b", unstamped()), ("c", owned_by("audit")), ("d", illegible), ("e", other(Kind::Map))];
    check(want(&[("a", task())]).have(&others), &["pin a"]);
    check(want(&[("a", task())]).have(&others).adopt(), &["pin a"]);
    check(want(&[]).have(&others).adopt().allow_empty(), &[]);
}

#[test]
fn adopted_pins_are_replaced_even_if_they_are_equal() {
    #[track_caller]
    fn adopted(have: Node, line: &str) {
        check(want(&[("a", task())]).have(&[("a", have)]).adopt(), &[line]);
    }
    adopted(unstamped(), "replace a: taken over from another tool");
    adopted(owned_by("audit"), "replace a: taken over from the set audit");
    adopted(
        without_owner(Provenance::Illegible(InvalidStamp::Format(2))),
        "replace a: taken over from another tool",
    );
}

#[test]
fn only_iterators_are_adopted() {
    #[track_caller]
    fn kept(kind: Kind, line: &str) {
        let there = [("a", other(kind))];
        check(want(&[("a", task())]).have(&there), &[line]);
        check(want(&[("a", task())]).have(&there).adopt(), &[line]);
    }
    kept(Kind::Map, "! a is a pinned map");
    kept(Kind::Program, "! a is a pinned program");
    kept(Kind::Link("tracing".to_owned()), "! a is a pinned tracing link");
    kept(Kind::Symlink, "! a is a symbolic link");
    kept(Kind::Unknown("EACCES".to_owned()), "! a is a file that cannot be opened (EACCES)");
}

#[test]
fn nothing_is_pinned_behind_a_mount() {
    let mounted = |kind| want(&[("a/b/c", task())]).have(&[("a", dir()), ("a/b", other(kind))]);
    check(mounted(Kind::Mount), &["! a/b/c is behind a/b"]);
    check(mounted(Kind::Bpffs("/run/bpf".into())), &["! a/b/c is behind a/b, the bpffs /run/bpf"]);
    let there = |kind| want(&[("a", task())]).have(&[("a", other(kind))]);
    check(there(Kind::Mount), &["! a is something on which another file system is mounted"]);
    let directory = "! a is a directory on which another bpffs is mounted";
    check(there(Kind::Bpffs("/run/bpf".into())), &[directory]);
}

#[test]
fn nothing_changes_on_a_read_only_bpffs() {
    let (pin, gone) = ([("a", task())], [("a", ours())]);
    check(want(&pin).read_only(), &["pin a", "! /sys/fs/bpf is read-only"]);
    check(want(&pin).have(&gone).read_only(), &["= a"]);
    let unpinned = want(&[]).allow_empty().have(&gone).read_only();
    check(unpinned, &["unpin a", "! /sys/fs/bpf is read-only"]);
}

#[test]
fn two_sets_never_touch_each_other() {
    let both = [("a", dir()), ("a/x", ours()), ("a/y", owned_by("audit"))];
    check(want(&[("a/x", task())]).have(&both), &["= a/x"]);
    check(want(&[("a/y", task())]).for_set("audit").have(&both), &["= a/y"]);
    check(want(&[]).allow_empty().have(&both), &["unpin a/x"]);
    check(want(&[]).allow_empty().for_set("audit").have(&both), &["unpin a/y"]);
    check(want(&[("a/y", task())]).have(&both), &["unpin a/x", "! a/y is foreign"]);
}

#[test]
fn a_pin_gives_way_to_a_directory() {
    let case = want(&[("a/b", task())]).have(&[("a", ours())]);
    check(case, &["unpin a", "mkdir a 0700", "pin a/b"]);
    let case = want(&[("a/b/c/d", task())]).have(&[("a", dir()), ("a/b", ours())]);
    check(case, &["unpin a/b", "mkdir a/b 0700", "mkdir a/b/c 0700", "pin a/b/c/d"]);
}

#[test]
fn a_directory_gives_way_to_a_pin() {
    let case = want(&[("a", task())]).have(&[("a", dir()), ("a/b", ours())]);
    check(case, &["unpin a/b", "rmdir a", "pin a"]);
    let tree = [("a", dir()), ("a/b", dir()), ("a/b/c", ours()), ("a/b/d", ours())];
    let case = want(&[("a/b", task())]).have(&tree);
    check(case, &["unpin a/b/c", "unpin a/b/d", "rmdir a/b", "pin a/b"]);
}

#[test]
fn a_directory_that_stays_is_in_the_way() {
    check(want(&[("a", task())]).have(&[("a", dir())]), &["! a is a directory"]);
    let case = want(&[("a", task())]).have(&[("a", dir()), ("a/b", unstamped())]);
    check(case.adopt(), &["! a is a directory"]);
    let case = want(&[("a", task())]).have(&[("a", dir()), ("a/b", ours()), ("a/c", dir())]);
    check(case, &["unpin a/b", "! a is a directory"]);
}

#[test]
fn a_parent_that_stays_is_in_the_way() {
    #[track_caller]
    fn blocked(have: Node) {
        let case = want(&[("a/b/c", task())]).have(&[("a", have)]);
        check(case.adopt(), &["! a/b/c is below a"]);
    }
    blocked(unstamped());
    blocked(owned_by("audit"));
    blocked(other(Kind::Map));
    blocked(other(Kind::Symlink));
}

#[test]
fn an_empty_manifest_is_refused_unless_allowed() {
    check(want(&[]).have(&[("a", ours())]), &["! observe is empty"]);
    check(want(&[]), &["! observe is empty"]);
    check(want(&[]).have(&[("a", ours())]).allow_empty(), &["unpin a"]);
    check(want(&[]).allow_empty(), &[]);
}

#[test]
fn a_set_name_from_a_file_is_refused_to_another_source() {
    let theirs = [("a", from("/srv/iters.toml"))];
    let line = r#"! observe: ["/etc/iters.toml"], not ["/srv/iters.toml"]"#;
    check(want(&[("a", task())]).taken().have(&theirs), &[line]);
    check(want(&[("b", task())]).taken().have(&theirs).adopt(), &[line]);
    check(want(&[]).taken().have(&theirs).allow_empty(), &[line]);
    let many = [("a", ours()), ("b", from("-")), ("c", from("/srv/x")), ("d", from("-"))];
    check(
        want(&[("a", task())]).taken().have(&many),
        &[
            r#"! observe: ["/etc/iters.toml"], not ["-"]"#,
            r#"! observe: ["/etc/iters.toml"], not ["/srv/x"]"#,
        ],
    );
}

#[test]
fn a_set_name_from_a_file_belongs_to_its_source() {
    check(want(&[("a", task())]).taken().have(&[("a", ours())]), &["= a"]);
    let elsewhere = [(
        "b",
        ours_but(|_, stamp| {
            stamp.set = "audit".parse().expect("a set name");
            stamp.source = vec!["/srv/iters.toml".to_owned()];
        }),
    )];
    check(want(&[("a", task())]).taken().have(&elsewhere), &["pin a"]);
}

#[test]
fn a_written_set_name_may_come_from_any_source() {
    let theirs = [("a", from("/srv/iters.toml")), ("b", from("/srv/iters.toml"))];
    check(want(&[("a", task())]).have(&theirs), &["unpin b", "= a"]);
}

#[test]
fn a_whole_set_is_unpinned_on_request() {
    let tree = [("a", dir()), ("a/b", ours()), ("c", owned_by("audit")), ("d", unstamped())];
    check_unpin_set(want(&[]).have(&tree), &["unpin a/b as asked", "rmdir a"]);
    check_unpin_set(want(&[]).for_set("audit").have(&tree), &["unpin c as asked"]);
    check_unpin_set(want(&[]), &[]);
    let theirs = r#"! observe: ["/etc/iters.toml"], not ["/srv/iters.toml"]"#;
    check_unpin_set(want(&[]).taken().have(&[("a", from("/srv/iters.toml"))]), &[theirs]);
}

#[test]
fn unpin_by_path_removes_pins_of_any_set() {
    let tree = [("a", dir()), ("a/b", ours()), ("a/c", owned_by("audit"))];
    check_unpin(want(&[]).have(&tree), &["a/b"], &["unpin a/b as asked"]);
    let lines = ["unpin a/b as asked", "unpin a/c as asked", "rmdir a"];
    check_unpin(want(&[]).have(&tree), &["a/b", "a/c"], &lines);
    check_unpin(want(&[]).have(&tree), &[], &[]);
}

#[test]
fn unpin_by_path_refuses_pins_of_no_set() {
    check_unpin(want(&[]).have(&[("a", unstamped())]), &["a"], &["! a is foreign"]);
    check_unpin(want(&[]).have(&[("a", unstamped())]).adopt(), &["a"], &["unpin a as asked"]);
    let illegible = without_owner(Provenance::Illegible(InvalidStamp::Format(2)));
    check_unpin(want(&[]).have(&[("a", illegible)]), &["a"], &["! a is foreign"]);
    let lines = ["! a is a directory", "! b is a pinned map", "! c is not pinned"];
    let tree = [("a", dir()), ("b", other(Kind::Map))];
    check_unpin(want(&[]).have(&tree).adopt(), &["a", "b", "c"], &lines);
}

#[test]
fn a_plan_is_done_without_steps_and_obstacles() {
    let done = |case: Case| case.plan().is_done();
    assert!(done(want(&[("a", task())]).have(&[("a", ours())])));
    assert!(!done(want(&[("a", task())])));
    assert!(!done(want(&[("a", task())]).have(&[("a", unstamped())])));
}

#[test]
fn repairs_are_separated_from_steps_that_follow_a_map() {
    let pins =
        [("gone", task()), ("mode", task()), ("other", task()), ("walks", walking(pinned()))];
    let both = ours_but(|pin, _| {
        pin.link.param = LinkParam::Map(MapId(20));
        pin.meta.mode = mode("0444");
    });
    let case = want(&pins).map(pinned(), Ok(21)).have(&[
        ("elsewhere", ours()),
        ("mode", ours_but(|pin, _| pin.meta.uid = 5)),
        ("other", ours_but(|_, stamp| stamp.program = "dump".to_owned())),
        ("walks", both),
    ]);
    let whole = case.plan();
    let (follows, repairs) = whole.clone().part_repairs();
    let paths = |plan: &Plan| -> Vec<String> {
        plan.steps.iter().map(|step| step.path().to_string()).collect()
    };
    assert_eq!(paths(&follows), ["walks"]);
    assert_eq!(paths(&repairs), ["elsewhere", "gone", "mode", "other"]);
    assert_eq!((&follows.maps, &follows.obstacles), (&whole.maps, &whole.obstacles));
    assert!(repairs.maps.is_empty() && repairs.obstacles.is_empty());
}
