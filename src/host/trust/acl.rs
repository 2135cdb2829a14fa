//! POSIX access control lists, as far as they say who may write.
//!
//! In: a descriptor, or the bytes of its extended attribute. Out: the users and groups that may write to it.

use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, fgetxattr, openat};
use rustix::io::Errno;

use super::Writer;

/// The entries that let a user or a group write, with the mask applied.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct WriteEntries(Vec<Writer>);

/// Longer lists are refused. ext4 and XFS keep lists of at most 64 KiB (`XATTR_SIZE_MAX` of include/uapi/linux/limits.h).
const LONGEST: usize = 64 * 1024;

// include/uapi/linux/posix_acl_xattr.h and posix_acl.h: a header with the version, then entries of tag, rights, id.
const VERSION: u32 = 2;
const ENTRY: usize = 8;
const USER: u16 = 0x02;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const WRITE: u16 = 0x02;

/// The list of what is behind a descriptor.
///
/// # Errors
/// The system's: `NODATA` if there is none, `OPNOTSUPP` if the file system has none; `INVAL` for a list of an unknown
/// format.
pub(super) fn read(fd: impl AsFd, is_directory: bool) -> Result<WriteEntries, Errno> {
    let mut bytes = vec![0; LONGEST];
    let name = "system.posix_acl_access";
    let length = if is_directory {
        // fgetxattr(2) takes no descriptor of O_PATH (fs/xattr.c, all versions).
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fgetxattr(openat(fd, ".", flags, Mode::empty())?, name, &mut bytes[..])?
    } else {
        fgetxattr(fd, name, &mut bytes[..])?
    };
    parse(bytes.get(..length).unwrap_or_default()).ok_or(Errno::INVAL)
}

/// `None` for a format that is not known.
fn parse(bytes: &[u8]) -> Option<WriteEntries> {
    let (version, entries) = bytes.split_first_chunk()?;
    let (entries, []) = entries.as_chunks::<ENTRY>() else { return None };
    if u32::from_le_bytes(*version) != VERSION {
        return None;
    }
    let entries = entries.iter().map(|&[t0, t1, r0, r1, i0, i1, i2, i3]| {
        let (tag, rights) = (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([r0, r1]));
        (tag, rights, u32::from_le_bytes([i0, i1, i2, i3]))
    });
    let mask =
        entries.clone().find(|(tag, ..)| *tag == MASK).map_or(u16::MAX, |(_, rights, _)| rights);
    let writers = entries.filter(|(_, rights, _)| rights & mask & WRITE != 0);
    let writers = writers.filter_map(|(tag, _, id)| match tag {
        USER => Some(Writer::User(id)),
        GROUP => Some(Writer::Group(id)),
        // Owner, owning group and the others: the mode says that, too.
        _ => None,
    });
    Some(WriteEntries(writers.collect()))
}

impl WriteEntries {
    /// The first of them who is not trusted.
    pub(super) fn writer(&self, is_trusted: impl Fn(u32) -> bool) -> Option<Writer> {
        self.0.iter().copied().find(|writer| match writer {
            Writer::User(uid) => !is_trusted(*uid),
            Writer::Group(gid) => *gid != 0,
            Writer::Owner(_) | Writer::Everybody | Writer::Link => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: (u16, u16, u32) = (0x01, 6, u32::MAX);
    const ROOTS_GROUP: (u16, u16, u32) = (0x04, 6, u32::MAX);

    fn list(version: u32, entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = version.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(rights.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[track_caller]
    fn check(entries: &[(u16, u16, u32)], expected: Option<Writer>) {
        let parsed = parse(&list(VERSION, entries)).expect("it is a list");
        assert_eq!(parsed.writer(|uid| uid == 0), expected);
    }

    #[test]
    fn users_and_groups_that_can_write_are_found() {
        check(&[OWNER, ROOTS_GROUP], None);
        check(&[OWNER, (USER, 6, 7), (MASK, 6, 0)], Some(Writer::User(7)));
        check(&[OWNER, (USER, 4, 7), (MASK, 6, 0)], None);
        check(&[OWNER, (USER, 6, 7), (MASK, 4, 0)], None);
        check(&[OWNER, (USER, 6, 0), (MASK, 6, 0)], None);
        check(&[OWNER, (USER, 6, 7)], Some(Writer::User(7)));
        check(&[OWNER, (GROUP, 2, 9), (MASK, 7, 0)], Some(Writer::Group(9)));
        check(&[OWNER, (GROUP, 6, 0), (MASK, 7, 0)], None);
    }

    #[test]
    fn unknown_format_is_no_list() {
        assert_eq!(parse(&list(3, &[OWNER])), None);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(&list(VERSION, &[OWNER])[..11]), None);
        assert_eq!(parse(&list(VERSION, &[])), Some(WriteEntries::default()));
    }
}
