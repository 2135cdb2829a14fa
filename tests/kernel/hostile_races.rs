//! Another user, on a bpffs of mode 1777, plants and moves whatever it can, wherever it can, as fast as it
//! can, while root applies and unpins: nothing outside the bpffs is touched, nothing that belongs to root
//! is lost, and pins that the other user cannot reach always succeed.
//!
//! `ITERCTL_ROUNDS` says how often root applies and unpins; forty times if it is not set.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::bpf;
use super::sandbox::{LOCK, Run, Sandbox, entry};

const NOBODY: u32 = 65534;

/// Paths at which root wants pins and the other user can plant something first.
const CONTESTED: [&str; 4] = ["c0", "c1", "par/pin", "deep/er/pin"];

/// The paths that the other user plants at, removes and moves: pins, their parents, and names beside them.
const TARGETS: [&str; 13] = [
    "c0",
    "c1",
    "par",
    "par/pin",
    "deep",
    "deep/er",
    "deep/er/pin",
    "z",
    "z/z",
    "own/pin",
    "safe",
    "iterctl-staging-0123456789abcdef",
    LOCK,
];

/// The other user, active until it is dropped.
struct Attacker {
    stop: Arc<AtomicBool>,
    planted: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Attacker {
    #[track_caller]
    fn start(sandbox: &Sandbox) -> Self {
        let (stop, planted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&planted));
        let (bpffs, folder) = (sandbox.bpffs(), sandbox.path().to_path_buf());
        let thread = thread::spawn(move || {
            become_nobody();
            let bait = Bait::new(&folder);
            let mut random = Random(0x9e37_79b9_7f4a_7c15);
            while !stopped.load(Ordering::Relaxed) {
                let done = attack(&bpffs, &bait, &mut random);
                counted.fetch_add(done, Ordering::Relaxed);
            }
        });
        Self { stop, planted, thread: Some(thread) }
    }

    /// Ends it, and returns how much it has planted.
    #[track_caller]
    fn stop(mut self) -> usize {
        self.end().expect("nobody does not panic");
        self.planted.load(Ordering::Relaxed)
    }

    fn end(&mut self) -> thread::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Changes the user of this thread only.
fn become_nobody() {
    set_thread_groups(&[]).expect("root may");
    let gid = Gid::from_raw(NOBODY);
    set_thread_res_gid(gid, gid, gid).expect("root may");
    let uid = Uid::from_raw(NOBODY);
    set_thread_res_uid(uid, uid, uid).expect("root may");
}

/// The targets of the planted links.
struct Bait {
    links: Vec<PathBuf>,
}

impl Bait {
    fn new(folder: &Path) -> Self {
        let inside = ["/", ".", "..", "own", "safe", "iterctl-staging-planted"].map(PathBuf::from);
        let outside = ["outside", "outside/er", "outside/pin", "other", "other/pin", "bpf/inner"];
        let outside = outside.into_iter().map(|name| folder.join(name));
        Self { links: inside.into_iter().chain(outside).collect() }
    }
}

/// Does one thing at one path; most attempts fail.
fn attack(bpffs: &Path, bait: &Bait, random: &mut Random) -> usize {
    let place = bpffs.join(random.of(&TARGETS));
    let done = match random.below(9) {
        0 => fs::remove_file(&place),
        1 => fs::remove_dir(&place),
        2 => symlink(&bait.links[random.below(bait.links.len())], &place),
        3 => fs::DirBuilder::new().mode(0o777).create(&place),
        // A pin that was given to the attacker.
        4 => fs::hard_link(bpffs.join("theirs"), &place),
        5 => fs::rename(&place, bpffs.join(random.of(&TARGETS))),
        6 => fs::remove_dir_all(&place),
        7 => fs::set_permissions(&place, fs::Permissions::from_mode(0o777)),
        _ => return attack_staging(bpffs, bait, random),
    };
    usize::from(done.is_ok())
}

/// Attacks the staging directories of root that exist.
fn attack_staging(bpffs: &Path, bait: &Bait, random: &mut Random) -> usize {
    let names = fs::read_dir(bpffs).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_staging = |path: &PathBuf| path.to_string_lossy().contains("iterctl-staging-");
    let Some(staging) = names.filter(is_staging).last() else { return 0 };
    let tried = [
        fs::rename(&staging, bpffs.join("z")).is_ok(),
        fs::remove_dir(&staging).is_ok(),
        fs::remove_file(&staging).is_ok(),
        fs::hard_link(bpffs.join("theirs"), staging.join("1")).is_ok(),
        symlink(&bait.links[random.below(bait.links.len())], &staging).is_ok(),
        fs::create_dir(staging.join("1")).is_ok(),
    ];
    tried.into_iter().filter(|done| *done).count()
}

/// The same random numbers in every run: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// One manifest for paths that the attacker cannot reach, and one for each contested path: if one of those
/// is blocked, the others are not.
#[track_caller]
fn write_manifests(sandbox: &Sandbox, object: &str) {
    let own = ["safe", "own/pin"].map(|path| entry(object, path)).concat();
    sandbox.manifest("own.toml", &own);
    for (number, path) in CONTESTED.into_iter().enumerate() {
        sandbox.manifest(&format!("contested{number}.toml"), &entry(object, path));
    }
}

/// Things that must not change, with the time of their last change: a folder, another bpffs, and one that
/// is mounted inside; both have pins of the same sets at the same paths.
#[track_caller]
fn make_outside(sandbox: &Sandbox) {
    sandbox.write("outside/pin", "precious");
    sandbox.write("outside/er/pin", "precious");
    fs::create_dir(sandbox.pin("inner")).expect("nothing is there");
    for bpffs in ["other", "bpf/inner"] {
        sandbox.mount_bpffs(bpffs);
        // Only root can change anything there.
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(sandbox.file(bpffs), mode).expect("root may");
        let root = format!("bpffs = \"{}\"\n", sandbox.file(bpffs).display());
        for set in ["own", "contested0"] {
            let pins = ["pin", "er/pin"].map(|pin| entry("rodata.bpf.o", &format!("{set}{pin}")));
            sandbox.write(&format!("{set}.toml"), &(root.clone() + &pins.concat()));
            sandbox.iterctl(&format!("apply -f {set}.toml")).exits(0);
        }
    }
}

#[track_caller]
fn outside(sandbox: &Sandbox) -> String {
    // Inode, mode, owner and the time of the last change, even if the change was undone.
    let all = "find outside other bpf/inner -printf %p|%i|%m|%U|%G|%C@\\n";
    let (program, arguments) = all.split_once(' ').expect("a program and its arguments");
    Run::of(&mut sandbox.command(program, arguments)).exits(0).stdout
}

#[kernel_test]
fn another_user_cannot_misdirect_root_or_remove_its_pins() {
    let rounds = std::env::var("ITERCTL_ROUNDS")
        .ok()
        .map_or(40, |number| number.parse::<usize>().expect("ITERCTL_ROUNDS is a number"));
    let sandbox = Sandbox::new();
    make_outside(&sandbox);
    bpf::pin_foreign(&sandbox, "many.bpf.o", "theirs");
    chown(sandbox.pin("theirs"), Some(NOBODY), Some(NOBODY)).expect("root may");
    write_manifests(&sandbox, "tasks_v1.bpf.o");
    sandbox.iterctl("apply -f own.toml").exits(0);
    lchown(sandbox.pin("theirs"), Some(NOBODY), Some(NOBODY)).expect("root may");
    let before = outside(&sandbox);

    let attacker = Attacker::start(&sandbox);
    // How the calls for contested paths ended: successfully, in a race, or with something in the way.
    let (mut well, mut raced, mut blocked) = (0, 0, 0);
    for round in 0..rounds {
        let version = 1 + (round + 1) % 2;
        write_manifests(&sandbox, &format!("tasks_v{version}.bpf.o"));
        // So that the attacker can take its name again.
        let _ = fs::remove_dir(sandbox.pin(LOCK));
        sandbox.iterctl("apply -f own.toml").exits(0);
        let pins = ["safe", "own/pin"];
        let links = pins.map(|path| sandbox.link(path));
        for path in pins {
            assert_eq!(sandbox.first_line(path), format!("v{version}\n"));
        }
        sandbox.iterctl("list --bpffs bpf").exits(0);
        for number in 0..CONTESTED.len() {
            for command in ["apply", "unpin"] {
                let run = sandbox.iterctl(&format!("{command} -f contested{number}.toml"));
                match run.status() {
                    Some(0) => well += 1,
                    Some(1) => raced += usize::from(is_told(&run)),
                    Some(73) => blocked += usize::from(is_told(&run)),
                    _ => panic!("{run}"),
                }
                assert_eq!(pins.map(|path| sandbox.link(path)), links, "round {round}: {run}");
                assert_eq!(outside(&sandbox), before, "round {round}: {run}");
            }
        }
    }
    let planted = attacker.stop();
    let summary = format!(
        "{rounds} rounds: planted {planted}, {well} well, {raced} raced, {blocked} blocked"
    );
    assert!(planted > rounds && well > rounds && blocked > 0, "{summary}");
    recovers(&sandbox);
    assert_eq!(outside(&sandbox), before);
    println!("{summary}");
}

/// The call failed for a reason that it reported, and every half-done change is named.
#[track_caller]
fn is_told(run: &Run) -> bool {
    let known = ["nothing was changed", "could not be undone"];
    assert!(known.iter().any(|words| run.stderr.contains(words)), "{run}");
    assert!(!run.stderr.contains("panicked"), "{run}");
    true
}

/// After the other user has gone with everything it planted, everything works.
#[track_caller]
fn recovers(sandbox: &Sandbox) {
    // Directories of the attacker that hold pins of root stay.
    let planted = format!("bpf -xdev -depth -uid {NOBODY} ! -path bpf/theirs -delete");
    sandbox.run("find", &planted);
    let manifests = ["own", "contested0", "contested1", "contested2", "contested3"];
    for manifest in manifests {
        sandbox.iterctl(&format!("apply -f {manifest}.toml")).exits(0);
        sandbox.iterctl(&format!("plan --detailed-exitcode -f {manifest}.toml")).exits(0);
    }
    for manifest in manifests {
        sandbox.iterctl(&format!("unpin -f {manifest}.toml")).exits(0);
    }
    sandbox.run("find", &planted).exits(0);
    let left = sandbox.paths();
    let left: Vec<&String> = left.iter().filter(|path| !path.starts_with("inner")).collect();
    assert_eq!(left, ["theirs"], "no staging directory, no pin, no folder of root's");
}
