//! A cgroup's directory → its id. Also finds where cgroup v2 is mounted.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use iterctl_core::observed::CgroupProblem;

/// `CGROUP2_SUPER_MAGIC` of include/uapi/linux/magic.h.
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// Returns the id of the cgroup with this directory. On every 64-bit machine, it is the inode number
/// (`kernfs_id_ino()` in include/linux/kernfs.h).
///
/// # Errors
/// If the directory is not that of a cgroup. The error says why, and where cgroup v2 is mounted.
pub(crate) fn cgroup_id(path: &Path) -> Result<u64, CgroupProblem> {
    id_of(path).map_err(|why| {
        let nearest = path.ancestors().find(|ancestor| ancestor.exists());
        match nearest.is_some_and(is_cgroup2) {
            true => CgroupProblem::Unusable(why),
            false => CgroupProblem::Outside { why, mount: cgroup2_mount() },
        }
    })
}

/// Returns where cgroup v2 is mounted: /sys/fs/cgroup, /sys/fs/cgroup/unified, or elsewhere. `None` if it is not
/// mounted, or if /proc is not.
pub(crate) fn cgroup2_mount() -> Option<PathBuf> {
    let table = fs::read("/proc/self/mountinfo").ok()?;
    // Another file system may have been mounted over one of these mounts.
    mounts(&table).into_iter().find(|mount| is_cgroup2(mount))
}

fn id_of(path: &Path) -> Result<u64, String> {
    let directory = File::open(path).map_err(|error| error.to_string())?;
    let stat = rustix::fs::fstatfs(&directory).map_err(|error| error.to_string())?;
    if stat.f_type as u64 != CGROUP2_MAGIC {
        return Err("not a directory of cgroup v2".to_owned());
    }
    let metadata = directory.metadata().map_err(|error| error.to_string())?;
    if metadata.is_dir() { Ok(metadata.ino()) } else { Err("not a directory".to_owned()) }
}

fn is_cgroup2(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type as u64 == CGROUP2_MAGIC)
}

/// Every mount point of cgroup v2 in a mountinfo table (proc_pid_mountinfo(5)). Mounts of the whole hierarchy come
/// before mounts of a part of it.
fn mounts(table: &[u8]) -> Vec<PathBuf> {
    let mut found: Vec<(bool, PathBuf)> =
        table.split(|byte| *byte == b'\n').filter_map(mount).collect();
    found.sort_by_key(|(is_part, _)| *is_part);
    found.into_iter().map(|(_, path)| path).collect()
}

/// Parses a line `ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS [TAG…] - TYPE SOURCE SUPER-OPTIONS`. Returns whether
/// only a part of the hierarchy is mounted, and the mount point.
fn mount(line: &[u8]) -> Option<(bool, PathBuf)> {
    let mut fields = line.split(|byte| *byte == b' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    (kind == b"cgroup2").then(|| (root != b"/", PathBuf::from(OsString::from_vec(unescape(point)))))
}

/// Decodes blanks and backslashes, which the kernel writes as `\` and three octal digits (`mangle_path()` in
/// fs/seq_file.c).
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut parts = field.split(|byte| *byte == b'\\');
    let mut bytes = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let digits = part.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(part.iter().skip(3));
            }
            None => {
                bytes.push(b'\\');
                bytes.extend(part);
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(table: &str, expected: &[&str]) {
        let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(mounts(table.as_bytes()), expected);
    }

    const ROOT: &str = "25 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n";
    const V1: &str = "31 24 0:27 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n";

    #[test]
    fn cgroup_v2_is_found_at_any_mount_point() {
        check("", &[]);
        check(&format!("{ROOT}{V1}"), &[]);
        let unified = "33 24 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        check(&format!("{ROOT}{V1}{unified}"), &["/sys/fs/cgroup/unified"]);
        let tagged = "33 24 0:29 / /sys/fs/cgroup rw shared:9 master:1 - cgroup2 none rw\n";
        check(&format!("{tagged}{ROOT}"), &["/sys/fs/cgroup"]);
        check("33 24 0:29 / /my\\040own\\134groups rw - cgroup2 none rw", &["/my own\\groups"]);
    }

    #[test]
    fn a_mount_of_the_whole_hierarchy_comes_before_a_mount_of_a_part() {
        let part = "40 24 0:29 /x.slice /part rw - cgroup2 none rw\n";
        let whole = "41 24 0:29 / /whole rw - cgroup2 none rw\n";
        check(&format!("{part}{whole}"), &["/whole", "/part"]);
    }

    #[test]
    fn incomplete_lines_are_ignored() {
        check("33 24 0:29 / /x rw - cgroup2", &["/x"]);
        check("33 24 0:29 / /x rw -\n33 24 0:29 / /x rw\n33\n", &[]);
    }
}
