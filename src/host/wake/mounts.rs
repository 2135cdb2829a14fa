//! The table of mounts: whether one changed on the way to a place that matters.
//!
//! In: the points that are on the way. Out: whether their mounts are others than before. A machine that runs containers
//! mounts file systems all the time, and hardly ever on the way.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use super::inbox::Inbox;
use super::lack::Lack;
use crate::host::sys::signals::blocked_in_threads_of;

const TABLE: &str = "/proc/self/mountinfo";

/// How long mounts are collected before the table is read.
const BURST: Duration = Duration::from_millis(20);

/// The mounts on the way, as they were when the places were found.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// Their lines of the table. `None` if it could not be read: then any change is one on the way.
    lines: Option<Vec<Vec<u8>>>,
    /// Whether a thread waits for changes.
    is_watched: bool,
}

impl Mounts {
    /// Has every mount and unmount in this process's namespace noted in the inbox from now on. Returns why not, if
    /// that is not possible; then it may be later.
    pub(super) fn watch(&mut self, inbox: &Arc<Inbox>) -> Option<Lack> {
        if !self.is_watched
            && let Err(error) = watch(inbox)
        {
            return Some(lack(&error));
        }
        self.is_watched = true;
        None
    }

    /// The table as it is now, for [`keep`](Self::keep).
    pub(super) fn table(&self) -> Option<Vec<u8>> {
        fs::read(TABLE).ok()
    }

    /// Keeps the mounts on the way.
    pub(super) fn keep(&mut self, table: &Option<Vec<u8>>, is_on_the_way: impl Fn(&Path) -> bool) {
        self.lines = table.as_ref().map(|table| lines_of_interest(table, is_on_the_way));
    }

    /// Whether the mounts on the way are others than those that were kept.
    pub(super) fn have_changed(&self, is_on_the_way: impl Fn(&Path) -> bool) -> bool {
        let now = self.table().map(|table| lines_of_interest(&table, is_on_the_way));
        now.is_none() || now != self.lines
    }
}

fn lines_of_interest(table: &[u8], is_on_the_way: impl Fn(&Path) -> bool) -> Vec<Vec<u8>> {
    let lines = table.split(|byte| *byte == b'\n');
    lines
        .filter(|line| mount_point(line).is_some_and(|point| is_on_the_way(&point)))
        .map(<[u8]>::to_vec)
        .collect()
}

/// The fifth field of a line (proc_pid_mountinfo(5)).
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    Some(PathBuf::from(OsString::from_vec(unescape(field))))
}

/// Space, tab, newline and backslash are written as three octal digits (`mangle()` in fs/proc_namespace.c, 6.18).
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match byte.filter(|_| *first == b'\\') {
            Some(byte) => {
                text.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                text.push(*first);
                rest = after;
            }
        }
    }
    text
}

fn watch(inbox: &Arc<Inbox>) -> io::Result<()> {
    // The kernel reports a change of the table as an exceptional condition: proc_pid_mountinfo(5).
    let table = File::open(TABLE)?;
    let inbox = Arc::clone(inbox);
    let wait = move || loop {
        match poll(&mut [PollFd::new(&table, PollFlags::PRI)], None) {
            Ok(_) => {
                thread::sleep(BURST);
                inbox.mounts_changed();
            }
            Err(rustix::io::Errno::INTR) => {}
            // Then changes are found by a round that comes anyway.
            Err(_) => return,
        }
    };
    let thread = thread::Builder::new().name("mounts".to_owned());
    blocked_in_threads_of(|| thread.spawn(wait)).map(|_| ())
}

fn lack(error: &io::Error) -> Lack {
    match error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) {
        true => Lack::Descriptors,
        false => Lack::Mounts(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 0:20 / / rw - ext4 /dev/vda rw\n\
        25 22 0:21 / /sys/fs/bpf rw shared:1 - bpf bpf rw\n\
        30 22 0:44 / /run/a\\040b rw - tmpfs tmpfs rw\n";

    #[track_caller]
    fn check(points: &[&str], expected: &[&str]) {
        let is_on_the_way = |point: &Path| points.iter().any(|one| point == Path::new(one));
        let lines = lines_of_interest(TABLE, is_on_the_way);
        let ids = lines.iter().map(|line| String::from_utf8_lossy(line).into_owned());
        let ids: Vec<_> = ids.map(|line| line.split(' ').next().map(str::to_owned)).collect();
        let expected: Vec<_> = expected.iter().map(|id| Some((*id).to_owned())).collect();
        assert_eq!(ids, expected);
    }

    #[test]
    fn only_mounts_on_the_way_are_kept() {
        check(&["/", "/sys/fs/bpf"], &["22", "25"]);
        check(&["/run/a b"], &["30"]);
        check(&["/run"], &[]);
    }

    #[test]
    fn a_table_that_was_not_read_has_changed() {
        assert!(Mounts::default().have_changed(|_| false));
    }
}
