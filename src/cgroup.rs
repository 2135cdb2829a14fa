//! A cgroup's directory → its id.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// `CGROUP2_SUPER_MAGIC` of include/uapi/linux/magic.h.
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// The id of the cgroup of that directory: on every 64-bit machine, the inode number
/// (`kernfs_id_ino()` in include/linux/kernfs.h).
///
/// # Errors
/// Why it has none, in words.
pub fn cgroup_id(path: &Path) -> Result<u64, String> {
    let directory = File::open(path).map_err(|error| error.to_string())?;
    let stat = rustix::fs::fstatfs(&directory).map_err(|error| error.to_string())?;
    if stat.f_type as u64 != CGROUP2_MAGIC {
        return Err("not a directory of cgroup v2".to_owned());
    }
    let metadata = directory.metadata().map_err(|error| error.to_string())?;
    if metadata.is_dir() { Ok(metadata.ino()) } else { Err("not a directory".to_owned()) }
}
