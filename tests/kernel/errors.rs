//! What the kernel refuses, word for word: what failed, on which object, and the hint.

use std::fs;

use libbpf_rs::{MapHandle, MapType};

use super::bpf;
use super::needs::{needs, target};
use super::sandbox::{ITERCTL, Run, Sandbox, entry_with};
use super::strace;
use super::walked::Cgroup;

/// The arguments to pin something, followed by these.
pub(super) fn pin(sandbox: &Sandbox, words: &str) -> String {
    format!("pin --bpffs {} {words}", sandbox.bpffs().display())
}

/// The command ends with this status, prints exactly this on standard error, and pins nothing. `DIR` stands
/// for the sandbox's folder. The verifier's log is left out, because it differs between kernels.
#[track_caller]
pub(super) fn fails(sandbox: &Sandbox, run: Run, status: i32, expected: &str) {
    let before = sandbox.path().display().to_string();
    let run = run.exits(status);
    assert_eq!(run.stdout, "", "{run}");
    let said = run.stderr.replace(&before, "DIR");
    let lines = said.lines().filter(|line| !line.starts_with("    "));
    let said: String = lines.flat_map(|line| [line, "\n"]).collect();
    assert_eq!(said, expected, "{run}");
    assert!(!sandbox.paths().iter().any(|path| path == "x"), "it is pinned: {run}");
}

/// `pin` with these arguments fails with this message.
#[track_caller]
fn check(words: &str, status: i32, expected: &str) {
    let sandbox = Sandbox::new();
    let run = sandbox.iterctl(&pin(&sandbox, words));
    fails(&sandbox, run, status, expected);
}

/// `pin` of this object fails with this message and this map, for which `MAP` stands.
#[track_caller]
fn check_map(object: &str, map: &MapHandle, expected: &str) {
    let id = bpf::id(map);
    check(&format!("{object} x map id {id}"), 1, &expected.replace("MAP", &id.to_string()));
}

#[kernel_test]
fn a_target_that_this_kernel_does_not_have() {
    check(
        "future.bpf.o x",
        69,
        "\
error: failed to load `dump` of DIR/future.bpf.o for `x`
  caused by: this kernel has no target `no_such_target`
  hint: check the program's SEC(\"iter/…\")
note: nothing was changed
",
    );
}

#[kernel_test]
fn a_program_that_the_verifier_rejects() {
    check(
        "rejected.bpf.o x",
        1,
        "\
error: failed to load `dump` of DIR/rejected.bpf.o for `x`
  caused by: the verifier rejected it; the last lines of its log (all with --debug):
  hint: a pointer in the context may be NULL: copy it into a local variable, and check the variable before you use it
note: nothing was changed
",
    );
}

#[kernel_test]
fn the_verifiers_last_lines_are_shown_and_all_of_them_with_debug() {
    let sandbox = Sandbox::new();
    let few = sandbox.iterctl(&pin(&sandbox, "rejected.bpf.o x")).exits(1);
    let shown: Vec<&str> = few.stderr.lines().filter(|line| line.starts_with("    ")).collect();
    // Newer kernels also write a report, whose reason is shown too.
    assert!(shown.len() >= 4, "{few}");
    assert!(shown[3].contains("ptr_or_null_"), "{few}");
    let all = sandbox.iterctl(&pin(&sandbox, "rejected.bpf.o x --debug")).exits(1);
    let (_, log) = all.stderr.split_once("-- BEGIN PROG LOAD LOG --").expect("libbpf's frame");
    let (log, _) = log.split_once("-- END PROG LOAD LOG --").expect("libbpf's frame");
    for line in shown {
        assert!(log.contains(line.trim_start()), "no {line:?} in: {all}");
    }
    // The first and the last line of every verifier log.
    assert!(log.contains("R1=ctx(") && log.contains("\nprocessed "), "{all}");
    assert!(all.stderr.contains("libbpf: loading "), "libbpf's own words, too: {all}");
}

#[kernel_test]
fn source_lines_in_the_verifier_log_are_escaped() {
    let sandbox = Sandbox::new();
    let mut object = fs::read(sandbox.file("rejected.bpf.o")).expect("the fixture is there");
    // A source line that the log shows.
    let (line, red) = (b"BPF_SEQ_PRINTF(ctx", b"BPF_SEQ_PRI\x1b[31mx");
    let at = object.windows(line.len()).position(|part| part == line).expect("BTF has the source");
    object[at..at + red.len()].copy_from_slice(red);
    fs::write(sandbox.file("red.bpf.o"), object).expect("own folder");
    for debug in ["", " --debug"] {
        let run = sandbox.iterctl(&pin(&sandbox, &format!("red.bpf.o x{debug}"))).exits(1);
        assert!(!run.stderr.contains('\x1b'), "{run}");
        run.says("BPF_SEQ_PRI\\u{1b}[31mx");
    }
}

const SMALL: &str = "\
error: failed to attach `x`
  caused by: map MAP has smaller keys or values than the program reads
  hint: walk a map whose keys and values are at least as large as those that the program reads
note: nothing was changed
";

#[kernel_test]
fn a_map_with_values_that_are_too_small() {
    check_map("elem.bpf.o", &bpf::map(MapType::Hash, "narrow", 4), SMALL);
}

#[kernel_test]
fn a_map_with_keys_that_are_too_small() {
    let opts = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let map = MapHandle::create(MapType::Hash, Some("narrow"), 2, 8, 16, &opts);
    check_map("elem.bpf.o", &map.expect("root may make maps"), SMALL);
}

#[kernel_test]
fn a_map_of_another_type() {
    for (object, target) in
        [("sockmap.bpf.o", "sockmap"), ("target_bpf_sk_storage_map.bpf.o", "bpf_sk_storage_map")]
    {
        let expected = format!(
            "\
error: failed to attach `x`
  caused by: target `{target}` cannot walk map MAP: it does not support this type of map
note: nothing was changed
"
        );
        check_map(object, &bpf::hash_map("no_sockets"), &expected);
    }
}

#[kernel_test]
fn a_map_that_is_not_there() {
    check(
        "elem.bpf.o x map id 4294967295",
        1,
        "\
error: `x`: map id 4294967295: there is no such map
  hint: `bpftool map` lists the ids; a map that is created again has another id, so prefer `name` or `pinned`
note: nothing was changed
",
    );
}

#[kernel_test]
fn a_map_that_goes_away_meanwhile() {
    let sandbox = Sandbox::new();
    let map = bpf::hash_map("fleeting");
    let words = pin(&sandbox, &format!("elem.bpf.o x map id {}", bpf::id(&map)));
    // The lock is the first directory that is made. The map is looked up before the staging directory is made.
    let run = strace::interrupt(&sandbox, "mkdirat", 2, &words, || drop(map));
    fails(
        &sandbox,
        run,
        1,
        "\
error: failed to attach `x`
  caused by: the map went away: No such file or directory (os error 2)
note: nothing was changed
",
    );
}

#[kernel_test]
fn a_given_map_with_another_layout() {
    let sandbox = Sandbox::new();
    let map = bpf::hash_map("seen");
    let words = format!("reuse.bpf.o x --reuse seen=id:{}", bpf::id(&map));
    let run = sandbox.iterctl(&pin(&sandbox, &words));
    let expected = "\
error: failed to load `dump` of DIR/reuse.bpf.o for `x`
  caused by: map MAP cannot be used as the object's map `seen`: its type is hash, not array
  hint: use a map with the same type, key size and value size as the object declares
note: nothing was changed
";
    fails(&sandbox, run, 1, &expected.replace("MAP", &bpf::id(&map).to_string()));
}

#[kernel_test]
fn a_map_that_is_to_be_pinned_and_is_not() {
    check(
        "pinned_map.bpf.o x",
        1,
        "\
error: `x`: no map is pinned at DIR/bpf/readings, which the object's map `readings` needs
  hint: start the program that pins it, or name another map with `maps` (`--reuse`), then try again
note: nothing was changed
",
    );
}

#[kernel_test]
fn a_task_that_is_not_there() {
    // The number is larger than PID_MAX_LIMIT of include/linux/threads.h.
    for (flag, what) in [("--pid", "process"), ("--tid", "thread")] {
        check(
            &format!("target_task.bpf.o x {flag} 4194305"),
            1,
            &format!(
                "\
error: failed to attach `x`
  caused by: there is no {what} 4194305
note: nothing was changed
"
            ),
        );
    }
}

#[kernel_test]
fn a_cgroup_that_is_not_there() {
    needs(target("cgroup"));
    check(
        "target_cgroup.bpf.o x --cgroup 18446744073709551615 --order self-only",
        1,
        "\
error: failed to attach `x`
  caused by: no cgroup with the id 18446744073709551615 can be seen from here
note: nothing was changed
",
    );
    let sandbox = Sandbox::new();
    let cgroup = Cgroup::new(&sandbox);
    let missing = cgroup.path("missing");
    let missing = missing.strip_prefix(sandbox.path()).expect("it is below").display();
    let words = format!("target_cgroup.bpf.o x --cgroup {missing} --order self-only");
    let run = sandbox.iterctl(&pin(&sandbox, &words));
    let expected = format!(
        "\
error: `x`: cgroup DIR/{missing}: No such file or directory (os error 2)
note: nothing was changed
"
    );
    fails(&sandbox, run, 1, &expected);
}

#[kernel_test]
fn a_permission_error_names_the_capabilities() {
    const LOADS: &str = "CAP_BPF, which loads programs and makes maps";
    const READS: &str = "CAP_PERFMON, which lets iterators read the kernel's memory";
    const OPENS: &str = "CAP_SYS_ADMIN, which opens programs and maps by id, which stamps need";
    let sandbox = Sandbox::new();
    let without = |capabilities: &str| {
        let words = pin(&sandbox, "tasks_v1.bpf.o x");
        sandbox.run("setpriv", &format!("--bounding-set={capabilities} {ITERCTL} {words}"))
    };
    let refused = |lacking: &str| {
        format!(
            "\
error: failed to load `dump` of DIR/tasks_v1.bpf.o for `x`
  caused by: not permitted to load BPF programs
  hint: run it as root; it lacks {lacking}
note: nothing was changed
"
        )
    };
    let run = without("-bpf,-perfmon,-sys_admin");
    fails(&sandbox, run, 77, &refused(&format!("{LOADS}; {READS}; {OPENS}")));
    let run = without("-bpf,-sys_admin");
    fails(&sandbox, run, 77, &refused(&format!("{LOADS}; {OPENS}")));
}

#[kernel_test]
fn a_dot_in_the_path() {
    let sandbox = Sandbox::new();
    let run = sandbox.iterctl(&pin(&sandbox, "tasks_v1.bpf.o a/b.c")).exits(65);
    assert_eq!(run.stdout, "");
    assert_eq!(
        run.stderr,
        "\
error: pin path has a dot, which bpffs reserves
  hint: write `a/b_c`
"
    );
    assert_eq!(sandbox.paths(), [] as [&str; 0]);
}

#[kernel_test]
fn a_path_that_is_not_a_bpffs() {
    let sandbox = Sandbox::new();
    sandbox.write("plain/file", "");
    let plain = sandbox.file("plain").display().to_string();
    let run = sandbox.iterctl(&format!("pin --bpffs {plain} tasks_v1.bpf.o x"));
    fails(
        &sandbox,
        run,
        69,
        "\
error: DIR/plain is not a bpffs
  hint: `mount -t bpf bpf DIR/plain` mounts one; so does `apply --mount`
",
    );
}

#[kernel_test]
fn a_pin_of_someone_else() {
    let sandbox = Sandbox::new();
    bpf::pin_foreign(&sandbox, "tasks_v1.bpf.o", "theirs");
    let run = sandbox.iterctl(&pin(&sandbox, "tasks_v1.bpf.o theirs"));
    fails(
        &sandbox,
        run,
        73,
        "\
error: `theirs`: pinned by another tool
  hint: `--adopt` takes it over
note: nothing was changed
",
    );
}

#[kernel_test]
fn a_map_for_a_target_that_takes_none() {
    let sandbox = Sandbox::new();
    let run = sandbox.iterctl(&pin(&sandbox, "tasks_v1.bpf.o x map id 1")).exits(65);
    assert_eq!(
        run.stderr,
        "\
error: `map id 1`: target `task` takes no map
  hint: leave `map MAP` out: the kernel would take the map's descriptor for something else
"
    );
}

#[kernel_test]
fn a_failed_lookup_is_reported_with_the_name() {
    let sandbox = Sandbox::new();
    for (key, who) in [("owner", "user"), ("group", "group")] {
        let keys = format!("{key} = \"daemon\"");
        sandbox.manifest("iters.toml", &entry_with("tasks_v1.bpf.o", "a", &keys));
        // glibc treats a read error in the databases themselves as their end.
        let options = "-P /etc/nsswitch.conf -e trace=read -e inject=read:error=EIO";
        let (run, _) = strace::trace(&sandbox, options, "apply -f iters.toml");
        run.exits(1)
            .says(&format!("error: failed to look up the {who} `daemon`"))
            .says("caused by: EIO");
        assert_eq!(sandbox.paths(), [] as [&str; 0]);
    }
}
