//! It waits until there are no more events, and reads no half-written file.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::super::sandbox::{ITERCTL, Sandbox, entry};
use super::Watching;

fn manifest(sandbox: &Sandbox, paths: &[&str]) -> String {
    let object = sandbox.file("tasks_v1.bpf.o");
    let object = object.to_str().expect("UTF-8");
    sandbox.with_bpffs(&paths.iter().map(|path| entry(object, path)).collect::<String>())
}

#[kernel_test]
fn a_thousand_events_are_one_apply() {
    let sandbox = Sandbox::new();
    sandbox.write("iters.toml", &manifest(&sandbox, &["p0"]));
    let (watching, _) = Watching::start(&sandbox, "--max-delay 60s");
    for number in 1..=1_000 {
        sandbox.write("iters.toml", &manifest(&sandbox, &["p0", &format!("p{number}")]));
    }
    watching.changes(&["pin p1000"]);
    watching.has_nothing_to_do();
}

#[kernel_test]
fn a_steady_stream_does_not_hold_it_back_for_ever() {
    let sandbox = Sandbox::new();
    sandbox.write("iters.toml", &manifest(&sandbox, &["a"]));
    let (watching, _) = Watching::start(&sandbox, "--debounce 5s --max-delay 300ms");
    sandbox.write("iters.toml", &manifest(&sandbox, &["a", "b"]));
    watching.changes(&["pin b"]);
}

#[kernel_test]
fn a_manifest_that_is_being_written_is_not_read() {
    let sandbox = Sandbox::new();
    sandbox.write("iters.toml", &manifest(&sandbox, &["a", "b"]));
    let (watching, _) = Watching::start(&sandbox, "--debounce 10ms --max-delay 20ms");
    // The first half of the file parses: if it were applied, it would unpin b.
    let mut file = OpenOptions::new().write(true).truncate(true).open(sandbox.file("iters.toml"));
    let file = file.as_mut().expect("it is there");
    file.write_all(manifest(&sandbox, &["a"]).as_bytes()).expect("own folder");
    // Another event comes meanwhile, and is postponed.
    fs::remove_file(sandbox.pin("a")).expect("it is there");
    let object = sandbox.file("tasks_v1.bpf.o");
    let rest = entry(object.to_str().expect("UTF-8"), "b") + &entry("tasks_v1.bpf.o", "c");
    // This would be long enough for a round.
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(!sandbox.pin("a").exists() && sandbox.pin("b").exists(), "{}", watching.log());
    file.write_all(rest.as_bytes()).expect("own folder");
    file.flush().expect("own folder");
    *file = OpenOptions::new().read(true).open("/dev/null").expect("it is there");
    watching.changes(&["pin a", "pin c"]);
}

#[kernel_test]
fn a_request_during_a_write_is_answered() {
    let sandbox = Sandbox::new();
    sandbox.write("iters.toml", &manifest(&sandbox, &["a"]));
    // The first rounds after a write come too early to use what was read.
    let (watching, _) = Watching::start(&sandbox, "--debounce 50ms --max-delay 1ms");
    for _ in 0..3 {
        sandbox.write("iters.toml", &manifest(&sandbox, &["a"]));
        watching.has_nothing_to_do();
    }
}

/// A ConfigMap as the kubelet writes it: a directory with the time in its name, a link `..data` to it, and
/// links to the files through that link. A new version is a new directory and a rename of a new `..data`
/// over the old one.
struct ConfigMap<'a> {
    folder: &'a Path,
    version: usize,
}

impl ConfigMap<'_> {
    fn write(&mut self, files: &[(&str, &str)]) {
        let old = format!("..2026_11_23_{}", self.version);
        self.version += 1;
        let new = format!("..2026_11_23_{}", self.version);
        fs::create_dir(self.folder.join(&new)).expect("own folder");
        for (name, text) in files {
            fs::write(self.folder.join(&new).join(name), text).expect("own folder");
        }
        symlink(&new, self.folder.join("..data_tmp")).expect("own folder");
        fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data")).expect("own folder");
        for (name, _) in files {
            if !self.folder.join(name).is_symlink() {
                symlink(format!("..data/{name}"), self.folder.join(name)).expect("own folder");
            }
        }
        for link in fs::read_dir(self.folder).expect("own folder").map(|link| link.expect("a name"))
        {
            let name = link.file_name();
            let name = name.to_str().expect("UTF-8");
            if !name.starts_with("..") && !files.iter().any(|(file, _)| *file == name) {
                fs::remove_file(link.path()).expect("own folder");
            }
        }
        // The first version has no predecessor.
        let _ = fs::remove_dir_all(self.folder.join(old));
    }
}

#[kernel_test]
fn a_config_map_update_is_applied_whole() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.file("map")).expect("own folder");
    let folder = sandbox.file("map");
    let mut map = ConfigMap { folder: &folder, version: 0 };
    map.write(&[("iters.toml", &manifest(&sandbox, &["a"]))]);
    for watched in ["map/iters.toml", "map"] {
        let watching = Watching::spawn(&sandbox, ITERCTL, &format!("--set s -f {watched}"), &[]);
        watching.round();
        map.write(&[("iters.toml", &manifest(&sandbox, &["a", "b"]))]);
        watching.changes(&["pin b"]);
        // It is written twice, so that the directory of the first new version is watched, too.
        map.write(&[("iters.toml", &manifest(&sandbox, &["a"]))]);
        watching.changes(&["unpin b"]);
        watching.has_nothing_to_do();
    }
    let watching = Watching::spawn(&sandbox, ITERCTL, "--set s -f map", &[]);
    watching.round();
    let more = manifest(&sandbox, &["c"]);
    map.write(&[("iters.toml", &manifest(&sandbox, &["a"])), ("more.toml", &more)]);
    watching.changes(&["pin c"]);
    map.write(&[("iters.toml", &manifest(&sandbox, &["a"]))]);
    watching.changes(&["unpin c"]);
}
