//! One manifest has been applied, and another one is applied again and again, with interruptions: what
//! bpffs and the kernel hold before, after, and in the worst moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::thread;
use std::time::{Duration, Instant};

use super::census::Census;
use super::sandbox::{Run, Sandbox, entry, entry_with};
use super::strace;

/// The apply that is attempted.
pub(crate) const APPLY: &str = "apply -f new.toml";
const BACK: &str = "apply -f old.toml";
const PLAN: &str = "plan --detailed-exitcode -f new.toml";

/// What a staging directory's name begins with.
const STAGING: &str = "iterctl-staging-";

/// Much longer than the kernel takes to free something on a busy machine.
const LONGEST: Duration = Duration::from_secs(30);

/// A sandbox in which old.toml has been applied and new.toml will be applied.
pub(crate) struct Attempts {
    pub(crate) sandbox: Sandbox,
    set: String,
    old: Clean,
    new: Clean,
}

/// The state after an apply without interruptions.
struct Clean {
    bpffs: Bpffs,
    /// The number of links, of programs and of maps.
    size: [usize; 3],
}

/// Everything on a bpffs except staging directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bpffs(BTreeMap<String, Node>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Directory(Access),
    /// A pin: its link, the stamp's contents, and its access.
    Pin(u32, String, Access),
}

/// Mode, owner and group.
type Access = (u32, u32, u32);

/// How far a killed apply has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reached {
    /// It had not begun to change anything.
    Nothing,
    /// It was preparing: there is a staging directory.
    Staging,
    /// In the middle of the changes.
    Some,
    /// Everything was changed; perhaps it had not cleaned up.
    All,
}

/// Every kind of step, few of each.
#[track_caller]
pub(crate) fn small() -> Attempts {
    let old = ["access", "changes", "old/goes", "same"];
    let old = old.map(|path| entry("tasks_v1.bpf.o", path)).concat();
    let new = entry_with("tasks_v1.bpf.o", "access", ACCESS)
        + &entry_with("tasks_v2.bpf.o", "changes", ACCESS)
        + &entry_with("rodata.bpf.o", "new/deep/pin", ACCESS)
        + &entry("tasks_v1.bpf.o", "same");
    let attempts = Attempts::new(&old, &new);
    let [old, new] = attempts.paths();
    assert_eq!(old, ["access", "changes", "old", "old/goes", "same"]);
    assert_eq!(new, ["access", "changes", "new", "new/deep", "new/deep/pin", "same"]);
    attempts
}

/// 50 pins: 12 are new, 15 are replaced, 12 are removed, 6 get another mode and owner, 5 stay. Some
/// programs have maps of their own, and some have variables.
#[track_caller]
pub(crate) fn large() -> Attempts {
    let walks = "map = { own = \"a_map_with_a_long_name\" }";
    let walks_and_shows = format!("{walks}\n{ACCESS}");
    let (mut old, mut new) = (String::new(), String::new());
    for number in 0..6 {
        new +=
            &entry_with("own_map_used.bpf.o", &format!("new/deep/map{number}"), &walks_and_shows);
        new += &entry_with("rodata.bpf.o", &format!("new/constant{number}"), ACCESS);
        old += &entry("tasks_v1.bpf.o", &format!("old/deep/tasks{number}"));
        let walked = "map = { own = \"own_elems\" }";
        old += &entry_with("own_map.bpf.o", &format!("old/map{number}"), walked);
        let path = format!("access{number}");
        old += &entry("tasks_v1.bpf.o", &path);
        new += &entry_with("tasks_v1.bpf.o", &path, ACCESS);
    }
    for number in 0..5 {
        let path = format!("tasks{number}");
        old += &entry("tasks_v1.bpf.o", &path);
        new += &entry_with("tasks_v2.bpf.o", &path, ACCESS);
        let path = format!("both/variables{number}");
        old += &entry_with("globals.bpf.o", &path, "globals = { u32 = 1 }");
        new += &entry_with("globals.bpf.o", &path, "globals = { u32 = 2 }");
        let path = format!("both/map{number}");
        old += &entry("tasks_v2.bpf.o", &path);
        new += &entry_with("own_map_used.bpf.o", &path, walks);
        let path = format!("both/same{number}");
        old += &entry("tasks_v1.bpf.o", &path);
        new += &entry("tasks_v1.bpf.o", &path);
    }
    let attempts = Attempts::new(&old, &new);
    let summary = "12 pinned, 15 replaced, 6 updated, 12 unpinned; 5 in sync already\n";
    let run = attempts.sandbox.iterctl(APPLY).exits(0);
    assert!(run.stdout.ends_with(summary), "{run}");
    attempts.go_back();
    attempts
}

/// The group has a name, so that it has to be looked up.
const ACCESS: &str = "mode = \"0444\"\nowner = \"7\"\ngroup = \"daemon\"\ndir-mode = \"0755\"";

impl Attempts {
    /// Applies old.toml, new.toml, and old.toml again.
    #[track_caller]
    pub(crate) fn new(old: &str, new: &str) -> Self {
        let sandbox = Sandbox::new();
        // Like the sandbox, the set has a name that no other set has.
        let set = sandbox.path().file_name().expect("it has a name").to_string_lossy().into_owned();
        let head = format!("set = \"{set}\"\n");
        sandbox.manifest("old.toml", &(head.clone() + old));
        sandbox.manifest("new.toml", &(head + new));
        let [_, new, old] = [BACK, APPLY, BACK].map(|apply| {
            sandbox.iterctl(apply).exits(0);
            let bpffs = Bpffs::of(&sandbox, &Census::of(&set));
            let census = settled(&set, &bpffs.links(), &format!("after a clean {apply}"));
            Clean { bpffs, size: census.size() }
        });
        Self { sandbox, set, old, new }
    }

    /// The paths of everything, after the old manifest and after the new one.
    pub(crate) fn paths(&self) -> [Vec<&str>; 2] {
        [&self.old, &self.new].map(|clean| clean.bpffs.paths())
    }

    /// How often an attempt makes this system call.
    #[track_caller]
    pub(crate) fn count(&self, call: &str) -> usize {
        let number = strace::count(&self.sandbox, call, APPLY);
        self.go_back();
        number
    }

    /// Everything on bpffs.
    #[track_caller]
    pub(crate) fn now(&self) -> Bpffs {
        Bpffs::of(&self.sandbox, &Census::of(&self.set))
    }

    /// Applies old.toml.
    #[track_caller]
    pub(crate) fn go_back(&self) {
        self.sandbox.iterctl(BACK).exits(0);
        self.is_clean(&self.old, "after going back");
    }

    /// Applies new.toml after a failure: nothing is left of that failure.
    #[track_caller]
    pub(crate) fn converges(&self, after: &str) {
        let run = self.sandbox.iterctl(APPLY);
        assert!(run.succeeded(), "{after}, the next apply: {run}");
        // If an apply was killed after the last unpin in a directory, it is unknown what has emptied that
        // directory.
        for (path, node) in self.old.bpffs.0.iter().rev() {
            if matches!(node, Node::Directory(_)) && !self.new.bpffs.0.contains_key(path) {
                let _ = fs::remove_dir(self.sandbox.pin(path));
            }
        }
        self.is_clean(&self.new, after);
    }

    #[track_caller]
    fn is_clean(&self, expected: &Clean, after: &str) {
        assert_eq!(self.staging(), [] as [&str; 0], "{after}");
        let now = self.now();
        assert_eq!(now.shape(), expected.bpffs.shape(), "{after}");
        let census = settled(&self.set, &now.links(), after);
        assert_eq!(census.size(), expected.size, "links, programs and maps {after}");
    }

    /// The apply was successful, whatever happened: everything is done, and a plan confirms it.
    #[track_caller]
    pub(crate) fn is_done(&self, run: &Run) {
        assert_eq!(self.now().shape(), self.new.bpffs.shape(), "{run}");
        if !self.staging().is_empty() {
            let says_so = "failed to remove the staging directory; the next apply will";
            assert!(run.stderr.contains(says_so), "{run}");
        }
        let plan = self.sandbox.iterctl(PLAN);
        assert!(plan.succeeded(), "{run}\n{plan}");
    }

    /// The kernel holds exactly what these pins need.
    #[track_caller]
    pub(crate) fn leaks_nothing(&self, pins: &Bpffs, after: &str) {
        settled(&self.set, &pins.links(), after);
    }

    /// After a failed apply, each path that is not as before is named, and the links that are not in their
    /// places are kept at the reported paths. Returns how many changes could not be undone.
    #[track_caller]
    pub(crate) fn tells_the_truth(&self, before: &Bpffs, run: &Run) -> usize {
        let now = self.now();
        let paths: BTreeSet<&String> = before.0.keys().chain(now.0.keys()).collect();
        let differing = paths.into_iter().filter(|path| before.0.get(*path) != now.0.get(*path));
        let differing: Vec<&String> = differing.collect();
        let errors: Vec<&str> =
            run.stderr.lines().filter(|line| line.starts_with("error: failed to")).collect();
        for path in &differing {
            let name = format!("`{path}`");
            assert!(errors.iter().any(|error| error.contains(&name)), "{path} is not told: {run}");
        }
        match (self.staging().as_slice(), differing.len()) {
            ([], 0) => {}
            (_, 0) => {
                let says_so = "failed to remove the staging directory; the next apply will";
                assert!(run.stderr.contains(says_so), "{run}");
            }
            ([only], number) => {
                let directory = self.sandbox.pin(only);
                let kept = format!("kept in {}", directory.display());
                let changes = if number == 1 { "change" } else { "changes" };
                let left = format!("error: {number} {changes} could not be undone; ");
                assert!(run.stderr.contains(&left), "{left}: {run}");
                assert!(run.stderr.contains(&kept), "{kept}: {run}");
                let names = fs::read_dir(directory).expect("root may look");
                let names = names.map(|entry| entry.expect("root may look").file_name());
                let pins = names.map(|name| format!("{only}/{}", name.to_string_lossy()));
                let pins = pins.filter(|path| !self.sandbox.pin(path).is_dir());
                let kept: BTreeSet<u32> = pins.map(|path| self.sandbox.link(&path)).collect();
                let lost = &(&before.links() - &now.links()) - &kept;
                assert!(lost.is_empty(), "{lost:?} are not kept: {run}");
                assert!(!run.stderr.contains("nothing was changed"), "{run}");
            }
            (staging, _) => assert_eq!(staging.len(), 1, "nothing is kept: {run}"),
        }
        differing.len()
    }

    /// The names of all staging directories.
    #[track_caller]
    pub(crate) fn staging(&self) -> Vec<String> {
        let entries = fs::read_dir(self.sandbox.bpffs()).expect("root may look");
        let names = entries.map(|entry| entry.expect("root may look").file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(STAGING)).collect()
    }

    /// Every path is as before or as desired, none is missing, and all can be read. Returns how far the
    /// apply has come.
    #[track_caller]
    pub(crate) fn every_path_is_old_or_new(&self, before: &Bpffs, killed: &str) -> Reached {
        let now = self.now();
        let old_links = before.links();
        for (path, node) in &now.0 {
            let (was, is_to_be) = (before.0.get(path), self.new.bpffs.0.get(path));
            let is_fine = was == Some(node)
                || match (node, was, is_to_be) {
                    (Node::Directory(_), _, Some(new)) => node == new,
                    // It is the same link; owner and group are changed before the mode.
                    (Node::Pin(link, label, access), Some(Node::Pin(id, _, from)), Some(new))
                        if link == id =>
                    {
                        let Node::Pin(_, wanted, to) = new else { unreachable!("it is a pin") };
                        let between = [*to, (from.0, to.1, to.2)];
                        label == wanted && between.contains(access)
                    }
                    (Node::Pin(link, label, access), _, Some(Node::Pin(_, wanted, to))) => {
                        !old_links.contains(link) && label == wanted && access == to
                    }
                    (Node::Pin(..), _, None | Some(Node::Directory(_)))
                    | (Node::Directory(_), _, None) => false,
                };
            assert!(is_fine, "{path} was {was:?}, is {node:?}, is to be {is_to_be:?}: {killed}");
            if let Node::Pin(_, label, _) = node {
                self.can_be_read(path, label);
            }
        }
        for (path, was) in &before.0 {
            let is_wanted = self.new.bpffs.0.contains_key(path);
            assert!(!is_wanted || now.0.contains_key(path), "{path}, {was:?}, is gone: {killed}");
        }
        if now.shape() == self.new.bpffs.shape() {
            Reached::All
        } else if now != *before {
            Reached::Some
        } else if self.staging().is_empty() {
            Reached::Nothing
        } else {
            Reached::Staging
        }
    }

    #[track_caller]
    fn can_be_read(&self, path: &str, label: &str) {
        let mut buffer = [0; 3];
        let mut file = File::open(self.sandbox.pin(path)).expect("the pin can be opened");
        let length = file.read(&mut buffer).expect("the iterator can be read");
        for (object, line) in [("tasks_v1", b"v1\n"), ("tasks_v2", b"v2\n"), ("rodata", b"mar")] {
            if label.starts_with(object) {
                assert_eq!(buffer.get(..length), Some(line.as_slice()), "{path}, {label}");
            }
        }
    }
}

/// Waits until the set has these links, what they need, and nothing else. The kernel frees unused objects
/// some time later (after a grace period of RCU, on a workqueue) and sends no event, so this polls.
#[track_caller]
fn settled(set: &str, links: &BTreeSet<u32>, after: &str) -> Census {
    let start = Instant::now();
    loop {
        let census = Census::of(set);
        if census.is_all_of(links) {
            return census;
        }
        let waited = start.elapsed();
        assert!(waited < LONGEST, "{links:?} are pinned, and in the kernel is {census:?} {after}");
        thread::sleep(Duration::from_millis(1));
    }
}

impl Bpffs {
    #[track_caller]
    fn of(sandbox: &Sandbox, census: &Census) -> Self {
        let paths = sandbox.paths().into_iter().filter(|path| !path.starts_with(STAGING));
        let node = |path: String| {
            let stat = fs::symlink_metadata(sandbox.pin(&path)).expect("it is there");
            let access = (stat.mode() & 0o7777, stat.uid(), stat.gid());
            let node = if stat.is_dir() {
                Node::Directory(access)
            } else {
                let link = sandbox.link(&path);
                Node::Pin(link, census.label(link).unwrap_or_default(), access)
            };
            (path, node)
        };
        Self(paths.map(node).collect())
    }

    fn paths(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    fn links(&self) -> BTreeSet<u32> {
        let links = self.0.values().filter_map(|node| match node {
            Node::Pin(link, ..) => Some(*link),
            Node::Directory(_) => None,
        });
        links.collect()
    }

    /// The same without ids, which differ each time.
    fn shape(&self) -> BTreeMap<&str, Node> {
        let without_id = |node: &Node| match node {
            Node::Directory(access) => Node::Directory(*access),
            Node::Pin(_, label, access) => Node::Pin(0, label.clone(), *access),
        };
        self.0.iter().map(|(path, node)| (path.as_str(), without_id(node))).collect()
    }
}
