//! The stamp's map: written, frozen and bound to a program; found and read again.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};

use super::ffi;
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

/// The values of all maps of a program that look like its stamp's. More than one where a program's
/// own read-only data happens to have the same name.
///
/// # Errors
/// The kernel's. Reading a map by its id needs `CAP_SYS_ADMIN`.
pub(super) fn read(map_ids: &[u32]) -> io::Result<Vec<Vec<u8>>> {
    let mut values = Vec::new();
    // The stamp is bound after the program's own maps.
    for id in map_ids.iter().rev() {
        let fd = ffi::map_by_id(*id)?;
        if ffi::map_info(fd.as_fd())?.name != MAP_NAME {
            continue;
        }
        let map = MapHandle::from_map_id(*id).map_err(io_error)?;
        let is_array = map.map_type() == MapType::Array && map.max_entries() == 1;
        if is_array && map.value_size() as usize <= LONGEST {
            values.extend(map.lookup(&KEY, MapFlags::ANY).map_err(io_error)?);
        }
    }
    Ok(values)
}

fn io_error(error: libbpf_rs::Error) -> io::Error {
    if error.kind() == libbpf_rs::ErrorKind::PermissionDenied {
        io::Error::new(io::ErrorKind::PermissionDenied, error)
    } else {
        io::Error::other(error)
    }
}
