//! A file → its complete contents, never a state that another process has only half written.
//!
//! In: an open file. Out: its bytes, up to a limit. If a regular file changes while it is being read, it is read
//! again.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::thread;
use std::time::Duration;

/// How many times a file that keeps changing is read before [`read()`] fails.
const TRIES: usize = 20;

/// The wait before the next try, so that the writer can finish.
const PAUSE: Duration = Duration::from_millis(10);

/// Reads a file from its current offset to its end. Returns `None` if that is more than `longest` bytes.
///
/// # Errors
/// The system's; `ResourceBusy` if the file keeps changing.
pub(crate) fn read(file: &File, longest: u64) -> io::Result<Option<Vec<u8>>> {
    // A pipe or a terminal cannot be read twice.
    if !file.metadata()?.is_file() {
        return read_once(file, longest, 0);
    }
    let start = (&*file).stream_position()?;
    let read = || {
        (&*file).seek(SeekFrom::Start(start))?;
        // With a large enough buffer, the file is read in one call.
        let length = file.metadata()?.len().min(longest).saturating_add(1);
        read_once(file, longest, usize::try_from(length).unwrap_or(0))
    };
    read_unchanged(|| Ok(version(&file.metadata()?)), read)
}

/// Reads until the version is the same before and after.
fn read_unchanged<V: PartialEq, T>(
    version: impl Fn() -> io::Result<V>,
    mut read: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    for _ in 0..TRIES {
        let before = version()?;
        let contents = read()?;
        if version()? == before {
            return Ok(contents);
        }
        thread::sleep(PAUSE);
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "it changes while it is being read"))
}

fn read_once(file: &File, longest: u64, room: usize) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(room);
    file.take(longest.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= longest).then_some(bytes))
}

/// The metadata that changes when a process writes to the file: its length, and its times in seconds and nanoseconds.
/// Before Linux 6.13, the times have a resolution of only a few milliseconds.
fn version(metadata: &Metadata) -> (u64, [i64; 4]) {
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    (metadata.size(), times)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write as _;

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], longest: u64, expected: Option<&[u8]>) {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("there is room");
        file.rewind().expect("it is a file");
        let found = read(&file, longest).expect("it can be read");
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn a_file_is_read_up_to_the_limit() {
        check(b"four", 4, Some(b"four"));
        check(b"fives", 4, None);
        check(b"", 0, Some(b""));
    }

    /// Returns how many times a file is read if another process writes to it during the first `writes` reads.
    fn reads(writes: usize) -> io::Result<usize> {
        let number = Cell::new(0);
        let read = || {
            number.set(number.get() + 1);
            Ok(number.get())
        };
        read_unchanged(|| Ok(number.get().min(writes)), read)
    }

    #[test]
    fn a_file_that_changed_is_read_again() {
        assert_eq!(reads(0).expect("it does not change"), 1);
        assert_eq!(reads(3).expect("it changes three times"), 4);
        let error = reads(TRIES).expect_err("it changes during every read");
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    }
}
