//! The stamp's map: written, frozen and bound to a program; found and read again.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};
use rustix::process::getuid;

use super::ffi::{self, ProgInfo};
use iterctl_core::observed::ScannedStamp;
use iterctl_core::stamp::{LONGEST, VARIABLE};

/// The name of the stamp's map. bpftool looks for `bpf_metadata_…` variables in maps whose names
/// have `.rodata` in them.
const MAP_NAME: &str = "iterctl.rodata";

/// The only key of an array with one element.
const KEY: [u8; 4] = [0; 4];

/// Makes a map that holds `bytes`, and has it live as long as the program.
///
/// # Errors
/// The kernel's: BPF_PROG_BIND_MAP is there since Linux 5.10.
pub(super) fn bind(program: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    let size = u32::try_from(bytes.len())
        .ok()
        .filter(|size| *size as usize <= LONGEST)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "stamp too long"))?;
    let variable = CString::new(VARIABLE).map_err(io::Error::other)?;
    let (btf, section) = ffi::stamp_btf(&variable, size)?;
    let opts = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        btf_fd: btf.as_raw_fd().unsigned_abs(),
        btf_value_type_id: section,
        map_flags: libbpf_sys::BPF_F_RDONLY_PROG,
        ..Default::default()
    };
    let map =
        MapHandle::create(MapType::Array, Some(MAP_NAME), 4, size, 1, &opts).map_err(io_error)?;
    map.update(&KEY, bytes, MapFlags::ANY).map_err(io_error)?;
    map.freeze().map_err(io_error)?;
    ffi::bind_map(program, map.as_fd())
}

/// Reads the stamp of a program: of all its maps, at most one value of at most [`LONGEST`] bytes.
///
/// A user with `CAP_BPF` and `CAP_PERFMON` can read root's stamps and bind copies to programs of its own. So a
/// stamp is believed only if root or this process's user has loaded the program; no map of another program is
/// read. Others cannot bind maps to a program of root: `BPF_PROG_BIND_MAP` takes a descriptor of it, which
/// `CAP_SYS_ADMIN` or a pin of the program provides, and iterctl pins no programs.
///
/// # Errors
/// The kernel's. Reading a map by its id needs `CAP_SYS_ADMIN`.
pub(super) fn read(program: &ProgInfo) -> io::Result<ScannedStamp> {
    if !is_believed(program.created_by_uid) {
        return Ok(ScannedStamp::OtherUser(program.created_by_uid));
    }
    // The stamp is bound after the program's own maps, of which one may happen to have the same name.
    for id in program.map_ids.iter().rev() {
        let fd = ffi::map_by_id(*id)?;
        if ffi::map_info(fd.as_fd())?.name != MAP_NAME {
            continue;
        }
        let map = MapHandle::from_map_id(*id).map_err(io_error)?;
        let is_array = map.map_type() == MapType::Array && map.max_entries() == 1;
        if is_array && map.value_size() as usize <= LONGEST {
            let value = map.lookup(&KEY, MapFlags::ANY).map_err(io_error)?;
            return Ok(value.map_or(ScannedStamp::None, ScannedStamp::Value));
        }
    }
    Ok(ScannedStamp::None)
}

/// Whether the stamps of that user's programs are believed. The kernel notes the real user id, so the effective
/// one does not matter here.
fn is_believed(uid: u32) -> bool {
    uid == 0 || uid == getuid().as_raw()
}

fn io_error(error: libbpf_rs::Error) -> io::Error {
    if error.kind() == libbpf_rs::ErrorKind::PermissionDenied {
        io::Error::new(io::ErrorKind::PermissionDenied, error)
    } else {
        io::Error::other(error)
    }
}
