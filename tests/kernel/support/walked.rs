//! Things for iterators to walk, made by each test for itself: a process, a thread, cgroups.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use rustix::mount::{MountFlags, mount};
use rustix::thread::gettid;

use super::sandbox::Sandbox;

/// A process with one thread, which waits until it is dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it.
    #[track_caller]
    pub(crate) fn start() -> Self {
        // It reads a pipe that is never written to.
        let mut command = Command::new("cat");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        Self(child.expect("coreutils are there"))
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One more thread of this process, which waits until it is dropped.
pub(crate) struct Thread {
    tid: u32,
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Thread {
    /// Starts it.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let handle = thread::spawn(move || {
            tell.send(gettid().as_raw_nonzero().get()).expect("the test waits for it");
            let _ = stopped.recv();
        });
        let tid = told.recv().expect("the thread tells it first");
        let tid = tid.try_into().expect("a thread's number is not negative");
        Self { tid, running: Some((stop, handle)) }
    }

    /// Its number, which is not that of the process.
    pub(crate) fn tid(&self) -> u32 {
        self.tid
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some((stop, handle)) = self.running.take() {
            drop(stop);
            let _ = handle.join();
        }
    }
}

/// A cgroup of the test's own, and the cgroups that it makes below. They are removed when it is dropped,
/// which must be before the sandbox is dropped.
pub(crate) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Mounts cgroup v2 in the sandbox, and makes a cgroup in its root.
    #[track_caller]
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        let root = sandbox.file("cgroup");
        fs::create_dir(&root).expect("own folder");
        mount("cgroup2", &root, "cgroup2", MountFlags::empty(), None).expect("cgroup v2 is there");
        let path = root.join(sandbox.path().file_name().expect("the sandbox has a name"));
        fs::create_dir(&path).expect("the sandbox's name is its own");
        Self { path }
    }

    /// The directory of the cgroup, or of one below it.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        if below.is_empty() { self.path.clone() } else { self.path.join(below) }
    }

    /// Makes a cgroup below.
    #[track_caller]
    pub(crate) fn make(&self, below: &str) {
        fs::create_dir(self.path(below)).expect("root may make cgroups");
    }

    /// Removes a cgroup below, which must have no children.
    #[track_caller]
    pub(crate) fn remove(&self, below: &str) {
        fs::remove_dir(self.path(below)).expect("nothing is in it");
    }

    /// The id of the cgroup or of one below it.
    #[track_caller]
    pub(crate) fn id(&self, below: &str) -> u64 {
        fs::metadata(self.path(below)).expect("it is there").ino()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove_all(&self.path);
    }
}

/// The files of a cgroup disappear with it, and cannot be removed.
fn remove_all(path: &PathBuf) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_all(&entry.path());
        }
    }
    let _ = fs::remove_dir(path);
}
