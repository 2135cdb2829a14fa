//! The directories above pins: what is made, changed, left alone and noted.

use super::case::{below, check, dir_of, mode, ours, ours_but, owned_by, task, want};
use crate::access::Meta;
use crate::desired::{DesiredPin, DirectoryAccess, Wanted};

#[test]
fn directories_get_what_is_stated_and_nothing_else() {
    let stated = || want(&[("d/a", below("2750"))]);
    check(stated().have(&[("d", dir_of("2750", 5, 6)), ("d/a", ours())]), &["= d/a"]);
    let drifted = &["set d/: dir-mode changed: 0700 -> 2750", "= d/a"];
    check(stated().have(&[("d", dir_of("0700", 5, 6)), ("d/a", ours())]), drifted);
    // A value that is not stated is a default for new directories.
    check(
        want(&[("d/a", task())]).have(&[("d", dir_of("0777", 5, 6)), ("d/a", ours())]),
        &["= d/a"],
    );
    let owned = DesiredPin { meta: Meta { uid: 7, ..task().meta }, ..task() };
    let owned = DesiredPin {
        directory: DirectoryAccess { uid: Wanted::Default(7), ..owned.directory },
        ..owned
    };
    check(want(&[("d/a", owned)]), &["mkdir d 0700 7:0", "pin d/a"]);
}

#[test]
fn shared_directories_are_left_alone_and_noted() {
    let stated = || want(&[("d/e/a", below("0750"))]);
    let have = [
        ("d", dir_of("0700", 0, 0)),
        ("d/e", dir_of("0700", 0, 0)),
        ("d/e/a", ours()),
        ("d/f", owned_by("audit")),
    ];
    let note = "note: the directory `d` is left as it is (dir-mode changed: 0700 -> 0750), because `d/f` in it does not \
                belong to the set";
    check(stated().have(&have), &["set d/e/: dir-mode changed: 0700 -> 0750", "= d/e/a", note]);
    // A pin that goes in the same plan was the set's.
    let have = [("d", dir_of("0700", 0, 0)), ("d/a", ours()), ("d/b", ours())];
    let steps = &["unpin d/b", "set d/: dir-mode changed: 0700 -> 0750", "= d/a"];
    check(want(&[("d/a", below("0750"))]).have(&have), steps);
}

#[test]
fn readers_whom_a_directory_keeps_out_are_noted() {
    #[track_caller]
    fn kept_out(text: &str, (uid, gid): (u32, u32), (root, directory): (Meta, &str), who: &[&str]) {
        let meta = Meta { mode: mode(text), uid, gid };
        let have = ours_but(|pin, _| pin.meta = meta);
        let pin = || DesiredPin { meta, ..task() };
        let case = want(&[("d/a", pin()), ("d/b", pin())]);
        let have = [("d", dir_of(directory, 0, 4)), ("d/a", have.clone()), ("d/b", have)];
        let place = format!("the directory `d` (mode {directory}, owner 0, group 4)");
        let told = who.iter().map(|who| match who.strip_suffix(" at all") {
            Some(who) => format!("note: {who} may read `d/a` and 1 other pin, but may not enter the bpffs /bpf (mode {}, owner {}, group {})", root.mode, root.uid, root.gid),
            None => format!("note: {who} may read `d/a` and 1 other pin, but may not enter {place}"),
        });
        let lines: Vec<String> =
            ["= d/a".to_owned(), "= d/b".to_owned()].into_iter().chain(told).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        check(case.have(&have).below_root(root), &lines);
    }
    let open = Meta { mode: mode("1777"), uid: 0, gid: 0 };
    let closed = Meta { mode: mode("0700"), uid: 0, gid: 0 };
    kept_out("0600", (0, 0), (closed, "0700"), &[]);
    kept_out("0440", (0, 0), (closed, "0700"), &[]);
    kept_out("0440", (0, 4), (open, "0750"), &[]);
    kept_out("0440", (0, 4), (open, "0700"), &["the group 4"]);
    kept_out("0440", (0, 5), (open, "0750"), &["the group 5"]);
    kept_out("0440", (0, 5), (open, "0711"), &[]);
    kept_out("0440", (0, 4), (closed, "0750"), &["the group 4 at all"]);
    kept_out("0400", (7, 0), (open, "0700"), &["the user 7"]);
    // The user may be a member of the group.
    kept_out("0400", (7, 0), (open, "0750"), &[]);
    kept_out("0444", (0, 4), (open, "0750"), &["every user"]);
    kept_out("0444", (0, 0), (closed, "0755"), &["every user at all"]);
}
