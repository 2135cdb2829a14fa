//! Whether a process has a file open for writing. inotify does not tell: it reports writes, and the close after them,
//! but truncate(2) changes a file without opening it.
//!
//! In: a path. Out: whether one of the processes that /proc shows has it open for writing. It is asked for only if a
//! file was written to and then nothing happened to it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The bits of open(2)'s flags that say how a file is accessed (`O_ACCMODE`), and their value for reading.
const ACCESS: u32 = 0o3;
const READ_ONLY: u32 = 0;

/// Whether a process that can be seen has the file open for writing. Processes of other containers cannot be seen.
pub(super) fn is_open_for_writing(path: &Path) -> bool {
    let (Ok(file), Some(name)) = (fs::metadata(path), path.file_name()) else { return false };
    let file = (file.dev(), file.ino());
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    processes.flatten().map(|process| process.path()).any(|process| {
        // Threads that have descriptors of their own are none that write manifests.
        let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
        descriptors
            .flatten()
            .any(|descriptor| has_open(&process, &descriptor.file_name(), file, name))
    })
}

fn has_open(process: &Path, descriptor: &OsStr, file: (u64, u64), name: &OsStr) -> bool {
    let link = process.join("fd").join(descriptor);
    // Only a file of the same name is looked at: a file of a server that does not answer would make this wait.
    if !fs::read_link(&link).is_ok_and(|path| path.file_name() == Some(name)) {
        return false;
    }
    if !fs::metadata(&link).is_ok_and(|open| (open.dev(), open.ino()) == file) {
        return false;
    }
    let info = fs::read_to_string(process.join("fdinfo").join(descriptor)).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & ACCESS != READ_ONLY)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_file_is_being_written_as_long_as_it_is_open_for_that() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("iters.toml");
        assert!(!is_open_for_writing(&path), "it is not there");
        let writer = File::create(&path).expect("own folder");
        assert!(is_open_for_writing(&path));
        drop(writer);
        let _reader = File::open(&path).expect("it is there");
        assert!(!is_open_for_writing(&path), "it is only read");
    }
}
