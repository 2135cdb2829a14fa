//! `read`: prints the output of a pinned iterator, or of an object that is run once and not pinned.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

use iterctl_core::feature::Feature;
use libbpf_rs::{MapHandle, MapType};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

use super::bpf;
use super::needs::{needs, target};
use super::sandbox::{ITERCTL, Run, Sandbox, finish};
use super::walked::{Cgroup, Process};

/// `read` with these arguments, separated by spaces.
#[track_caller]
fn read(sandbox: &Sandbox, words: &str) -> Run {
    sandbox.iterctl(&format!("read --bpffs {} {words}", sandbox.bpffs().display()))
}

/// It prints exactly this, and nothing on standard error.
#[track_caller]
fn prints(run: Run, output: &str) {
    let run = run.exits(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), (output, ""));
}

#[kernel_test]
fn a_pin_is_read_by_each_of_its_names() {
    let sandbox = Sandbox::new();
    bpf::pin_foreign(&sandbox, "rodata.bpf.o", "marker");
    prints(read(&sandbox, "marker"), "marker 1\n");
    let absolute = sandbox.pin("marker").display().to_string();
    prints(sandbox.iterctl(&format!("read {absolute}")), "marker 1\n");
    prints(sandbox.iterctl("read bpf/marker"), "marker 1\n");
}

#[kernel_test]
fn an_object_is_run_once_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    let name = bpf::unique_name("once");
    let map = bpf::map(MapType::Array, &name, 8);
    let before = sandbox.tree();
    let words = format!("reuse.bpf.o --reuse seen=name:{name}");
    prints(read(&sandbox, &words), "seen 1\n");
    prints(read(&sandbox, &words), "seen 2\n");
    assert_eq!(sandbox.tree(), before);
    // Only this test uses the map, so a program that holds it would be left over.
    let programs = sandbox.run("bpftool", "-j prog show").json();
    let id = bpf::id(&map);
    let uses_it = |program: &&serde_json::Value| {
        program["map_ids"].as_array().is_some_and(|ids| ids.iter().any(|one| *one == id))
    };
    let left: Vec<_> = programs.as_array().expect("a list").iter().filter(uses_it).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[kernel_test]
fn an_object_takes_the_values_of_an_entry() {
    needs(Feature::TaskParameters);
    needs(target("cgroup"));
    let sandbox = Sandbox::new();
    let (process, cgroup) = (Process::start(), Cgroup::new(&sandbox));
    let map = bpf::pinned_hash_map(&sandbox.pin("map"), (1, 2));
    let (pid, pin) = (process.pid(), sandbox.pin("map").display().to_string());
    prints(read(&sandbox, &format!("elem.bpf.o map id {}", bpf::id(&map))), "1 2\n");
    prints(read(&sandbox, &format!("elem.bpf.o map pinned {pin}")), "1 2\n");
    let own = "own_map_used.bpf.o map own a_map_with_a_long_name";
    prints(read(&sandbox, own), "0 1\n1 1\n2 1\n");
    prints(read(&sandbox, &format!("target_task.bpf.o --pid {pid}")), &format!("task\n{pid}\n"));
    prints(read(&sandbox, &format!("target_task.bpf.o --tid {pid}")), &format!("task\n{pid}\n"));
    let words = format!("--cgroup {} --order self-only", cgroup.id(""));
    let output = format!("cgroup\n{}\n", cgroup.id(""));
    prints(read(&sandbox, &format!("target_cgroup.bpf.o {words}")), &output);
    let words = format!("many.bpf.o --program dump_task --pid {pid}");
    prints(read(&sandbox, &words), &format!("task {pid}\n"));
    let run = read(&sandbox, "globals.bpf.o --global u8=77").exits(0);
    assert!(run.stdout.starts_with("u8 77\n"), "{run}");
    let words = "open_size.bpf.o --max-entries filled=9";
    prints(read(&sandbox, words), "filled 9\ncounted 2\n");
    assert_eq!(sandbox.paths(), ["map"]);
}

#[kernel_test]
fn a_pin_takes_no_values() {
    let sandbox = Sandbox::new();
    bpf::pin_foreign(&sandbox, "rodata.bpf.o", "marker");
    for words in ["map id 1", "--pid 1", "--global marker=1", "--max-entries a=1", "--program dump"]
    {
        read(&sandbox, &format!("marker {words}")).exits(64).says("marker is a pin");
    }
}

#[kernel_test]
fn json_is_one_document_with_the_output() {
    let sandbox = Sandbox::new();
    bpf::pin_foreign(&sandbox, "rodata.bpf.o", "marker");
    for what in ["marker", "rodata.bpf.o"] {
        let report = read(&sandbox, &format!("{what} -j")).exits(0).json();
        assert_eq!(report["output"], "marker 1\n");
        assert_eq!(report["changed"], false);
    }
    let report = read(&sandbox, "huge_element.bpf.o -j").exits(1).json();
    assert_eq!(report["diagnostics"][0]["severity"], "error", "{report}");
}

#[kernel_test]
fn a_closed_pipe_ends_quietly() {
    let sandbox = Sandbox::new();
    // The maps give 16 KiB of output each: together more than a pipe holds, so that it must wait for the
    // reader.
    let _maps: Vec<MapHandle> = (0..16).map(|_| bpf::hash_map("many")).collect();
    bpf::pin_foreign(&sandbox, "big_output.bpf.o", "big");
    for what in ["bpf/big", "big_output.bpf.o"] {
        let mut child = sandbox.start(&format!("read {what}"));
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is a pipe");
        // The reader, and with it the pipe, is dropped at the end of the statement.
        BufReader::new(stdout).read_line(&mut line).expect("it prints something");
        assert!(line.starts_with("map "), "{line}");
        let run = finish(&format!("read {what}"), child).exits(0);
        assert_eq!(run.stderr, "");
    }
}

#[kernel_test]
fn a_pipe_that_is_closed_at_once_ends_quietly() {
    let sandbox = Sandbox::new();
    let _maps: Vec<MapHandle> = (0..16).map(|_| bpf::hash_map("many")).collect();
    bpf::pin_foreign(&sandbox, "big_output.bpf.o", "big");
    for words in ["bpf/big", "big_output.bpf.o", "bpf/big -j"] {
        let mut child = sandbox.start(&format!("read {words}"));
        drop(child.stdout.take());
        let run = finish(&format!("read {words}"), child).exits(0);
        assert_eq!(run.stderr, "");
    }
}

/// `read` with a terminal as standard output: its exit status, and the terminal's contents.
#[track_caller]
fn read_on_a_terminal(sandbox: &Sandbox, words: &str) -> (Run, String) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = openpt(flags).expect("there is one more");
    unlockpt(&screen).expect("it is new");
    let terminal = ioctl_tiocgptpeer(&screen, flags).expect("it is unlocked");
    let arguments = format!("read --bpffs {} {words}", sandbox.bpffs().display());
    let mut command = sandbox.command(ITERCTL, &arguments);
    let run = Run::of(command.stdout(terminal));
    // The terminal reports its end only after all descriptors are closed, and it does so with EIO.
    drop(command);
    let mut shown = String::new();
    let _ = File::from(screen).read_to_string(&mut shown);
    (run, shown)
}

#[kernel_test]
fn empty_output_is_reported_only_on_a_terminal() {
    const NOTE: &str = "note: the iterator printed nothing\n";
    let sandbox = Sandbox::new();
    let _zero = bpf::pinned_hash_map(&sandbox.pin("zero"), (1, 0));
    let _five = bpf::pinned_hash_map(&sandbox.pin("five"), (1, 5));
    let walking = |map: &str| format!("map pinned {}", sandbox.pin(map).display());
    let words = format!("sparse.bpf.o bpf/sparse {}", walking("zero"));
    sandbox.run("bpftool", &format!("iter pin {words}")).exits(0);
    for words in ["sparse".to_owned(), format!("sparse.bpf.o {}", walking("zero"))] {
        let (run, shown) = read_on_a_terminal(&sandbox, &words);
        let run = run.exits(0);
        assert_eq!((shown.as_str(), run.stderr.as_str()), ("", NOTE), "{words}");
        prints(read(&sandbox, &words), "");
        let (run, shown) = read_on_a_terminal(&sandbox, &format!("{words} -j"));
        assert!(shown.contains(r#""output":"","diagnostics":[]"#), "{shown}");
        assert_eq!(run.exits(0).stderr, "", "{words}");
    }
    let (run, shown) = read_on_a_terminal(&sandbox, &format!("sparse.bpf.o {}", walking("five")));
    assert_eq!((shown.as_str(), run.exits(0).stderr.as_str()), ("1 5\r\n", ""));
}

#[kernel_test]
fn output_cannot_control_a_terminal() {
    const BYTES: &str = "1\ta\x1b[31mred\r\n2 \u{9b}31m\u{202e}\n3";
    let sandbox = Sandbox::new();
    bpf::pin_foreign(&sandbox, "raw_bytes.bpf.o", "raw");
    for what in ["raw", "raw_bytes.bpf.o"] {
        let (run, shown) = read_on_a_terminal(&sandbox, what);
        run.exits(0);
        assert_eq!(shown, "1\ta\\u{1b}[31mred\\r\r\n2 \\u{9b}31m\\u{202e}\r\n3", "{what}");
        // The terminal itself makes `\r\n` of `\n`.
        let (run, shown) = read_on_a_terminal(&sandbox, &format!("{what} --raw"));
        run.exits(0);
        assert_eq!(shown, BYTES.replace('\n', "\r\n"), "{what}");
        prints(read(&sandbox, what), BYTES);
        let report = read(&sandbox, &format!("{what} -j")).exits(0).json();
        assert_eq!(report["output"], BYTES, "{what}");
    }
}

#[kernel_test]
fn all_of_a_large_output_is_read() {
    let sandbox = Sandbox::new();
    let maps: Vec<MapHandle> = (0..16).map(|_| bpf::hash_map("many")).collect();
    bpf::pin_foreign(&sandbox, "big_output.bpf.o", "big");
    for what in ["bpf/big", "big_output.bpf.o"] {
        let output = sandbox.iterctl(&format!("read {what}")).exits(0).stdout;
        for map in &maps {
            let start = format!("map {:>10} line ", bpf::id(map));
            assert_eq!(output.lines().filter(|line| line.starts_with(&start)).count(), 256);
        }
    }
}

#[kernel_test]
fn after_a_million_silent_elements_it_reads_on() {
    const ELEMENTS: u32 = 1_500_000;
    let sandbox = Sandbox::new();
    let opts = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        ..Default::default()
    };
    let map = MapHandle::create(MapType::Array, Some("sparse"), 4, 8, ELEMENTS, &opts);
    let mut map = map.expect("root may make maps");
    bpf::insert(&map, (ELEMENTS - 1, 5));
    map.pin(sandbox.pin("map")).expect("nothing is there");
    let pin = sandbox.pin("map").display().to_string();
    let words = format!("sparse.bpf.o bpf/sparse map pinned {pin}");
    sandbox.run("bpftool", &format!("iter pin {words}")).exits(0);
    let cat = sandbox.run("cat", "bpf/sparse").exits(1);
    cat.says("Resource temporarily unavailable");

    let output = format!("{} 5\n", ELEMENTS - 1);
    prints(read(&sandbox, "sparse"), &output);
    prints(read(&sandbox, &format!("sparse.bpf.o map id {}", bpf::id(&map))), &output);
}

/// Pins a program of returns_one.bpf.o that walks the object's own map.
#[track_caller]
fn pin_returns_one(sandbox: &Sandbox, program: &str) {
    let what = format!("returns_one.bpf.o {program} --program {program} map own numbers");
    sandbox.iterctl(&format!("pin --bpffs {} {what}", sandbox.bpffs().display())).exits(0);
}

#[kernel_test]
fn a_program_that_always_returns_one_is_reported() {
    const ERROR: &str = "caused by: the program returns 1 for the same element again and again\n  \
        hint: returning 1 asks the kernel to show the same element again: return 0 to go on to \
        the next one, also when nothing is printed\n";
    let sandbox = Sandbox::new();
    for (program, output) in [("always", ""), ("at_the_third", "0\n1\n")] {
        pin_returns_one(&sandbox, program);
        let object = format!("returns_one.bpf.o --program {program} map own numbers");
        let pin = format!("the pin {}", sandbox.pin(program).display());
        for (words, what) in
            [(program, pin.as_str()), (&object, "the iterator of returns_one.bpf.o")]
        {
            let run = read(&sandbox, words).exits(1);
            let error = format!("error: failed to read {what} to its end\n  {ERROR}");
            assert_eq!(
                (run.stdout.as_str(), run.stderr.as_str()),
                (output, error.as_str()),
                "{words}"
            );
            let report = read(&sandbox, &format!("{words} -j")).exits(1).json();
            let hint = report["diagnostics"][0]["hint"].as_str().expect("there is a way out");
            assert!(hint.contains("return 0"), "{report}");
            assert_eq!(report["output"], output, "what was read before is kept: {report}");
        }
    }
}

#[kernel_test]
fn a_program_that_returns_one_for_a_while_is_read_to_its_end() {
    let sandbox = Sandbox::new();
    for program in ["for_a_while", "after_the_last"] {
        pin_returns_one(&sandbox, program);
        prints(read(&sandbox, program), "0\n1\n2\n");
        let object = format!("returns_one.bpf.o --program {program} map own numbers");
        prints(read(&sandbox, &object), "0\n1\n2\n");
    }
}

#[kernel_test]
fn a_cgroup_iterator_that_returns_one_ends_there() {
    needs(target("cgroup"));
    let sandbox = Sandbox::new();
    let cgroup = Cgroup::new(&sandbox);
    cgroup.make("second");
    let words = format!("--cgroup {} --order descendants-pre", cgroup.id(""));
    let words = format!("returns_one.bpf.o --program first_cgroup {words}");
    prints(read(&sandbox, &words), &format!("{}\n", cgroup.id("")));
}

#[kernel_test]
fn an_element_that_is_too_large_is_explained() {
    let sandbox = Sandbox::new();
    bpf::pin_foreign(&sandbox, "huge_element.bpf.o", "huge");
    let pin = format!("the pin {}", sandbox.pin("huge").display());
    let whats =
        [("huge", pin.as_str()), ("huge_element.bpf.o", "the iterator of huge_element.bpf.o")];
    for (words, what) in whats {
        let run = read(&sandbox, words).exits(1);
        assert_eq!(
            run.stderr,
            format!(
                "error: failed to read {what} to its end\n  \
                 caused by: the kernel takes no more than 32 KiB for one element (Argument list too \
                 long (os error 7))\n"
            )
        );
    }
}

#[kernel_test]
fn a_cgroup_iterator_that_cannot_go_on_is_explained() {
    needs(target("cgroup"));
    let sandbox = Sandbox::new();
    let cgroup = Cgroup::new(&sandbox);
    // Each cgroup gives 4 KiB, and the kernel's buffer holds seven.
    let names: Vec<String> = (0..6).map(|number| number.to_string()).collect();
    names.iter().for_each(|name| cgroup.make(name));
    let words = format!("--cgroup {} --order descendants-pre", cgroup.id(""));
    let words = format!("big_cgroup.bpf.o {words}");
    assert_eq!(read(&sandbox, &words).exits(0).stdout.len(), 7 * 4096);
    cgroup.make("one_more");
    let run = read(&sandbox, &words).exits(1);
    assert_eq!(
        run.stderr,
        "error: failed to read the iterator of big_cgroup.bpf.o to its end\n  \
         caused by: an iterator of this kind cannot go on after its first buffer, about 32 KiB: \
         have it print less (Operation not supported (os error 95))\n"
    );
}

#[kernel_test]
fn unreadable_pins_are_reported() {
    let sandbox = Sandbox::new();
    read(&sandbox, "missing").exits(1).says("failed to open ").says("No such file or directory");
    let _map = bpf::pinned_hash_map(&sandbox.pin("map"), (1, 2));
    let run = read(&sandbox, "map");
    assert!(!run.succeeded() && run.stdout.is_empty(), "{run}");
    sandbox.write("text", "no object");
    let text = sandbox.file("text").display().to_string();
    read(&sandbox, &text).exits(1).says("neither a pin on bpffs nor a BPF object");
    read(&sandbox, "rejected.bpf.o").exits(1).says("the verifier rejected it");
    read(&sandbox, "none.bpf.o").exits(65).says("the object holds no iterator");
    read(&sandbox, "elem.bpf.o").exits(65).says("needs a map");
}
