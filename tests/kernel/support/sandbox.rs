//! A separate place for each test: a folder with every compiled object in it, and a bpffs mounted at `bpf`
//! in that folder, in a mount namespace that only the test's thread and its children use.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::fs::{FlockOperation, flock};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::geteuid;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use serde_json::Value;
use tempfile::TempDir;

use super::bpf;

/// The binary under test.
pub(crate) const ITERCTL: &str = env!("CARGO_BIN_EXE_iterctl");

const OBJECTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/objects");

/// The folder and its bpffs. Both are removed when it is dropped.
pub(crate) struct Sandbox {
    folder: TempDir,
}

/// The exit status and the output of a command.
pub(crate) struct Run {
    command: String,
    status: Option<i32>,
    pub(crate) stdout: String,
    /// All of standard error.
    pub(crate) stderr: String,
}

/// The name of the lock on the root of a bpffs.
pub(crate) const LOCK: &str = "iterctl-lock";

/// Every path of a bpffs except the lock and those with a dot, with the kernel's information on it: type and
/// id, mode, owner, group and, except for directories, inode. Two trees are equal if nothing was touched. A
/// directory that was removed can only be made again, and then it has another inode.
pub(crate) type Tree = BTreeMap<String, String>;

impl Sandbox {
    /// A folder with every object, and an empty bpffs of mode 1777, as `mount -t bpf` creates it.
    #[track_caller]
    pub(crate) fn new() -> Self {
        assert!(geteuid().is_root(), "not root, so this cannot be tested: run `make test`");
        enter_mount_namespace();
        let folder = tempfile::Builder::new().prefix("iterctl-test-").tempdir().expect("a folder");
        // The folder is 0700, and some tests run as nobody.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("own folder");
        let sandbox = Self { folder };
        copy_objects(sandbox.path());
        sandbox.mount_bpffs("bpf");
        sandbox
    }

    /// The folder, in which every command is run.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder: `bpf/observe/tasks`.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// The bpffs.
    pub(crate) fn bpffs(&self) -> PathBuf {
        self.file("bpf")
    }

    /// A pin.
    pub(crate) fn pin(&self, path: &str) -> PathBuf {
        self.bpffs().join(path)
    }

    /// Mounts another bpffs on a new folder.
    #[track_caller]
    pub(crate) fn mount_bpffs(&self, path: &str) {
        let path = self.file(path);
        fs::create_dir_all(&path).expect("own folder");
        mount("bpf", &path, "bpf", MountFlags::empty(), None).expect("a bpffs is mounted");
    }

    /// Writes a file, and the folders that it needs.
    #[track_caller]
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.file(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("own folder");
        fs::write(path, text).expect("own folder");
    }

    /// Writes a manifest for the bpffs.
    #[track_caller]
    pub(crate) fn manifest(&self, path: &str, text: &str) {
        self.write(path, &self.with_bpffs(text));
    }

    /// A manifest for the bpffs.
    pub(crate) fn with_bpffs(&self, text: &str) -> String {
        format!("bpffs = \"{}\"\n{text}", self.bpffs().display())
    }

    /// Replaces an object by another one, as a package's update would.
    #[track_caller]
    pub(crate) fn copy(&self, from: &str, to: &str) {
        let beside = self.file(&format!("{to}.new"));
        fs::copy(self.file(from), &beside).expect("own folder");
        fs::rename(beside, self.file(to)).expect("own folder");
    }

    /// Runs the binary with these arguments, separated by spaces.
    #[track_caller]
    pub(crate) fn iterctl(&self, arguments: &str) -> Run {
        self.run(ITERCTL, arguments)
    }

    /// Runs the binary with these arguments and this text on standard input.
    #[track_caller]
    pub(crate) fn iterctl_reading(&self, arguments: &str, input: &str) -> Run {
        let mut command = self.command(ITERCTL, arguments);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the binary is there");
        let mut stdin = child.stdin.take().expect("it is a pipe");
        stdin.write_all(input.as_bytes()).expect("the binary reads it");
        drop(stdin);
        finish(arguments, child)
    }

    /// Starts the binary.
    #[track_caller]
    pub(crate) fn start(&self, arguments: &str) -> Child {
        self.command(ITERCTL, arguments).spawn().expect("the binary is there")
    }

    /// Runs a program in the folder.
    #[track_caller]
    pub(crate) fn run(&self, program: &str, arguments: &str) -> Run {
        Run::of(&mut self.command(program, arguments))
    }

    /// A program to be run in the folder, with its output captured.
    pub(crate) fn command(&self, program: &str, arguments: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments.split_whitespace())
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Takes the lock of the bpffs, as root's applies do.
    #[track_caller]
    pub(crate) fn lock(&self) -> fs::File {
        let lock = self.pin(LOCK);
        if !lock.exists() {
            fs::DirBuilder::new().mode(0o700).create(&lock).expect("nothing is there");
        }
        let lock = fs::File::open(lock).expect("root may");
        flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("no other process has it");
        lock
    }

    /// Everything on the bpffs.
    #[track_caller]
    pub(crate) fn tree(&self) -> Tree {
        tree_of(&self.bpffs())
    }

    /// The paths of everything on the bpffs.
    #[track_caller]
    pub(crate) fn paths(&self) -> Vec<String> {
        self.tree().into_keys().collect()
    }

    /// The id of the link pinned there.
    #[track_caller]
    pub(crate) fn link(&self, path: &str) -> u32 {
        self.number(path, "link_id")
    }

    /// A number that the kernel shows in the fdinfo of what is pinned there.
    #[track_caller]
    pub(crate) fn number(&self, path: &str, key: &str) -> u32 {
        let info = bpf::fdinfo(&self.pin(path));
        let value = info.get(key).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("no {key} in the fdinfo of {path}: {info:?}"))
    }

    /// The first line of output of the iterator pinned there.
    #[track_caller]
    pub(crate) fn first_line(&self, path: &str) -> String {
        let file = fs::File::open(self.pin(path)).expect("the pin can be opened");
        let mut line = String::new();
        BufReader::new(file).read_line(&mut line).expect("the iterator can be read");
        line
    }

    /// The whole output of the iterator pinned there.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.pin(path)).expect("the iterator can be read")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // The folder cannot be removed while something is mounted in it. If a test has failed, its mounts
        // disappear with the mount namespace.
        let mounts = fs::read_to_string("/proc/thread-self/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for point in points.filter(|point| Path::new(point).starts_with(self.folder.path())) {
            let _ = unmount(point, UnmountFlags::DETACH);
        }
    }
}

/// One entry of a manifest in the sandbox's folder.
pub(crate) fn entry(object: &str, path: &str) -> String {
    entry_with(object, path, "")
}

/// One entry with more keys.
pub(crate) fn entry_with(object: &str, path: &str, keys: &str) -> String {
    format!("[[iter]]\nobj = \"{object}\"\npath = \"{path}\"\n{keys}\n")
}

impl Run {
    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn of(command: &mut Command) -> Self {
        match command.output() {
            Ok(output) => Self::new(&format!("{command:?}"), output),
            Err(error) => panic!("{command:?} does not run ({error}): run `make deps`"),
        }
    }

    fn new(command: &str, output: Output) -> Self {
        Self {
            command: command.to_owned(),
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Checks the exit status.
    #[track_caller]
    pub(crate) fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self}");
        self
    }

    /// Whether it ended with status 0.
    pub(crate) fn succeeded(&self) -> bool {
        self.status == Some(0)
    }

    /// The exit status, if no signal ended it.
    pub(crate) fn status(&self) -> Option<i32> {
        self.status
    }

    /// Checks that standard error contains this.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in: {self}");
        self
    }

    /// Checks all lines of standard output that begin with a sign.
    #[track_caller]
    pub(crate) fn plans<L: AsRef<str>>(self, expected: &[L]) -> Self {
        let is_change = |line: &&str| ["+ ", "~ ", "- ", "! "].iter().any(|s| line.starts_with(s));
        let lines: Vec<&str> = self.stdout.lines().filter(is_change).collect();
        let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
        assert_eq!(lines, expected, "{self}");
        self
    }

    /// Its output as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, status, stdout, stderr } = self;
        write!(f, "`{command}` ended with {status:?}\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}

/// Waits for the end of a started program.
#[track_caller]
pub(crate) fn finish(what: &str, child: Child) -> Run {
    Run::new(what, child.wait_with_output().expect("it is a child of this process"))
}

/// Everything below a directory of a bpffs.
#[track_caller]
pub(crate) fn tree_of(root: &Path) -> Tree {
    let mut tree = Tree::new();
    add_directory(root, root, &mut tree).expect("root may look at everything");
    tree
}

fn add_directory(root: &Path, directory: &Path, tree: &mut Tree) -> io::Result<()> {
    for found in fs::read_dir(directory)? {
        let path = found?.path();
        let relative = path.strip_prefix(root).expect("it was found below").to_string_lossy();
        if relative.contains('.') {
            continue;
        }
        let stat = fs::symlink_metadata(&path)?;
        let is_lock = relative == LOCK || *relative == format!("{LOCK}-{}", stat.uid());
        if is_lock && stat.is_dir() && stat.mode() & 0o7777 == 0o700 {
            assert_eq!(fs::read_dir(&path)?.count(), 0, "nothing is ever in the lock");
            continue;
        }
        let what = if stat.is_dir() {
            add_directory(root, &path, tree)?;
            format!("directory {:04o} {:?}", stat.mode() & 0o7777, (stat.uid(), stat.gid()))
        } else if stat.is_symlink() {
            format!("symlink to {} {}", fs::read_link(&path)?.display(), stat.ino())
        } else {
            let (mode, ids) = (stat.mode() & 0o7777, (stat.uid(), stat.gid(), stat.ino()));
            format!("{} {mode:04o} {ids:?}", bpf::what(&path))
        };
        tree.insert(relative.into_owned(), what);
    }
    Ok(())
}

/// Libtest runs every test in a thread of its own, and children are in their thread's namespace. If it runs
/// them all in one thread, each test nests in the one before, which has unmounted everything that belonged
/// to it.
fn enter_mount_namespace() {
    unshare_mounts().expect("root may leave a mount namespace");
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).expect("the namespace is this thread's own");
}

#[expect(unsafe_code, reason = "rustix's safe unshare() is deprecated")]
fn unshare_mounts() -> rustix::io::Result<()> {
    // SAFETY: unsafe is only `FILES`, which takes descriptors from other threads.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }
}

#[track_caller]
fn copy_objects(folder: &Path) {
    let sources = fs::read_dir(OBJECTS).expect("tests/objects is there");
    for source in sources.map(|entry| entry.expect("tests/objects can be read").path()) {
        let object = source.with_extension("o");
        if source.extension() == Some("c".as_ref()) {
            assert!(object.is_file(), "{} is missing: run `make objects`", object.display());
            let name = object.file_name().expect("a file has a name");
            fs::copy(&object, folder.join(name)).expect("own folder");
        }
    }
}
