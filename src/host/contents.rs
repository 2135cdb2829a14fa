//! A file → its contents, whole: never what somebody has only half written.
//!
//! In: an open file. Out: its bytes, up to a limit. A regular file that changed while it was being
//! read is read again.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::thread;
use std::time::Duration;

/// How often a file is read before it is said to keep changing.
const TRIES: usize = 20;

/// How long a writer is given before the next try.
const PAUSE: Duration = Duration::from_millis(10);

/// Reads a file from where it stands to its end. `None` where it has more than `longest` bytes.
///
/// # Errors
/// The system's; `ResourceBusy` where it changes again and again.
pub fn read(file: &File, longest: u64) -> io::Result<Option<Vec<u8>>> {
    // What comes out of a pipe or a terminal cannot be read again.
    if !file.metadata()?.is_file() {
        return read_once(file, longest, 0);
    }
    let start = (&*file).stream_position()?;
    let read = || {
        (&*file).seek(SeekFrom::Start(start))?;
        // With as much room as it needs, it is read in one go.
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

/// What differs where somebody has written to the file: its length and, in seconds and nanoseconds,
/// its times. Kernels before 6.13 count these in ticks of some milliseconds.
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

    /// How often a file is read that others write to during the first so many reads.
    fn reads(writes: usize) -> io::Result<usize> {
        let number = Cell::new(0);
        let read = || {
            number.set(number.get() + 1);
            Ok(number.get())
        };
        read_unchanged(|| Ok(number.get().min(writes)), read)
    }

    #[test]
    fn what_changed_is_read_again() {
        assert_eq!(reads(0).expect("it is quiet"), 1);
        assert_eq!(reads(3).expect("it is quiet after a while"), 4);
        let error = reads(TRIES).expect_err("it never is");
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    }
}
