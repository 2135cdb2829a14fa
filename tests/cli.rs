//! The binary: exact stdout, stderr and status of every case in `tests/cases`.
//!
//! A case is a folder: `cmd`, one line of arguments, which may begin with `NAME=value` for the environment;
//! the expected output in `stdout`, `stderr` and `status`; optionally a `stdin`; and the files that the
//! command reads. It is run in a copy of its folder, next to a link `objects` to `tests/objects`.
//! `SNAPSHOTS=overwrite cargo test --test cli` writes the actual output into the folders; review the diff.
//! No case needs root or asks the kernel.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sha2::{Digest as _, Sha256};
use snapbox::assert::DEFAULT_ACTION_ENV;
use snapbox::dir::DirRoot;
use snapbox::{Assert, Data, Redactions};

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

#[test]
fn every_case_prints_the_expected_output() {
    let cases = cases();
    assert!(!cases.is_empty(), "no cases in {TESTS}/cases");
    let assert = Assert::new().action_env(DEFAULT_ACTION_ENV);
    let failures: Vec<String> = cases.iter().flat_map(|case| check(&assert, case)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn an_object_with_the_right_digest_is_accepted() {
    let folder = DirRoot::mutable_temp().expect("a temporary folder can be made");
    let folder = folder.path().expect("a temporary folder has a path");
    let manifest = format!(
        "[[iter]]\nobj = \"{}\"\npath = \"tasks\"\nsha256 = \"{}\"\n",
        objects().join("tasks_v1.bpf.o").display(),
        digest("tasks_v1.bpf.o").to_uppercase(),
    );
    fs::write(folder.join("iters.toml"), manifest).expect("the folder is writable");
    let output = run(folder, "check -f iters.toml", Stdio::null());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

/// These objects cannot be in a folder of `tests/cases`: git stores no FIFOs, and a file of 64 MiB is too
/// large.
#[test]
fn an_object_that_is_huge_or_never_ends_is_refused_at_once() {
    let folder = DirRoot::mutable_temp().expect("a temporary folder can be made");
    let folder = folder.path().expect("a temporary folder has a path");
    let huge = File::create(folder.join("huge.bpf.o")).expect("the folder is writable");
    huge.set_len(64 * 1024 * 1024 + 1).expect("it is sparse");
    let mode = rustix::fs::Mode::RUSR;
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, folder.join("fifo.bpf.o"), fifo, mode, 0)
        .expect("anybody may make a FIFO");
    for (object, why) in [
        ("huge.bpf.o", "has 67108865 bytes, and 67108864 are allowed"),
        ("fifo.bpf.o", "is not a regular file"),
    ] {
        let manifest = format!("[[iter]]\nobj = \"{object}\"\npath = \"tasks\"\n");
        fs::write(folder.join("iters.toml"), manifest).expect("the folder is writable");
        let output = run(folder, "check -f iters.toml", Stdio::null());
        let expected = format!(
            "error: {}/{object} {why}\n --> iters.toml:2:7\n  |\n2 | obj = \"{object}\"\n  |       \
             ^^^^^^^^^^^^\n",
            folder.display()
        );
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
        assert_eq!(output.status.code(), Some(65));
    }
}

/// An empty entry lacks two keys. All faults count, and the first hundred are told.
#[test]
fn the_first_hundred_faults_are_told() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let folder = folder.path();
    fs::write(folder.join("iters.toml"), "[[iter]]\n".repeat(60)).expect("the folder is writable");
    let output = run(folder, "check -f iters.toml", Stdio::null());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr.matches("error: ").count(), 100, "{stderr}");
    assert!(stderr.ends_with("\n\nnote: there are 20 more faults\n"), "{stderr}");
    assert_eq!(output.status.code(), Some(65));

    let output = run(folder, "-j check -f iters.toml", Stdio::null());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let diagnostics = report["diagnostics"].as_array().expect("a list");
    assert_eq!(diagnostics.len(), 101);
    assert_eq!(diagnostics[100]["message"], "there are 20 more faults");
    assert_eq!(diagnostics[100]["severity"], "note");
    let comment = report["comment"].as_str().expect("a text");
    assert!(comment.starts_with("120 faults in the manifest; the first: "), "{comment}");
    assert_eq!(output.status.code(), Some(65));
}

#[test]
fn a_manifest_that_is_too_long_is_refused() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let folder = folder.path();
    let longest = "#".repeat(4 << 20);
    fs::write(folder.join("iters.toml"), &longest).expect("the folder is writable");
    let output = run(folder, "check -f iters.toml --set a", Stdio::null());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    fs::write(folder.join("iters.toml"), longest + "#").expect("the folder is writable");
    let output = run(folder, "check -f iters.toml --set a", Stdio::null());
    let expected = "error: iters.toml is longer than 4 MiB, which is as long as a manifest may be\n  \
        hint: divide it into several files: `-f` can be given several times, and takes a directory\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
    assert_eq!(output.status.code(), Some(65));
}

/// The folders, by name.
fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(TESTS).join("cases")).expect("tests/cases can be read");
    let mut cases: Vec<PathBuf> =
        entries.map(|entry| entry.expect("tests/cases can be read").path()).collect();
    cases.sort();
    cases
}

/// Runs one case; returns every output that differs from the expected one, with its diff.
fn check(assert: &Assert, case: &Path) -> Vec<String> {
    let name = case.file_name().and_then(OsStr::to_str).expect("names of cases are ASCII");
    let cmd = fs::read_to_string(case.join("cmd"));
    let Ok(cmd) = cmd else { return vec![format!("{name}: no file `cmd`")] };

    let copy = DirRoot::mutable_temp().expect("a temporary folder can be made");
    let copy = copy.with_template(case).expect("a case can be copied");
    let folder = copy.path().expect("a copy has a path");
    symlink(objects(), folder.join("objects")).expect("no case has an `objects` of its own");
    let stdin = File::open(case.join("stdin")).map_or_else(|_| Stdio::null(), Stdio::from);
    let output = run(folder, &cmd, stdin);

    let redactions = redactions(folder);
    let status = output.status.code().map_or("killed".to_owned(), |code| code.to_string());
    let stdout = String::from_utf8(output.stdout).expect("answers are UTF-8");
    let stderr = String::from_utf8(output.stderr).expect("talk is UTF-8");
    [("stdout", stdout), ("stderr", stderr), ("status", format!("{status}\n"))]
        .into_iter()
        .filter_map(|(file, found)| {
            // Compared literally: without `raw()`, `...` in an expected file would match anything.
            let expected = Data::read_from(&case.join(file), None).raw();
            let found = Data::text(redactions.redact(&found));
            let title = format!("{name}: {}", cmd.trim_end());
            assert.try_eq(Some(&title), found, expected).err().map(|error| error.to_string())
        })
        .collect()
}

/// Runs the binary with only the environment in the line.
fn run(folder: &Path, line: &str, stdin: Stdio) -> Output {
    let mut words = line.split_whitespace().peekable();
    let mut command = Command::new(env!("CARGO_BIN_EXE_iterctl"));
    command.env_clear().current_dir(folder).stdin(stdin);
    while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
        if name.starts_with('-') {
            break;
        }
        command.env(name, value);
        words.next();
    }
    command.args(words).output().expect("the binary runs")
}

/// Replaces what differs between machines, and makes the escape character visible.
fn redactions(folder: &Path) -> Redactions {
    let mut redactions = Redactions::new();
    redactions
        .extend([
            ("[CWD]", folder.display().to_string()),
            ("[OBJECTS]", objects().display().to_string()),
            ("[DIGEST]", digest("tasks_v1.bpf.o")),
            ("[VERSION]", env!("CARGO_PKG_VERSION").to_owned()),
            ("[ESC]", "\x1b".to_owned()),
        ])
        .expect("placeholders are in brackets");
    redactions
}

/// The compiled programs of `tests/objects`.
fn objects() -> PathBuf {
    Path::new(TESTS).join("objects")
}

fn digest(object: &str) -> String {
    let bytes = fs::read(objects().join(object)).expect("`make objects` has compiled it");
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
